"""Convolutions with the batch normalisation that is folded into them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from tf_cosearch.networks.layer_ops import (
    KerasBuilder,
    LayerRecorder,
    Operation,
    Shape,
    operation,
)
from tf_cosearch.networks.tape import TensorShape

BATCH_NORM_MOMENTUM = 0.9
"""Short proxy trainings never reach the averages of Keras' 0.99."""


class _Convolution(Operation):
    op: ClassVar[str]
    kernel_size: int | tuple[int, int]
    stride: int
    activation: str | None
    dilation: int

    def check(self, shapes: Sequence[Shape]) -> None:
        """Refuses steps and gaps at once."""
        if self.stride > 1 and self.dilation > 1:
            raise ValueError(
                "A convolution must have a stride or a dilation of 1. "
                f"Received: stride={self.stride}, dilation={self.dilation}."
            )

    def _finish(self, build: KerasBuilder, y: Any, name: str) -> Any:
        y = build.keras.layers.BatchNormalization(
            momentum=BATCH_NORM_MOMENTUM, name=build.path(f"{name}_bn")
        )(y)
        return build.activate(y, self.activation, name)

    def rows(
        self, record: LayerRecorder, x: TensorShape, name: str
    ) -> TensorShape:
        """A convolution with a bias, and an activation that costs."""
        y = record.window(
            name,
            self.op,
            x,
            # A depthwise one has a filter, and a group, for each channel.
            getattr(self, "filters", x.channels),
            self.kernel_size,
            self.stride,
            getattr(self, "groups", x.channels),
            self.dilation,
        )
        return record.activate(y, self.activation, name)


@operation
class Conv(_Convolution):
    """Convolution, batch normalisation, activation.

    Attributes:
        filters: Channels of the output.
        kernel_size: Rows and columns of the kernel, or both in one.
        stride: Rows, and columns, from one position to the next.
        groups: Groups that the channels fall into, each on its own.
        activation: One of `ACTIVATIONS`, or `None`.
        dilation: Rows, and columns, from one tap of the kernel to the next;
            only where the stride is 1, as in Keras.

    Example:
    A kernel of 3 x 3 taps that spans 5 x 5 pixels.

    >>> record = LayerRecorder()
    >>> _ = record.conv(record.input(8, 8, 4), 16, 3, dilation=2)
    >>> [row] = record.layers()
    >>> row.macs == 8 * 8 * 16 * 3 * 3 * 4, row.dilation_h
    (True, 2)
    """

    op = "conv2d"

    filters: int
    kernel_size: int | tuple[int, int] = 1
    stride: int = 1
    groups: int = 1
    activation: str | None = "relu"
    dilation: int = 1

    def keras(self, build: KerasBuilder, x: Any, name: str) -> Any:
        """A Conv2D, its normalisation and activation."""
        y = build.keras.layers.Conv2D(
            self.filters,
            self.kernel_size,
            self.stride,
            "same",
            dilation_rate=self.dilation,
            groups=self.groups,
            use_bias=False,
            kernel_initializer="he_normal",
            name=build.path(name),
        )(x)
        return self._finish(build, y, name)


@operation
class Depthwise(_Convolution):
    """Depthwise convolution, batch normalisation, activation.

    Attributes:
        kernel_size: Rows and columns of the kernel, or both in one.
        stride: Rows, and columns, from one position to the next.
        activation: One of `ACTIVATIONS`, or `None`.
        dilation: Rows, and columns, from one tap of the kernel to the next;
            only where the stride is 1, as in Keras.
    """

    op = "depthwise_conv2d"

    kernel_size: int | tuple[int, int]
    stride: int = 1
    activation: str | None = "relu"
    dilation: int = 1

    def keras(self, build: KerasBuilder, x: Any, name: str) -> Any:
        """A DepthwiseConv2D, its normalisation and activation."""
        y = build.keras.layers.DepthwiseConv2D(
            self.kernel_size,
            self.stride,
            "same",
            dilation_rate=self.dilation,
            use_bias=False,
            depthwise_initializer="he_normal",
            name=build.path(name),
        )(x)
        return self._finish(build, y, name)
