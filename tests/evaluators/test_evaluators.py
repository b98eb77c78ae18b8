import threading
from fractions import Fraction

import numpy as np
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
    names = ["analytic", "command", "litert_cpu", "pipeline", "vela"]
    assert evaluators.names() == names
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


class Answering(Evaluator):
    def __init__(self, answer):
        self._answer_with = answer

    def measure(self, design):
        return self._answer_with()


@pytest.mark.parametrize(
    "value", [np.float32(1.5), np.array(1.5), np.int64(2), 3, Fraction(3, 2)]
)
def test_any_kind_of_number_is_one(value, tmp_path):
    evaluation = Answering(lambda: {"latency_ms": Quantity(value, "ms")})(
        design(tmp_path)
    )
    cost = evaluation.costs["latency_ms"]
    assert type(cost.value) is float
    assert cost.value == float(value)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "Answering must answer with a mapping .* Received: None"),
        (1.5, "with a mapping .* Received: 1.5"),
        ({"latency_ms": 1.5}, r"must be a Quantity\. Received: 1\.5\. Use"),
        ({"latency_ms": (1.5, "ms")}, "must be a Quantity. Received:"),
        ({"latency_ms": Quantity("1", "ms")}, "not negative. Received: '1'"),
        ({"latency_ms": Quantity([1], "ms")}, "not negative. Received: .1."),
        ({"latency_ms": Quantity(1j, "ms")}, "not negative. Received: 1j"),
        (
            {"latency_ms": Quantity(float("inf"), "ms")},
            "latency_ms of Answering .* Received: inf",
        ),
        ({"latency_ms": Quantity(1.0, "us")}, "in ms. Received: 'us'"),
        (
            {"latency_ms": Quantity(1.0, "ms", np.nan)},
            "noise of latency_ms of Answering .* Received: nan",
        ),
        ({}, "answer of Answering must have latency_ms. Received: nothing"),
    ],
)
def test_what_makes_no_sense_is_told(answer, message, tmp_path):
    with pytest.raises(RuntimeError, match=message):
        Answering(lambda: answer)(design(tmp_path))


def test_one_that_hangs_is_given_up(tmp_path):
    awake = threading.Event()

    def hang():
        awake.wait(60)

    judge = Answering(hang)
    judge.timeout_s = 0.2
    with pytest.raises(TimeoutError, match="Answering must answer within"):
        judge(design(tmp_path))
    awake.set()


def test_an_error_is_its_own(tmp_path):
    def fail():
        raise TimeoutError("The cable is loose.")

    with pytest.raises(TimeoutError, match="cable"):
        Answering(fail)(design(tmp_path))
