"""Multipliers of 8 bits that are split for operands of 4."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

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
