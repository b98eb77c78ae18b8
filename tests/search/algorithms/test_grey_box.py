import dataclasses

import numpy as np
import pytest

from tf_cosearch import metrics
from tf_cosearch.search.algorithms.grey_box import GreyBox
from tf_cosearch.search.algorithms.two_level import SlowReward
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.objectives import AbsoluteDeviation, WeightedProduct
from tf_cosearch.search.oracle.options import make
from tf_cosearch.search.pareto import hypervolume
from tf_cosearch.testing import ToySpace, place, run_trials, toy_estimate

SPACE = ToySpace((6, 5, 6, 4, 5, 4))
BUDGETS = Budgets(latency_ms=1.6, area_mm2=5)


def _accuracy(number, genome):
    """Of the network alone, which is the first three genes."""
    depth, width, kernel = genome[:3] / (5, 4, 5)
    return 0.5 + 0.2 * depth + 0.15 * width - 0.3 * (kernel - 0.6) ** 2


def _search(folder, name="grey_box", trials=24, seed=0, **options):
    oracle = make(
        name,
        options,
        space=SPACE,
        budgets=BUDGETS,
        estimate=toy_estimate,
        max_trials=trials,
        seed=seed,
    )
    run_trials(place(oracle, folder), trials, _accuracy)
    return oracle


def _volume(oracle):
    points = [
        [-t.metrics["accuracy_int8"], t.metrics["latency_ms"]]
        for t in oracle.history.finished()
    ]
    return hypervolume(points, [-0.5, 1.6])


def test_a_third_of_the_trials_beats_random_search(tmp_path):
    ours, theirs = [], []
    for seed in range(3):
        a = _search(tmp_path / f"a{seed}", trials=24, seed=seed)
        b = _search(tmp_path / f"b{seed}", "random", trials=72, seed=seed)
        best = [max(t.reward for t in o.history.finished()) for o in (a, b)]
        ours.append([best[0], _volume(a)])
        theirs.append([best[1], _volume(b)])
    assert (np.median(ours, axis=0) >= np.median(theirs, axis=0)).all()


REWARDS = [
    WeightedProduct(),
    WeightedProduct(form="soft"),
    WeightedProduct(p=-1.0, q=-2.0),
    AbsoluteDeviation(),
    AbsoluteDeviation(Budgets(latency_ms=1.2, area_mm2=4), beta=-1.5),
    SlowReward(AbsoluteDeviation(), 0.6),
    SlowReward(WeightedProduct(form="soft"), 0.0),
]


@pytest.mark.parametrize("reward", REWARDS)
def test_expected_improvement_is_that_of_the_reward(tmp_path, reward):
    """Against an integral over the accuracies, whatever the reward."""
    oracle = _search(tmp_path, trials=12, reward=reward)
    _check_improvement(oracle)
    best = max(oracle.history.finished(), key=lambda trial: trial.reward)
    # What is over the budgets of today is no longer the best.
    _limit(oracle, 0.999 * best.metrics["latency_ms"])
    _check_improvement(oracle)


def _limit(oracle, latency_ms):
    problem = oracle.algorithm.problem
    oracle.algorithm.problem = dataclasses.replace(
        problem, budgets=Budgets(latency_ms=latency_ms)
    )


def _check_improvement(oracle):
    algorithm = oracle.algorithm
    algorithm._learn()
    rng = np.random.default_rng(0)
    networks = SPACE.sample(rng, 150)[:, :3]
    chips = SPACE.all_accelerators()
    costs = oracle.prices.grid(networks, chips)
    features = algorithm._features_of_grid(networks, costs)
    mean, std = algorithm._model.predict(features)
    best = max(
        trial.reward
        for trial in oracle.history.finished()
        if algorithm.problem.budgets.is_feasible(trial.metrics)
    )
    z = np.linspace(-8, 8, 801)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    improvement = 0.0
    for step, weight in zip(z, density * (z[1] - z[0]), strict=True):
        rewards = oracle.reward((mean + step * std)[:, None], costs)
        improvement += weight * np.maximum(rewards - best, 0)
    found = algorithm._reward_gain(networks, costs)
    assert improvement.max() > 1e-5
    np.testing.assert_allclose(found, improvement, rtol=1e-2, atol=1e-7)


def test_without_a_design_within_the_budgets_more_is_an_improvement(tmp_path):
    far = AbsoluteDeviation(Budgets(latency_ms=0.01))  # rewards are negative
    oracle = _search(tmp_path, trials=10, reward=far)
    _limit(oracle, 1e-9)
    oracle.algorithm._learn()
    networks = SPACE.sample(np.random.default_rng(0), 20)
    costs = oracle.prices.grid(networks[:, :3], networks[:, 3:])
    assert oracle.algorithm._reward_gain(networks[:, :3], costs).max() > 1


def test_growth_of_the_front_is_that_of_the_hypervolume(tmp_path):
    """With an accuracy known for sure, against the exact volume."""
    oracle = _search(tmp_path, trials=12, objectives=["latency_ms"])
    algorithm = oracle.algorithm
    algorithm._learn()
    algorithm._model.predict = lambda features: (
        np.full(len(features), 0.86),
        np.full(len(features), 1e-9),
    )
    accuracies = algorithm._accuracies
    floor = accuracies.min()
    points = np.stack([-accuracies, algorithm._costs["latency_ms"]], 1)
    networks = SPACE.sample(np.random.default_rng(0), 1)[:, :3]
    latency = np.asarray([[0.9, 1.1, 1.4, 1.7]])
    limits = np.linspace(0, 1.6, 8001)[1:, None]
    growth = algorithm._front_gain(limits, networks, {"latency_ms": latency})
    found = growth * 1.6
    for value, growth in zip(latency[0], found[0], strict=True):
        more = np.concatenate([points, [[-0.86, value]]])
        before, after = (hypervolume(p, [-floor, 1.6]) for p in (points, more))
        assert growth == pytest.approx(after - before, abs=1e-3)


def test_the_short_list_suits_what_should_be_more(tmp_path, monkeypatch):
    """A rate is the time of one, told the other way round."""
    lists = []
    for direction, power in (("min", 1), ("max", -1)):
        monkeypatch.setattr(metrics, "_METRICS", dict(metrics._METRICS))

        @metrics.metric(unit="", direction=direction, always_compared=True)
        def hold_up(latency_ms):
            return latency_ms**power  # noqa: B023

        lists.append(
            _search(tmp_path / direction, trials=1).algorithm._shortlist
        )
    first, second = (each.tolist() for each in lists)
    assert first == second


def test_running_trials_count_as_information(tmp_path):
    oracle = _search(tmp_path, trials=12)
    oracle.max_trials = 20
    running = oracle.trial_genome(oracle.create_trial("other"))
    algorithm = oracle.algorithm
    algorithm._learn()
    expected, std = algorithm._model.predict(algorithm._features([running]))
    assert algorithm._accuracies[-1] == pytest.approx(expected[0], abs=0.01)
    oracle.history.pending = list
    algorithm._learn()
    _, before = algorithm._model.predict(algorithm._features([running]))
    assert len(algorithm._accuracies) == 12
    assert std < 0.9 * before


@pytest.mark.parametrize(
    ("trials", "warm_up"),
    [(1, 3), (12, 3), (16, 4), (25, 4), (100, 8), (900, 8), (None, 8)],
)
def test_the_warm_up_scales_with_the_search(trials, warm_up):
    def make_for(**options):
        options = {"max_trials": trials, "estimate": toy_estimate, **options}
        return make(GreyBox, options, space=SPACE).algorithm

    assert make_for().warm_up == warm_up
    assert make_for(warm_up=5).warm_up == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objectives": ["latency"]}, "Did you mean 'latency_ms'"),
        ({"front_share": 1.5}, "from 0 to 1. Received: 1.5"),
        ({"warm_up": 1}, "warm_up"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        GreyBox(**options)
