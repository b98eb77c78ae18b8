import threading

import pytest
from devices import design

import tf_cosearch as cs
from tf_cosearch import evaluators, metrics
from tf_cosearch.evaluators.evaluator import (
    BuiltDesign,
    Evaluator,
    Quantity,
    check_costs,
)


def test_every_module_with_an_evaluator_is_found():
    assert evaluators.names() == ["analytic", "command", "litert_cpu", "vela"]
    for name in evaluators.names():
        assert evaluators.get(name).__module__.endswith(name)


def test_unknown_names_are_refused_with_the_closest():
    with pytest.raises(ValueError, match="Did you mean 'analytic'"):
        evaluators.get("analitic")


class Own(Evaluator):
    costs = ("latency_ms", "celsius")

    def __init__(self, port=1, *, pins="x"):
        self.port, self._pins = port, pins

    def measure(self, design):
        return {
            "latency_ms": Quantity(2.0, "ms"),
            "celsius": Quantity(40.0, "°C"),
        }


def test_an_own_one_is_a_class_or_made(tmp_path):
    for own in (Own, Own()):
        made = evaluators.make(own, {})
        assert made(design(tmp_path)).costs["celsius"].value == 40.0
    assert evaluators.make(Own, {"port": 3}).port == 3
    with pytest.raises(ValueError, match="Unknown option of Own: 'prt'"):
        evaluators.make(Own, {"prt": 3})
    with pytest.raises(ValueError, match="Unknown option"):
        evaluators.make(Own(), {"port": 3})


def test_no_evaluator_is_refused():
    with pytest.raises(ValueError, match="An evaluator must be one of its"):
        evaluators.make(3, {})


def test_what_is_public_tells_one_from_another():
    assert Own(5, pins="y").describe() == {
        "class": "Own",
        "costs": ["latency_ms", "celsius"],
        "port": 5,
    }


def test_what_another_process_has_otherwise_is_not_told(tmp_path):
    own = Own()
    own.lock, own.path, own.pair = threading.Lock(), tmp_path, (1, "a")
    told = own.describe()
    assert "lock" not in told
    assert (told["path"], told["pair"]) == (str(tmp_path), [1, "a"])


@pytest.mark.parametrize("costs", [[], "area_mm2", ["a b"], [1], ["trial"]])
def test_costs_are_names(costs):
    with pytest.raises(ValueError, match="Received"):
        check_costs(costs)


def test_the_analytic_one_says_what_estimate_says():
    network = cs.load_network("mobilenet_v2")
    accelerator = cs.load_accelerator("edge_tpu")
    one = BuiltDesign(network.layers(), accelerator, None)
    costs = evaluators.make("analytic", {})(one).costs
    cost = cs.estimate(cs.pad([network.layers()]), accelerator)
    assert set(costs) == set(metrics.names(measured=False))
    assert costs["latency_ms"] == (
        pytest.approx(float(cost.latency_ms[0]), rel=1e-6),
        "ms",
        0.0,
    )
    assert costs["edp"].value == pytest.approx(
        float(cost.latency_ms[0] * cost.energy_mj[0]), rel=1e-6
    )
    assert costs["peak_memory_kib"].unit == "KiB"


def test_patience_makes_no_other_one():
    patient = Own()
    patient.retries, patient.pause_s = 9, 1.0
    assert patient.describe() == Own().describe()


@pytest.mark.parametrize(
    "name", ["dram_bytes", "macs", "power_noise", "stopped_epoch"]
)
def test_costs_with_another_meaning_are_refused(name):
    with pytest.raises(ValueError, match="means something else"):
        check_costs(["latency_ms", name])
