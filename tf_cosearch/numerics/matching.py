"""Which tensor of a float .tflite file a tensor of a quantized one stands for.

Both are walked together from the image on: an operator of the quantized graph
is that of the float graph which is of the same kind, has weights of the same
shape, and reads the tensors that its own inputs stand for. Between these, the
float graph may have activations, normalisations and reshapes of their own that
the quantized one has folded into others.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator

import numpy as np

from tf_cosearch.networks.importers import tflite_file
from tf_cosearch.networks.importers.tflite_file import Graph, Operator, Tensor

COPIES = ("QUANTIZE", "DEQUANTIZE")
"""Operators that only change how numbers are stored."""

MOVES = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
"""Operators that leave numbers in their order."""

_ACTIVATIONS = ("RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1")
_AFFINE = ("ADD", "SUB", "MUL", "DIV")
_COMMUTATIVE = ("ADD", "MUL", "MAXIMUM", "MINIMUM")
_DATA = ("FLOAT32", "INT8", "UINT8", "INT16")
_INTEGERS = ("INT4", "INT8", "UINT8", "INT16")
_LOOPS = ("WHILE", "IF", "CALL", "CALL_ONCE")
_MOST_SKIPPED = 6  # operators that the other graph has folded


@dataclasses.dataclass(frozen=True)
class Layer:
    """An operator of the quantized graph, and what it stands for.

    Attributes:
        operator: Of the quantized graph; None is the image itself.
        counterpart: Number of the operator of the float graph; None where
            that has no operator.
        inputs: The tensors that it reads, of the quantized graph.
        reads: What `counterpart` reads for each of them.
        tensor: The tensor that it writes, of the quantized graph.
        target: The tensor of the float graph that `tensor` stands for.
        is_inner: Whether `tensor` is not compared, as the float graph has
            folded the operator that follows.
    """

    operator: Operator | None
    counterpart: int | None
    inputs: tuple[int, ...]
    reads: tuple[int, ...]
    tensor: int
    target: int = -1
    is_inner: bool = False

    @property
    def is_copy(self) -> bool:
        """Whether it puts out the numbers that it reads."""
        is_moved = self.counterpart is None and self.kind in MOVES
        return self.operator is not None and (is_moved or self.kind in COPIES)

    @property
    def kind(self) -> str:
        """Its operator in the words of the schema."""
        return "INPUT" if self.operator is None else self.operator.op


class Walk:
    """A graph, and which of its tensors are worked out from the image.

    Attributes:
        graph: The graph.
        readers: The operators that read a tensor, by tensor.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.readers: dict[int, list[Operator]] = {}
        self._moving = set(graph.inputs)
        for operator in graph.operators:
            if self.reads(operator):
                self._moving.update(operator.outputs)
            for tensor in self.reads(operator):
                self.readers.setdefault(tensor, []).append(operator)

    def reads(self, operator: Operator) -> list[int]:
        """Inputs that follow from the image."""
        return [i for i in operator.inputs if self.is_data(i)]

    def writes(self, operator: Operator) -> list[int]:
        """Outputs that follow from the image."""
        return [i for i in operator.outputs if self.is_data(i)]

    def is_data(self, tensor: int) -> bool:
        """Whether it is a number of the image, not a weight or a shape."""
        return (
            tensor in self._moving and self.graph.tensors[tensor].type in _DATA
        )

    def constants(self, operator: Operator) -> list[Tensor]:
        """Inputs that are the same for all images."""
        return [
            self.graph.tensors[i]
            for i in operator.inputs
            if i >= 0 and i not in self._moving
        ]

    def after(self, tensor: int) -> Iterator[tuple[int, int]]:
        """A tensor, and those that are it but for an activation or the like.

        Yields:
            The tensor, and how many operators were passed.
        """
        reached = [tensor]
        for skipped in range(_MOST_SKIPPED + 1):
            yield from ((each, skipped) for each in reached)
            reached = [
                operator.outputs[0]
                for each in reached
                for operator in self.readers.get(each, [])
                if self.may_be_folded(operator)
            ]

    def may_be_folded(self, operator: Operator) -> bool:
        """Whether a converter may make it a part of the operator before."""
        if operator.op in _AFFINE:
            return len(self.reads(operator)) == 1
        return operator.op in (*COPIES, *MOVES, *_ACTIVATIONS)


def match(float_graph: Graph, quantized_graph: Graph) -> list[Layer]:
    """Finds what each operator of a quantized network stands for.

    Args:
        float_graph: Of the network in float.
        quantized_graph: Of the network that was made from it.

    Returns:
        Layers in execution order, first the image.

    Raises:
        ValueError: If an operator has no counterpart; it is named.
    """
    for graph, kind in ((float_graph, "float"), (quantized_graph, "quantized")):
        _require_plain(graph, kind)
    _require_types(float_graph, quantized_graph)
    return _Match(Walk(float_graph), Walk(quantized_graph)).layers()


class _Match:
    def __init__(self, floats: Walk, quantized: Walk) -> None:
        self._floats = floats
        self._quantized = quantized
        self._target: dict[int, int] = {}  # by tensor of the quantized graph
        self._taken: set[int] = set()  # numbers of operators of the float graph
        self._number = {
            id(operator): number
            for number, operator in enumerate(floats.graph.operators)
        }
        self._inner: set[int] = set()

    def layers(self) -> list[Layer]:
        [image], [its_target] = (
            self._quantized.graph.inputs,
            self._floats.graph.inputs,
        )
        shapes = [
            list(w.graph.tensors[i].shape[1:])
            for w, i in ((self._floats, its_target), (self._quantized, image))
        ]
        if shapes[0] != shapes[1]:
            raise _mismatch(f"images of {shapes[0]} and of {shapes[1]}")
        self._target[image] = its_target
        found = [Layer(None, None, (), (), image)]
        for operator in self._quantized.graph.operators:
            outputs = self._quantized.writes(operator)
            if not outputs or not self._quantized.reads(operator):
                continue
            counterpart, reads = self._counterpart(operator)
            inputs = tuple(self._quantized.reads(operator))
            found += [
                Layer(operator, counterpart, inputs, reads, i) for i in outputs
            ]
        self._finish()
        return [
            dataclasses.replace(
                layer,
                target=self._target[layer.tensor],
                is_inner=layer.tensor in self._inner,
            )
            for layer in found
        ]

    def _counterpart(
        self, operator: Operator
    ) -> tuple[int | None, tuple[int, ...]]:
        """The operator of the float graph, and what it reads.

        Notes what the tensors that the quantized one writes stand for.
        """
        inputs = self._quantized.reads(operator)
        outputs = self._quantized.writes(operator)
        if operator.op in COPIES:
            self._target[outputs[0]] = self._target[inputs[0]]
            return None, ()
        best = min(
            self._candidates(operator, inputs),
            key=lambda each: each[:2],
            default=None,
        )
        if best is None:
            if not self._quantized.may_be_folded(operator):
                raise self._lacking(operator, inputs)
            # The float graph has folded it into the operator before.
            self._target[outputs[0]] = self._target[inputs[0]]
            if operator.op not in MOVES:
                self._inner.add(inputs[0])
            return None, ()
        _, _, counterpart, targets = best
        number = self._number[id(counterpart)]
        self._taken.add(number)
        # Only now is it known where what was folded ends.
        self._target.update(zip(inputs, targets, strict=True))
        self._target.update(
            zip(outputs, self._floats.writes(counterpart), strict=True)
        )
        return number, tuple(targets)

    def _candidates(
        self, operator: Operator, inputs: list[int]
    ) -> Iterator[tuple[int, float, Operator, list[int]]]:
        """Operators that may be the one, with how far and how unlike."""
        ways = [
            dict(reversed(list(self._floats.after(self._target[i]))))
            for i in inputs
        ]
        near = {
            id(reader): reader
            for way in ways
            for tensor in way
            for reader in self._floats.readers.get(tensor, [])
        }
        for candidate in near.values():
            is_taken = self._number[id(candidate)] in self._taken
            if is_taken or not self._is_like(operator, candidate):
                continue
            reads = self._floats.reads(candidate)
            orders = [reads]
            if candidate.op in _COMMUTATIVE:
                orders = [list(each) for each in itertools.permutations(reads)]
            for order in orders:
                if all(t in way for t, way in zip(order, ways, strict=True)):
                    skipped = sum(
                        way[t] for t, way in zip(order, ways, strict=True)
                    )
                    unlike = self._unlikeness(operator, candidate)
                    yield skipped, unlike, candidate, order

    def _is_like(self, operator: Operator, candidate: Operator) -> bool:
        """Whether kind, weights and outputs are of the same shapes."""
        if candidate.op != operator.op:
            return False
        shapes, numbers, sizes = (
            [
                of(self._floats, candidate),
                of(self._quantized, operator),
            ]
            for of in (_weight_shapes, _read_count, _written_sizes)
        )
        return (
            shapes[0] == shapes[1]
            and numbers[0] == numbers[1]
            and sizes[0] == sizes[1]
        )

    def _unlikeness(self, operator: Operator, candidate: Operator) -> float:
        """Share of weights whose sign differs: of branches that look alike."""
        signs = []
        for walk, each in (
            (self._quantized, operator),
            (self._floats, candidate),
        ):
            kernels = [
                values(tensor)
                for tensor in walk.constants(each)
                if len(tensor.shape) > 1 and tensor.data is not None
            ]
            signs.append([np.sign(kernel) for kernel in kernels])
        different = total = 0
        for one, other in zip(*signs, strict=True):
            is_known = (one != 0) & (other != 0)
            different += int(((one != other) & is_known).sum())
            total += int(is_known.sum())
        return different / total if total else 0.0

    def _finish(self) -> None:
        """Refuses a float network that goes on where the other one ends."""
        ends = (self._quantized.graph.outputs, self._floats.graph.outputs)
        if len(ends[0]) != len(ends[1]):
            raise _mismatch(
                f"{len(ends[1])} outputs in float and {len(ends[0])} quantized"
            )
        for output, target in zip(*ends, strict=True):
            if not self._quantized.is_data(output):
                continue
            reached = [t for t, _ in self._floats.after(self._target[output])]
            if target not in reached:
                name = self._floats.graph.tensors[target].name
                raise _mismatch(
                    "a float network that goes on to "
                    f"{name!r} where the quantized one ends"
                )
            self._target[output] = target

    def _lacking(self, operator: Operator, inputs: list[int]) -> ValueError:
        after = ", ".join(
            sorted(
                {
                    reader.op
                    for i in inputs
                    for t, _ in self._floats.after(self._target[i])
                    for reader in self._floats.readers.get(t, [])
                }
            )
        )
        shapes = _weight_shapes(self._quantized, operator)
        of = f" with weights {shapes[0]}" if shapes else ""
        return _mismatch(
            f"{operator.op} {operator.name!r}{of}, where the float network "
            f"has {after or 'its end'}, of other weights or outputs if it is "
            "the same kind"
        )


def values(tensor: Tensor) -> np.ndarray:
    """The stored numbers of a constant, integers as they are.

    Args:
        tensor: Of type FLOAT32, FLOAT16, INT4, INT8, UINT8, INT16 or INT32.

    Raises:
        ValueError: If the file does not hold them.

    Example: two numbers of 4 bits a byte, the lower ones first.

    >>> data = np.array([0xF1], np.uint8)
    >>> values(Tensor("", (2,), (2,), "INT4", 0, data, False)).tolist()
    [1, -1]
    """
    if tensor.data is None:
        raise ValueError(f"Weights must be stored. Received: {tensor.name!r}.")
    if tensor.type == "INT4":
        pairs = np.stack([tensor.data & 15, tensor.data >> 4], -1).astype(int)
        count = math.prod(tensor.shape)
        numbers = pairs.reshape(-1)[:count]
        return (numbers - 16 * (numbers > 7)).reshape(tensor.shape)
    stored = tensor.data.view(tensor.type.lower())
    return stored.reshape(tensor.shape)


def _weight_shapes(walk: Walk, operator: Operator) -> list[tuple[int, ...]]:
    return [
        tensor.shape
        for tensor in walk.constants(operator)
        if len(tensor.shape) > 1 and tensor.type not in ("INT32", "INT64")
    ]


def _read_count(walk: Walk, operator: Operator) -> int:
    return len(walk.reads(operator))


def _written_sizes(walk: Walk, operator: Operator) -> list[int]:
    return [_size(walk.graph, i) for i in walk.writes(operator)]


def _size(graph: Graph, tensor: int) -> int:
    """Numbers of a tensor for one image."""
    return math.prod(graph.tensors[tensor].shape)


def _require_plain(graph: Graph, kind: str) -> None:
    if len(graph.inputs) != 1:
        raise ValueError(
            "Networks must have one input to be compared. Received: a "
            f"{kind} one of {len(graph.inputs)}."
        )
    loops = sorted({o.op for o in graph.operators if o.op in _LOOPS})
    if loops:
        raise ValueError(
            "Networks must have no loops to be compared layer by layer. "
            f"Received: {', '.join(loops)} in the {kind} one. Unroll them."
        )
    states = [t.name for t in graph.tensors if t.is_variable]
    if states:
        raise ValueError(
            "Networks must have no state to be compared layer by layer. "
            f"Received: {states[0]!r} in the {kind} one."
        )


def _require_types(floats: Graph, quantized: Graph) -> None:
    """Refuses networks in the place of each other."""
    integers = [
        sorted({t.name for t in graph.tensors if t.type in _INTEGERS})
        for graph in (floats, quantized)
    ]
    if integers[0]:
        raise ValueError(
            "The float model must be in float. Received: integers in "
            f"{integers[0][0]!r}. Give the model before it was quantized."
        )
    if not integers[1]:
        raise ValueError(
            "The quantized model must hold integers. Received: a file of "
            "floats. Give the one that was quantized."
        )


def _mismatch(what: str) -> ValueError:
    return ValueError(
        "The float and the quantized network must be one network, layer by "
        f"layer. Received: {what}. Give the float model that the quantized "
        "file was made from."
    )


def read(content: bytes, what: str) -> Graph:
    """Reads the graph of a .tflite file.

    Args:
        content: Of the file.
        what: What it is, for the message.

    Raises:
        ValueError: If it is damaged.
    """
    try:
        return tflite_file.read_model(content).graphs[0]
    except tflite_file.DAMAGE as error:
        raise ValueError(
            f"{what} must be a whole .tflite file. Received: {error}. Save or "
            "copy it again."
        ) from None
