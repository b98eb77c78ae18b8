"""Splitting of channels."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from tf_cosearch.networks.layer_ops import (
    KerasBuilder,
    LayerRecorder,
    Operation,
    Shape,
    operation,
)
from tf_cosearch.networks.tape import TensorShape, view


@operation
class Split(Operation):
    """The channels of an image as several images, a list.

    Attributes:
        parts: How many images of as many channels, or the channels of each.

    Example:
    >>> record = LayerRecorder()
    >>> parts = record.split(record.input(4, 4, 32), [8, 24])
    >>> [part.channels for part in parts]
    [8, 24]
    >>> [(row.name, row.in_elements) for row in record.layers()]
    [('split_0', 128), ('split_1', 384)]
    """

    parts: int | tuple[int, ...] = 2

    def check(self, shapes: Sequence[Shape]) -> None:
        """Refuses parts that are not the whole."""
        [(_, _, channels)] = shapes
        sizes = self._sizes(channels)
        if min(sizes, default=0) < 1 or sum(sizes) != channels:
            raise ValueError(
                "The parts of `split` must be all channels of its image. "
                f"Received: parts={self.parts}, {channels} channels."
            )

    def _sizes(self, channels: int) -> tuple[int, ...]:
        if isinstance(self.parts, tuple):
            return self.parts
        return (channels // max(self.parts, 1),) * self.parts

    def keras(self, build: KerasBuilder, x: Any, name: str) -> list[Any]:
        """A Cropping2D for each part, told that channels are columns."""
        channels = x.shape[-1]
        ends = [0, *itertools.accumulate(self._sizes(channels))]
        return [
            build.keras.layers.Cropping2D(
                ((0, 0), (start, channels - end)),
                data_format="channels_first",
                name=build.path(f"{name}_{index}"),
            )(x)
            for index, (start, end) in enumerate(itertools.pairwise(ends))
        ]

    def rows(
        self, record: LayerRecorder, x: TensorShape, name: str
    ) -> list[TensorShape]:
        """The elements of each part move."""
        parts = [
            view(x, (x.height, x.width, size))
            for size in self._sizes(x.channels)
        ]
        return [
            record.row(f"{name}_{i}", "data_movement", [part], part.extents)
            for i, part in enumerate(parts)
        ]
