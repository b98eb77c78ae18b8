import numpy as np
import pytest

from tf_cosearch.search.algorithms import nsga2
from tf_cosearch.search.algorithms.nsga2 import Nsga2
from tf_cosearch.search.algorithms.random import RandomSearch
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.oracle import durable
from tf_cosearch.search.oracle.options import make
from tf_cosearch.search.pareto import hypervolume, non_dominated
from tf_cosearch.testing import ToySpace, place, run_trials, toy_estimate

SPACE = ToySpace((6,) * 8)


def start(folder, cls=Nsga2, **kwargs):
    defaults = {"estimate": toy_estimate, "proposals": 64, "seed": 0}
    options = {**defaults, "max_trials": 100, **kwargs}
    return place(make(cls, options, space=SPACE), folder)


def test_survivors_are_fronts_and_then_the_least_violation():
    points = np.array([[1, 4], [4, 1], [2, 5], [5, 5], [0, 0], [0, 0]])
    violation = np.array([0, 0, 0, 0, 2.0, 1.0])
    rank, _ = nsga2.survivors(points, violation, 6)
    assert rank.tolist() == [0, 0, 1, 2, 4, 3]


def test_the_most_crowded_of_the_last_front_go():
    points = np.array([[0, 10], [1, 8], [1.5, 7.5], [2, 7], [10, 0]])
    rank, _ = nsga2.survivors(points, np.zeros(5), 4)
    assert rank.tolist() == [0, 0, -1, 0, 0]


def test_ranks_equal_those_of_the_definition():
    """By brute force: a front is what only earlier fronts dominate."""
    rng = np.random.default_rng(0)
    points = rng.integers(0, 5, (60, 3)).astype(float)
    rank, _ = nsga2.survivors(points, np.zeros(60), 60)
    for front in range(rank.max() + 1):
        left = np.flatnonzero(rank >= front)
        best = left[non_dominated(points[left])]
        assert set(best) == set(np.flatnonzero(rank == front))


def test_crowding_by_hand():
    points = np.array([[0.0, 4.0], [1.0, 2.0], [2.0, 1.0], [4.0, 0.0]])
    expected = [np.inf, 2 / 4 + 3 / 4, 3 / 4 + 2 / 4, np.inf]
    np.testing.assert_allclose(nsga2.crowding_distance(points), expected)
    same = nsga2.crowding_distance(np.ones((4, 2)))
    assert np.isinf(same[[0, 3]]).all()
    assert (same[[1, 2]] == 0).all()


@pytest.mark.parametrize(
    ("budgets", "chosen"),
    [
        (Budgets(), ("latency_ms", "energy_mj", "area_mm2")),
        (Budgets(area_mm2=4, latency_ms=2), ("latency_ms", "area_mm2")),
    ],
)
def test_the_costs_with_budgets_are_minimised(budgets, chosen):
    def minimised(**options):
        return make(Nsga2, options, space=SPACE, budgets=budgets).algorithm

    assert minimised().objectives == chosen
    assert minimised(objectives="energy_mj").objectives == ("energy_mj",)


def test_failures_are_parents_of_nothing_once_others_suffice(tmp_path):
    def accuracy(number, genome):
        if number % 2:
            raise ArithmeticError(f"trial {number}")
        return 0.5

    oracle = start(
        tmp_path, population_size=4, mutation_probability=0, max_trials=30
    )
    run_trials(oracle, 20, accuracy)
    living = np.stack([done.genome for done in oracle.history.finished()])
    children = oracle.algorithm.suggest(np.random.default_rng(0), 64)
    for gene in range(len(SPACE.parameters)):
        assert set(children[:, gene]) <= set(living[:, gene])


def test_children_mix_two_parents_and_change_one_gene_on_average(tmp_path):
    oracle = start(tmp_path, population_size=2)
    parents = np.asarray(run_trials(oracle, 2))
    children = oracle.algorithm.suggest(np.random.default_rng(0), 2000)
    new = (children[:, None] != parents).all(axis=1)
    expected = 8 / 8 * (parents[0] != parents[1]).mean()
    assert new.sum(axis=1).mean() == pytest.approx(1, abs=0.3)
    assert new.sum(axis=1).mean() > 0.5 * expected
    only = start(tmp_path / "2", population_size=2, crossover_probability=0)
    parents = np.asarray(run_trials(only, 2))
    children = only.algorithm.suggest(np.random.default_rng(0), 2000)
    distance = (children[:, None] != parents).sum(axis=2).min(axis=1)
    assert distance.mean() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"population_size": 1}, "`population_size` must be an integer of"),
        ({"crossover_probability": 1.1}, "`crossover_probability` must be"),
        ({"mutation_probability": -1}, "`mutation_probability` must be from"),
        ({"objectives": ["latency"]}, "Did you mean 'latency_ms'"),
    ],
)
def test_arguments_are_checked(argument, message):
    with pytest.raises(ValueError, match=message):
        Nsga2(**argument)


def test_spreads_further_than_random_search(tmp_path, monkeypatch):
    """Accuracy against area; every gene has another ratio of the two."""
    monkeypatch.setattr(durable, "write_json", lambda path, state: None)
    gains = np.random.default_rng(1).dirichlet(np.ones(8)) / 5
    volumes = np.zeros((2, 6))
    for row, cls in enumerate((Nsga2, RandomSearch)):
        for seed in range(6):
            oracle = start(
                tmp_path / f"{row}{seed}",
                cls,
                budgets=Budgets(area_mm2=10),
                max_trials=80,
                seed=seed,
            )
            run_trials(oracle, 60, lambda _, genome: float(genome @ gains))
            points = [
                [-done.metrics["accuracy_int8"], done.metrics["area_mm2"]]
                for done in oracle.history.finished()
            ]
            volumes[row, seed] = hypervolume(points, [0, 10])
    assert (volumes[0] > volumes[1]).sum() >= 5
    assert volumes[0].mean() > volumes[1].mean() + volumes[1].std()
