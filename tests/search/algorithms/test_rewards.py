"""Every algorithm with every reward, on a real space."""

import math

import numpy as np
import pytest

from tf_cosearch.search import algorithms
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.objectives import AbsoluteDeviation, WeightedProduct
from tf_cosearch.search.oracle.options import make
from tf_cosearch.testing import place, run_trials

BUDGETS = Budgets(latency_ms=0.002, area_mm2=40)

SMALL = {
    "grey_box": {"warm_up": 3, "networks": 6, "accelerators": 8, "limits": 8},
    "constrained_bayesian": {"warm_up": 3},
    "nsga2": {"population_size": 3},
    "ppo": {"batch_size": 2},
    "random": {},
    "regularized_evolution": {
        "population_size": 3,
        "shrink_stages": 1,
    },
    "reinforce": {"batch_size": 2},
    "two_level": {"fast_steps": 2, "inner_options": {"batch_size": 2}},
}


def hard(accuracy, costs):
    return accuracy  # as nothing over budget is trained


def soft(accuracy, costs):
    latency, area = costs["latency_ms"] / 0.002, costs["area_mm2"] / 40
    return accuracy * (latency * area) ** -0.07


def steep(accuracy, costs):
    latency, area = costs["latency_ms"] / 0.002, costs["area_mm2"] / 40
    return accuracy / (latency * area) ** 0.5


def aimed(accuracy, costs):
    excess = costs["area_mm2"] / 20
    return accuracy / excess if excess > 1 else accuracy


def absolute(accuracy, costs):
    return accuracy - 0.3 * abs(costs["latency_ms"] / 0.002 - 1)


def far(accuracy, costs):
    energy, area = costs["energy_mj"] / 1e-4, costs["area_mm2"] / 20
    return accuracy - 2 * (abs(energy - 1) + abs(area - 1))


REWARDS = {
    "hard": ("hard", hard),
    "soft": ("soft", soft),
    "absolute": ("absolute", absolute),
    "steep": (WeightedProduct(form="soft", p=-0.5, q=-1), steep),
    "aimed": (WeightedProduct(Budgets(area_mm2=20)), aimed),
    "far": (
        AbsoluteDeviation(Budgets(energy_mj=1e-4, area_mm2=20), beta=-2),
        far,
    ),
}


def start(folder, space, algorithm, reward, **options):
    return place(
        make(
            algorithm,
            options,
            space=space,
            budgets=BUDGETS,
            reward=reward,
            max_trials=99,
            proposals=32,
            seed=0,
        ),
        folder,
    )


def run(oracle, trials=7):
    """Runs trials, of which the second fails; gives what they measured."""
    measured = {}

    def accuracy(number, genome):
        if number == 1:
            raise ArithmeticError("broken")
        found = 0.5 + 0.4 * math.sin(genome @ np.arange(1, 1 + genome.size))
        measured[genome.tobytes()] = found
        return found

    assert len(run_trials(oracle, trials, accuracy)) == trials
    return measured


def listen(algorithm):
    """Notes what an algorithm learns from."""
    heard = []
    observe = algorithm.observe

    def listening(result):
        heard.append((result.genome, result.reward))
        observe(result)

    algorithm.observe = listening
    return heard


@pytest.mark.parametrize("name", REWARDS)
@pytest.mark.parametrize("algorithm", algorithms.names())
def test_learns_from_the_reward(space, tmp_path, algorithm, name):
    reward, worth = REWARDS[name]
    oracle = start(tmp_path, space, algorithm, reward, **SMALL[algorithm])
    heard = listen(oracle.algorithm)
    measured = run(oracle)
    failed = {genome.tobytes() for genome in oracle.history.failed()}
    assert len(failed) == 1
    expected = {}
    for genome in map(bytes, measured):
        costs = oracle.prices.of(np.frombuffer(genome, np.int64))
        expected[genome] = worth(measured[genome], costs)
    learnt = {genome.tobytes(): value for genome, value in heard}
    for genome in failed & learnt.keys():
        # One that failed is no better than with an accuracy of nothing.
        costs = oracle.prices.of(np.frombuffer(genome, np.int64))
        assert learnt.pop(genome) == pytest.approx(worth(0, costs))
    assert learnt == pytest.approx(expected)
    for design in oracle.history.finished():
        assert design.reward == learnt[design.genome.tobytes()]
    best = oracle.trial_genome(oracle.get_best_trials(1)[0]).tobytes()
    assert expected[best] == max(expected.values())


@pytest.mark.slow  # the tests of two_level have the rewards with names
@pytest.mark.parametrize("name", REWARDS)
@pytest.mark.parametrize(
    "inner", [name for name in algorithms.names() if name != "two_level"]
)
def test_learns_from_the_reward_inside_two_level(space, tmp_path, inner, name):
    reward, worth = REWARDS[name]
    oracle = start(
        tmp_path,
        space,
        "two_level",
        reward,
        inner=inner,
        inner_options=SMALL[inner],
        fast_steps=2,
        beta=0.75,
    )
    heard = listen(oracle.algorithm.inner)
    measured = run(oracle)
    failed = {genome.tobytes() for genome in oracle.history.failed()}
    inside = oracle.algorithm.inner.problem.history.finished()
    assert len(inside) == len(measured) == 6
    for genome, value in heard:
        costs = oracle.prices.of(genome)
        key = genome.tobytes()
        accuracy = 0 if key in failed else measured[key]
        expected = 0.75 * worth(accuracy, costs) + 0.25 * costs["utilization"]
        assert value == pytest.approx(expected)
    for design in oracle.history.finished():
        costs = oracle.prices.of(design.genome)
        expected = worth(measured[design.genome.tobytes()], costs)
        assert design.reward == pytest.approx(expected)


LEARNERS = {
    "grey_box": (16, {"warm_up": 4, "networks": 6, "front_share": 0.0}),
    "constrained_bayesian": (20, {}),
    "ppo": (60, {"learning_rate": 0.05}),
    "regularized_evolution": (40, {"population_size": 6}),
    "reinforce": (60, {"learning_rate": 0.1}),
    # With a `beta` below 1 it is after utilization as well.
    "two_level": (60, {"inner_options": {"learning_rate": 0.1}, "beta": 1.0}),
}
"""Trials and options of those that are after one reward."""


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", LEARNERS)
def test_proposes_what_is_close_to_the_target(space, tmp_path, algorithm):
    trials, options = LEARNERS[algorithm]
    oracle = start(tmp_path, space, algorithm, "absolute", **options)
    run_trials(oracle, trials, lambda *_: 0.5)
    last = [
        design.reward for design in oracle.history.finished()[-trials // 3 :]
    ]
    random = space.sample(np.random.default_rng(0), 2000)
    costs = oracle.costs(random)
    feasible = BUDGETS.is_feasible(costs)
    worth = absolute(0.5, {k: v[feasible] for k, v in costs.items()})
    assert np.mean(last) > np.quantile(worth, 0.9)
