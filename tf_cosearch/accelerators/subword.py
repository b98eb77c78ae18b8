"""Multipliers of 8 bits that are split for operands of 4."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tf_cosearch.accelerators import technology
from tf_cosearch.networks.workload import LayerTable


def products(int4_products: Any, layers: LayerTable) -> Any:
    """Products that a multiplier does a cycle, by the bits of layers.

    With `s` for `int4_products`, and halves of multipliers only where all of
    an operand fits one:

        products = (min(s, 2) if weights have 4 bits or less)
                   (s / min(s, 2) if inputs have 4 bits or less)

    Args:
        int4_products: 1, 2 or 4, a shape that broadcasts to that of layers.
        layers: `LayerTable` of `[B, L]`; the second operand of a matrix
            product counts as weights.

    Returns:
        Products, `[B, L]`.
    """
    of_weights = tf.minimum(int4_products, 2.0)
    of_inputs = int4_products / of_weights
    split = tf.where(layers.operand_bits() <= 4, of_weights, 1.0)
    again = tf.where(layers.activation_bits <= 4, of_inputs, 1.0)
    return split * again


def operand_bytes(int4_products: Any) -> Any:
    """What a multiplier reads a cycle at most.

    Two products of 4 by 8 bits are of two inputs of 8 bits and two weights of
    4; four of 4 by 4 bits are of four of each.

    Example:
    >>> [float(operand_bytes(tf.constant(float(s)))) for s in (1, 2, 4)]
    [2.0, 3.0, 4.0]
    """
    inputs = technology.at_most(int4_products, 2.0)
    return inputs + int4_products / inputs
