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
