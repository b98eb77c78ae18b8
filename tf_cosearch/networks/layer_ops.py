"""The two readings of a block: a Keras model, and rows of a layer table.

A block is a function of `ops` and a tensor. Given a `KerasBuilder` it builds
layers, given a `LayerRecorder` it records what they cost, so that the two
cannot disagree.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Protocol

from tf_cosearch.networks.tape import Tape, TensorShape
from tf_cosearch.networks.workload import Layer

FUSED_ACTIVATIONS = (None, "linear", "relu", "relu6")
"""Activations that int8 convolutions clip to on their way out, at no cost."""

ACTIVATIONS = (*FUSED_ACTIVATIONS[1:], "swish", "sigmoid")
"""Activations that a block may use; all of them convert to int8."""

BATCH_NORM_MOMENTUM = 0.9
"""Short proxy trainings never reach the averages of Keras' 0.99."""


class BlockOps(Protocol):
    """What a block may use. Tensors are `[height, width, channels]` images.

    Padding is always `same`: a stride of `s` turns `n` positions into
    `ceil(n / s)`.
    """

    def shape(self, x: Any) -> tuple[int, int, int]:
        """Height, width and channels of a tensor."""
        ...

    def conv(
        self,
        x: Any,
        filters: int,
        kernel_size: int = 1,
        stride: int = 1,
        groups: int = 1,
        activation: str | None = "relu",
        *,
        name: str,
    ) -> Any:
        """Convolution, batch normalisation, activation."""
        ...

    def depthwise(
        self,
        x: Any,
        kernel_size: int,
        stride: int = 1,
        activation: str | None = "relu",
        *,
        name: str,
    ) -> Any:
        """Depthwise convolution, batch normalisation, activation."""
        ...

    def squeeze_excite(self, x: Any, squeezed: int) -> Any:
        """Scales channels by what a small network makes of their averages."""
        ...

    def add(self, x: Any, y: Any) -> Any:
        """Sum of two tensors of one shape."""
        ...

    def classify(self, x: Any, classes: int, dropout: float, name: str) -> Any:
        """Global average pooling, dropout, dense layer with logits."""
        ...

    def scope(self, name: str) -> contextlib.AbstractContextManager[None]:
        """Prefixes names with `name/`."""
        ...


class _Scoped:
    """Names by path."""

    def __init__(self) -> None:
        self._scopes: list[str] = []

    @contextlib.contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Prefixes names with `name/`."""
        self._scopes.append(name)
        yield
        self._scopes.pop()

    def _path(self, name: str) -> str:
        return "/".join([*self._scopes, name])


class KerasBuilder(_Scoped):
    """Reads a block as Keras layers.

    Args:
        keras: The namespace to take layers from: `keras` or `tf_keras`.
    """

    def __init__(self, keras: Any) -> None:
        super().__init__()
        self._layers = keras.layers

    def _name(self, name: str) -> str:
        # Keras 3 refuses slashes in names.
        return self._path(name).replace("/", "_")

    def shape(self, x: Any) -> tuple[int, int, int]:
        """Height, width and channels of a tensor."""
        return tuple(x.shape[1:])

    def _finish(self, y: Any, activation: str | None, name: str) -> Any:
        y = self._layers.BatchNormalization(
            momentum=BATCH_NORM_MOMENTUM, name=self._name(f"{name}_bn")
        )(y)
        if activation in (None, "linear"):
            return y
        # TFMOT folds a ReLU layer; a relu6 is an Activation to it.
        layer = (
            self._layers.ReLU(name=self._name(f"{name}_relu"))
            if activation == "relu"
            else self._layers.ReLU(6.0, name=self._name(f"{name}_relu6"))
            if activation == "relu6"
            else self._layers.Activation(
                activation, name=self._name(f"{name}_{activation}")
            )
        )
        return layer(y)

    def conv(
        self,
        x: Any,
        filters: int,
        kernel_size: int = 1,
        stride: int = 1,
        groups: int = 1,
        activation: str | None = "relu",
        *,
        name: str,
    ) -> Any:
        """Convolution, batch normalisation, activation."""
        y = self._layers.Conv2D(
            filters,
            kernel_size,
            stride,
            "same",
            groups=groups,
            use_bias=False,
            kernel_initializer="he_normal",
            name=self._name(name),
        )(x)
        return self._finish(y, activation, name)

    def depthwise(
        self,
        x: Any,
        kernel_size: int,
        stride: int = 1,
        activation: str | None = "relu",
        *,
        name: str,
    ) -> Any:
        """Depthwise convolution, batch normalisation, activation."""
        y = self._layers.DepthwiseConv2D(
            kernel_size,
            stride,
            "same",
            use_bias=False,
            depthwise_initializer="he_normal",
            name=self._name(name),
        )(x)
        return self._finish(y, activation, name)

    def squeeze_excite(self, x: Any, squeezed: int) -> Any:
        """Scales channels by what a small network makes of their averages."""
        channels = self.shape(x)[-1]
        y = self._layers.GlobalAveragePooling2D(
            keepdims=True, name=self._name("se_pool")
        )(x)
        y = self._layers.Conv2D(
            squeezed, 1, activation="relu", name=self._name("se_squeeze")
        )(y)
        y = self._layers.Conv2D(channels, 1, name=self._name("se_excite"))(y)
        y = self._layers.Activation("sigmoid", name=self._name("se_gate"))(y)
        return self._layers.Multiply(name=self._name("se_scale"))([x, y])

    def add(self, x: Any, y: Any) -> Any:
        """Sum of two tensors of one shape."""
        return self._layers.Add(name=self._name("add"))([x, y])

    def classify(self, x: Any, classes: int, dropout: float, name: str) -> Any:
        """Global average pooling, dropout, dense layer with logits."""
        y = self._layers.GlobalAveragePooling2D(name=self._name("pool"))(x)
        if dropout:
            y = self._layers.Dropout(dropout, name=self._name("dropout"))(y)
        return self._layers.Dense(classes, name=self._name(name))(y)


class LayerRecorder(_Scoped):
    """Reads a block as rows of a layer table."""

    def __init__(self) -> None:
        super().__init__()
        self._tape = Tape()

    def input(self, height: int, width: int, channels: int) -> TensorShape:
        """Declares the tensor that a block starts from."""
        return self._tape.input(height, width, channels)

    def layers(self) -> list[Layer]:
        """The rows recorded so far."""
        return self._tape.layers()

    def shape(self, x: TensorShape) -> tuple[int, int, int]:
        """Height, width and channels of a tensor."""
        return x.extents

    def _activate(
        self, x: TensorShape, activation: str | None, name: str
    ) -> TensorShape:
        if activation in FUSED_ACTIVATIONS:
            return x
        path = self._path(f"{name}_{activation}")
        return self._tape.add(path, "elementwise", [x], x.extents)

    def conv(
        self,
        x: TensorShape,
        filters: int,
        kernel_size: int = 1,
        stride: int = 1,
        groups: int = 1,
        activation: str | None = "relu",
        *,
        name: str,
    ) -> TensorShape:
        """Convolution, batch normalisation, activation."""
        return self._convolve(
            "conv2d", x, filters, kernel_size, stride, groups, activation, name
        )

    def depthwise(
        self,
        x: TensorShape,
        kernel_size: int,
        stride: int = 1,
        activation: str | None = "relu",
        *,
        name: str,
    ) -> TensorShape:
        """Depthwise convolution, batch normalisation, activation."""
        return self._convolve(
            "depthwise_conv2d",
            x,
            x.channels,
            kernel_size,
            stride,
            x.channels,
            activation,
            name,
        )

    def _convolve(
        self,
        op: str,
        x: TensorShape,
        filters: int,
        kernel_size: int,
        stride: int,
        groups: int,
        activation: str | None,
        name: str,
    ) -> TensorShape:
        y = self._tape.add(
            self._path(name),
            op,
            [x],
            (-(-x.height // stride), -(-x.width // stride), filters),
            k_h=kernel_size,
            k_w=kernel_size,
            stride_h=stride,
            stride_w=stride,
            groups=groups,
        )
        return self._activate(y, activation, name)

    def squeeze_excite(self, x: TensorShape, squeezed: int) -> TensorShape:
        """Scales channels by what a small network makes of their averages."""
        y = self._pool(x, "se_pool")
        for name, filters in (("squeeze", squeezed), ("excite", x.channels)):
            y = self._tape.add(
                self._path(f"se_{name}"), "conv2d", [y], (1, 1, filters)
            )
        gate = self._tape.add(
            self._path("se_gate"), "elementwise", [y], y.extents
        )
        path = self._path("se_scale")
        return self._tape.add(path, "elementwise", [x, gate], x.extents)

    def _pool(self, x: TensorShape, name: str) -> TensorShape:
        return self._tape.add(
            self._path(name),
            "pool",
            [x],
            (1, 1, x.channels),
            k_h=x.height,
            k_w=x.width,
            groups=x.channels,
        )

    def add(self, x: TensorShape, y: TensorShape) -> TensorShape:
        """Sum of two tensors of one shape."""
        return self._tape.add(
            self._path("add"), "elementwise", [x, y], x.extents
        )

    def classify(
        self, x: TensorShape, classes: int, dropout: float, name: str
    ) -> TensorShape:
        """Global average pooling, dropout, dense layer with logits."""
        del dropout  # A layer of training only.
        y = self._pool(x, "pool")
        return self._tape.add(self._path(name), "dense", [y], (1, 1, classes))
