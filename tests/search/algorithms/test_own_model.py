"""Every algorithm with a user's own model, whose networks have to be built."""

import json

import keras
import keras_tuner
import numpy as np
import pytest

from tf_cosearch.accelerators import to_paths
from tf_cosearch.accelerators.presets import load_accelerator
from tf_cosearch.networks.spaces.hypermodel_space import NEW_NETWORKS
from tf_cosearch.search import algorithms
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.oracle.oracle import CoSearchOracle
from tf_cosearch.search.oracle.screening import WIDER_ROUNDS
from tf_cosearch.search.reach import FILE
from tf_cosearch.search.scope import SEARCHED
from tf_cosearch.search.space import SearchSpace
from tf_cosearch.testing import place, run_trials

CHIPS = {
    **to_paths(load_accelerator("edge_tpu")),
    "pe_array/rows": [2, 4],
    "pe_memory/capacity_mib": [1, 2],
    "dram/bandwidth_gbs": [5, 10, 25],
}
"""Twelve accelerators."""

EACH = [
    pytest.param(
        name,
        marks=() if name in ("grey_box", "nsga2") else pytest.mark.slow,
    )
    for name in algorithms.names()
]


def build(hp):
    """24 widths, of which a third is none, and some that differ in training."""
    units, groups = hp.Int("units", 8, 31), hp.Choice("groups", [1, 3])
    if units % groups:
        raise ValueError("units must be whole groups")
    model = keras.Sequential([keras.Input((16,)), keras.layers.Dense(units)])
    if hp.Choice("kind", ["plain", "deep"]) == "deep":
        with hp.conditional_scope("kind", ["deep"]):
            model.add(keras.layers.Dense(hp.Int("inner", 4, 16, step=4)))
    model.add(keras.layers.Dense(3))
    rate = hp.Float("learning_rate", 1e-4, 1e-1, sampling="log")
    model.compile(keras.optimizers.SGD(rate), "mse")
    build.calls += 1
    return model


build.calls = 0


def start(folder, name="random", **options):
    options = {
        "max_trials": 8,
        "seed": 3,
        "objective": "val_accuracy",
        **options,
    }
    space = SearchSpace.from_hypermodel(build, CHIPS)
    oracle = place(CoSearchOracle(space, name, **options), folder)
    if (folder / "project" / "oracle.json").exists():
        oracle.reload()
    return oracle


def values(oracle):
    return [trial.hyperparameters.values for trial in oracle.trials.values()]


@pytest.mark.parametrize("name", EACH)
def test_every_algorithm_searches_a_users_own_model(tmp_path, name):
    budgets = Budgets(latency_ms=0.0031, area_mm2=45.0)
    oracle = start(tmp_path, name, budgets=budgets)
    most = []
    while len(most) < 8:
        before = build.calls
        assert len(run_trials(oracle, 1)) == 1
        most.append(build.calls - before)
    assert max(most) <= NEW_NETWORKS * (WIDER_ROUNDS + 3)
    assert np.median(most) <= NEW_NETWORKS
    designs = {json.dumps(chosen, sort_keys=True) for chosen in values(oracle)}
    assert len(designs) == 8
    for trial in oracle.trials.values():
        chosen = trial.hyperparameters.values
        assert chosen["units"] % chosen["groups"] == 0
        assert budgets.is_feasible(oracle.trial_costs(trial))


@pytest.mark.parametrize("name", EACH)
def test_a_run_that_is_continued_proposes_the_same(tmp_path, name):
    whole = start(tmp_path / "1", name)
    run_trials(whole, 8)
    run_trials(start(tmp_path / "2", name), 5)
    before = build.calls
    continued = start(tmp_path / "2", name)
    built = build.calls - before
    run_trials(continued, 3)
    assert values(continued) == values(whole)
    # Nothing is built twice: what was read lies in the folder.
    assert (tmp_path / "2" / "project" / FILE).is_file()
    assert build.calls - before - built <= 3 * NEW_NETWORKS


@pytest.mark.parametrize(
    ("name", "searched"),
    [
        (name, searched)
        if (name, searched) in [("random", "joint"), ("random", "phased")]
        else pytest.param(name, searched, marks=pytest.mark.slow)
        for name in ("random", "grey_box")
        for searched in SEARCHED
    ],
)
def test_every_scope(tmp_path, name, searched):
    options = {"budgets": Budgets(area_mm2=45.0), "max_trials": 6}
    oracle = start(tmp_path / "1", name, searched=searched, **options)
    oracle.check_feasible()
    run_trials(oracle, 6)
    networks = {v["units"] for v in values(oracle)}
    chips = {v["dram/bandwidth_gbs"] for v in values(oracle)}
    if searched == "network":
        assert len(chips) == 1
    if searched == "accelerator":
        assert len(networks) == 1
    assert len(values(oracle)) == 6
    for _ in range(2):
        again = start(tmp_path / "2", name, searched=searched, **options)
        again.check_feasible()
        run_trials(again, 4 - len(again.trials))
    run_trials(again, 2)
    assert values(again) == values(oracle)


def test_nested_finds_the_best_accelerator_of_each_network(tmp_path):
    oracle = start(tmp_path, searched="nested", max_trials=4)
    run_trials(oracle, 4)
    space = oracle.space
    every = space.all_accelerators()
    for trial in oracle.trials.values():
        genome = oracle.trial_genome(trial)
        split = space.num_network_parameters
        network = np.repeat(genome[None, :split], len(every), axis=0)
        costs = oracle.costs(np.concatenate([network, every], axis=1))
        product = costs["latency_ms"] * costs["energy_mj"] * costs["area_mm2"]
        mine = oracle.trial_costs(trial)
        best = mine["latency_ms"] * mine["energy_mj"] * mine["area_mm2"]
        assert best == pytest.approx(product.min(), rel=1e-5)


def test_a_small_space_is_searched_to_the_end(tmp_path):
    def small(hp):
        dense = keras.layers.Dense
        units = hp.Int("units", 1, 12)
        return keras.Sequential([keras.Input((4,)), dense(units), dense(2)])

    space = SearchSpace.from_hypermodel(small, "edge_tpu")
    oracle = place(
        CoSearchOracle(space, "random", objective="val_accuracy", seed=0),
        tmp_path,
    )
    run_trials(oracle, 20)
    assert sorted(v["units"] for v in values(oracle)) == [*range(1, 13)]
    assert oracle.stop_reason == (
        "all 12 designs within the budgets have been tried"
    )


def test_budgets_that_nothing_meets_are_refused_before(tmp_path):
    oracle = start(tmp_path, budgets=Budgets(latency_ms=1e-6))
    with pytest.raises(ValueError, match="latency_ms"):
        oracle.check_feasible()
    oracle = start(tmp_path / "2", budgets=Budgets(latency_ms=0.0031))
    oracle.check_feasible()


def test_a_warm_start_knows_what_was_chosen(tmp_path):
    run_trials(start(tmp_path / "1"), 6)
    oracle = start(tmp_path / "2", warm_start=tmp_path / "1" / "project")
    oracle.take_known()
    assert oracle.num_known == 6
    first = [t.hyperparameters.values for t in oracle.trials.values()]
    assert first == values(start(tmp_path / "1"))[:6]
    run_trials(oracle, 3)
    designs = {json.dumps(chosen, sort_keys=True) for chosen in values(oracle)}
    assert len(designs) == 9


def test_a_stock_tuner_builds_what_our_oracles_choose(tmp_path):
    space = SearchSpace.from_hypermodel(build, CHIPS)
    oracle = CoSearchOracle(
        space, "grey_box", objective="val_accuracy", max_trials=3
    )

    class Measured(keras_tuner.Tuner):
        def run_trial(self, trial, **_):
            model = self.hypermodel.build(trial.hyperparameters)
            assert model.layers[0].units == trial.hyperparameters["units"]
            rate = float(model.optimizer.learning_rate.numpy())
            chosen = trial.hyperparameters["learning_rate"]
            assert rate == pytest.approx(chosen)
            return {"val_accuracy": 0.5}

    tuner = Measured(oracle, build, directory=tmp_path, project_name="stock")
    tuner.search()
    best = tuner.get_best_hyperparameters()[0]
    assert build(best).layers[0].units == best["units"]


def test_what_prices_thousands_of_new_networks_is_refused(tmp_path):
    with pytest.raises(ValueError, match="shrink_stages"):
        start(
            tmp_path,
            "regularized_evolution",
            algorithm_options={"shrink_stages": 2},
        )
