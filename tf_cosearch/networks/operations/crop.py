"""Cutting an image to a smaller one."""

from __future__ import annotations

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
class Crop(Operation):
    """The first rows and columns of an image.

    Attributes:
        height: How many rows.
        width: How many columns.

    Example:
    >>> record = LayerRecorder()
    >>> record.shape(record.crop(record.input(8, 8, 4), 7, 6))
    (7, 6, 4)
    """

    height: int
    width: int

    def check(self, shapes: Sequence[Shape]) -> None:
        """Refuses more than there is."""
        [(height, width, _)] = shapes
        if not (1 <= self.height <= height and 1 <= self.width <= width):
            raise ValueError(
                "`crop` must leave a part of its image. Received: "
                f"{self.height} x {self.width} of {height} x {width} pixels."
            )

    def keras(self, build: KerasBuilder, x: Any, name: str) -> Any:
        """A Cropping2D."""
        height, width, _ = build.shape(x)
        cut = ((0, height - self.height), (0, width - self.width))
        return build.keras.layers.Cropping2D(cut, name=build.path(name))(x)

    def rows(
        self, record: LayerRecorder, x: TensorShape, name: str
    ) -> TensorShape:
        """What is left moves."""
        part = view(x, (self.height, self.width, x.channels))
        return record.row(name, "data_movement", [part], part.extents)
