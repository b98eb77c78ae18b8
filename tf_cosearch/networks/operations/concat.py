"""Concatenation of channels."""

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
from tf_cosearch.networks.tape import TensorShape


@operation
class Concat(Operation):
    """The channels of several images one after the other.

    Example:
    >>> record = LayerRecorder()
    >>> x, y = record.input(4, 4, 8), record.input(4, 4, 24)
    >>> record.shape(record.concat([x, y]))
    (4, 4, 32)
    >>> [(row.op, row.in_elements) for row in record.layers()]
    [('data_movement', 512)]
    """

    def check(self, shapes: Sequence[Shape]) -> None:
        """Refuses images of different sizes."""
        if len(shapes) < 2 or len({shape[:2] for shape in shapes}) > 1:
            raise ValueError(
                "`concat` must have a list of images of one height and width. "
                f"Received: {', '.join(map(str, shapes))}."
            )

    def keras(self, build: KerasBuilder, x: Any, name: str) -> Any:
        """A Concatenate along the last axis."""
        return build.keras.layers.Concatenate(name=build.path(name))(x)

    def rows(
        self, record: LayerRecorder, x: list[TensorShape], name: str
    ) -> TensorShape:
        """All elements move."""
        channels = sum(tensor.channels for tensor in x)
        output = (x[0].height, x[0].width, channels)
        return record.row(name, "data_movement", x, output)
