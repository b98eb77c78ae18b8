"""Addition, as of a residual."""

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
class Add(Operation):
    """Sum of two tensors of one shape, `ops.add([x, y])`."""

    def check(self, shapes: Sequence[Shape]) -> None:
        """Refuses to broadcast, which rows do not show."""
        if len(shapes) != 2 or shapes[0] != shapes[1]:
            raise ValueError(
                "`add` must have two tensors of one shape. Received: "
                f"{', '.join(map(str, shapes))}."
            )

    def keras(self, build: KerasBuilder, x: Any, name: str) -> Any:
        """An Add."""
        return build.keras.layers.Add(name=build.path(name))(x)

    def rows(
        self, record: LayerRecorder, x: list[TensorShape], name: str
    ) -> TensorShape:
        """An operation an element."""
        return record.row(name, "elementwise", x, x[0].extents)
