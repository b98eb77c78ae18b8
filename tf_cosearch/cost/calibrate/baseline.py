"""The plain baseline: a latency is a sum of what can be counted in a network.

What a careful engineer writes in an hour, to measure the cost model against.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import optimize

from tf_cosearch.cost.calibrate.measurements import Measurement
from tf_cosearch.networks.workload import Layer

TERMS = (
    "multiply-accumulates, channels padded to the array",
    "bytes of inputs and outputs",
    "bytes of weights beyond what stays on the chip",
    "a constant",
)
"""What a latency is a sum of."""


def left_out(
    measurements: Sequence[Measurement], accelerator: Any
) -> np.ndarray:
    """Predicts each network by a fit to all other networks.

    Coefficients are not negative and make the squared relative error least.

    Args:
        measurements: What was measured.
        accelerator: The hardware, whose array pads and whose memory keeps
            weights; an `EdgeTpu` of numbers.

    Returns:
        Latencies in milliseconds, `[N]`.
    """
    counted = np.array([count(m.layers, accelerator) for m in measurements])
    measured_ms = np.array([m.latency_ms for m in measurements])
    counted /= np.maximum(counted.max(0), 1)
    relative = counted / measured_ms[:, None]
    names = np.array([m.name for m in measurements])
    predicted_ms = np.empty(len(names))
    for name in dict.fromkeys(names):
        kept = names != name
        weights, _ = optimize.nnls(relative[kept], np.ones(kept.sum()))
        predicted_ms[~kept] = counted[~kept] @ weights
    return predicted_ms


def count(layers: Sequence[Layer], accelerator: Any) -> list[float]:
    """Counts what a latency is a sum of.

    Args:
        layers: The rows of a network.
        accelerator: The hardware, an `EdgeTpu` of numbers.

    Returns:
        A number for each of `TERMS`.

    Example:
    >>> conv = Layer("conv", "conv2d", 8, 8, 16, 8, 8, 3, k_h=3, k_w=3)
    >>> from tf_cosearch.accelerators.families.edge_tpu import EdgeTpu
    >>> count([conv], EdgeTpu())  # 8 8 9 x 64 x 4; 8 8 3 + 8 8 16
    [147456.0, 1216.0, 0.0, 1.0]
    """
    array, pes = accelerator.pe_array, accelerator.pe_array.pes()
    macs = sum(
        layer.kind.is_mac
        * layer.repeats
        * layer.pixels
        * (layer.k_h * layer.k_w)
        * _padded(layer.out_c, array.simd_units)
        * _padded(layer.in_c // layer.groups, array.dot_width)
        for layer in layers
    )
    moved = sum(
        layer.repeats * (layer.in_elements + layer.out_elements)
        for layer in layers
    )
    params = sum(layer.params for layer in layers)
    kept = accelerator.pe_memory.weight_bytes(pes)
    return [float(macs), float(moved), max(params - kept, 0.0), 1.0]


def _padded(count: int, multiple: float) -> float:
    return -(-count // multiple) * multiple
