import numpy as np
import pytest

from tf_cosearch.search.algorithms.ppo import PPO
from tf_cosearch.search.algorithms.random import RandomSearch
from tf_cosearch.search.algorithms.reinforce import Reinforce
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.oracle import durable
from tf_cosearch.search.oracle.options import make
from tf_cosearch.search.problem import Result
from tf_cosearch.testing import ToySpace, place, run_trials, toy_estimate

SPACE = ToySpace((4,) * 12)


def start(folder, cls=Reinforce, **kwargs):
    defaults = {"estimate": toy_estimate, "proposals": 32, "seed": 0}
    options = {**defaults, "max_trials": 200, **kwargs}
    return place(make(cls, options, space=SPACE), folder)


def log_p(oracle, genomes):
    genomes = np.asarray(genomes)
    return oracle.algorithm._controller.log_probability(genomes, genomes >= 0)


@pytest.mark.parametrize("cls", [Reinforce, PPO])
def test_learns_from_whole_batches(tmp_path, cls):
    oracle = start(tmp_path, cls, batch_size=4)
    genomes = run_trials(oracle, 3)
    before = log_p(oracle, genomes)
    untouched = start(tmp_path / "2", cls)
    np.testing.assert_array_equal(before, log_p(untouched, genomes))
    run_trials(oracle, 1)
    assert (log_p(oracle, genomes) != before).all()


@pytest.mark.parametrize("cls", [Reinforce, PPO])
def test_failures_become_less_likely(tmp_path, cls):
    def accuracy(number, _):
        if number == 1:
            raise ArithmeticError("out of memory")
        return 0.5

    oracle = start(tmp_path, cls, batch_size=2)
    fresh = start(tmp_path / "2", cls)
    good, bad = run_trials(oracle, 2, accuracy)
    change = log_p(oracle, [good, bad]) - log_p(fresh, [good, bad])
    assert change[0] > 0 > change[1]


def test_the_baseline_is_a_moving_average(tmp_path):
    oracle = start(tmp_path, baseline_decay=0.9)
    first = oracle.algorithm._advantages(np.array([0.2, 0.6]))
    np.testing.assert_allclose(first, [-0.2, 0.2])
    baseline = (0.4 * 0.9 + 0.2 * 0.1) * 0.9 + 0.6 * 0.1
    np.testing.assert_allclose(
        oracle.algorithm._advantages(np.array([0.5])), [0.5 - baseline]
    )


@pytest.mark.parametrize("cls", [Reinforce, PPO])
def test_genes_without_effect_get_no_credit(tmp_path, monkeypatch, cls):
    space = ToySpace((2, 1, 3), has_inactive=True)
    oracle = make(cls, {}, space=space, estimate=toy_estimate, seed=0)
    controller, credited = oracle.algorithm._controller, []

    def gradient(genomes, genes, *rest, real=controller.gradient):
        credited.append(genes.tolist())
        return real(genomes, genes, *rest)

    monkeypatch.setattr(controller, "gradient", gradient)
    genomes = np.array([[0, 0, 0], [1, 0, 0]])
    oracle.algorithm.learn(controller, genomes, np.array([1.0, -1.0]))
    assert credited[0] == [[True, False, False], [True, False, True]]


@pytest.mark.slow
@pytest.mark.parametrize("cls", [Reinforce, PPO])
def test_learns_from_costs_until_the_next_trial_ends(tmp_path, cls):
    oracle = start(tmp_path, cls)
    algorithm, rng = oracle.algorithm, np.random.default_rng
    before = algorithm.suggest(rng(0), 64)
    for seed in range(20):
        genomes = algorithm.suggest(rng(seed), 64)
        algorithm.explore(genomes, (genomes == 3).mean(axis=1))
    after = algorithm.suggest(rng(0), 64)
    assert (after == 3).mean() > (before == 3).mean() + 0.1
    algorithm.observe(Result(genomes[0], {}, 0.5))
    np.testing.assert_array_equal(algorithm.suggest(rng(0), 64), before)


@pytest.mark.parametrize(
    "cls", [pytest.param(Reinforce, marks=pytest.mark.slow), PPO]
)
def test_beats_random_search(tmp_path, monkeypatch, cls):
    monkeypatch.setattr(durable, "write_json", lambda path, state: None)
    gains = np.random.default_rng(1).random((12, 4))

    def best(folder, algorithm, seed):
        budgets = Budgets(area_mm2=4.5)
        oracle = start(tmp_path / folder, algorithm, seed=seed, budgets=budgets)
        run_trials(
            oracle, 80, lambda _, g: float(gains[np.arange(12), g].mean())
        )
        return max(done.reward for done in oracle.history.finished())

    ours = [best(f"a{seed}", cls, seed) for seed in range(5)]
    random = [best(f"b{seed}", RandomSearch, seed) for seed in range(5)]
    assert np.median(ours) > max(random)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", 0),
        ("units", 0),
        ("learning_rate", -1),
        ("baseline_decay", 1.5),
        ("entropy_weight", -1),
        ("entropy_weight", "high"),
    ],
)
def test_arguments_are_checked(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        Reinforce(**{name: value})
