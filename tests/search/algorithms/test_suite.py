"""Every algorithm of the package passes the suite, new files included."""

import numpy as np
import pytest

from tf_cosearch import testing
from tf_cosearch.search import algorithms
from tf_cosearch.search.oracle.base import CoSearchOracle


class TestShippedOracles(testing.OracleSuite):
    @pytest.fixture(autouse=True, params=algorithms.names())
    def _algorithm(self, request):
        self.algorithm = algorithms.get(request.param)

    def make(self, space, **kwargs):
        return self.algorithm(space, **kwargs)


class Forgetful(CoSearchOracle):
    """Keeps a generator of its own, which a continued run does not have."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.own = np.random.default_rng(self.seed)

    def suggest(self, rng, n):
        return self.space.sample(self.own, n)


class Uncontrolled(CoSearchOracle):
    def suggest(self, rng, n):
        return self.space.sample(np.random.default_rng(), n)


class Constant(CoSearchOracle):
    def suggest(self, rng, n):
        return self.space.sample(np.random.default_rng(0), n)


class Outside(CoSearchOracle):
    def suggest(self, rng, n):
        return self.space.sample(rng, n) + 1


class Naive(CoSearchOracle):
    """Cannot live with a failed trial."""

    def suggest(self, rng, n):
        return self.space.sample(rng, n)

    def observe_failure(self, genome, reason):
        raise ArithmeticError(reason)


class Stubborn(Uncontrolled):
    """Never tries anything again."""

    def _retry(self, trial):
        return False


class Narrow(Uncontrolled):
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
    suite.make = broken
    with pytest.raises((pytest.fail.Exception, ValueError, ArithmeticError)):
        getattr(suite, f"test_{test}")(tmp_path, *arguments)
