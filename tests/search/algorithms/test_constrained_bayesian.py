import numpy as np
import pytest

from tf_cosearch.search.algorithms.constrained_bayesian import (
    ACQUISITIONS,
    ConstrainedBayesian,
)
from tf_cosearch.search.algorithms.random import RandomSearch
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.oracle import durable
from tf_cosearch.search.oracle.options import make
from tf_cosearch.testing import ToySpace, place, run_trials, toy_estimate

SPACE = ToySpace((6,) * 8)
GAINS = np.random.default_rng(1).random(len(SPACE.parameters))


@pytest.fixture(autouse=True)
def _nothing_is_written(monkeypatch):
    monkeypatch.setattr(durable, "write_json", lambda path, state: None)


def start(folder, cls=ConstrainedBayesian, **kwargs):
    defaults = {"estimate": toy_estimate, "proposals": 128, "seed": 0}
    return place(make(cls, {**defaults, **kwargs}, space=SPACE), folder)


def accuracy(_, genome):
    return float(genome @ GAINS)


@pytest.mark.parametrize("acquisition", list(ACQUISITIONS))
def test_beats_random_search_where_budgets_bind(tmp_path, acquisition):
    rewards = np.zeros((2, 5))
    options = [{"acquisition": acquisition}, {"cls": RandomSearch}]
    for row, option in enumerate(options):
        for seed in range(5):
            oracle = start(
                tmp_path / f"{row}{seed}",
                budgets=Budgets(area_mm2=4.0),
                seed=seed,
                **option,
            )
            run_trials(oracle, 25, accuracy)
            rewards[row, seed] = max(
                d.reward for d in oracle.history.finished()
            )
    assert np.median(rewards[0]) > rewards[1].max()


def test_learns_where_trials_fail_and_goes_elsewhere(tmp_path):
    """What is best by reward runs only if the first gene is small."""

    def fragile(number, genome):
        if genome[0] >= 3:
            raise ArithmeticError(f"trial {number}")
        return accuracy(number, genome)

    oracle = start(tmp_path, max_consecutive_failed_trials=40)
    genomes = np.asarray(run_trials(oracle, 40, fragile))
    late = genomes[20:, 0] >= 3
    assert len(genomes) == 40
    assert len(oracle.history.failed()) >= 2
    assert late.mean() <= 0.25
    best = max(oracle.history.finished(), key=lambda done: done.reward)
    assert best.genome[0] < 3


def test_what_is_pending_is_not_looked_for_again(tmp_path):
    """A proposal without a result makes its surroundings less uncertain."""
    oracle = start(tmp_path)
    run_trials(oracle, 20, accuracy)
    candidates = SPACE.sample(np.random.default_rng(0), 256)
    costs = oracle.costs(candidates)
    algorithm = oracle.algorithm
    seen = algorithm._encode(candidates), algorithm._log_costs(costs)
    features = np.concatenate(seen, axis=1)
    algorithm._acquire(features)
    model = algorithm._reward_model
    trial = oracle.create_trial("tuner1")
    waiting = algorithm._features([oracle.trial_genome(trial)])
    _, known = model.predict(waiting)
    algorithm._acquire(features)
    _, after = model.predict(waiting)
    assert after < known
    batch = [oracle.create_trial(f"tuner{n}") for n in range(2, 6)]
    different = {tuple(oracle.trial_genome(t)) for t in [trial, *batch]}
    assert len(different) == 5


def test_the_first_designs_are_random(tmp_path):
    oracle = start(tmp_path / "1", warm_up=6)
    random = start(tmp_path / "2", RandomSearch)
    genomes = run_trials(oracle, 7, accuracy)
    expected = run_trials(random, 7, accuracy)
    assert genomes[:6] == expected[:6]
    assert genomes[6] != expected[6]


def test_uncertainty_counts_as_much_as_it_is_asked_to(tmp_path):
    chosen = []
    for exploration in (0.0, 100.0):
        oracle = start(tmp_path / str(exploration), exploration=exploration)
        run_trials(oracle, 5, accuracy)
        algorithm = oracle.algorithm
        best = algorithm.suggest(np.random.default_rng(0), 256)[0]
        features = algorithm._features([best])
        chosen.append(algorithm._reward_model.predict(features))
    (trusting_mean, trusting_std), (curious_mean, curious_std) = chosen
    assert trusting_mean > curious_mean
    assert trusting_std < curious_std


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"warm_up": 0}, "`warm_up` must be an integer of at least 1"),
        ({"kernel": "matern"}, "Did you mean 'linear.matern'"),
        ({"acquisition": "improvement"}, "Unknown acquisition"),
        ({"exploration": -1}, "`exploration` must not be negative"),
        ({"exploration": "much"}, "`exploration` must be a number"),
        (
            {"acquisition": "expected_improvement", "exploration": 1},
            "for the acquisition confidence_bound",
        ),
    ],
)
def test_arguments_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        ConstrainedBayesian(**options)
