"""Squeeze-and-excitation."""

from __future__ import annotations

from typing import Any

from tf_cosearch.networks.layer_ops import (
    KerasBuilder,
    LayerRecorder,
    Operation,
    operation,
)
from tf_cosearch.networks.tape import TensorShape


@operation
class SqueezeExcite(Operation):
    """Scales channels by what a small network makes of their averages.

    Attributes:
        squeezed: Channels in its middle.

    Reference: Hu et al., "Squeeze-and-Excitation Networks", arXiv 1709.01507.
    """

    squeezed: int

    def keras(self, build: KerasBuilder, x: Any, name: str) -> Any:
        """Pooling, two convolutions of 1x1, a product."""
        layers, channels = build.keras.layers, build.shape(x)[-1]
        y = build.global_pool(x, name=f"{name}_pool")
        y = layers.Conv2D(
            self.squeezed,
            1,
            activation="relu",
            name=build.path(f"{name}_squeeze"),
        )(y)
        y = layers.Conv2D(channels, 1, name=build.path(f"{name}_excite"))(y)
        gate = build.path(f"{name}_gate")
        y = layers.Activation("sigmoid", name=gate)(y)
        return layers.Multiply(name=build.path(f"{name}_scale"))([x, y])

    def rows(
        self, record: LayerRecorder, x: TensorShape, name: str
    ) -> TensorShape:
        """The sigmoid is an operation an element as well."""
        y = record.global_pool(x, name=f"{name}_pool")
        for part, filters in (
            ("squeeze", self.squeezed),
            ("excite", x.channels),
        ):
            y = record.row(f"{name}_{part}", "conv2d", [y], (1, 1, filters))
        gate = record.row(f"{name}_gate", "elementwise", [y], y.extents)
        path = f"{name}_scale"
        return record.row(path, "elementwise", [x, gate], x.extents)
