"""Products of all pairs of vectors."""

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
class DotInteraction(Operation):
    """A vector, and the dot products of it and all others in pairs.

    Of `F` vectors of `d` numbers it puts out the first, then the product of
    each with each one before it: `d + F (F - 1) / 2` numbers.

    Example:
    Four vectors: a matrix of 4 x 8 times itself, of which three rows have what
    lies below the diagonal.

    >>> record = LayerRecorder()
    >>> vectors = [record.input(1, 1, 8) for _ in range(4)]
    >>> record.shape(record.dot_interaction(vectors))
    (1, 1, 14)
    >>> sum(row.macs for row in record.layers()) == 4 * 8 * 4
    True

    Reference: Naumov et al., arXiv 1906.00091, section 2.1.
    """

    def check(self, shapes: Sequence[Shape]) -> None:
        """Refuses less than two vectors, or vectors of different lengths."""
        if len(shapes) < 2 or {*shapes} != {(1, 1, shapes[0][-1])}:
            raise ValueError(
                "`dot_interaction` must have a list of vectors of one length. "
                f"Received: {', '.join(map(str, shapes))}."
            )

    def keras(self, build: KerasBuilder, x: Any, name: str) -> Any:
        """A product of matrices, of which Cropping2D takes one triangle."""
        layers, count = build.keras.layers, len(x)
        length = build.shape(x[0])[-1]
        y = layers.Concatenate(1, name=build.path(f"{name}_stack"))(x)
        y = layers.Reshape((count, length), name=build.path(f"{name}_vectors"))(
            y
        )
        y = layers.Dot(2, name=build.path(name))([y, y])
        shape = (count, count, 1)
        y = layers.Reshape(shape, name=build.path(f"{name}_image"))(y)
        parts = [x[0]]
        for row in range(1, count):
            path = build.path(f"{name}_{row}")
            part = layers.Cropping2D(
                ((row, count - 1 - row), (0, count - row)), name=path
            )(y)
            parts.append(
                layers.Reshape((1, 1, row), name=f"{path}_products")(part)
            )
        return layers.Concatenate(name=build.path(f"{name}_join"))(parts)

    def rows(
        self, record: LayerRecorder, x: list[TensorShape], name: str
    ) -> TensorShape:
        """A product of activations, and what moves before and after it."""
        count, length = len(x), x[0].channels
        stack = (count, 1, length)
        y = record.row(f"{name}_stack", "data_movement", x, stack)
        y = record.row(
            name, "matmul", [y, y], (count, 1, count), use_bias=False
        )
        parts = [x[0]]
        for row in range(1, count):
            part = view(y, (1, row, 1))
            part = record.row(
                f"{name}_{row}", "data_movement", [part], part.extents
            )
            parts.append(view(part, (1, 1, row)))
        channels = sum(part.channels for part in parts)
        return record.row(
            f"{name}_join", "data_movement", parts, (1, 1, channels)
        )
