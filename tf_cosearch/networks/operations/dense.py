"""Dense layers."""

from __future__ import annotations

import math
from typing import Any

from tf_cosearch.networks.layer_ops import (
    KerasBuilder,
    LayerRecorder,
    Operation,
    operation,
)
from tf_cosearch.networks.tape import TensorShape, view


@operation
class Dense(Operation):
    """Dense layer over all of an image, with bias, then an activation.

    Attributes:
        units: Channels of the output, an image of one pixel.
        activation: One of `ACTIVATIONS`, or `None`.

    Example:
    >>> record = LayerRecorder()
    >>> record.shape(record.dense(record.input(4, 4, 8), 10))
    (1, 1, 10)
    >>> [row] = record.layers()
    >>> row.macs == 4 * 4 * 8 * 10, row.params == 4 * 4 * 8 * 10 + 10
    (True, True)
    """

    units: int
    activation: str | None = "relu"

    def keras(self, build: KerasBuilder, x: Any, name: str) -> Any:
        """A Dense between Flatten and Reshape."""
        layers = build.keras.layers
        y = layers.Flatten(name=build.path(f"{name}_flatten"))(x)
        y = layers.Dense(self.units, name=build.path(name))(y)
        y = build.activate(y, self.activation, name)
        shape = (1, 1, self.units)
        return layers.Reshape(shape, name=build.path(f"{name}_image"))(y)

    def rows(
        self, record: LayerRecorder, x: TensorShape, name: str
    ) -> TensorShape:
        """A product with a bias, and an activation that costs."""
        x = view(x, (1, 1, math.prod(x.extents)))
        y = record.row(name, "dense", [x], (1, 1, self.units))
        return record.activate(y, self.activation, name)
