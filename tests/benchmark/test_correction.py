import numpy as np
import pytest

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


def test_a_space_that_is_refused(measured):
    class Refusing(cs.Evaluator):
        def measure(self, design):
            raise RefusedError("never")

    with pytest.raises(ValueError, match="Received: a refusal of 2"):
        correction.measured(
            measured[0], lambda genome: b"", Refusing(), "latency_ms", 2
        )
