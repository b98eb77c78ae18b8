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
from collections.abc import Callable
from typing import Any, NamedTuple

from tensorflow.lite.python import schema_py_generated as schema

from tf_cosearch.networks import graph_tape


def _words(text: str) -> set[str]:
    return set(text.split())


CONVOLUTIONS = {"CONV_2D", "DEPTHWISE_CONV_2D"}
"""Operators that slide a kernel."""
POOLS = {"AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D"}
"""Operators that slide a window without weights."""
VARIABLES = {"VAR_HANDLE", "READ_VARIABLE", "CALL_ONCE"}
"""What hands weights to other operators."""
DILATIONS = {"SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"}
"""What TensorFlow wraps a dilated convolution in."""
CLIPS = {"none", "relu", "relu6", "relu_n1_to_1"}
"""Fused activations that cost nothing."""
FREE = _words(
    "RESHAPE SQUEEZE EXPAND_DIMS RELU RELU6 RELU_N1_TO_1 RELU_0_TO_1 FAKE_QUANT"
)
"""What costs nothing."""
ELEMENTWISE = _words(
    "ADD ADD_N SUB MUL DIV MAXIMUM MINIMUM POW SQUARED_DIFFERENCE FLOOR_DIV "
    "FLOOR_MOD EQUAL NOT_EQUAL GREATER GREATER_EQUAL LESS LESS_EQUAL "
    "LOGICAL_AND LOGICAL_OR LOGICAL_NOT SELECT SELECT_V2 WHERE LOGISTIC TANH "
    "HARD_SWISH GELU ELU LEAKY_RELU PRELU SOFTMAX LOG_SOFTMAX EXP LOG SQRT "
    "RSQRT SQUARE ABS NEG SIGN SIN COS CEIL FLOOR ROUND CAST QUANTIZE "
    "DEQUANTIZE L2_NORMALIZATION LOCAL_RESPONSE_NORMALIZATION"
)
"""One operation an element."""
REDUCTIONS = _words("MEAN SUM REDUCE_MAX REDUCE_MIN REDUCE_PROD")
"""One result of many elements."""
MOVES = _words(
    "CONCATENATION PAD PADV2 MIRROR_PAD RESIZE_BILINEAR "
    "RESIZE_NEAREST_NEIGHBOR SLICE STRIDED_SLICE SPLIT SPLIT_V PACK UNPACK "
    "TRANSPOSE TILE GATHER GATHER_ND BROADCAST_TO REVERSE_V2 DEPTH_TO_SPACE "
    "SPACE_TO_DEPTH"
)
"""What only moves elements."""

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

_MAX_ELEMENTS = 2**40
_BITS = {
    "FLOAT32": 32,
    "FLOAT16": 16,
    "INT32": 32,
    "INT64": 64,
    "INT16": 16,
    "INT8": 8,
    "UINT8": 8,
    "INT4": 4,
    "BOOL": 8,
}


def _names(enumeration: type) -> dict[int, str]:
    return {
        value: name
        for name, value in vars(enumeration).items()
        if isinstance(value, int)
    }


_TYPES = _names(schema.TensorType)
_OPERATORS = _names(schema.BuiltinOperator)
_OPTIONS = _names(schema.BuiltinOptions)
_ACTIVATIONS = _names(schema.ActivationFunctionType)


class Tensor(NamedTuple):
    """A tensor of the graph.

    Attributes:
        name: Its name.
        shape: Its shape, with an unknown batch as 1.
        is_fixed: Whether all extents but the first are known.
        type: Its type in the words of the schema, for example `INT8`.
        is_constant: Whether the file holds its values.
    """

    name: str
    shape: tuple[int, ...]
    is_fixed: bool
    type: str
    is_constant: bool

    @property
    def bits(self) -> int:
        """Bits of an element; a float counts as the int8 it would become."""
        bits = _BITS.get(self.type, 8)
        return bits if self.type.startswith(("INT", "UINT")) else 8


@dataclasses.dataclass(frozen=True)
class Operator:
    """An operator of the graph.

    Attributes:
        op: Its name in the words of the schema, or of a custom operator.
        inputs: Indices of the tensors it reads; -1 for one left out.
        outputs: Indices of the tensors it writes.
        options: The accessors of its options, if it has any.
        tensors: All tensors of the graph.
    """

    op: str
    inputs: list[int]
    outputs: list[int]
    options: Any
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

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the first output."""
        return self.tensors[self.outputs[0]].shape

    @property
    def layouts(self) -> list[graph_tape.Extents]:
        """The extents of all outputs."""
        shapes = [self.tensors[index].shape for index in self.outputs]
        return [graph_tape.extents(shape) for shape in shapes]

    def has(self, position: int) -> bool:
        """Whether an optional input is there."""
        return position < len(self.inputs) and self.inputs[position] >= 0

    def tensor(self, position: int) -> Tensor:
        """The input at a position."""
        if not self.has(position):
            raise ValueError(f"{self.op} lacks its input {position}")
        return self.tensors[self.inputs[position]]


class Graph(NamedTuple):
    """The first subgraph of a file."""

    tensors: list[Tensor]
    operators: list[Operator]
    inputs: list[int]
    outputs: list[int]


def read_graph(content: bytes) -> Graph:
    """Reads the first subgraph, which is the one that an inference runs.

    Args:
        content: What the file holds.

    Returns:
        The graph.

    Raises:
        ValueError: If it is no TFLite model. Reading a damaged one raises
            any of `DAMAGE`.
    """
    if content[4:8] != b"TFL3":
        raise ValueError("it does not start like a TFLite model")
    model = schema.Model.GetRootAs(content, 0)
    if not model.SubgraphsLength():
        raise ValueError("it has no graph")
    stored = [
        _stored_bytes(model.Buffers(i), len(content))
        for i in range(model.BuffersLength())
    ]
    codes = [
        _operator_name(model.OperatorCodes(i))
        for i in range(model.OperatorCodesLength())
    ]
    graph = model.Subgraphs(0)
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
    if not operators or not inputs or not outputs:
        raise ValueError("its graph has no input, operator or output")
    return Graph(tensors, operators, inputs, outputs)


def _indices(length: int, read: Callable[[int], int]) -> list[int]:
    return [int(read(i)) for i in range(length)]


def _stored_bytes(buffer: Any, file_size: int) -> int:
    """Bytes of a buffer; raises unless the file holds all of them."""
    size = buffer.DataLength()
    if size:
        buffer.Data(size - 1)
    if buffer.Offset() > 1:  # stored behind the FlatBuffer: a large model
        size = buffer.Size()
        if buffer.Offset() + size > file_size:
            raise ValueError("it ends within its weights")
    return size


def _operator_name(code: Any) -> str:
    # Old files know only the first field, which new ones cap at 127.
    builtin = max(code.DeprecatedBuiltinCode(), code.BuiltinCode())
    if _OPERATORS[builtin] == "CUSTOM":
        return (code.CustomCode() or b"CUSTOM").decode()
    return _OPERATORS[builtin]


def _tensor(tensor: Any, stored: list[int]) -> Tensor:
    name = (tensor.Name() or b"").decode()
    shape = tuple(_indices(tensor.ShapeLength(), tensor.Shape))
    elements = math.prod(shape)
    if min(shape, default=0) < 0 or elements > _MAX_ELEMENTS:
        raise ValueError(f"tensor {name!r} has the shape {shape}")
    type_name = _TYPES[tensor.Type()]
    size = stored[tensor.Buffer()]
    bits = elements * _BITS.get(type_name, 0)
    # Sparse weights store less than their shape says.
    if size and bits and not tensor.Sparsity() and size != -(-bits // 8):
        raise ValueError(
            f"tensor {name!r} of shape {shape} has {size} bytes of values"
        )
    signature = _indices(tensor.ShapeSignatureLength(), tensor.ShapeSignature)
    # An empty tensor is its own value; a variable's value is state.
    is_constant = size > 0 or not elements or bool(tensor.IsVariable())
    return Tensor(name, shape, -1 not in signature[1:], type_name, is_constant)


def _operator(
    operator: Any, codes: list[str], tensors: list[Tensor]
) -> Operator:
    options, table = None, operator.BuiltinOptions()
    if table is not None:
        kind = _OPTIONS[operator.BuiltinOptionsType()]
        options = getattr(schema, kind, lambda: None)()
        if options is not None:
            options.Init(table.Bytes, table.Pos)
    return Operator(
        codes[operator.OpcodeIndex()],
        _indices(operator.InputsLength(), operator.Inputs),
        _indices(operator.OutputsLength(), operator.Outputs),
        options,
        tensors,
    )


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
