"""What a monitor has counted of images: numbers that do not grow with them."""

from __future__ import annotations

import math
from typing import Any, TypedDict, cast

import numpy as np

BINS = 32
"""Of the range of the network's input; two more are for what is beyond."""


_NUMBERS = ("images", "labelled", "correct", "compared", "agreeing", "probed")
_ARRAYS = ("pixels", "predictions", "at_ends")


class State(TypedDict):
    """A tally as it is stored; see `Tally`."""

    images: int
    pixels: list[list[int]]
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
        rows = images.reshape(-1, len(self.pixels))
        places = np.floor((rows - low) * (BINS / (high - low))) + 1
        # The highest number is within the range.
        places[rows == high] = BINS
        places = np.clip(places, 0, BINS + 1).astype(np.int64)
        for channel, counts in enumerate(self.pixels):
            counts += np.bincount(places[:, channel], minlength=BINS + 2)

    def add(self, other: Tally) -> None:
        """Counts what another tally has counted."""
        for name in (*_NUMBERS, *_ARRAYS):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.lowest = min(self.lowest, other.lowest)
        self.highest = max(self.highest, other.highest)

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
