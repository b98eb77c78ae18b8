"""Every algorithm of the package passes the suite, new files included."""

import functools

import numpy as np
import pytest

from tf_cosearch import testing
from tf_cosearch.search import algorithms
from tf_cosearch.search.algorithms.algorithm import Algorithm
from tf_cosearch.search.oracle.oracle import CoSearchOracle


class TestShippedAlgorithms(testing.OracleSuite):
    @pytest.fixture(autouse=True, params=algorithms.names())
    def _algorithm(self, request):
        self.algorithm = request.param


class Forgetful(Algorithm):
    """Keeps a generator of its own, which a continued run does not have."""

    def __init__(self):
        self.own = np.random.default_rng(0)

    def suggest(self, rng, n):
        first = self.problem.seed  # so that seeds differ
        return self.problem.space.sample(self.own, n + first)[first:]


class Uncontrolled(Algorithm):
    def suggest(self, rng, n):
        return self.problem.space.sample(np.random.default_rng(), n)


class Constant(Algorithm):
    def suggest(self, rng, n):
        return self.problem.space.sample(np.random.default_rng(0), n)


class Outside(Algorithm):
    def suggest(self, rng, n):
        return self.problem.space.sample(rng, n) + 1


class Naive(Algorithm):
    """Cannot live with a failed trial."""

    def suggest(self, rng, n):
        return self.problem.space.sample(rng, n)

    def observe(self, result):
        if result.failure:
            raise ArithmeticError(result.failure)


class Stubborn(CoSearchOracle):
    """Never tries anything again."""

    def _retry(self, trial):
        return False


class Narrow(CoSearchOracle):
    """Looks at the first of several metrics."""

    def score_trial(self, trial):
        trial.score = trial.metrics.get_best_value("val_accuracy")


@pytest.mark.parametrize(
    ("broken", "test", "arguments"),
    [
        (Forgetful, "continues_as_if_never_stopped", [0]),
        (Uncontrolled, "same_seed_same_designs", []),
        (Constant, "same_seed_same_designs", []),
        (Outside, "designs_are_inside_the_space", []),
        (Naive, "goes_on_after_failures", []),
        (Stubborn, "retries", [1]),
        (Narrow, "objectives", [["val_accuracy", "val_auc"]]),
        (Forgetful, "starts_from_what_is_known", []),
    ],
)
def test_the_suite_finds_what_is_broken(tmp_path, broken, test, arguments):
    suite = testing.OracleSuite()
    if issubclass(broken, Algorithm):
        suite.algorithm = broken
    else:
        suite.make = functools.partial(broken, algorithm="random")
    with pytest.raises((pytest.fail.Exception, ValueError, ArithmeticError)):
        getattr(suite, f"test_{test}")(tmp_path, *arguments)
