"""What rounding has done to the weights of a layer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tf_cosearch.numerics.layer_errors import decibels

_CHANNEL_AXIS = {"DEPTHWISE_CONV_2D": -1}  # of others it is the first
_LOST_DB = 10.0  # of an input channel whose weights are hardly there
_SMALL = 1 / 8  # of the range of the widest input channel
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
        lost_inputs: Channels of the input whose weights are so much smaller
            than those of another that rounding leaves little of them.
        smallest_input: What part of the range of the widest input channel the
            median one of these has; 1 if there are none.
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
    lost_inputs: int = 0
    smallest_input: float = 1.0
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
    lost, smallest = 0, 1.0
    if kind not in _CHANNEL_AXIS:  # whose channels have scales of their own
        lost, smallest = _lost_inputs(wanted, got)
    return WeightErrors(
        spread=float(ranges.max()) / median,
        sqnr_db=min(whole, float(np.median(channels)) if channels else whole),
        is_per_tensor=bool(scales.max() <= (1 + _SAME) * scales.min()),
        channel=off,
        gain=float(gains[off]),
        median_gain=float(np.median(gains[alive])) if alive.any() else 1.0,
        widest=int(ranges.argmax()),
        bits=bits,
        lost_inputs=lost,
        smallest_input=smallest,
    )


def _lost_inputs(wanted: np.ndarray, got: np.ndarray) -> tuple[int, float]:
    """How many input channels, the last axis, rounding leaves little of.

    And what part of the range of the widest the median one of these has.

    Example: of the weights 1 and 0.001 in steps of 0.01 the latter is gone.

    >>> _lost_inputs(np.array([[1.0, 0.001]]), np.array([[1.0, 0.0]]))
    (1, 0.001)
    """
    columns, stored = (
        array.reshape(-1, array.shape[-1]).astype(np.float64)
        for array in (wanted, got)
    )
    ranges = np.abs(columns).max(0)
    signal = (columns**2).sum(0)
    noise = ((columns - stored) ** 2).sum(0)
    is_small = (ranges > 0) & (ranges < _SMALL * ranges.max(initial=0))
    is_lost = is_small & (signal < 10 ** (_LOST_DB / 10) * noise)
    if not is_lost.any():
        return 0, 1.0
    return int(is_lost.sum()), float(np.median(ranges[is_lost]) / ranges.max())
