"""Features of an example that come side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from tf_cosearch import configuration
from tf_cosearch.networks.layer_ops import (
    KerasBuilder,
    LayerRecorder,
    Operation,
    Shape,
    operation,
)
from tf_cosearch.networks.tape import TensorShape, view

NUMBER_BITS = 32
"""Bits of the number of a row, as look-ups of TFLite take it."""


@operation
class Columns(Operation):
    """Dense features, and the numbers of rows, of columns side by side.

    All columns are whole numbers, as numbers of rows are: dense features count
    steps. So one float input brings both to a .tflite file, and none is rounded
    by the range of another.

    Attributes:
        numbers: Columns that are numbers of rows; they come last.
        step: What 1 stands for in a dense column.

    Returns:
        A list: the dense features, then one tensor for each number.

    Example:
    >>> record = LayerRecorder()
    >>> columns = record.columns(record.input(1, 1, 6), 2, 1 / 16)
    >>> [(x.channels, x.bits) for x in columns]
    [(4, 8), (1, 32), (1, 32)]
    """

    reads_values: ClassVar[bool] = False

    numbers: int
    step: float

    def check(self, shapes: Sequence[Shape]) -> None:
        """Refuses columns of which none is dense."""
        [(_, _, columns)] = shapes
        configuration.at_least("numbers", self.numbers, 1)
        if columns <= self.numbers:
            raise ValueError(
                "There must be a dense column before the numbers of rows. "
                f"Received: {columns} columns, numbers={self.numbers}."
            )

    def keras(self, build: KerasBuilder, x: Any, name: str) -> list[Any]:
        """A cast, which no range rounds, and a Cropping2D for each part."""
        layers, columns = build.keras.layers, build.shape(x)[-1]
        x = layers.Rescaling(1, dtype="int32", name=build.path(name))(x)
        ends = range(columns - self.numbers, columns + 1)
        dense, *numbers = [
            layers.Cropping2D(
                ((0, 0), (start, columns - end)),
                data_format="channels_first",
                dtype="int32",
                name=build.path(f"{name}_{index}"),
            )(x)
            for index, (start, end) in enumerate(
                zip([0, *ends[:-1]], ends, strict=True)
            )
        ]
        dense = layers.Rescaling(self.step, name=build.path(f"{name}_dense"))(
            dense
        )
        return [dense, *numbers]

    def rows(
        self, record: LayerRecorder, x: TensorShape, name: str
    ) -> list[TensorShape]:
        """Integers of 32 bits that move, of which some become values."""
        dense = x.channels - self.numbers
        x = record.row(
            name, "elementwise", [x], x.extents, output_bits=NUMBER_BITS
        )
        first, *numbers = [
            record.row(f"{name}_{index}", "data_movement", [part], part.extents)
            for index, part in enumerate(
                view(x, (x.height, x.width, channels))
                for channels in (dense, *[1] * self.numbers)
            )
        ]
        values = record.row(
            f"{name}_dense",
            "elementwise",
            [first],
            first.extents,
            output_bits=record.precision.activation_bits,
        )
        return [values, *numbers]
