"""Operations, and the readings of a block: a Keras model, rows of a table.

A block is a function of `ops` and a tensor that calls operations:
`ops.conv(x, 32, 3, name="conv")`. An operation is a class with a method for
each reading. `KerasBuilder` calls the one that builds layers, `LayerRecorder`
the one that records what they cost. What a call is told is the operation's
fields, written down once, and both methods stand side by side, so that network
and cost cannot disagree. The supernet's reading is a `KerasBuilder` whose
namespace runs the layers at once, on shared weights; see `supernet/reading.py`.
"""

from __future__ import annotations

import abc
import collections
import contextlib
import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, TypeVar

from tf_cosearch import configuration
from tf_cosearch.networks.precision import Precision
from tf_cosearch.networks.tape import Tape, TensorShape
from tf_cosearch.networks.workload import OPS, Layer

FUSED_ACTIVATIONS = (None, "linear", "relu", "relu6")
"""Activations that int8 convolutions clip to on their way out, at no cost."""

ACTIVATIONS = (*FUSED_ACTIVATIONS[1:], "swish", "sigmoid")
"""Activations that a block may use; all of them convert to int8."""

Shape = tuple[int, int, int]
"""Height, width and channels of an image."""


def keras_name(path: str) -> str:
    """A path as Keras takes it for a name.

    Example:
    >>> keras_name("stage2/block1")
    'stage2_block1'
    """
    return path.replace("/", "_")


class Operation(abc.ABC):
    """What a block calls: fields that say what to do, and its readings.

    Attributes:
        name: What `ops` calls it, and its rows and layers if not told.
        reads_values: Whether it computes with what it reads, which then comes
            in the bits of the block; numbers of rows keep theirs.
    """

    name: ClassVar[str]
    reads_values: ClassVar[bool] = True

    def check(self, shapes: Sequence[Shape]) -> None:
        """Refuses what the operation cannot read.

        Args:
            shapes: Shapes of the tensors that it is called with.

        Raises:
            ValueError: If it cannot read them.
        """
        del shapes

    @abc.abstractmethod
    def keras(self, build: KerasBuilder, x: Any, name: str) -> Any:
        """Builds Keras layers.

        Args:
            build: Has the namespace to take layers from, and names them.
            x: A tensor, or a list of those.
            name: What to call the layers, within the block.

        Returns:
            What the last layer writes, or a list of tensors.
        """

    @abc.abstractmethod
    def rows(self, record: LayerRecorder, x: Any, name: str) -> Any:
        """Records what the layers cost once they are int8.

        Args:
            record: Where to.
            x: A `TensorShape`, or a list of those.
            name: What to call the rows, within the block.

        Returns:
            What the last row writes, or a list of tensors.
        """


_OPERATIONS: dict[str, type[Operation]] = {}

Kind = TypeVar("Kind", bound=type[Operation])


def operation(kind: Kind) -> Kind:
    """Registers an operation: blocks call `MaxPool` as `ops.max_pool`.

    Args:
        kind: A subclass of `Operation` whose annotated attributes are what a
            call is told. It is made a frozen dataclass.

    Returns:
        The class.

    Raises:
        TypeError: If it is no operation.
        ValueError: If the name is taken.
    """
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
    if not issubclass(kind, Operation):
        raise TypeError(
            "An operation must be a subclass of `Operation`. Received: "
            f"{kind.__name__}."
        )
    other = _OPERATIONS.get(name)
    if other is not None and other.__module__ != kind.__module__:
        raise ValueError(
            f"Operation {name!r} is already registered by {other.__module__}. "
            "Choose another class name."
        )
    if any(
        hasattr(ops, name) for ops in (BlockOps, *BlockOps.__subclasses__())
    ):
        raise ValueError(
            f"An operation must not be called {name!r}, which `ops` has for "
            "something else. Choose another class name."
        )
    kind.name = name
    _OPERATIONS[name] = dataclasses.dataclass(frozen=True)(kind)
    return kind


def names() -> list[str]:
    """Sorted names of all operations."""
    return sorted(_OPERATIONS)


class BlockOps(abc.ABC):
    """What a block may use: every operation is a method, see `names`.

    Tensors are `[height, width, channels]` images. Padding is always `same`:
    a stride of `s` turns `n` positions into `ceil(n / s)`. The first argument
    is the tensor, or a list of tensors where an operation reads several; `name`
    is what rows and layers are called, within the scope.

    Example:
    >>> ops = LayerRecorder()
    >>> x = ops.input(8, 8, 3)
    >>> with ops.scope("stem"):
    ...     x = ops.conv(x, 16, kernel_size=3, stride=2, name="conv")
    >>> ops.shape(x), ops.layers()[0].name
    ((4, 4, 16), 'stem/conv')
    """

    def __init__(self) -> None:
        self._scopes: list[str] = []
        self.precision = Precision()
        self._converted: dict[tuple[int, int], tuple[Any, Any]] = {}
        self._conversions: collections.Counter[str] = collections.Counter()

    @contextlib.contextmanager
    def at(self, precision: Precision) -> Iterator[None]:
        """Lets operations work in other bits."""
        before, self.precision = self.precision, precision
        yield
        self.precision = before

    @contextlib.contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Prefixes names with `name/`."""
        self._scopes.append(name)
        yield
        self._scopes.pop()

    def path(self, name: str) -> str:
        """A name with all its scopes."""
        return "/".join([*self._scopes, name])

    @abc.abstractmethod
    def shape(self, x: Any) -> Shape:
        """Height, width and channels of a tensor."""

    @abc.abstractmethod
    def bits(self, x: Any) -> int:
        """Bits of an element of a tensor."""

    @abc.abstractmethod
    def convert(self, x: Any, bits: int, name: str) -> Any:
        """The same tensor in other bits."""

    def _at_own_bits(self, x: Any) -> Any:
        """A tensor in the bits that operations read here, converted once."""
        bits = self.precision.activation_bits
        if self.bits(x) == bits:
            return x
        key = id(x), bits
        if key not in self._converted:
            number = self._conversions[self.path("")]
            self._conversions[self.path("")] += 1
            name = f"quantize{number or ''}"
            # With the tensor, so that no other one gets its id.
            self._converted[key] = x, self.convert(x, bits, name)
        return self._converted[key][1]

    @abc.abstractmethod
    def read(self, operation: Operation, x: Any, name: str) -> Any:
        """Does what this reading does with an operation."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        kind = _OPERATIONS.get(name)
        if kind is None:
            unknown = configuration.unknown("operation", name, _OPERATIONS)
            raise AttributeError(str(unknown))

        def call(
            x: Any, *settings: Any, name: str = kind.name, **named: Any
        ) -> Any:
            # A `TensorShape` is a tuple itself.
            x = list(x) if type(x) is tuple else x
            operation = kind(
                *map(_constant, settings),
                **{key: _constant(value) for key, value in named.items()},
            )
            tensors = x if isinstance(x, list) else [x]
            operation.check([self.shape(tensor) for tensor in tensors])
            if operation.reads_values:
                tensors = [self._at_own_bits(tensor) for tensor in tensors]
            return self.read(
                operation, tensors if isinstance(x, list) else tensors[0], name
            )

        return call


def _constant(setting: Any) -> Any:
    """Operations are told from each other by value, so that none may change."""
    return tuple(setting) if isinstance(setting, list) else setting


class KerasBuilder(BlockOps):
    """Reads a block as Keras layers.

    Args:
        keras: The namespace to take layers from: `keras` or `tf_keras`.
    """

    keras: Any = None

    def __init__(self, keras: Any) -> None:
        super().__init__()
        self.keras = keras
        self._bits: dict[int, tuple[int, Any]] = {}

    def path(self, name: str) -> str:
        """A name with all its scopes; Keras 3 refuses slashes."""
        return keras_name(super().path(name))

    def shape(self, x: Any) -> Shape:
        """Height, width and channels of a tensor."""
        return tuple(x.shape[1:])

    def bits(self, x: Any) -> int:
        """Bits that an element of a tensor is to have in the file."""
        return self._bits.get(id(x), (8, x))[0]

    def convert(self, x: Any, bits: int, name: str) -> Any:
        """A layer that does nothing, for a range of its own."""
        name = self.path(name)
        y = self.keras.layers.Activation("linear", name=name)(x)
        self._bits[id(y)] = bits, y
        return y

    def read(self, operation: Operation, x: Any, name: str) -> Any:
        """Builds the layers of an operation."""
        y = operation.keras(self, x, name)
        for tensor in y if isinstance(y, list) else [y]:
            self._bits[id(tensor)] = self.precision.activation_bits, tensor
        return y

    def activate(self, y: Any, activation: str | None, name: str) -> Any:
        """Applies one of `ACTIVATIONS`."""
        if activation in (None, "linear"):
            return y
        layers, name = self.keras.layers, self.path(f"{name}_{activation}")
        # TFMOT folds a ReLU layer; a relu6 is an Activation to it.
        layer = (
            layers.ReLU(name=name)
            if activation == "relu"
            else layers.ReLU(6.0, name=name)
            if activation == "relu6"
            else layers.Activation(activation, name=name)
        )
        return layer(y)


class LayerRecorder(BlockOps):
    """Reads a block as rows of a layer table."""

    def __init__(self) -> None:
        super().__init__()
        self._tape = Tape()

    def input(
        self, height: int, width: int, channels: int, bits: int = 8
    ) -> TensorShape:
        """Declares the tensor that a block starts from."""
        return self._tape.input(height, width, channels, bits)

    def reads(self, x: TensorShape) -> bool:
        """Whether a row reads a tensor."""
        return self._tape.reads(x)

    def layers(self) -> list[Layer]:
        """The rows recorded so far, branches one after the other."""
        self._tape.sort()
        return self._tape.layers()

    def shape(self, x: TensorShape) -> Shape:
        """Height, width and channels of a tensor."""
        return x.extents

    def bits(self, x: TensorShape) -> int:
        """Bits of an element of a tensor."""
        return x.bits

    def convert(self, x: TensorShape, bits: int, name: str) -> TensorShape:
        """Records a row that writes a tensor once more."""
        return self.row(name, "elementwise", [x], x.extents, output_bits=bits)

    def read(self, operation: Operation, x: Any, name: str) -> Any:
        """Records the rows of an operation."""
        return operation.rows(self, x, name)

    def row(
        self,
        name: str,
        op: str,
        inputs: Sequence[TensorShape],
        output: Shape,
        **bounds: Any,
    ) -> TensorShape:
        """Records a row; see `Tape.add`."""
        if OPS[op].has_weights:
            is_depthwise = op == "depthwise_conv2d"
            bits = self.precision.weights_of(is_depthwise)
            bounds.setdefault("weight_bits", bits)
        return self._tape.add(self.path(name), op, inputs, output, **bounds)

    def window(
        self,
        name: str,
        op: str,
        x: TensorShape,
        channels: int,
        kernel_size: int | tuple[int, int],
        stride: int,
        groups: int,
        dilation: int = 1,
    ) -> TensorShape:
        """Records a row whose kernel slides over an image, padded `same`.

        Args:
            name: What to call the row.
            op: One of `workload.OPS`.
            x: The image.
            channels: Channels of the output.
            kernel_size: Rows and columns of the kernel, or both in one.
            stride: Rows, and columns, from one position to the next.
            groups: Groups that the channels fall into.
            dilation: Rows, and columns, from one tap to the next.

        Returns:
            The output.
        """
        k_h, k_w = (
            (kernel_size, kernel_size)
            if isinstance(kernel_size, int)
            else kernel_size
        )
        return self.row(
            name,
            op,
            [x],
            (-(-x.height // stride), -(-x.width // stride), channels),
            k_h=k_h,
            k_w=k_w,
            stride_h=stride,
            stride_w=stride,
            groups=groups,
            dilation_h=dilation if k_h > 1 else 1,
            dilation_w=dilation if k_w > 1 else 1,
        )

    def activate(
        self, x: TensorShape, activation: str | None, name: str
    ) -> TensorShape:
        """Records one of `ACTIVATIONS`, if it costs anything."""
        if activation in FUSED_ACTIVATIONS:
            return x
        if activation not in ACTIVATIONS:
            raise configuration.unknown("activation", activation, ACTIVATIONS)
        name = f"{name}_{activation}"
        return self.row(name, "elementwise", [x], x.extents)
