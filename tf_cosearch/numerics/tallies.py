"""What a monitor has counted of images: numbers that do not grow with them."""

from __future__ import annotations

import math
from typing import Any, TypedDict, cast

import numpy as np

BINS = 32
"""Of the range of the network's input; two more are for what is beyond."""


_EVEN = 0.5  # of a sample that counts, as pixels vary unevenly
_NUMBERS = ("images", "labelled", "correct", "compared", "agreeing", "probed")
_ARRAYS = ("pixels", "squares", "predictions", "at_ends")


class State(TypedDict):
    """A tally as it is stored; see `Tally`."""

    images: int
    pixels: list[list[int]]
    squares: list[list[int]]
    lowest: float | None
    highest: float | None
    predictions: list[int]
    labelled: int
    correct: int
    compared: int
    agreeing: int
    probed: int
    at_ends: list[int]


class Tally:
    """Counts of images.

    Args:
        channels: Of an image.
        predictions: Different ones that there are.
        tensors: Whose saturation is counted.

    Attributes:
        images: How many.
        pixels: Of each channel, in `BINS` bins of the range, below and above
            it, `[channels, BINS + 2]`.
        squares: The squares of these counts of each image, summed.
        lowest: The lowest pixel; `highest` the highest.
        predictions: Of each kind.
        labelled: Images with a label; `correct` of these.
        compared: Images that the float network has seen; `agreeing` of these.
        probed: Images whose saturation was counted.
        at_ends: Of each tensor, numbers of these at an end of its range.
    """

    def __init__(self, channels: int, predictions: int, tensors: int) -> None:
        self.images = self.labelled = self.correct = 0
        self.compared = self.agreeing = self.probed = 0
        self.lowest, self.highest = math.inf, -math.inf
        self.pixels = np.zeros((channels, BINS + 2), np.int64)
        self.squares = np.zeros_like(self.pixels)
        self.predictions = np.zeros(predictions, np.int64)
        self.at_ends = np.zeros(tensors, np.int64)

    def add_pixels(self, images: np.ndarray, low: float, high: float) -> None:
        """Counts images `[N, ..., C]` of a network that takes low to high.

        Example: the ends of the range are within it, a third pixel is not.

        >>> tally = Tally(channels=1, predictions=2, tensors=0)
        >>> tally.add_pixels(np.array([[[0.0]], [[1.0]], [[1.5]]]), 0.0, 1.0)
        >>> round(tally.beyond_share, 3)
        0.333
        """
        self.images += len(images)
        self.lowest = min(self.lowest, float(images.min()))
        self.highest = max(self.highest, float(images.max()))
        rows = images.reshape(len(images), -1, len(self.pixels))
        places = np.floor((rows - low) * (BINS / (high - low))) + 1
        # The highest number is within the range.
        places[rows == high] = BINS
        bins = BINS + 2
        places = np.clip(places, 0, bins - 1).astype(np.int64)
        places += bins * np.arange(len(images))[:, None, None]
        for channel in range(len(self.pixels)):
            counts = np.bincount(
                places[..., channel].ravel(), minlength=bins * len(images)
            ).reshape(-1, bins)
            self.pixels[channel] += counts.sum(0)
            self.squares[channel] += (counts**2).sum(0)

    def add(self, other: Tally) -> None:
        """Counts what another tally has counted."""
        for name in (*_NUMBERS, *_ARRAYS):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.lowest = min(self.lowest, other.lowest)
        self.highest = max(self.highest, other.highest)

    def sample(self) -> np.ndarray:
        """How many independent pixels an image is worth, by channel.

        From 1, if all pixels of an image are alike, to all of them. It is what
        the shares of bins would vary by from image to image, were pixels drawn
        one by one, over what they do; half of it, as that is a mean: what all
        pixels share, such as the light, varies by more.

        Reference: Rao and Scott, The Analysis of Categorical Data from Complex
        Sample Surveys, JASA 76, 1981, for the mean design effect.

        Example: an image of zeros, one of ones; and two of four of each.

        >>> tally = Tally(channels=1, predictions=2, tensors=0)
        >>> images = np.repeat([0.0, 1.0], 8).reshape(2, 8, 1)
        >>> tally.add_pixels(images, 0.0, 1.0)
        >>> tally.sample()
        array([1.])
        >>> tally = Tally(channels=1, predictions=2, tensors=0)
        >>> tally.add_pixels(images.reshape(8, 2, 1).swapaxes(0, 1), 0.0, 1.0)
        >>> tally.sample()
        array([4.])
        """
        size = self.pixels.sum(-1, keepdims=True) / self.images
        shares = self.pixels / (self.images * size)
        variances = self.squares / (self.images * size**2) - shares**2
        seen = shares > 0
        varied = np.divide(variances, shares, np.zeros_like(shares), where=seen)
        expected = (seen.sum(-1) - 1) / size[:, 0]
        found = np.maximum(varied.sum(-1), expected)
        one = np.ones_like(found)
        effect = np.divide(expected, found, one, where=found > 0)
        return np.maximum(1.0, _EVEN * effect * size[:, 0])

    @property
    def beyond_share(self) -> float:
        """Share of the pixels that the input cannot hold."""
        outside = self.pixels[:, [0, -1]].sum()
        return float(outside / max(1, self.pixels.sum()))

    def state(self) -> State:
        """All of it as plain numbers."""
        state: Any = {name: getattr(self, name) for name in _NUMBERS}
        state |= {name: getattr(self, name).tolist() for name in _ARRAYS}
        state["lowest"] = self.lowest if self.images else None
        state["highest"] = self.highest if self.images else None
        return cast("State", state)

    def restore(self, state: State) -> None:
        """Takes over what `state` returned.

        Raises:
            ValueError: If it is of other images, or counts what cannot be.
        """
        stored: Any = dict(state)
        for name in _ARRAYS:
            counts = np.asarray(stored[name], np.int64)
            shape = getattr(self, name).shape
            if counts.shape != shape or (counts < 0).any():
                raise ValueError(
                    f"{name} must be counts of shape {shape}. Received: "
                    f"{counts.shape}"
                )
            setattr(self, name, counts)
        for name in _NUMBERS:
            if stored[name] < 0:
                raise ValueError(f"{name} must count. Received: {stored[name]}")
            setattr(self, name, stored[name])
        if (
            self.correct > self.labelled
            or self.agreeing > self.compared
            or max(self.labelled, self.compared, self.probed) > self.images
            or self.predictions.sum() != self.images
            or (self.images and None in (state["lowest"], state["highest"]))
        ):
            raise ValueError("counts must fit together")
        self.lowest = math.inf if state["lowest"] is None else state["lowest"]
        self.highest = (
            -math.inf if state["highest"] is None else state["highest"]
        )
