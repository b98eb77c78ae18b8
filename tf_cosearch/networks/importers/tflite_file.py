"""Reads a .tflite file into plain values; a damaged one is an error.

The file is a FlatBuffer. It is read by the accessors that TensorFlow
generates from the schema, in Python alone: an interpreter may crash on a
damaged file, these raise.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

IDENTIFIER = b"TFL3"
"""What stands at bytes 4 to 8 of every TFLite file."""

DAMAGE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    TypeError,
    ValueError,
    struct.error,
)
"""What reading a damaged file may raise."""

MAX_ELEMENTS = 2**40
"""What no tensor has; a bit flip may state any shape."""

_MOST_AXES = 64  # of a tensor; the largest known has 8
_MOST_USES = 8  # of a byte of a file; hardly any is read twice
_FEW = 4096  # numbers of a tensor that is read: shapes, axes, paddings
_BITS = {
    "FLOAT64": 64,
    "FLOAT32": 32,
    "FLOAT16": 16,
    "BFLOAT16": 16,
    "INT64": 64,
    "UINT64": 64,
    "INT32": 32,
    "UINT32": 32,
    "INT16": 16,
    "UINT16": 16,
    "INT8": 8,
    "UINT8": 8,
    "INT4": 4,
    "UINT4": 4,
    "INT2": 2,
    "BOOL": 8,
}
_NUMPY = {"INT64", "INT32", "INT16", "INT8", "UINT8", "BOOL", "FLOAT32"}


def _names(enumeration: type) -> dict[int, str]:
    return {
        value: name
        for name, value in vars(enumeration).items()
        if isinstance(value, int)
    }


_TYPES = _names(schema.TensorType)
_OPERATORS = _names(schema.BuiltinOperator)
_OPTIONS = (_names(schema.BuiltinOptions), _names(schema.BuiltinOptions2))
_ACTIVATIONS = _names(schema.ActivationFunctionType)


class Tensor(NamedTuple):
    """A tensor of a graph.

    Attributes:
        name: Its name.
        shape: Its shape, with unknown extents as 1.
        signature: Its shape, with unknown extents as -1.
        type: Its type in the words of the schema, for example `INT8`.
        buffer: Number of the buffer that holds its values.
        data: The bytes of its values, if the file holds them.
        is_variable: Whether its value is state.
    """

    name: str
    shape: tuple[int, ...]
    signature: tuple[int, ...]
    type: str
    buffer: int
    data: np.ndarray | None
    is_variable: bool

    @property
    def is_constant(self) -> bool:
        """Whether its value is known, or is state."""
        is_empty = not math.prod(self.shape)  # it is its own value
        return self.data is not None or is_empty or self.is_variable

    @property
    def bits(self) -> int:
        """Bits of an element; a float counts as the int8 it would become."""
        bits = _BITS.get(self.type, 8)
        return bits if self.type.startswith(("INT", "UINT")) else 8

    @property
    def numbers(self) -> np.ndarray | None:
        """Its values, if they are stored, few, and numbers."""
        if self.data is None or self.type not in _NUMPY:
            return None
        if math.prod(self.shape) > _FEW:
            return None
        values = self.data.view(self.type.lower())
        return values.reshape(self.shape)

    @property
    def is_zero(self) -> bool:
        """Whether all its stored values are zero."""
        return self.data is not None and not self.data.any()


@dataclasses.dataclass(frozen=True, eq=False)
class Operator:
    """An operator of a graph.

    Attributes:
        op: Its name in the words of the schema, or of a custom operator.
        inputs: Indices of the tensors it reads; -1 for one left out.
        outputs: Indices of the tensors it writes.
        options: The accessors of its options, if it has any.
        custom: The bytes of the options of a custom operator.
        tensors: All tensors of the graph.
    """

    op: str
    inputs: list[int]
    outputs: list[int]
    options: Any
    custom: bytes
    tensors: list[Tensor] = dataclasses.field(repr=False)

    @property
    def name(self) -> str:
        """What the first tensor that it writes is called."""
        if self.outputs and self.tensors[self.outputs[0]].name:
            return self.tensors[self.outputs[0]].name
        return self.op.lower()

    @property
    def activation(self) -> str:
        """The activation fused into the operator, in lower case."""
        read = getattr(self.options, "FusedActivationFunction", lambda: 0)
        return _ACTIVATIONS[read()].lower()

    def option(self, name: str, default: Any = 0) -> Any:
        """An option, or its default where the operator has none such."""
        return getattr(self.options, name, lambda: default)()


class Graph(NamedTuple):
    """A subgraph of a file."""

    name: str
    tensors: list[Tensor]
    operators: list[Operator]
    inputs: list[int]
    outputs: list[int]


class Model(NamedTuple):
    """What a file holds: its subgraphs, and which one a signature runs."""

    graphs: list[Graph]
    signatures: dict[str, int]


def read_model(content: bytes) -> Model:
    """Reads all subgraphs; an inference runs the first, or a signature's.

    Args:
        content: What the file holds.

    Returns:
        The model.

    Raises:
        ValueError: If it is no TFLite model. Reading a damaged one raises
            any of `DAMAGE`.
    """
    if content[4:8] != IDENTIFIER:
        raise ValueError("it does not start like a TFLite model")
    model = schema.Model.GetRootAs(content, 0)
    if not model.SubgraphsLength():
        raise ValueError("it has no graph")
    left = _MOST_USES * len(content)
    for length in _lengths(model):
        left -= length
        if left < 0:
            raise ValueError("it states far more than it holds")
    stored = [
        _stored(model.Buffers(i), content) for i in range(model.BuffersLength())
    ]
    codes = [
        _operator_name(model.OperatorCodes(i))
        for i in range(model.OperatorCodesLength())
    ]
    graphs = [
        _graph(model.Subgraphs(i), codes, stored)
        for i in range(model.SubgraphsLength())
    ]
    signatures = {}
    for i in range(model.SignatureDefsLength()):
        signature = model.SignatureDefs(i)
        key = (signature.SignatureKey() or b"").decode()
        if not signature.SubgraphIndex() < len(graphs):
            raise ValueError(f"signature {key!r} names a graph it lacks")
        signatures[key] = signature.SubgraphIndex()
    return Model(graphs, signatures)


def _lengths(model: Any) -> Iterator[int]:
    """Bytes of all names and lists of a model, again for each use.

    Parts of a FlatBuffer may be one and the same bytes: a megabyte can state
    a hundred thousand operators of as many inputs.
    """
    for i in range(model.OperatorCodesLength()):
        yield 4 + len(model.OperatorCodes(i).CustomCode() or b"")
    for i in range(model.SignatureDefsLength()):
        yield 4 + len(model.SignatureDefs(i).SignatureKey() or b"")
    for i in range(model.SubgraphsLength()):
        graph = model.Subgraphs(i)
        yield 4 * (graph.InputsLength() + graph.OutputsLength())
        yield 4 + len(graph.Name() or b"")
        for j in range(graph.TensorsLength()):
            tensor = graph.Tensors(j)
            yield 4 * (tensor.ShapeLength() + tensor.ShapeSignatureLength())
            yield 4 + len(tensor.Name() or b"")
        for j in range(graph.OperatorsLength()):
            operator = graph.Operators(j)
            yield 4 * (operator.InputsLength() + operator.OutputsLength())
            yield 4 + operator.CustomOptionsLength()


def _graph(
    graph: Any, codes: list[str], stored: list[np.ndarray | None]
) -> Graph:
    tensors = [
        _tensor(graph.Tensors(i), stored) for i in range(graph.TensorsLength())
    ]
    operators = [
        _operator(graph.Operators(i), codes, tensors)
        for i in range(graph.OperatorsLength())
    ]
    inputs = _indices(graph.InputsLength(), graph.Inputs)
    outputs = _indices(graph.OutputsLength(), graph.Outputs)
    used = {*inputs, *outputs}
    used.update(*(operator.inputs for operator in operators))
    used.update(*(operator.outputs for operator in operators))
    if used and not -1 <= min(used) <= max(used) < len(tensors):
        raise ValueError("an operator names a tensor that is not there")
    if min((*inputs, *outputs, 0)) < 0:
        raise ValueError("a graph has an input or output without a tensor")
    name = (graph.Name() or b"").decode()
    return Graph(name, tensors, operators, inputs, outputs)


def _indices(length: int, read: Callable[[int], int]) -> list[int]:
    return [int(read(i)) for i in range(length)]


def _stored(buffer: Any, content: bytes) -> np.ndarray | None:
    """Bytes of a buffer; raises unless the file holds all of them."""
    size, start = buffer.DataLength(), buffer.Offset()
    if size:
        buffer.Data(size - 1)
        return buffer.DataAsNumpy()
    if start > 1:  # stored behind the FlatBuffer: a large model
        if start + buffer.Size() > len(content):
            raise ValueError("it ends within its weights")
        return np.frombuffer(content, np.uint8, buffer.Size(), start)
    return None


def _operator_name(code: Any) -> str:
    # Old files know only the first field, which new ones cap at 127.
    builtin = max(code.DeprecatedBuiltinCode(), code.BuiltinCode())
    if _OPERATORS[builtin] == "CUSTOM":
        return (code.CustomCode() or b"CUSTOM").decode()
    return _OPERATORS[builtin]


def _tensor(tensor: Any, stored: list[np.ndarray | None]) -> Tensor:
    name = (tensor.Name() or b"").decode()
    if tensor.ShapeLength() > _MOST_AXES:
        raise ValueError(f"tensor {name!r} has {tensor.ShapeLength()} axes")
    shape = tuple(_indices(tensor.ShapeLength(), tensor.Shape))
    elements = math.prod(shape)
    if min(shape, default=0) < 0 or elements > MAX_ELEMENTS:
        raise ValueError(f"tensor {name!r} has the shape {shape}")
    type_name = _TYPES[tensor.Type()]
    data = stored[tensor.Buffer()]
    bits = elements * _BITS.get(type_name, 0)
    # Sparse weights store less than their shape says.
    size = None if data is None or tensor.Sparsity() else data.size
    if bits and size not in (None, -(-bits // 8)):
        raise ValueError(
            f"tensor {name!r} of shape {shape} has {size} bytes of values"
        )
    signature = tuple(
        _indices(tensor.ShapeSignatureLength(), tensor.ShapeSignature)
    )
    if len(signature) != len(shape) or min(signature, default=0) < -1:
        signature = shape
    return Tensor(
        name,
        shape,
        signature,
        type_name,
        tensor.Buffer(),
        data,
        bool(tensor.IsVariable()),
    )


def _operator(
    operator: Any, codes: list[str], tensors: list[Tensor]
) -> Operator:
    options = _options(
        operator.BuiltinOptions(), operator.BuiltinOptionsType(), _OPTIONS[0]
    ) or _options(
        operator.BuiltinOptions2(), operator.BuiltinOptions2Type(), _OPTIONS[1]
    )
    size = operator.CustomOptionsLength()
    custom = operator.CustomOptionsAsNumpy().tobytes() if size else b""
    return Operator(
        codes[operator.OpcodeIndex()],
        _indices(operator.InputsLength(), operator.Inputs),
        _indices(operator.OutputsLength(), operator.Outputs),
        options,
        custom,
        tensors,
    )


def _options(table: Any, kind: int, kinds: dict[int, str]) -> Any:
    if table is None:
        return None
    options = getattr(schema, kinds[kind], lambda: None)()
    if options is not None:
        options.Init(table.Bytes, table.Pos)
    return options


def is_tflite(path: str | pathlib.Path) -> bool:
    """Whether there is a file that starts like a TFLite model."""
    try:
        with pathlib.Path(path).open("rb") as file:
            return file.read(8)[4:] == IDENTIFIER
    except OSError:
        return False


def read_bytes(path: str | pathlib.Path) -> bytes:
    """Reads a file.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it cannot be read.
    """
    try:
        return pathlib.Path(path).read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(
            f"The model file must exist. Received: {path}."
        ) from None
    except OSError as error:
        raise ValueError(
            f"The model must be a readable file. Received: {path} "
            f"({error.strerror})."
        ) from error
