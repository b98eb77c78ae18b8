import numpy as np
import pytest

from tf_cosearch.search import pairing
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.genomes import all_designs
from tf_cosearch.search.objectives import AbsoluteDeviation, WeightedProduct
from tf_cosearch.search.oracle.oracle import CoSearchOracle
from tf_cosearch.testing import ToySpace, place, run_trials, toy_estimate

SPACE = ToySpace((7, 5, 4, 6))


def test_nested_searches_take_more_accelerators_than_can_be_priced(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(pairing, "MOST_ACCELERATORS", 10)
    monkeypatch.setattr(pairing, "SAMPLED", 6)
    oracle = CoSearchOracle(
        SPACE, "random", searched="nested", estimate=toy_estimate, seed=0
    )
    for genome in map(np.asarray, run_trials(place(oracle, tmp_path), 5)):
        chips = SPACE.all_accelerators()
        pairs = np.concatenate([np.tile(genome[:2], (24, 1)), chips], axis=1)
        products = [
            np.prod([costs[name] for name in ("latency_ms", "area_mm2")], 0)
            for costs in (oracle.costs(pairs), oracle.costs(genome[None]))
        ]
        # One that differs in one gene is never better.
        is_near = (pairs != genome).sum(axis=1) == 1
        assert is_near.sum() == 8
        energy = oracle.costs(pairs)["energy_mj"][is_near]
        mine = products[1] * oracle.costs(genome[None])["energy_mj"]
        assert (products[0][is_near] * energy >= mine * (1 - 1e-6)).all()


@pytest.mark.parametrize(
    "reward", [WeightedProduct(p=-0.5, q=-0.5), AbsoluteDeviation()]
)
def test_nested_pairs_have_the_best_reward_within_the_budgets(tmp_path, reward):
    budgets = Budgets(latency_ms=1.5, area_mm2=4)
    oracle = CoSearchOracle(
        SPACE,
        "random",
        budgets,
        reward=reward,
        searched="nested",
        estimate=toy_estimate,
        seed=0,
    )
    chips = SPACE.all_accelerators()
    for genome in run_trials(place(oracle, tmp_path), 10):
        network = np.tile(genome[:2], (len(chips), 1))
        pairs = np.concatenate([network, chips], axis=1)
        costs = oracle.costs(pairs)
        rewards = oracle.reward(1.0, costs)
        fits = budgets.is_feasible(costs)
        assert 1 < fits.sum() < len(chips)
        (chosen,) = rewards[(pairs == genome).all(axis=1)]
        assert chosen == rewards[fits].max() > rewards[fits].min()


def test_budgets_must_be_met_with_the_side_that_is_held():
    """They can be met, but not with the network of highest latency."""
    space = ToySpace((3, 4, 5, 6))
    designs = all_designs(space)
    split = space.num_network_parameters
    free = CoSearchOracle(space, "random", estimate=toy_estimate, seed=0)
    latency = free.costs(designs)["latency_ms"]
    least = {
        network: latency[(designs[:, :split] == network).all(1)].min()
        for network in map(tuple, designs[:, :split].tolist())
    }
    slowest = max(least, key=least.get)
    limit = (least[slowest] + latency.min()) / 2
    fixed = np.asarray([*slowest, *designs[0, split:]])
    options = {"estimate": toy_estimate, "seed": 0}
    options["budgets"] = Budgets(latency_ms=float(limit))
    CoSearchOracle(space, "random", **options).check_feasible()
    held = CoSearchOracle(
        space, "random", searched="accelerator", fixed=fixed, **options
    )
    with pytest.raises(ValueError, match="must meet the budgets"):
        held.check_feasible()


def measured_search(folder, searched, reload=False, latency_ms=1.45):
    """A search within a budget, on a device."""
    oracle = CoSearchOracle(
        SPACE,
        "random",
        Budgets(latency_ms=latency_ms),
        searched=searched,
        estimate=toy_estimate,
        max_trials=8,
        seed=0,
    )
    oracle.measure_by({"class": "Device"}, ["latency_ms"])
    place(oracle, folder)
    if reload:
        oracle.reload()
    return oracle


@pytest.mark.parametrize(
    ("searched", "held"),
    [
        ("network", slice(2, 4)),
        ("accelerator", slice(0, 2)),
        ("phased", slice(0, 2)),
        ("phased_reverse", slice(2, 4)),
    ],
)
def test_a_continued_search_holds_what_it_held(tmp_path, searched, held):
    """Though it has learned that everything is ten times as fast."""
    begun = np.asarray(run_trials(measured_search(tmp_path, searched), 2))
    oracle = measured_search(tmp_path, searched, reload=True)
    for genome in begun:
        latency_ms = oracle.prices.analytic_of(genome)["latency_ms"]
        oracle.prices.learn(genome, {"latency_ms": latency_ms / 10})
    genomes = np.asarray(run_trials(oracle, 2))
    assert len(genomes) == 2
    assert (genomes[:, held] == begun[0, held]).all()


def test_what_a_second_phase_goes_on_from_is_decided_once(tmp_path):
    """A trial of the first that ends late changes nothing, nor does a stop."""

    def end(oracle, trial, accuracy):
        oracle.update_trial(trial.trial_id, {"accuracy_int8": accuracy})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)

    def chips(oracle):
        genomes = map(oracle.trial_genome, oracle.trials.values())
        return [genome[2:].tolist() for genome in genomes]

    oracle = measured_search(tmp_path, "phased", latency_ms=9)
    first = [oracle.create_trial(f"worker{i}") for i in range(4)]
    for trial, accuracy in zip(first[:3], (0.3, 0.5, 0.4), strict=True):
        end(oracle, trial, accuracy)
    end(oracle, oracle.create_trial("worker0"), 0.1)
    end(oracle, first[3], 0.9)
    end(oracle, oracle.create_trial("worker0"), 0.1)
    again = measured_search(tmp_path, "phased", True, 9)
    again.create_trial("worker0")
    best, late = chips(again)[1], chips(again)[3]
    assert best != late
    assert chips(again)[4:] == [best] * 3


def test_another_side_may_be_given_later(tmp_path):
    run_trials(measured_search(tmp_path, "network"), 1)
    fixed = np.asarray([0, 0, 3, 5])
    oracle = CoSearchOracle(
        SPACE, "random", searched="network", fixed=fixed, estimate=toy_estimate
    )
    oracle.measure_by({"class": "Device"}, ["latency_ms"])
    place(oracle, tmp_path).reload()
    assert list(run_trials(oracle, 1)[-1][2:]) == [3, 5]
