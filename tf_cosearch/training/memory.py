"""What memory a training takes, to plan what is trained side by side."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tf_cosearch.networks.workload import LayerTable

_OUTPUT_COPIES = 3.5
"""Of what convolutions and matrix products put out, in float32.

Their normalized and activated outputs, and those with faked int8, are kept
for the gradients, too. Measured: quantization-aware, MobileNet V2 at 96 px took
750 MiB more with batches of 64 than of 8, of which its layers put out 227 MiB.
"""

_WEIGHT_COPIES = 33
"""Of the weights, in float32, at the peak of a training and its conversion.

The float network, its quantization-aware copy, the gradients and two slots of
Adam of each are nine; the rest are graphs with the weights as constants and
what the converter makes of them. Measured on a CPU, each in a process of its
own: quantization-aware, networks of `evolved` at 32 px in batches of 32 took
514 MiB with 1.0 million weights, 993 MiB with 5.0 million and 2,972 MiB with
20.0 million, which is 33 copies and 370 to 460 MiB beside them. One of 182
million took 22.9 GB in all.
"""

_WEIGHTS_OF_A_WORKER = 2_000_000
"""Weights that `launch.WORKER_BYTES` counts already."""


def step_bytes(layers: LayerTable, batch_size: int) -> np.ndarray:
    """Memory that a training step takes.

    Args:
        layers: `[N, L]` layers of N networks.
        batch_size: Images a step.

    Returns:
        `[N]` bytes, beside those of TensorFlow itself, weights and data.
    """
    rows, columns, channels = (
        np.asarray(field, np.float64)
        for field in (layers.out_h, layers.out_w, layers.out_c)
    )
    outputs = (rows * columns * channels).sum(-1)
    return np.asarray(_OUTPUT_COPIES * 4 * batch_size * outputs)


def weight_bytes(layers: LayerTable) -> np.ndarray:
    """Memory that the weights take, all copies of them, and the conversion.

    Args:
        layers: `[N, L]` layers of N networks.

    Returns:
        `[N]` bytes, beside those of a small network.
    """
    weights = np.asarray(layers.arrays().params(), np.float64).sum(-1)
    beyond = np.maximum(weights - _WEIGHTS_OF_A_WORKER, 0)
    return np.asarray(_WEIGHT_COPIES * 4 * beyond)


def training_bytes(
    arrays: Iterable[Any], layers: LayerTable, batch_size: int
) -> np.ndarray:
    """Memory that a process takes which trains, beside TensorFlow itself.

    Args:
        arrays: The data; of pipelines nothing counts, as they are read bit by
            bit.
        layers: `[N, L]` layers of N networks.
        batch_size: Images a step.

    Returns:
        `[N]` bytes of the data, as they were read and as TensorFlow holds
        them, of a step, and of the weights.
    """
    data = sum(getattr(array, "nbytes", 0) for array in arrays)
    step = step_bytes(layers, batch_size)
    return np.asarray(2 * data + step + weight_bytes(layers))
