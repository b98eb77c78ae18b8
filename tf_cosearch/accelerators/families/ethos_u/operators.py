"""What Vela leaves to the processor beside an Ethos-U.

Reference: `vela --supported-ops-report` of Vela 5.2.0, Ethos-U55 and U65. Its
limits on shapes are not checked but those of resizing and of ArgMax.
"""

from __future__ import annotations

from collections.abc import Iterable

from tf_cosearch.networks.workload import Layer

_NAMES = (
    "ABS ADD ARG_MAX AVERAGE_POOL_2D BATCH_MATMUL CONCATENATION CONV_2D "
    "DEPTHWISE_CONV_2D ELU EXP EXPAND_DIMS FULLY_CONNECTED GELU HARD_SWISH "
    "LEAKY_RELU LOG LOGISTIC MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL "
    "NEG PACK PAD PADV2 PRELU QUANTIZE REDUCE_MAX REDUCE_MIN RELU RELU6 "
    "RELU_0_TO_1 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR "
    "REVERSE_V2 RSQRT SLICE SOFTMAX SPLIT SPLIT_V SQUARED_DIFFERENCE SQUEEZE "
    "STRIDED_SLICE SUB SUM TANH TILE TRANSPOSE TRANSPOSE_CONV "
    "UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK"
)
OPERATORS = frozenset(_NAMES.split())
"""Operators of a .tflite file that it runs."""

RESIZES = (1, 2, 4, 8)
"""Rows that a resize makes of one, or of one but the first and last."""


MOST_COMPARED = 127
"""The most channels that it finds the largest of."""


def runs(layer: Layer) -> bool:
    """Whether an Ethos-U runs an operation; see `Family.runs`.

    Example:
    >>> row = Layer("up", "data_movement", 96, 96, 8, 32, 32, 8,
    ...     operator="RESIZE_BILINEAR")
    >>> runs(row)
    False
    """
    if layer.operator.startswith("RESIZE_"):
        return resizes(layer, RESIZES)
    if layer.operator == "ARG_MAX":
        return layer.in_c <= MOST_COMPARED
    return layer.operator in OPERATORS


def resizes(layer: Layer, factors: Iterable[int]) -> bool:
    """Whether a resize makes so many rows of each, or of each but the first."""
    return layer.in_h == layer.in_w == 1 or any(
        factor * layer.in_h == layer.out_h
        or factor * (layer.in_h - 1) == layer.out_h - 1
        for factor in factors
    )
