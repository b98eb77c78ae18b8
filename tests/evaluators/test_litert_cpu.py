import time
from unittest import mock

import pytest

import tf_cosearch as cs
from tf_cosearch import evaluators
from tf_cosearch.evaluators import litert_cpu
from tf_cosearch.evaluators.evaluator import BuiltDesign, RefusedError


def built(path):
    return BuiltDesign([], cs.load_accelerator("edge_tpu"), path)


def test_a_file_is_timed(int8_file):
    judge = evaluators.make("litert_cpu", {"repeats": 50})
    cost = judge(built(int8_file)).costs["latency_ms"]
    assert 1e-4 < cost.value < 50
    assert cost.noise >= 0


def test_the_median_and_spread_are_of_what_follows_the_warm_up(int8_file):
    """Of calls that take 9, 9, 1, 2, 3, 4 and 5 ms, the last five count."""
    ticks = [0.0]
    for took_s in (9e-3, 9e-3, 1e-3, 2e-3, 3e-3, 4e-3, 5e-3):
        ticks += [ticks[-1] + 1.0, ticks[-1] + 1.0 + took_s]
    judge = evaluators.make("litert_cpu", {"repeats": 5, "warm_up": 2})
    with mock.patch.object(time, "perf_counter", side_effect=ticks[1:]):
        cost = judge.measure(built(int8_file))["latency_ms"]
    assert cost.value == pytest.approx(3.0)
    # Percentiles 15.87 and 84.13 of 1 to 5: 1.6348 and 4.3652.
    assert cost.noise == pytest.approx(1.3652)


def test_threads_are_those_chosen(int8_file):
    from ai_edge_litert import interpreter

    judge = evaluators.make("litert_cpu", {"threads": 2, "repeats": 3})
    real = interpreter.Interpreter
    with mock.patch.object(interpreter, "Interpreter", wraps=real) as made:
        judge(built(int8_file))
    assert made.call_args.kwargs["num_threads"] == 2


def test_a_file_that_is_none_is_refused(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"nonsense")
    with pytest.raises(RefusedError, match="a complete"):
        evaluators.make("litert_cpu", {})(built(path))


@pytest.mark.parametrize("option", ["threads", "repeats", "warm_up"])
def test_options_are_checked(option):
    with pytest.raises(ValueError, match=f"`{option}` must be an integer"):
        evaluators.make("litert_cpu", {option: -1})


def test_another_processor_is_another_evaluator(monkeypatch):
    judge = evaluators.make("litert_cpu", {})
    here = judge.describe()
    assert here["threads"] == 1
    monkeypatch.setattr(litert_cpu, "_processor", lambda: "another")
    assert judge.describe() != here
