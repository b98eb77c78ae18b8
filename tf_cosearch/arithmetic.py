"""Plain arithmetic in the forms that compiled code is fastest at.

What is here computes what its plain form does in fewer or faster operations. A
factor that is 1 by its formula is the number 1.0 and no tensor, a term that is
nothing the number 0.0: what is left out of the graph takes no time.
"""

from __future__ import annotations

import functools
import operator
from typing import Any

import numpy as np
import tensorflow as tf

# Slightly less than one, see `divide_up`.
_BELOW_ONE = 1 - 2.0**-22


def divide_up(count: Any, parts: Any) -> Any:
    """`ceil(count / parts)` by a product, as `parts` differs by candidate only.

    Exact for whole numbers up to 2^21: the reciprocal is too small by more
    than all rounding, yet by less than one part.

    Args:
        count: What is divided, whole numbers.
        parts: By how much; 1.0 takes no time.

    Returns:
        Whole numbers.

    Example:
    >>> float(divide_up(tf.constant(7.0), tf.constant(2.0)))
    4.0
    """
    if is_one(parts):
        return count
    return tf.math.ceil(count * (_BELOW_ONE / parts))


def inverse(rate: Any) -> Any:
    """`1 / rate`, and 0 for a rate of 0, which stands for as fast as it gets.

    Example:
    >>> inverse(np.asarray([0.0, 4.0], np.float32))
    array([0.  , 0.25], dtype=float32)
    """
    if tf.is_tensor(rate):
        return tf.math.divide_no_nan(1.0, rate)
    rate = np.asarray(rate, np.float32)
    return np.divide(1, rate, out=np.zeros_like(rate), where=rate > 0)


def at_most(count: Any, parts: Any) -> Any:
    """`min(count, parts)` of counts that are at least 1; 1.0 takes no time."""
    return parts if is_one(parts) else tf.minimum(count, parts)


def is_one(factor: Any) -> bool:
    """Whether a factor is left out of the graph."""
    return not tf.is_tensor(factor)


def ceil_log2(count: Any) -> Any:
    """`ceil(log2(count))` of whole numbers from 1 to 2^24, exactly.

    The exponent of a float32 is the logarithm of 2 rounded down.

    Example:
    >>> ceil_log2(tf.constant([1.0, 2.0, 3.0, 4.0, 5.0])).numpy()
    array([0., 1., 2., 2., 3.], dtype=float32)
    """
    bits = tf.bitcast(tf.maximum(count - 1, 0.5), tf.int32)
    return tf.cast(tf.bitwise.right_shift(bits, 23) - 126, tf.float32)


def add_products(*products: tuple[Any, Any]) -> Any:
    """The sum of products, without those whose first factor is nothing."""
    needed = [a * b for a, b in products if tf.is_tensor(a)]
    return functools.reduce(operator.add, needed)


def as_one(one: Any, other: Any) -> Any:
    """Two results as a complex one, which XLA works out in one go."""
    return tf.complex(one, other)


def sum_two(one: Any, other: Any) -> tuple[Any, Any]:
    """Two sums over the last axis, which XLA evaluates side by side."""
    sums = tf.reduce_sum(as_one(one, other), -1)
    return tf.math.real(sums), tf.math.imag(sums)
