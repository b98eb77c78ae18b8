import sys

import numpy as np
import pytest

import tf_cosearch as cs
from tf_cosearch import metrics
from tf_cosearch.search.budgets import Budgets


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    """What a test registers is gone after it."""
    monkeypatch.setattr(metrics, "_METRICS", dict(metrics._METRICS))


def test_what_is_shipped():
    before = metrics.names(measured=False)
    assert before[:3] == metrics.compared()
    assert {
        "throughput_fps",
        "model_kib",
        "peak_memory_kib",
        "dram_kib",
        "utilization",
        "power_mw",
    } < {*before}
    assert {*metrics.accuracies(), "file_kib"} <= {
        *metrics.names(measured=True)
    }


HALF = """
from tf_cosearch.metrics import metric

@metric(unit="", direction="max")
def {name}({parameter}):
    return {parameter} / 2
"""


@pytest.fixture
def scan(monkeypatch, tmp_path):
    """Scans the package with files of a test beside its own."""
    monkeypatch.setattr(metrics, "__path__", [*metrics.__path__, str(tmp_path)])

    def with_files(**made_of):
        for name, parameter in made_of.items():
            text = HALF.format(name=name, parameter=parameter)
            (tmp_path / f"{name}.py").write_text(text)
            monkeypatch.delitem(
                sys.modules, f"{metrics.__name__}.{name}", raising=False
            )
        metrics._scan()

    return with_files


def test_files_are_found_in_any_order(scan):
    before = metrics.names()
    scan(aa_quarter="zz_half", zz_half="area_mm2")
    assert metrics.names() == [*before, "aa_quarter", "zz_half"]
    assert metrics.sources("aa_quarter") == {"area_mm2"}


def test_a_file_that_sorts_first_does_not_come_first(monkeypatch):
    edp = {"edp": metrics.get("edp")}
    monkeypatch.setattr(metrics, "_METRICS", edp | metrics._METRICS)
    first = [*metrics.compared(), "edp"]
    assert metrics.names()[: len(first)] == first


@pytest.mark.parametrize(
    "made_of",
    [{"aa_half": "zz_none"}, {"aa_half": "zz_half", "zz_half": "aa_half"}],
)
def test_files_that_are_made_of_nothing_are_refused(scan, made_of):
    with pytest.raises(ValueError, match="parameter of the metric aa_half"):
        scan(**made_of)


def test_a_function_becomes_a_metric_and_stays_a_function():
    @cs.metric(unit="1/mm2", direction="max", remedy="less", format=".2f")
    def density(throughput_fps, area_mm2):
        """Inferences a second and area.

        More about it.
        """
        return throughput_fps / area_mm2

    assert density(8.0, 2.0) == 4.0
    metric = metrics.get("density")
    assert (metric.unit, metric.direction, metric.remedy) == (
        "1/mm2",
        "max",
        "less",
    )
    assert metric.about == "Inferences a second and area."
    assert metric.text(3.14159) == "3.14 1/mm2"
    assert metrics.sources("density") == {"latency_ms", "area_mm2"}
    assert metrics.names()[-1] == "density"


def test_what_needs_a_trial_is_known_late_however_deep():
    @cs.metric(unit="", direction="max")
    def worth(accuracy_int8, area_mm2):
        return accuracy_int8 / area_mm2

    @cs.metric(unit="", direction="max")
    def twice(worth):
        return 2 * worth

    assert {"worth", "twice"} < {*metrics.names(measured=True)}
    assert "twice" not in metrics.names(measured=False)
    with pytest.raises(ValueError, match="twice, which a trial measures"):
        cs.Budgets(twice=1)


def test_a_cell_that_runs_again_replaces_its_metric():
    for unit in ("ms", "s"):

        @cs.metric(unit=unit, direction="min")
        def again(latency_ms):
            return latency_ms

    assert metrics.get("again").unit == "s"


def registered(function, **how):
    return cs.metric(**{"unit": "ms", "direction": "min", **how})(function)


def test_wrong_functions_are_refused():
    def latency(latencyms):
        return latencyms

    def everything(*costs):
        return sum(costs)

    def nothing():
        return 1.0

    def option(latency_ms, factor=2):
        return factor * latency_ms

    def layers(latency_ms):
        return latency_ms

    def macs(latency_ms):
        return latency_ms

    def reward(latency_ms):
        return latency_ms

    with pytest.raises(ValueError, match="Did you mean 'latency_ms'"):
        registered(latency)
    for function in (everything, nothing, option):
        with pytest.raises(TypeError, match="must have parameters"):
            registered(function)
    for function in (layers, macs, reward):
        with pytest.raises(ValueError, match="without another meaning"):
            registered(function)
    for function in (lambda latency_ms: latency_ms, "edp", len):
        with pytest.raises(TypeError, match="function with a name"):
            registered(function)
    assert {"latency", "reward"}.isdisjoint(metrics.names())


def test_wrong_arguments_are_refused():
    def mine_ms(latency_ms):
        return latency_ms

    for how, message in (
        ({"direction": "less"}, "Unknown direction of mine_ms: 'less'"),
        ({"direction": None}, "Unknown direction"),
        ({"format": "%d"}, "`format` of mine_ms must be"),
    ):
        with pytest.raises(ValueError, match=message):
            registered(mine_ms, **how)
    with pytest.raises(TypeError, match="`unit` of mine_ms must be text"):
        registered(mine_ms, unit=3)
    with pytest.raises(TypeError):
        registered(mine_ms, is_measured=True)
    assert "mine_ms" not in metrics.names()


def test_shipped_ones_are_nobody_elses_to_replace():
    def power_mw(energy_mj):
        return energy_mj

    with pytest.raises(ValueError, match=r"registered by tf_cosearch\.metrics"):
        registered(power_mw)


def test_none_is_made_of_itself():
    def first(latency_ms):
        return latency_ms

    def second(first):
        return first

    registered(first)
    registered(second)

    def first(second):
        return second

    with pytest.raises(ValueError, match="parameter of the metric first"):
        registered(first)


def test_unknown_names_have_close_matches():
    with pytest.raises(ValueError, match="Did you mean 'power_mw'"):
        metrics.get("power_mW")


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("latency_ms", 0.052, "52 µs"),
        ("latency_ms", 0.1, "0.1 ms"),
        ("latency_ms", 999.0, "999 ms"),
        ("latency_ms", 2500.0, "2.5 s"),
        ("latency_ms", 0.0, "0 ns"),
        ("energy_mj", 0.00005, "50 nJ"),
        ("power_mw", 1500.0, "1.5 W"),
        ("area_mm2", 0.05, "0.05 mm²"),
        ("area_mm2", 5000.0, "5,000 mm²"),
        ("model_kib", 0.5, "512 B"),
        ("model_kib", 1023.0, "1,023 KiB"),
        ("model_kib", 1024.0, "1 MiB"),
        ("model_kib", 3 * 2**20, "3 GiB"),
        ("model_kib", 0.0, "0 B"),
        ("throughput_fps", 1500.0, "1,500 fps"),
        ("utilization", 0.123456, "12.3%"),
        ("accuracy_int8", 0.98765, "98.77%"),
    ],
)
def test_values_are_printed_in_a_readable_unit(name, value, text):
    assert metrics.get(name).text(value) == text


def test_headings_have_the_unit_of_their_column():
    assert metrics.get("peak_memory_kib").heading(4000) == "peak memory (MiB)"
    assert metrics.get("utilization").heading(0.5) == "utilization (%)"


def test_nothing_of_what_should_be_more_uses_all_of_any_budget():
    rate = metrics.get("throughput_fps")
    assert rate.share([0.0, -1.0, 4.0], 2.0).tolist() == [np.inf, np.inf, 0.5]
    costs = {"latency_ms": [np.inf, 1.0], "energy_mj": [1, 1]}
    costs |= {"area_mm2": [1, 1], "throughput_fps": [0.0, 1000.0]}
    feasible = Budgets(throughput_fps=500).is_feasible(costs)
    assert feasible.tolist() == [False, True]
