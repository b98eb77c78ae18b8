"""Pooling."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from tf_cosearch.networks.layer_ops import (
    KerasBuilder,
    LayerRecorder,
    Operation,
    operation,
)
from tf_cosearch.networks.tape import TensorShape


@dataclasses.dataclass(frozen=True)
class _Pool(Operation):
    layer: ClassVar[str]

    kernel_size: int | tuple[int, int]
    stride: int = 1

    def keras(self, build: KerasBuilder, x: Any, name: str) -> Any:
        """A pooling layer."""
        return getattr(build.keras.layers, self.layer)(
            self.kernel_size, self.stride, "same", name=build.path(name)
        )(x)

    def rows(
        self, record: LayerRecorder, x: TensorShape, name: str
    ) -> TensorShape:
        """An operation an element of each window."""
        return record.window(
            name,
            "pool",
            x,
            x.channels,
            self.kernel_size,
            self.stride,
            x.channels,
        )


@operation
class MaxPool(_Pool):
    """The largest of each window.

    Attributes:
        kernel_size: Rows and columns of the window, or both in one.
        stride: Rows, and columns, from one window to the next.

    Example:
    >>> record = LayerRecorder()
    >>> x = record.max_pool(record.input(9, 8, 4), 2, stride=2)
    >>> record.shape(x)
    (5, 4, 4)
    """

    layer = "MaxPooling2D"


@operation
class AveragePool(_Pool):
    """The average of each window; what is padded does not count.

    Attributes:
        kernel_size: Rows and columns of the window, or both in one.
        stride: Rows, and columns, from one window to the next.
    """

    layer = "AveragePooling2D"


@operation
class GlobalPool(Operation):
    """The average of each channel, an image of one pixel."""

    def keras(self, build: KerasBuilder, x: Any, name: str) -> Any:
        """A GlobalAveragePooling2D that keeps height and width."""
        return build.keras.layers.GlobalAveragePooling2D(
            keepdims=True, name=build.path(name)
        )(x)

    def rows(
        self, record: LayerRecorder, x: TensorShape, name: str
    ) -> TensorShape:
        """A window as large as the image."""
        return record.row(
            name,
            "pool",
            [x],
            (1, 1, x.channels),
            k_h=x.height,
            k_w=x.width,
            groups=x.channels,
        )
