"""What a quantized layer puts out against what it should, summed over images.

All of it is sums, counts and extremes: memory does not grow with the images.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tf_cosearch.numerics.playback import Quantization

_BINS = 256  # of the integers of a tensor, however many bits it has
_BULK = 0.999  # of the numbers, without the rarest at both ends
_HALF_A_STEP = 0.5


def decibels(signal: float, noise: float) -> float:
    """Ratio of two powers, infinite without noise.

    Example:
    >>> decibels(1000.0, 1.0), decibels(0.0, 0.0)
    (30.0, inf)
    """
    if noise <= 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf


def plain(ratio: float) -> float | str:
    """A ratio as JSON can hold it, `inf` and `-inf` as text.

    Example:
    >>> plain(30.0), plain(math.inf), plain(-math.inf)
    (30.0, 'inf', '-inf')
    """
    return ratio if math.isfinite(ratio) else str(ratio)


def told(ratio: float | str) -> str:
    """A ratio, or what `plain` made of it, in words.

    Example:
    >>> told(30.0), told("inf"), told(-math.inf)
    ('30.0 dB', 'exact', 'no signal')
    """
    ratio = float(ratio)
    if math.isinf(ratio):
        return "exact" if ratio > 0 else "no signal"
    return f"{ratio:.1f} dB"


class LayerErrors:
    """Statistics of a tensor `[N, ..., C]` of a quantized network.

    Args:
        quantization: Of the tensor.
        channels: C.

    Attributes:
        quantization: The same.
        largest: The largest distance from the float network.
    """

    def __init__(self, quantization: Quantization, channels: int) -> None:
        self.quantization = quantization
        self.largest = 0.0
        self._count = 0
        self._absolute = 0.0
        self._saturated = 0
        self._sums = {
            name: np.zeros(channels)
            for name in (
                "signal",  # of the float network
                "noise",  # of the quantized one, against it
                "own_signal",  # of the float layer fed as the quantized one
                "own_noise",  # of the quantized one against that
                "clipped",  # what of it the range of the tensor is to blame for
                "rounded",  # and its steps
                "rest",  # and what else there is: weights, kernels
                "product",  # of the two signals: what one is to the other
                "shift",  # how much more there is than there should be
            )
        }
        self._histogram = np.zeros(_BINS, np.int64)
        self._ends = _Extremes(channels)
        self._float_ends = _Extremes(channels)

    def add(
        self, stored: np.ndarray, wanted: np.ndarray, own: np.ndarray
    ) -> None:
        """Counts some images.

        Args:
            stored: What the quantized network holds, `[N, ..., C]`.
            wanted: What the float network has there, as many numbers.
            own: What the float layer makes of what the quantized layer read.
        """
        q = self.quantization
        channels = len(self._sums["signal"])
        stored = stored.reshape(-1, channels)
        wanted = wanted.reshape(-1, channels).astype(np.float64)
        own = own.reshape(-1, channels).astype(np.float64)
        got = q.numbers(stored).astype(np.float64)
        error = np.abs(got - wanted)
        self.largest = max(self.largest, float(error.max(initial=0)))
        self._absolute += float(error.sum())
        self._count += error.size
        clipped, nearest = own, own
        if not q.is_float:
            low, high = q.range
            clipped = np.clip(own, low, high)
            nearest = q.numbers(q.integers(own, stored.dtype))
            margin = _HALF_A_STEP * float(q.scale[0])
            beyond = (own < low - margin) | (own > high + margin)
            at_end = (stored == q.lowest) | (stored == q.highest)
            self._saturated += int((beyond & at_end).sum())
            width = (q.highest - q.lowest + 1) // _BINS
            self._histogram += np.bincount(
                ((stored.astype(np.int64) - q.lowest) // width).ravel(),
                minlength=_BINS,
            )
        for name, terms in (
            ("signal", wanted**2),
            ("noise", error**2),
            ("own_signal", own**2),
            ("own_noise", (got - own) ** 2),
            ("clipped", (own - clipped) ** 2),
            ("rounded", (clipped - nearest) ** 2),
            ("rest", (got - nearest) ** 2),
            ("product", got * own),
            ("shift", got - own),
        ):
            self._sums[name] += terms.sum(0)
        self._ends.add(stored)
        self._float_ends.add(wanted)

    def total(self, name: str) -> float:
        """A sum over all channels."""
        return float(self._sums[name].sum())

    @property
    def mean(self) -> float:
        """The mean distance from the float network."""
        return self._absolute / max(1, self._count)

    @property
    def sqnr_db(self) -> float:
        """Of the tensor, against the float network."""
        return decibels(self.total("signal"), self.total("noise"))

    @property
    def own_sqnr_db(self) -> float:
        """Of what the layer does itself: of the tensor or its median channel.

        A channel that is much larger than the others hides their errors from
        the former, and cannot from the latter.
        """
        tensor = decibels(self.total("own_signal"), self.total("own_noise"))
        channels = [
            decibels(signal, noise)
            for signal, noise in zip(
                self._sums["own_signal"], self._sums["own_noise"], strict=True
            )
            if signal > 0
        ]
        return min(tensor, float(np.median(channels)) if channels else tensor)

    @property
    def gain(self) -> float:
        """What the tensor is to what it should be; 1 if there is nothing."""
        power = self.total("own_signal")
        return self.total("product") / power if power > 0 else 1.0

    @property
    def shift(self) -> tuple[int, float, float]:
        """The channel that is shifted most, by how much, and what of the error.

        The last is the share that shifts of all channels explain.
        """
        count = self._count / len(self._sums["shift"])
        means = self._sums["shift"] / max(1.0, count)
        channel = int(np.abs(means).argmax())
        explained = float((means**2).sum()) * count
        own = self.total("own_noise")
        return channel, float(means[channel]), explained / own if own else 0.0

    @property
    def saturated_share(self) -> float:
        """Share of the numbers that the range of the tensor has cut off."""
        return self._saturated / max(1, self._count)

    @property
    def used_share(self) -> float | None:
        """Share of the range between the lowest and the highest integer."""
        q = self.quantization
        if q.is_float or not self._count:
            return None
        used = float(self._ends.highest.max() - self._ends.lowest.min())
        return used / (q.highest - q.lowest)

    @property
    def bulk_share(self) -> float | None:
        """The same without the rarest thousandth of the numbers."""
        if self.quantization.is_float or not self._count:
            return None
        below = np.cumsum(self._histogram) / self._histogram.sum()
        tail = (1 - _BULK) / 2
        first, last = np.searchsorted(below, [tail, 1 - tail])
        return float(last - first) / (_BINS - 1)

    @property
    def widest_channel(self) -> tuple[int, float]:
        """The channel that reaches furthest, and how far against the median.

        Both are of the float network. 1 if the median channel is dead.
        """
        reach = np.maximum(
            np.abs(self._float_ends.lowest), np.abs(self._float_ends.highest)
        )
        channel = int(reach.argmax())
        median = float(np.median(reach))
        return channel, float(reach[channel]) / median if median else 1.0

    def dead(self) -> np.ndarray:
        """Which channels hold one number in all images `[C]`."""
        return self._ends.are_one()

    def dead_in_float(self) -> np.ndarray:
        """Which of the float network's do."""
        return self._float_ends.are_one()


class _Extremes:
    """The lowest and the highest number of each channel."""

    def __init__(self, channels: int) -> None:
        self.lowest = np.full(channels, np.inf)
        self.highest = np.full(channels, -np.inf)

    def add(self, numbers: Any) -> None:
        self.lowest = np.minimum(self.lowest, numbers.min(0))
        self.highest = np.maximum(self.highest, numbers.max(0))

    def are_one(self) -> np.ndarray:
        return np.asarray(self.lowest >= self.highest)
