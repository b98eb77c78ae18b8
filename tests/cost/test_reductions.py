"""Reductions to few outputs keep the array busy."""

import numpy as np
import pytest

from tf_cosearch import accelerators
from tf_cosearch.accelerators.families.edge_tpu import EdgeTpu
from tf_cosearch.cost.model import estimate
from tf_cosearch.networks.workload import Layer, pad


def mean(size, channels, outputs):
    """The mean of an image of all of it, of groups of channels, or of each."""
    taps = size * size * channels // outputs
    return Layer(
        "mean",
        "pool",
        1,
        1,
        outputs,
        taps,
        1,
        outputs,
        k_h=taps,
        groups=outputs,
    )


def cycles(layer, chip):
    cost = estimate(pad([[layer]]), chip, per_layer=True)
    return [float(busy[0, 0]) for busy in cost.layers.busy_cycles]


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        # 524288 elements on 4096 units are 128 a unit; then pairs are added
        # up: of 4096 partial results 12 times, of 128 an output 7 times.
        (1, 128 + 12),
        (8, 128 + 9),
        (32, 128 + 7),
        # Of 3000 outputs each has a unit, and none is left to help it.
        (4096, 128),
    ],
)
def test_a_reduction_keeps_every_unit_busy(outputs, expected):
    layer = mean(128, 32, outputs)
    compute, memory, *_ = cycles(layer, EdgeTpu())
    assert compute == expected
    # All PEs read their part of 512 KiB.
    assert memory == pytest.approx((2**19 + outputs) / 256 / 16)


def test_reductions_of_all_kinds_cost_about_the_same():
    latencies = [
        float(estimate(pad([[mean(128, 32, n)]]), EdgeTpu()).latency_ms[0])
        for n in (1, 8, 32, 128 * 128)
    ]
    assert max(latencies) < 1.2 * min(latencies)


def test_more_units_and_more_outputs_are_never_slower_than_one_unit_each():
    rng = np.random.default_rng(0)
    for _ in range(60):
        outputs, taps = int(rng.integers(1, 300)), int(rng.integers(1, 300))
        layer = Layer(
            "mean",
            "pool",
            1,
            1,
            outputs,
            taps,
            1,
            outputs,
            taps,
            groups=outputs,
        )
        values = {
            f"pe_array/{name}": int(rng.integers(1, 9))
            for name in ("columns", "rows", "lanes", "simd_units")
        }
        units = np.prod(list(values.values()))
        compute, *_ = cycles(layer, accelerators.from_paths(values))
        work = outputs * taps / units
        assert work <= compute
        # As one output a unit, which it was before.
        assert compute <= taps * np.ceil(
            outputs / values["pe_array/simd_units"]
        )


def test_partial_results_are_handed_on():
    cost = estimate(pad([[mean(128, 32, 32)]]), EdgeTpu(), per_layer=True)
    assert cost.layers.traffic.reduced_bytes.numpy() == [[127 * 32 * 4]]
