"""What memory a training takes, to plan how many run side by side."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tf_cosearch.networks.workload import LayerTable

_COPIES = 3.5
"""Of what convolutions and matrix products put out, in float32.

Their normalized and activated outputs, and those with faked int8, are kept
for the gradients, too. Measured: quantization-aware, MobileNet V2 at 96 px took
750 MiB more with batches of 64 than of 8, of which its layers put out 227 MiB.
"""


def step_bytes(layers: LayerTable, batch_size: int) -> int:
    """Memory that a training step of the largest of some networks takes.

    Args:
        layers: `[N, L]` layers of N networks.
        batch_size: Images a step.

    Returns:
        Bytes, beside those of TensorFlow itself and of the data.
    """
    rows, columns, channels = (
        np.asarray(field, np.float64)
        for field in (layers.out_h, layers.out_w, layers.out_c)
    )
    outputs = rows * columns * channels
    return int(_COPIES * 4 * batch_size * outputs.sum(-1).max())


def training_bytes(
    arrays: Iterable[Any], layers: LayerTable, batch_size: int
) -> int:
    """Memory that a process takes which trains, beside TensorFlow itself.

    Args:
        arrays: The data; of pipelines nothing counts, as they are read bit by
            bit.
        layers: `[N, L]` layers of N networks of the search.
        batch_size: Images a step.

    Returns:
        Bytes of the data, as they were read and as TensorFlow holds them, and
        of a step.
    """
    data = sum(getattr(array, "nbytes", 0) for array in arrays)
    return 2 * data + step_bytes(layers, batch_size)
