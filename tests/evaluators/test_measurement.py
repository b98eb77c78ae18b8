import json
import os
import threading
import time

import pytest
from absl import logging
from devices import design, device

from tf_cosearch import evaluators
from tf_cosearch.evaluators.evaluator import Evaluator, Quantity, RefusedError
from tf_cosearch.evaluators.measurement import (
    DRIFT,
    EVERY,
    FILE,
    Measurements,
)


class Scripted(Evaluator):
    """Answers, or fails with, one thing after another."""

    pause_s = 0.01

    def __init__(self, *answers, costs=("latency_ms",)):
        self.costs = costs
        self._answers = list(answers)

    def measure(self, design):
        is_known = design.tflite.parent.name == "reference"
        assert design.layers == (["its own"] if is_known else [])
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return {"latency_ms": Quantity(answer, "ms", 0.5)}


def measurements(judge, folder):
    return Measurements(judge, folder, lambda: None)


@pytest.fixture
def warnings(monkeypatch):
    told = []
    monkeypatch.setattr(
        logging, "warning", lambda text, *args: told.append(text % args)
    )
    return told


def test_a_failure_costs_a_repetition(tmp_path, warnings):
    answers = [OSError("no board"), TimeoutError("nothing"), float("nan"), 2.0]
    judge = measurements(Scripted(*answers), tmp_path)
    evaluation = judge.measure(design(tmp_path), {})
    assert evaluation.costs == {"latency_ms": Quantity(2.0, "ms", 0.5)}
    assert len(warnings) == 3
    assert warnings[0] == (
        "Scripted failed: no board. It is asked again in 0.01 s; 3 more times."
    )
    assert "0.04 s; 1 more" in warnings[2]


def test_a_device_that_stays_broken_is_given_up(tmp_path):
    failures = [RuntimeError(f"reason {i}.") for i in range(9)]
    judge = measurements(Scripted(*failures), tmp_path)
    message = "4 failures in a row, the last one: reason 3. Nothing is lost"
    with pytest.raises(RuntimeError, match=message):
        judge.measure(design(tmp_path), {})
    assert not (tmp_path / FILE).exists()


def test_a_refusal_is_final(tmp_path):
    judge = measurements(Scripted(RefusedError("too large"), 1.0), tmp_path)
    with pytest.raises(RefusedError, match="too large"):
        judge.measure(design(tmp_path), {})


def test_a_program_that_fails_once(tmp_path, warnings):
    mark = os.fspath(tmp_path / "mark")
    program = device(
        tmp_path,
        f"""
        if not os.path.exists({mark!r}):
            open({mark!r}, "w").close()
            sys.exit("the board restarts")
        print('{{"latency_ms": 4}}')
        """,
    )
    options = {"program": program, "pause_s": 0.01}
    judge = measurements(evaluators.make("command", options), tmp_path)
    cost = judge.measure(design(tmp_path), {}).costs["latency_ms"]
    assert cost.value == 4
    assert len(warnings) == 1
    assert "1, the board restarts" in warnings[0]


def test_what_was_measured_is_not_measured_again(tmp_path):
    one = design(tmp_path)
    first = measurements(Scripted(1.0), tmp_path).measure(one, {})
    again = measurements(Scripted(), tmp_path)
    assert again.measure(one, {}) == first
    (tmp_path / FILE).write_text("{")  # its copy is there
    assert again.measure(one, {}) == first


def test_another_file_or_evaluator_is_measured(tmp_path):
    judge = measurements(Scripted(1.0, 2.0), tmp_path)
    judge.measure(design(tmp_path), {})
    changed = judge.measure(design(tmp_path, b"other"), {})
    assert changed.costs["latency_ms"].value == 2.0

    class Other(Scripted):
        pass

    other = measurements(Other(3.0), tmp_path)
    assert other.measure(design(tmp_path, b"other"), {}).costs[
        "latency_ms"
    ] == Quantity(3.0, "ms", 0.5)


@pytest.mark.parametrize("content", ["[]", '{"of": 1}', "nonsense"])
def test_a_damaged_record_is_no_record(content, tmp_path):
    measurements(Scripted(1.0), tmp_path).measure(design(tmp_path), {})
    for name in (FILE, f"{FILE}.bak"):
        (tmp_path / name).write_text(content)
    again = measurements(Scripted(5.0), tmp_path)
    assert again.measure(design(tmp_path), {}).costs["latency_ms"].value == 5.0


def with_reference(folder, *answers):
    """A device that has measured a file to take 10 ms before."""
    known = design(folder / "reference", b"known")._replace(layers=["its own"])
    judge = Measurements(Scripted(10.0, *answers), folder, lambda: known)
    judge.measure(known, {})
    return judge


def test_twice_the_time_of_before_is_a_failure(tmp_path, warnings):
    judge = with_reference(tmp_path, 8.0, 20.0, 4.0)
    one = design(tmp_path / "trial")
    evaluation = judge.measure(one, {"latency_ms": 4.0})
    assert evaluation.costs["latency_ms"].value == 4.0  # once it has cooled
    (warning,) = warnings
    assert "2 times that, 20 ms instead of 10 for" in warning
    assert json.loads((tmp_path / "reference" / FILE).read_text())[
        "values"
    ] == {"latency_ms": 10.0}


def test_it_is_given_up_if_it_stays_slow(tmp_path):
    judge = with_reference(tmp_path, *[8.0, 20.0] * 4)
    with pytest.raises(RuntimeError, match=r"4 failures.*Received: 2 times"):
        judge.measure(design(tmp_path / "trial"), {"latency_ms": 4.0})


def test_a_known_file_that_is_refused_is_a_failure(tmp_path, warnings):
    """The trial whose turn it is has an answer, and must not fail for it."""
    refused = RefusedError("out of memory")
    judge = with_reference(tmp_path, 8.0, refused, 8.0, 10.0)
    evaluation = judge.measure(design(tmp_path / "trial"), {"latency_ms": 4.0})
    assert evaluation.costs["latency_ms"].value == 8.0
    (warning,) = warnings
    assert "it measured before. Received: Scripted refused" in warning
    assert "reference" in warning


def test_a_design_may_be_slow_on_a_steady_device(tmp_path):
    judge = with_reference(tmp_path, 8.0, 10.5)
    evaluation = judge.measure(design(tmp_path / "trial"), {"latency_ms": 4.0})
    assert evaluation.costs["latency_ms"].value == 8.0


def test_what_was_expected_is_not_checked(tmp_path):
    judge = with_reference(tmp_path, 5.0)
    judge.measure(design(tmp_path / "trial"), {"latency_ms": 4.0})


def test_a_device_is_looked_at_every_few_measurements(tmp_path, warnings):
    """Each is what is expected, as one that slows down little by little is."""
    steady, slow = [1.0] * EVERY, 10.0 * DRIFT * 1.05
    judge = with_reference(
        tmp_path, *steady, 11.0, *steady, slow, *steady, 10.0
    )
    for number in range(3 * EVERY):
        one = design(tmp_path / str(number), str(number).encode())
        judge.measure(one, {"latency_ms": 1.0})
    (warning,) = warnings
    assert "1.3 times that, 12.6 ms instead of 10 for" in warning


def test_workers_at_a_device_count_together(tmp_path):
    """Each looks when it starts; then one looks after ten of both."""
    known = design(tmp_path / "reference", b"known")._replace(
        layers=["its own"]
    )
    with_reference(tmp_path)
    workers = [
        Measurements(Scripted(*answers), tmp_path, lambda: known)
        for answers in ([1.0, 10.0, *[1.0] * 6], [1.0, 10.0, *[1.0] * 5, 10.0])
    ]
    for number in range(EVERY + 2):  # the last one of these is the tenth
        one = design(tmp_path / str(number), str(number).encode())
        workers[number % 2].measure(one, {"latency_ms": 1.0})
    left = [worker.evaluator._answers for worker in workers]
    assert left == [[1.0], []]


def test_a_damaged_count_is_due(tmp_path):
    judge = with_reference(tmp_path, 1.0, 10.0)
    (tmp_path / ".device").write_text("\0")
    judge.measure(design(tmp_path / "trial"), {"latency_ms": 1.0})
    assert not judge.evaluator._answers


def test_what_has_no_device_is_not_looked_at(tmp_path):
    judge = with_reference(tmp_path, *[1.0] * 2 * EVERY)
    judge.evaluator.is_exclusive = False
    for number in range(2 * EVERY):
        judge.measure(design(tmp_path / str(number)), {})


def test_a_search_that_goes_on_looks_first(tmp_path, warnings):
    known = design(tmp_path / "reference", b"known")._replace(
        layers=["its own"]
    )
    with_reference(tmp_path)
    judge = Measurements(Scripted(4.0, 20.0, 4.0, 9.0), tmp_path, lambda: known)
    judge.measure(design(tmp_path / "trial"), {"latency_ms": 4.0})
    (warning,) = warnings
    assert "20 ms instead of 10" in warning


@pytest.mark.parametrize(
    ("name", "value"),
    [("retries", -1), ("pause_s", 0), ("timeout_s", "soon")],
)
def test_how_it_is_asked_is_checked(name, value, tmp_path):
    judge = Scripted()
    setattr(judge, name, value)
    with pytest.raises(ValueError, match=f"`{name}` must"):
        measurements(judge, tmp_path)


def test_one_that_hangs_costs_a_repetition(tmp_path, warnings):
    class Hanging(Scripted):
        timeout_s = 0.2

        def measure(self, design):
            if len(self._answers) == 2:
                self._answers.pop()
                time.sleep(1.0)
            return super().measure(design)

    judge = measurements(Hanging(3.0, "hang"), tmp_path)
    assert judge.measure(design(tmp_path), {}).costs["latency_ms"].value == 3
    (warning,) = warnings
    assert "Hanging must answer within 0.2 s. Received: nothing." in warning


class Busy(Evaluator):
    """Counts how many ask at once."""

    most, now = 0, 0

    def measure(self, design):
        type(self).now += 1
        type(self).most = max(self.most, self.now)
        time.sleep(0.2)
        type(self).now -= 1
        return {"latency_ms": Quantity(1.0, "ms")}


@pytest.mark.parametrize("is_exclusive", [True, False])
def test_one_board_is_used_by_one_process_at_a_time(is_exclusive, tmp_path):
    class Shared(Busy):
        pass

    Shared.is_exclusive = is_exclusive
    threads = [
        threading.Thread(
            target=measurements(Shared(), tmp_path).measure,
            args=(design(tmp_path / str(i)), {}),
        )
        for i in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Shared.most == (1 if is_exclusive else 2)


def test_one_that_counts_its_calls_is_the_same(tmp_path):
    class Counting(Scripted):
        calls = 0

        def measure(self, design):
            self.calls += 1
            return super().measure(design)

    judge = Counting(2.0)
    first = measurements(judge, tmp_path).measure(design(tmp_path), {})
    again = measurements(Counting(), tmp_path).measure(design(tmp_path), {})
    assert again == first
    assert judge.calls == 1
