import numpy as np
import pytest

from tf_cosearch import testing
from tf_cosearch.search import algorithms
from tf_cosearch.search.algorithms.two_level import TwoLevel
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.oracle.options import make
from tf_cosearch.testing import ToySpace, place, run_trials, toy_estimate

SPACE = ToySpace((4,) * 10)
INNER = [name for name in algorithms.names() if name != "two_level"]


@pytest.mark.slow  # the suite has it with its default inner algorithm
class TestEveryInnerAlgorithm(testing.OracleSuite):
    @pytest.fixture(autouse=True, params=INNER)
    def _inner(self, request):
        self.algorithm = TwoLevel(inner=request.param)


def start(folder, **kwargs):
    defaults = {"estimate": toy_estimate, "proposals": 200, "seed": 0}
    return place(make(TwoLevel, {**defaults, **kwargs}, space=SPACE), folder)


# grey_box suggests an accelerator for each network, so that there may be none
# above: the best effort is to train one below then.
@pytest.mark.parametrize("inner", [i for i in INNER if i != "grey_box"])
def test_prunes_before_training(tmp_path, inner):
    oracle = start(tmp_path, inner=inner, min_utilization=0.4)
    genomes = np.asarray(run_trials(oracle, 12))
    random = SPACE.sample(np.random.default_rng(0), 1000)
    assert (oracle.costs(random)["utilization"] < 0.4).mean() > 0.6
    assert (oracle.costs(genomes)["utilization"] >= 0.4).all()


def test_learns_the_hardware_without_training(tmp_path):
    budgets = Budgets(area_mm2=2.0)  # one random design in a hundred
    oracle = start(tmp_path, budgets=budgets, inner="ppo")
    rng = np.random.default_rng(0)
    random = budgets.is_feasible(oracle.costs(SPACE.sample(rng, 4000)))
    oracle.algorithm.suggest(rng, 2000)
    learnt = oracle.algorithm.inner.suggest(rng, 4000)
    feasible = budgets.is_feasible(oracle.costs(learnt))
    assert feasible.mean() > 5 * random.mean()


@pytest.mark.parametrize("inner", ["grey_box", "reinforce"])
@pytest.mark.parametrize("reward", ["hard", "soft", "absolute"])
def test_the_inner_algorithm_learns_from_score_and_utilization(
    tmp_path, reward, inner
):
    budgets = Budgets(latency_ms=1.6)
    oracle = start(
        tmp_path, budgets=budgets, reward=reward, inner=inner, beta=0.8
    )
    run_trials(oracle, 10)
    outer = oracle.history.finished()
    inside = oracle.algorithm.inner.problem.history.finished()
    assert len(outer) == len(inside) == 10
    for trial, learnt in zip(outer, inside, strict=True):
        utilization = trial.metrics["utilization"]
        expected = 0.8 * trial.reward + 0.2 * utilization
        assert learnt.reward == pytest.approx(expected)


def test_fewer_fast_steps_when_most_designs_survive(tmp_path, monkeypatch):
    oracle = start(tmp_path, fast_steps=7)
    steps = []
    algorithm = oracle.algorithm
    suggest = algorithm.inner.suggest
    monkeypatch.setattr(
        algorithm.inner,
        "suggest",
        lambda rng, n: steps.append(n) or suggest(rng, n),
    )
    algorithm.suggest(np.random.default_rng(0), 70)
    assert steps == [10]
    algorithm.enough, algorithm.min_utilization = 1.0, 0.9
    algorithm.suggest(np.random.default_rng(0), 70)
    assert steps == [10] * 8


def test_the_inner_algorithm_learns_from_both(tmp_path):
    oracle = start(tmp_path, inner="regularized_evolution", beta=0.25)
    run_trials(oracle, 3)
    inside = oracle.algorithm.inner.problem.history.finished()
    for score, learnt in zip(oracle.history.finished(), inside, strict=True):
        utilization = score.metrics["utilization"]
        expected = 0.25 * score.reward + 0.75 * utilization
        assert learnt.reward == pytest.approx(expected)
        assert score.reward == score.metrics["accuracy_int8"]


def test_the_fast_reward_falls_with_what_is_missed(tmp_path):
    oracle = start(tmp_path, budgets=Budgets(area_mm2=2.0), min_utilization=0.5)
    costs = {
        "latency_ms": np.ones(3),
        "energy_mj": np.ones(3),
        "area_mm2": np.array([2.0, 4.0, 2.0]),
        "utilization": np.array([0.8, 0.8, 0.25]),
    }
    rewards = oracle.algorithm.fast_reward(costs)
    np.testing.assert_allclose(rewards, [0.8, 0.4, 1 / 6])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"inner": "reinforced"}, "Did you mean 'reinforce'"),
        ({"inner": "two_level"}, "inner oracle"),
        ({"inner_options": {"unit": 3}}, "units"),
        ({"inner_options": "units"}, "inner_options must be a mapping"),
        ({"inner_options": {"seed": 3}}, "seed"),
        ({"inner_options": {"units": 0}}, "`units` must be"),
        ({"fast_steps": 0}, "`fast_steps` must be"),
        ({"enough": 2}, "`enough` must be from 0 to 1"),
        ({"min_utilization": -1}, "`min_utilization` must be from 0 to 1"),
        ({"beta": 1.5}, "`beta` must be from 0 to 1"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        TwoLevel(**arguments)
