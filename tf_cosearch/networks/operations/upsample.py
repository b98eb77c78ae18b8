"""Upsampling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tf_cosearch import configuration
from tf_cosearch.networks.layer_ops import (
    KerasBuilder,
    LayerRecorder,
    Operation,
    Shape,
    operation,
)
from tf_cosearch.networks.tape import TensorShape

INTERPOLATIONS = ("nearest", "bilinear")
"""How pixels between those of an image come about."""


@operation
class Upsample(Operation):
    """An image of more rows and columns.

    Attributes:
        factor: How many times as many.
        interpolation: One of `INTERPOLATIONS`.

    Example:
    >>> record = LayerRecorder()
    >>> record.shape(record.upsample(record.input(4, 4, 8), 2))
    (8, 8, 8)
    """

    factor: int = 2
    interpolation: str = "nearest"

    def check(self, shapes: Sequence[Shape]) -> None:
        """Refuses interpolations that do not convert to int8."""
        del shapes
        if self.interpolation not in INTERPOLATIONS:
            raise configuration.unknown(
                "interpolation", self.interpolation, INTERPOLATIONS
            )

    def keras(self, build: KerasBuilder, x: Any, name: str) -> Any:
        """An UpSampling2D."""
        return build.keras.layers.UpSampling2D(
            self.factor, interpolation=self.interpolation, name=build.path(name)
        )(x)

    def rows(
        self, record: LayerRecorder, x: TensorShape, name: str
    ) -> TensorShape:
        """Elements move, and come out several times."""
        height, width = x.height * self.factor, x.width * self.factor
        output = (height, width, x.channels)
        return record.row(name, "data_movement", [x], output)
