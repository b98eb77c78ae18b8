"""Which designs are trained of those that were estimated."""

import itertools

import numpy as np
import pytest

import tf_cosearch as cs
from tf_cosearch.search import shortlist
from tf_cosearch.search.objectives import WeightedProduct
from tf_cosearch.search.oracle.oracle import CoSearchOracle
from tf_cosearch.search.pareto import hypervolume
from tf_cosearch.search.pricing import Pricer
from tf_cosearch.search.problem import Estimates
from tf_cosearch.testing import ToySpace, place, toy_estimate


def grown(points, chosen):
    """What each point would add, by its definition."""
    low, high = points.min(axis=0), points.max(axis=0)
    scaled = (points - low) / (high - low)
    worst = np.ones(points.shape[1])
    have = hypervolume(scaled[chosen], worst)
    return np.array(
        [
            hypervolume(scaled[[*chosen, place]], worst) - have
            for place in range(len(points))
        ]
    )


def test_each_point_adds_the_most_that_any_would():
    points = np.random.default_rng(3).random((40, 3))
    chosen = shortlist.spread(points)
    assert chosen[0] == 0
    for count in range(1, len(chosen)):
        gains = grown(points, chosen[:count])
        assert gains[chosen[count]] == pytest.approx(gains.max())
    assert grown(points, chosen).max() == pytest.approx(0, abs=1e-12)


def test_scale_and_offset_of_an_objective_do_not_matter():
    points = np.random.default_rng(4).random((30, 2))
    moved = points * [1e-6, 300] + [5, -7]
    assert (shortlist.spread(points) == shortlist.spread(moved)).all()


def test_no_more_are_chosen_than_asked():
    points = np.random.default_rng(5).random((30, 3))
    whole = shortlist.spread(points)
    assert len(whole) > 4
    assert (shortlist.spread(points, 4) == whole[:4]).all()


def test_points_that_are_all_the_same():
    assert shortlist.spread(np.ones((3, 2))).tolist() == [0]
    assert not len(shortlist.spread(np.ones((0, 2))))


def judged(space, accuracy):
    genomes = np.array(list(itertools.product(range(5), repeat=3)))
    return Estimates(genomes, np.array([accuracy(*g) for g in genomes]))


def test_the_best_reward_is_first_then_the_front_then_the_rest():
    space = ToySpace((5, 5, 5))
    prices = Pricer(space, 64, toy_estimate)
    estimates = judged(space, lambda a, b, c: 0.5 + 0.02 * a - 0.01 * b)
    costs = prices(estimates.genomes)
    limit = float(np.median(costs["latency_ms"]))
    budgets = cs.Budgets(latency_ms=limit)
    reward = WeightedProduct().aimed_at(budgets)
    places = shortlist.order(estimates, prices, budgets, reward)
    within = np.flatnonzero(costs["latency_ms"] <= limit)
    assert sorted(places) == sorted(within)  # each once, none over budget
    worth = reward(estimates.accuracies, costs)
    assert worth[places[0]] == worth[within].max()
    front = shortlist.spread(
        np.stack(
            [
                -estimates.accuracies,
                *(costs[name] for name in budgets.compared()),
            ],
            1,
        )[sorted(within, key=lambda place: -worth[place])]
    )
    rest = worth[places[len(front) :]]
    assert (np.diff(rest) <= 0).all()
    assert 1 < len(front) < len(within)


def test_what_was_tried_is_not_suggested_again(tmp_path):
    space = ToySpace((5, 5, 5))
    oracle = CoSearchOracle(
        space, "random", estimate=toy_estimate, proposals=16, seed=0
    )
    place(oracle, tmp_path)
    estimates = judged(space, lambda a, b, c: 0.1 * a + 0.02 * b)
    oracle.expect(estimates, shortlist.Shortlist())
    rng = np.random.default_rng(0)
    first = oracle.algorithm.suggest(rng, 6)
    proposed = [oracle.create_trial(f"worker{number}") for number in range(3)]
    genomes = [oracle.trial_genome(trial) for trial in proposed]
    assert (np.stack(genomes) == first[:3]).all()
    assert (oracle.algorithm.suggest(rng, 3) == first[3:]).all()


def test_there_must_be_estimates(tmp_path):
    oracle = CoSearchOracle(
        ToySpace((5, 5)),
        shortlist.Shortlist(),
        estimate=toy_estimate,
        proposals=16,
    )
    place(oracle, tmp_path)
    with pytest.raises(ValueError, match="Received: no estimates"):
        oracle.create_trial("tuner0")
