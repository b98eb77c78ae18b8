import numpy as np
import pytest
from absl import logging

import tf_cosearch as cs
from tf_cosearch.benchmark import correction
from tf_cosearch.evaluators.evaluator import RefusedError


class Board(cs.Evaluator):
    """Three times what the model says, and 1 us more; refuses some."""

    def measure(self, design):
        if len(design.layers) % 2:
            raise RefusedError("It is odd.")
        cost = cs.estimate(cs.pad([design.layers]), design.accelerator)
        latency_ms = 3 * float(cost.latency_ms[0]) + 1e-3
        return {"latency_ms": cs.Quantity(latency_ms, "ms")}


@pytest.fixture(scope="module")
def measured():
    space = cs.SearchSpace.load("digits")
    contents = []

    def untrained(genome):
        contents.append(genome)
        return b"a file"

    genomes, values = correction.measured(
        space, untrained, Board(), "latency_ms", 16
    )
    assert len(genomes) == len(values) < len(contents) == 16
    return space, genomes, values


def test_a_sum_is_learned_and_a_ratio_is_off(measured):
    errors = correction.errors(*measured, "latency_ms", learned=6)
    values = measured[2]
    model = (values - 1e-3) / 3
    assert errors.alone == pytest.approx(
        100 * np.median(1 - model / values), rel=0.2
    )
    assert errors.corrected < 0.01 < 1 < errors.ratio < errors.alone


class Failing(Board):
    """Answers with the number of the call, or fails at some of them."""

    pause_s = 1e-3
    retries = 2

    def __init__(self, failures):
        self._calls, self._failures = 0, failures

    def measure(self, design):
        self._calls += 1
        if self._calls in self._failures:
            raise TimeoutError("no answer")
        return {"latency_ms": cs.Quantity(float(self._calls), "ms")}


def test_a_failure_loses_no_measurement(measured):
    genomes, values = correction.measured(
        measured[0], lambda genome: b"", Failing({2, 3}), "latency_ms", 4
    )
    assert values.tolist() == [1, 4, 5, 6]
    assert len(genomes) == 4


def test_what_was_measured_before_a_device_broke_counts(measured, monkeypatch):
    told = []
    monkeypatch.setattr(
        logging, "warning", lambda text, *args: told.append(text % args)
    )
    board = Failing(range(3, 99))
    genomes, values = correction.measured(
        measured[0], lambda genome: b"", board, "latency_ms", 4
    )
    assert (len(genomes), values.tolist()) == (2, [1, 2])
    assert told[-1] == (
        "Failing keeps failing, so that only the 2 designs measured before "
        "count. Received: no answer"
    )
    with pytest.raises(RuntimeError, match="3 failures in a row"):
        correction.measured(
            measured[0], lambda genome: b"", Failing(range(9)), "latency_ms", 4
        )


def test_a_space_that_is_refused(measured):
    class Refusing(cs.Evaluator):
        def measure(self, design):
            raise RefusedError("never")

    with pytest.raises(ValueError, match="Received: a refusal of 2"):
        correction.measured(
            measured[0], lambda genome: b"", Refusing(), "latency_ms", 2
        )
