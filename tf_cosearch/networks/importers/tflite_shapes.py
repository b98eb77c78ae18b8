"""Shapes that a .tflite file leaves open, and the few numbers they hang on.

A file with an open batch or image states 1 for every extent that depends on
it. Once the extents of the inputs are known, these rules give the others, as
an interpreter would find them. Shapes may be computed in the graph (`SHAPE`,
`PACK`, `RESHAPE` and their like), so numbers are folded along.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tf_cosearch.networks.importers.tflite_file import (
    MAX_ELEMENTS,
    Operator,
    Tensor,
)
from tf_cosearch.networks.importers.tflite_kinds import (
    ELEMENTWISE,
    FREE,
    POOLS,
    REDUCTIONS,
)

Shape = tuple[int, ...]

_MOST_NUMBERS = 4096
_SAME_SHAPE = {
    *("REVERSE_V2", "REVERSE_SEQUENCE", "DYNAMIC_UPDATE_SLICE"),
    *("ZEROS_LIKE", "DENSIFY"),
}


class Facts(NamedTuple):
    """What is known of a tensor before an inference.

    Attributes:
        shape: Its shape.
        numbers: Its values, if they do not depend on the image and are few.
    """

    shape: Shape
    numbers: np.ndarray | None = None


class _Open(Exception):  # noqa: N818
    """A shape depends on numbers that are not known."""


class _Call:
    """An operator with what is known of its inputs."""

    def __init__(
        self, operator: Operator, inputs: Sequence[Facts | None]
    ) -> None:
        self.option = operator.option
        self.outputs = [operator.tensors[index] for index in operator.outputs]
        self.inputs = inputs

    def shape(self, position: int = 0) -> Shape:
        if (facts := self._input(position)) is None:
            raise _Open
        return facts.shape

    def shapes(self) -> list[Shape]:
        return [facts.shape for facts in self.inputs if facts is not None]

    def numbers(self, position: int = 0) -> np.ndarray:
        facts = self._input(position)
        if facts is None or facts.numbers is None:
            raise _Open
        return facts.numbers

    def integers(self, position: int) -> list[int]:
        return [int(number) for number in self.numbers(position).flat]

    def all_numbers(self) -> list[np.ndarray]:
        return [self.numbers(i) for i in range(len(self.inputs))]

    def _input(self, position: int) -> Facts | None:
        return self.inputs[position] if position < len(self.inputs) else None


def infer(operator: Operator, inputs: Sequence[Facts | None]) -> list[Facts]:
    """What is known of the outputs of an operator.

    Args:
        operator: The operator.
        inputs: What is known of its inputs; `None` for one left out.

    Returns:
        As much for every output. Extents that the file fixes are the file's;
        open ones that no rule gives count as 1, which is right for a batch.

    Raises:
        ValueError: If the shapes of the inputs do not go together.
    """
    call = _Call(operator, inputs)
    try:
        numbers = _numbers(operator.op, call)
        shapes: Sequence[Shape | None] = [None] * len(call.outputs)
        if any(is_open(tensor) for tensor in call.outputs):
            shapes = _shapes(operator.op, call)
    except (ArithmeticError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"its inputs do not go together ({error})") from error
    if len(shapes) != len(call.outputs):
        shapes = [None] * len(call.outputs)
    facts = []
    for tensor, shape in zip(call.outputs, shapes, strict=True):
        shape = merge(tensor, shape)
        if math.prod(shape) > MAX_ELEMENTS or min(shape, default=0) < 0:
            raise ValueError(f"its output has the shape {shape}")
        facts.append(Facts(shape))
    if numbers is not None and facts:
        facts[0] = Facts(numbers.shape, numbers)
    return facts


def is_open(tensor: Tensor) -> bool:
    """Whether the file leaves an extent of a tensor, or its rank, open."""
    return -1 in tensor.signature or not tensor.shape


def merge(tensor: Tensor, shape: Shape | None) -> Shape:
    """The shape of a tensor: as the file fixes it, else as it is inferred."""
    if shape is None:
        return tensor.shape
    if not tensor.shape:  # also what a file states for an unknown rank
        return shape
    if len(shape) != len(tensor.shape):
        return tensor.shape
    return tuple(
        inferred if stated == -1 else stated
        for inferred, stated in zip(shape, tensor.signature, strict=True)
    )


def _shapes(op: str, call: _Call) -> Sequence[Shape | None]:
    rule = SHAPES.get(op)
    if rule is None:
        return [None] * len(call.outputs)
    try:
        shapes = rule(call)
    except _Open:
        return [None] * len(call.outputs)
    return shapes if isinstance(shapes, list) else [shapes]


def _numbers(op: str, call: _Call) -> np.ndarray | None:
    """The values of the only output, if they can be told."""
    rule = _FOLDS.get(op)
    if rule is None or len(call.outputs) != 1:
        return None
    try:
        with np.errstate(all="ignore"):
            numbers = np.asarray(rule(call))
    except _Open:
        return None
    return numbers if numbers.size <= _MOST_NUMBERS else None


def _image(shape: Shape) -> Shape:
    if len(shape) != 4:
        raise ValueError(f"an image must have four axes, not {shape}")
    return shape


def window(
    size: int, kernel: int, stride: int, dilation: int, is_valid: bool
) -> int:
    """Positions of a window along an axis.

    >>> window(9, 3, 2, 1, True), window(9, 3, 2, 1, False)
    (4, 5)
    """
    reach = (kernel - 1) * dilation if is_valid else 0
    return max(0, -(-(size - reach) // max(1, stride)))


def _slide(call: _Call, kernel: Sequence[int], channels: int) -> Shape:
    batch, *sizes, _ = call.shape()
    axes = "DHW"[-len(sizes) :]
    if len(kernel) != len(sizes):
        raise ValueError(f"a kernel of {kernel} cannot slide over {sizes}")
    slid = [
        window(
            size,
            taps,
            call.option(f"Stride{axis}", 1),
            call.option(f"Dilation{axis}Factor", 1) or 1,
            call.option("Padding") == 1,
        )
        for size, taps, axis in zip(sizes, kernel, axes, strict=True)
    ]
    return batch, *slid, channels


def _convolution(call: _Call) -> Shape:
    filters, k_h, k_w, _ = _image(call.shape(1))
    return _slide(call, (k_h, k_w), filters)


def _depthwise(call: _Call) -> Shape:
    _, k_h, k_w, channels = _image(call.shape(1))
    return _slide(call, (k_h, k_w), channels)


def _convolution_3d(call: _Call) -> Shape:
    *kernel, _, filters = call.shape(1)
    return _slide(call, kernel, filters)


def _pool(call: _Call) -> Shape:
    kernel = call.option("FilterHeight", 1), call.option("FilterWidth", 1)
    return _slide(call, kernel, _image(call.shape())[3])


def _fully_connected(call: _Call) -> Shape:
    n, k = call.shape(1)
    if call.option("KeepNumDims", False):
        return *call.shape()[:-1], n
    return math.prod(call.shape()) // k, n


def _matmul(call: _Call) -> Shape:
    left, right = call.shape(0), call.shape(1)
    m = left[-1 if call.option("AdjX", False) else -2]
    n = right[-2 if call.option("AdjY", False) else -1]
    return *np.broadcast_shapes(left[:-2], right[:-2]), m, n


def _concatenate(call: _Call) -> Shape:
    shapes = call.shapes()
    axis = call.option("Axis") % len(shapes[0])
    shape = list(shapes[0])
    shape[axis] = sum(each[axis] for each in shapes)
    return tuple(shape)


def _pad(call: _Call) -> Shape:
    pads = call.numbers(1).reshape(-1, 2).tolist()
    return tuple(
        size + before + after
        for size, (before, after) in zip(call.shape(), pads, strict=True)
    )


def _resize(call: _Call) -> Shape:
    batch, _, _, channels = _image(call.shape())
    height, width = call.integers(1)
    return batch, height, width, channels


def reshape(shape: Shape, target: Sequence[int]) -> Shape:
    """The shape that a reshape gives; one extent may be -1."""
    stated = math.prod(extent for extent in target if extent >= 0)
    inferred = math.prod(shape) // stated if stated else 0
    return tuple(inferred if extent < 0 else extent for extent in target)


def _reshape(call: _Call) -> Shape:
    if len(call.inputs) > 1:
        target = call.integers(1)
    else:
        length = call.option("NewShapeLength")
        target = [int(call.option("NewShapeAsNumpy")[i]) for i in range(length)]
    return reshape(call.shape(), target)


def _squeeze(call: _Call) -> Shape:
    shape = call.shape()
    axes = call.option("SqueezeDimsAsNumpy")
    dropped = (
        {axis for axis, extent in enumerate(shape) if extent == 1}
        if isinstance(axes, int)
        else {int(axis) % len(shape) for axis in axes}
    )
    return tuple(n for axis, n in enumerate(shape) if axis not in dropped)


def _expand(call: _Call) -> Shape:
    shape = list(call.shape())
    axis = call.integers(1)[0]
    shape.insert(axis + len(shape) + 1 if axis < 0 else axis, 1)
    return tuple(shape)


def _slice(call: _Call) -> Shape:
    starts, sizes = call.integers(1), call.integers(2)
    return tuple(
        extent - start if size < 0 else size
        for extent, start, size in zip(call.shape(), starts, sizes, strict=True)
    )


def _slices(call: _Call) -> tuple[Any, ...]:
    begin, end, strides = (call.integers(i) for i in (1, 2, 3))
    if call.option("Offset", False):
        end = [start + size for start, size in zip(begin, end, strict=True)]
    parts: list[Any] = []
    for axis, step in enumerate(strides):
        is_in = {
            mask: bool(call.option(f"{mask}Mask") >> axis & 1)
            for mask in ("Begin", "End", "Ellipsis", "NewAxis", "ShrinkAxis")
        }
        if is_in["Ellipsis"]:
            parts.append(Ellipsis)
        elif is_in["NewAxis"]:
            parts.append(None)
        elif is_in["ShrinkAxis"]:
            parts.append(begin[axis])
        else:
            parts.append(
                slice(
                    None if is_in["Begin"] else begin[axis],
                    None if is_in["End"] else end[axis],
                    step,
                )
            )
    return tuple(parts)


def _strided_slice(call: _Call) -> Shape:
    nothing = np.broadcast_to(np.zeros((), bool), call.shape())  # no memory
    return nothing[_slices(call)].shape


def _split(call: _Call) -> list[Shape]:
    axis, shape = call.integers(0)[0], list(call.shape(1))
    shape[axis] //= len(call.outputs)
    return [tuple(shape)] * len(call.outputs)


def _split_by_sizes(call: _Call) -> list[Shape]:
    shape, axis = list(call.shape()), call.integers(2)[0]
    sizes = call.integers(1)
    rest = shape[axis] - sum(size for size in sizes if size > 0)
    parts = []
    for size in sizes:
        shape[axis] = rest if size < 0 else size
        parts.append(tuple(shape))
    return parts


def _pack(call: _Call) -> Shape:
    shape = list(call.shape())
    axis = call.option("Axis")
    shape.insert(axis + len(shape) + 1 if axis < 0 else axis, len(call.inputs))
    return tuple(shape)


def _unpack(call: _Call) -> list[Shape]:
    shape = list(call.shape())
    del shape[call.option("Axis")]
    return [tuple(shape)] * len(call.outputs)


def _transpose(call: _Call) -> Shape:
    return tuple(call.shape()[axis] for axis in call.integers(1))


def _tile(call: _Call) -> Shape:
    counts = call.integers(1)
    return tuple(n * k for n, k in zip(call.shape(), counts, strict=True))


def _gather(call: _Call) -> Shape:
    shape, batch = call.shape(), call.option("BatchDims")
    axis = call.option("Axis") % max(1, len(shape))
    return *shape[:axis], *call.shape(1)[batch:], *shape[axis + 1 :]


def _gather_nd(call: _Call) -> Shape:
    *indices, depth = call.shape(1)
    return *indices, *call.shape()[depth:]


def _blocks(call: _Call, is_inverse: bool) -> Shape:
    batch, *sizes = call.shape()
    blocks = call.integers(1)
    edges = call.numbers(2).reshape(-1, 2).sum(axis=1).tolist()
    for axis, (block, edge) in enumerate(zip(blocks, edges, strict=True)):
        if is_inverse:
            sizes[axis] = sizes[axis] * block - edge
        else:
            sizes[axis] = (sizes[axis] + edge) // block
    count = math.prod(blocks)
    return (batch // count if is_inverse else batch * count), *sizes


def _depth_to_space(call: _Call) -> Shape:
    block = call.option("BlockSize")
    batch, height, width, channels = _image(call.shape())
    return batch, height * block, width * block, channels // block**2


def _space_to_depth(call: _Call) -> Shape:
    block = call.option("BlockSize")
    batch, height, width, channels = _image(call.shape())
    return batch, height // block, width // block, channels * block**2


def _axes(call: _Call) -> set[int]:
    rank = len(call.shape())
    return {axis % rank for axis in call.integers(1)} if rank else set()


def _reduce(call: _Call) -> Shape:
    axes, keeps = _axes(call), call.option("KeepDims", False)
    return tuple(
        1 if axis in axes else extent
        for axis, extent in enumerate(call.shape())
        if keeps or axis not in axes
    )


def _index_of_largest(call: _Call) -> Shape:
    axes = _axes(call)
    return tuple(
        extent for axis, extent in enumerate(call.shape()) if axis not in axes
    )


def _last(position: int) -> Callable[[_Call], Shape]:
    """Everything but the channels, which are those of some weights."""
    return lambda call: (*call.shape()[:-1], call.shape(position)[0])


def _broadcast(call: _Call) -> Shape:
    return np.broadcast_shapes(*call.shapes())


def _as_input(position: int = 0) -> Callable[[_Call], Shape]:
    return lambda call: call.shape(position)


def _as_stated(position: int) -> Callable[[_Call], Shape]:
    return lambda call: tuple(call.integers(position))


SHAPES: dict[str, Callable[[_Call], Shape | list[Shape]]] = {
    **dict.fromkeys(ELEMENTWISE, _broadcast),
    **dict.fromkeys(FREE | _SAME_SHAPE, _as_input()),
    **dict.fromkeys(REDUCTIONS, _reduce),
    **dict.fromkeys(["ARG_MAX", "ARG_MIN"], _index_of_largest),
    **dict.fromkeys(POOLS, _pool),
    **dict.fromkeys(["PAD", "PADV2", "MIRROR_PAD"], _pad),
    **dict.fromkeys(["RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"], _resize),
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "CONV_3D": _convolution_3d,
    "TRANSPOSE_CONV": _as_stated(0),
    "CONV_3D_TRANSPOSE": _as_stated(0),
    "FULLY_CONNECTED": _fully_connected,
    "BATCH_MATMUL": _matmul,
    "CONCATENATION": _concatenate,
    "RESHAPE": _reshape,
    "SQUEEZE": _squeeze,
    "EXPAND_DIMS": _expand,
    "SLICE": _slice,
    "STRIDED_SLICE": _strided_slice,
    "SPLIT": _split,
    "SPLIT_V": _split_by_sizes,
    "PACK": _pack,
    "UNPACK": _unpack,
    "TRANSPOSE": _transpose,
    "TILE": _tile,
    "GATHER": _gather,
    "GATHER_ND": _gather_nd,
    "EMBEDDING_LOOKUP": lambda call: (*call.shape(0), *call.shape(1)[1:]),
    "BROADCAST_TO": _as_stated(1),
    "FILL": _as_stated(0),
    "SPACE_TO_BATCH_ND": lambda call: _blocks(call, False),
    "BATCH_TO_SPACE_ND": lambda call: _blocks(call, True),
    "DEPTH_TO_SPACE": _depth_to_space,
    "SPACE_TO_DEPTH": _space_to_depth,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": lambda call: (
        *call.shape()[:-1],
        call.shape(18)[-1],
    ),
    "UNIDIRECTIONAL_SEQUENCE_RNN": _last(1),
    "RNN": _last(1),
}
"""The shapes that an operator writes."""


def _reduction(function: Callable[..., Any]) -> Callable[[_Call], Any]:
    return lambda call: function(
        call.numbers(),
        axis=tuple(_axes(call)),
        keepdims=call.option("KeepDims", False),
    )


def _pairwise(function: Callable[[Any, Any], Any]) -> Callable[[_Call], Any]:
    return lambda call: function(call.numbers(0), call.numbers(1))


def _viewed(rule: Callable[[_Call], Shape]) -> Callable[[_Call], Any]:
    return lambda call: call.numbers().reshape(rule(call))


def _bounded(shape: Shape) -> Shape:
    if math.prod(shape) > _MOST_NUMBERS:
        raise _Open
    return shape


def _bounded_numbers(call: _Call) -> list[np.ndarray]:
    """The values of all inputs; a file may name one a million times."""
    numbers = call.all_numbers()
    _bounded((sum(values.size for values in numbers),))
    return numbers


def _range(call: _Call) -> Any:
    start, stop, step = (call.numbers(i).item() for i in range(3))
    _bounded((int((stop - start) / step),))
    return np.arange(start, stop, step)


def _division(left: Any, right: Any) -> Any:
    if np.issubdtype(left.dtype, np.floating):
        return left / right
    return np.trunc(left / right).astype(left.dtype)


def _cast(call: _Call) -> Any:
    kind = call.outputs[0].type.lower()
    if kind not in ("int8", "int16", "int32", "int64", "float32", "bool"):
        raise _Open
    return call.numbers().astype(kind)


_FOLDS: dict[str, Callable[[_Call], Any]] = {
    "SHAPE": lambda call: np.array(call.shape(), np.int64),
    "RANK": lambda call: np.array(len(call.shape()), np.int64),
    "PACK": lambda call: np.stack(_bounded_numbers(call), call.option("Axis")),
    "CONCATENATION": lambda call: np.concatenate(
        _bounded_numbers(call), call.option("Axis")
    ),
    "STRIDED_SLICE": lambda call: call.numbers()[_slices(call)],
    "SLICE": lambda call: call.numbers()[
        tuple(
            slice(start, start + size)
            for start, size in zip(call.integers(1), _slice(call), strict=True)
        )
    ],
    "GATHER": lambda call: np.take(
        call.numbers(), call.numbers(1), call.option("Axis")
    ),
    "RESHAPE": _viewed(_reshape),
    "SQUEEZE": _viewed(_squeeze),
    "EXPAND_DIMS": _viewed(_expand),
    "TRANSPOSE": lambda call: call.numbers().transpose(call.integers(1)),
    "FILL": lambda call: np.full(
        _bounded(_as_stated(0)(call)), call.numbers(1)
    ),
    "BROADCAST_TO": lambda call: np.broadcast_to(
        call.numbers(), _bounded(_as_stated(1)(call))
    ),
    "BROADCAST_ARGS": lambda call: np.array(
        np.broadcast_shapes(call.integers(0), call.integers(1)), np.int64
    ),
    "RANGE": _range,
    "CAST": _cast,
    "ADD": _pairwise(np.add),
    "SUB": _pairwise(np.subtract),
    "MUL": _pairwise(np.multiply),
    "DIV": _pairwise(_division),
    "FLOOR_DIV": _pairwise(np.floor_divide),
    "FLOOR_MOD": _pairwise(np.mod),
    "MAXIMUM": _pairwise(np.maximum),
    "MINIMUM": _pairwise(np.minimum),
    "LESS": _pairwise(np.less),
    "LESS_EQUAL": _pairwise(np.less_equal),
    "GREATER": _pairwise(np.greater),
    "GREATER_EQUAL": _pairwise(np.greater_equal),
    "EQUAL": _pairwise(np.equal),
    "NOT_EQUAL": _pairwise(np.not_equal),
    "LOGICAL_AND": _pairwise(np.logical_and),
    "LOGICAL_OR": _pairwise(np.logical_or),
    "LOGICAL_NOT": lambda call: np.logical_not(call.numbers()),
    "NEG": lambda call: np.negative(call.numbers()),
    "ABS": lambda call: np.abs(call.numbers()),
    "CEIL": lambda call: np.ceil(call.numbers()),
    "FLOOR": lambda call: np.floor(call.numbers()),
    "SELECT_V2": lambda call: np.where(*call.all_numbers()),
    "REDUCE_PROD": _reduction(np.prod),
    "REDUCE_MAX": _reduction(np.max),
    "REDUCE_MIN": _reduction(np.min),
    "SUM": _reduction(np.sum),
}
"""The values that an operator writes."""
