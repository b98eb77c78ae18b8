"""Tables of vectors that are looked up."""

from __future__ import annotations

import math
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
from tf_cosearch.networks.operations.pool import GlobalPool
from tf_cosearch.networks.tape import TensorShape, view

SCALE_BITS = 32
"""What the scale of a row takes, which rows of 4 bits have each."""


@operation
class Embedding(Operation):
    """The mean of some rows of a table, whose numbers are its input.

    Rows are read at random: of the table only these pass the DRAM, unless it
    is on the chip. The mean is their sum but for a constant factor, which a
    trained table takes up. A table of 8 or 16 bits has one scale, as what
    leaves it has one; of 4 bits every row has its own.

    Attributes:
        table_rows: Rows of the table.
        dimension: Numbers of a row.

    Example:
    Three rows of 16 bytes are looked up, of 16,000 that are stored.

    >>> record = LayerRecorder()
    >>> numbers = record.input(1, 1, 3, bits=32)
    >>> record.shape(record.embedding(numbers, 1000, 16))
    (1, 1, 16)
    >>> [(row.op, row.params, row.macs) for row in record.layers()]
    [('embedding', 16000, 0), ('pool', 0, 0)]

    Reference: Naumov et al., "Deep Learning Recommendation Model for
    Personalization and Recommendation Systems", arXiv 1906.00091; of rows with
    scales of their own Guan et al., "Post-Training 4-bit Quantization on
    Embedding Tables", arXiv 1911.02079.
    """

    reads_values: ClassVar[bool] = False

    table_rows: int
    dimension: int

    def check(self, shapes: Sequence[Shape]) -> None:
        """Refuses tables of no rows, and rows of no numbers."""
        del shapes
        for name in ("table_rows", "dimension"):
            configuration.at_least(name, getattr(self, name), 1)

    def keras(self, build: KerasBuilder, x: Any, name: str) -> Any:
        """An Embedding, and the average of what it finds."""
        layers, count = build.keras.layers, math.prod(build.shape(x))
        y = layers.Reshape((count,), name=build.path(f"{name}_numbers"))(x)
        y = layers.Embedding(
            self.table_rows, self.dimension, name=build.path(name)
        )(y)
        shape = (count, 1, self.dimension)
        y = layers.Reshape(shape, name=build.path(f"{name}_rows"))(y)
        if count == 1:
            return y
        return GlobalPool().keras(build, y, f"{name}_mean")

    def rows(
        self, record: LayerRecorder, x: TensorShape, name: str
    ) -> TensorShape:
        """A look-up, what brings rows to one scale, and their mean."""
        numbers = view(x, (1, 1, x.elements))
        bits = record.precision.activation_bits
        is_wide = record.precision.table_bits == 16 != bits
        y = record.row(
            name,
            "embedding",
            [numbers],
            (x.elements, 1, self.dimension),
            stored_elements=self.table_rows * self.dimension,
            weight_bits=record.precision.table_bits,
            output_bits=16 if is_wide else bits,
        )
        if is_wide:
            y = record.row(
                f"{name}_rounded",
                "elementwise",
                [y],
                y.extents,
                output_bits=bits,
            )
        if record.precision.table_bits == 4:
            scales = record.row(
                f"{name}_scales",
                "embedding",
                [numbers],
                (x.elements, 1, 1),
                stored_elements=self.table_rows,
                weight_bits=SCALE_BITS,
                output_bits=SCALE_BITS,
            )
            y = record.row(
                f"{name}_scaled", "elementwise", [y, scales], y.extents
            )
        if x.elements == 1:
            return y
        return GlobalPool().rows(record, y, f"{name}_mean")
