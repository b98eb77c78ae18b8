import time
from unittest import mock

import pytest

import tf_cosearch as cs
from tf_cosearch import evaluators
from tf_cosearch.evaluators import litert_cpu, litert_timing, program
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
    with mock.patch.object(time, "perf_counter", side_effect=ticks[1:]):
        times_ms = litert_timing.timed(str(int8_file), 1, 5, 2)
    # Percentiles 15.87 and 84.13 of 1 to 5: 1.6348 and 4.3652.
    assert times_ms == pytest.approx([1.6348, 3.0, 4.3652])


def test_noise_is_half_of_the_spread(int8_file, monkeypatch):
    commands = []

    def run(command, folder, timeout_s):
        commands.append((command[-3:], timeout_s))
        return "[1.6348, 3.0, 4.3652]"

    monkeypatch.setattr(program, "run", run)
    options = {"threads": 2, "repeats": 5, "warm_up": 4, "timeout_s": 9}
    cost = evaluators.make("litert_cpu", options)(built(int8_file)).costs
    assert cost == {"latency_ms": (3.0, "ms", pytest.approx(1.3652))}
    assert commands == [(["2", "5", "4"], 9.0)]


def test_threads_are_those_chosen(int8_file):
    from ai_edge_litert import interpreter

    real = interpreter.Interpreter
    with mock.patch.object(interpreter, "Interpreter", wraps=real) as made:
        litert_timing.timed(str(int8_file), 2, 3, 0)
    assert made.call_args.kwargs["num_threads"] == 2


def test_one_that_hangs_is_ended(int8_file, monkeypatch, tmp_path):
    """Its interpreter, as a driver of a device may."""
    path = tmp_path / "hanging.py"
    path.write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setattr(litert_timing, "__file__", str(path))
    judge = evaluators.make("litert_cpu", {"timeout_s": 0.5})
    began = time.monotonic()
    with pytest.raises(TimeoutError, match=r"within 0.5 s\. Received: nothing"):
        judge(built(int8_file))
    assert time.monotonic() - began < 20


def test_no_file_beside_the_script_is_taken_for_a_package(
    int8_file, monkeypatch, tmp_path
):
    path = tmp_path / "beside.py"
    path.write_text("import sys, numpy\nprint([1, 2, len(sys.argv)])")
    (tmp_path / "numpy.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.setattr(litert_timing, "__file__", str(path))
    costs = evaluators.make("litert_cpu", {})(built(int8_file)).costs
    assert costs["latency_ms"].value == 2


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
