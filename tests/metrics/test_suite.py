import numpy as np
import pytest

from tf_cosearch import metrics
from tf_cosearch.testing import MetricSuite

SHARES = ("utilization", *metrics.accuracies())

for _name in metrics.names():
    _class = f"Test{_name.title().replace('_', '')}"
    _most = 1.0 if _name in SHARES else np.inf
    globals()[_class] = type(
        _class, (MetricSuite,), {"name": _name, "most": _most}
    )


@pytest.fixture
def suite(monkeypatch):
    """A suite for a metric that is registered in a test."""
    monkeypatch.setattr(metrics, "_METRICS", dict(metrics._METRICS))

    def make(function, **how):
        metrics.metric(**{"unit": "", "direction": "min", **how})(function)
        return type("Suite", (MetricSuite,), {"name": function.__name__})()

    return make


def test_it_finds_a_metric_that_feels_its_neighbours(suite):
    def rank(latency_ms):
        """How far a design is from the others."""
        return latency_ms - latency_ms.mean()

    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        suite(rank).test_no_design_feels_its_neighbours()


def test_it_finds_sums_over_the_wrong_axis(suite):
    def rows(layers):
        """How many rows there are."""
        return np.atleast_2d(layers.is_layer.squeeze()).sum(1)

    tested = suite(rows)
    tested.test_it_is_one_finite_number_a_design()
    with pytest.raises((ValueError, AssertionError)):
        tested.test_networks_times_accelerators_are_pairs()


def test_it_finds_what_is_out_of_range(suite):
    def slack_ms(latency_ms):
        """What is left of a tenth of a microsecond."""
        return 1e-4 - latency_ms

    with pytest.raises(pytest.fail.Exception, match="must be from 0"):
        suite(slack_ms).test_it_is_one_finite_number_a_design()


def test_it_wants_a_docstring(suite):
    def nameless(latency_ms):
        return latency_ms

    with pytest.raises(pytest.fail.Exception, match="needs a docstring"):
        suite(nameless).test_it_is_described()
