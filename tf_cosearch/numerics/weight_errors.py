"""What rounding has done to the weights of a layer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tf_cosearch.numerics.layer_errors import decibels

_CHANNEL_AXIS = {"DEPTHWISE_CONV_2D": -1}  # of others it is the first
_SAME = 0.01  # scales of channels that are one scale, written for each


class WeightErrors(NamedTuple):
    """Weights of a quantized layer against those of the float one.

    Attributes:
        spread: How many times the range of the median output channel the
            widest one's is.
        sqnr_db: Of the weights: of all, or of the median channel if that is
            less.
        is_per_tensor: Whether all channels have one scale.
        channel: The one that is furthest from what it should be.
        gain: What its weights are to what they should be; 1 is right.
        median_gain: The same of the median channel.
        widest: The channel of the widest range.
        bits: Of the integers.
        biases: What the bias of each channel is off by, if both have one.
    """

    spread: float
    sqnr_db: float
    is_per_tensor: bool
    channel: int
    gain: float
    median_gain: float
    widest: int
    bits: int
    biases: np.ndarray | None = None


def compare(
    kind: str,
    wanted: np.ndarray,
    got: np.ndarray,
    scales: np.ndarray,
    bits: int = 8,
) -> WeightErrors:
    """Compares the weights of a layer.

    Args:
        kind: Its operator.
        wanted: In float.
        got: What the integers stand for, of the same shape.
        scales: Of the integers, one or one a channel.
        bits: Of the integers.

    Example: two channels, of which the second reaches 10 times as far, and
    was stored twice too large.

    >>> wanted = np.array([[1.0, -1.0], [10.0, 5.0]])
    >>> compare("CONV_2D", wanted, wanted * [[1], [2]], np.ones(1))[3:5]
    (1, 2.0)
    """
    axis = _CHANNEL_AXIS.get(kind, 0)
    rows, stored = (
        np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)
        for array in (wanted.astype(np.float64), got.astype(np.float64))
    )
    ranges = np.abs(rows).max(-1)
    alive = ranges > 0
    signal, noise = (rows**2).sum(-1), ((rows - stored) ** 2).sum(-1)
    gains = np.divide(
        (rows * stored).sum(-1), signal, np.ones_like(signal), where=alive
    )
    channels = [
        decibels(s, n) for s, n in zip(signal[alive], noise[alive], strict=True)
    ]
    whole = decibels(float(signal.sum()), float(noise.sum()))
    off = int(np.argmax(np.abs(gains - 1)))
    median = float(np.median(ranges[alive])) if alive.any() else 1.0
    return WeightErrors(
        spread=float(ranges.max()) / median,
        sqnr_db=min(whole, float(np.median(channels)) if channels else whole),
        is_per_tensor=bool(scales.max() <= (1 + _SAME) * scales.min()),
        channel=off,
        gain=float(gains[off]),
        median_gain=float(np.median(gains[alive])) if alive.any() else 1.0,
        widest=int(ranges.argmax()),
        bits=bits,
    )
