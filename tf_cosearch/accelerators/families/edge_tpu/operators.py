"""What the compiler of the Edge TPU leaves to the processor of its host.

It makes one piece of a network: what comes after the first operation that it
does not know stays with the host.

Reference:
    coral.ai/docs/edgetpu/models-intro, "Supported operations". How far a
    bilinear resize may go is not published; 4 is our assumption: the vendor
    leaves the one of DeepLab, from 33 to 513 pixels, to the host.
"""

from __future__ import annotations

from tf_cosearch.networks.workload import Layer

_NAMES = (
    "ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D EXPAND_DIMS "
    "FULLY_CONNECTED L2_NORMALIZATION LOGISTIC MAXIMUM MAX_POOL_2D MEAN "
    "MINIMUM MUL PACK PAD PRELU QUANTIZE REDUCE_MAX REDUCE_MIN RELU RELU6 "
    "RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR RSQRT SLICE "
    "SOFTMAX SPACE_TO_DEPTH SPLIT SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB "
    "SUM TANH TRANSPOSE TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM"
)
OPERATORS = frozenset(_NAMES.split())
"""Operators of a .tflite file that it runs."""

MOST_SCORES = 16000
"""The longest vector that it takes a softmax of."""

MOST_RESIZED = 4
"""The most rows that a bilinear resize makes of one."""


def runs(layer: Layer) -> bool:
    """Whether the Edge TPU runs an operation; see `Family.runs`.

    Example:
    >>> row = Layer("up", "data_movement", 513, 513, 21, 33, 33, 21,
    ...     operator="RESIZE_BILINEAR")
    >>> runs(row)
    False
    """
    if layer.operator == "RESIZE_BILINEAR":
        is_broadcast = layer.in_h * layer.in_w == 1
        return is_broadcast or layer.out_h <= MOST_RESIZED * layer.in_h
    if layer.operator == "SOFTMAX":
        return layer.out_elements <= MOST_SCORES
    return layer.operator in OPERATORS
