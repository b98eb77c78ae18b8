"""What multipliers that are split do at most, by the bits of layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tf_cosearch import accelerators
from tf_cosearch.accelerators import Accelerator, families, subword
from tf_cosearch.networks.workload import LayerTable


def is_split(accelerator: Accelerator) -> bool:
    """Whether one of the accelerators splits multipliers for 4 bits.

    Example:
    >>> is_split(accelerators.default())
    False
    """
    path = families.of(accelerator).int4_products
    if not path:
        return False
    return bool(
        np.any(np.asarray(accelerators.to_paths(accelerator)[path]) > 1)
    )


def speedup(layers: LayerTable, accelerator: Accelerator) -> Any:
    """How many times `macs_per_cycle`, which is of 8 bits, layers reach.

    Args:
        layers: `LayerTable` of `[B, L]`.
        accelerator: `Accelerator` of what broadcasts to that.

    Returns:
        1, 2 or 4 times, `[B, L]`; 1 for layers without multiply-accumulates.
    """
    path = families.of(accelerator).int4_products
    if not path:
        return tf.ones_like(layers.is_mac)
    most = tf.cast(accelerators.to_paths(accelerator)[path], tf.float32)
    products = subword.products(most, layers)
    return tf.where(layers.is_mac > 0, products, 1.0)
