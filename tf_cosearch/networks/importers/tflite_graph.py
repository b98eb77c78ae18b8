"""A graph of a .tflite file while it is read, and facts of its tensors."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Iterator
from typing import Any, NamedTuple

from tf_cosearch.networks.importers import graph_tape
from tf_cosearch.networks.importers.tflite_file import Graph, Operator, Tensor
from tf_cosearch.networks.importers.tflite_kinds import AXES
from tf_cosearch.networks.importers.tflite_shapes import Facts, Shape
from tf_cosearch.networks.tape import TensorShape, view

# What makes as many numbers of as many parameters.
_SAME_VALUES = AXES | {
    *("TRANSPOSE", "CAST", "QUANTIZE", "DEQUANTIZE", "FAKE_QUANT"),
    *("DENSIFY", "READ_VARIABLE", "NEG", "ABS", "EXP", "SQRT", "RSQRT"),
    *("TILE", "BROADCAST_TO"),
}
_PARTS = {"SPLIT", "SPLIT_V", "SLICE", "STRIDED_SLICE", "UNPACK", "GATHER"}
_NOT_ZERO_OF_ZERO = {"EXP", "RSQRT"}
_FARTHEST = 16  # operators between weights and who reads them


class Dilation(NamedTuple):
    """A convolution between a space-to-batch and its inverse.

    Attributes:
        rates: Its vertical and horizontal dilation.
        input: Extents of what it reads, without padding.
        output: Extents of what it writes.
        last: The batch-to-space that ends it.
    """

    rates: tuple[int, int]
    input: graph_tape.Extents
    output: graph_tape.Extents
    last: Operator


@dataclasses.dataclass(eq=False)
class Frame:
    """One run through a graph.

    Attributes:
        index: Number of the graph in its file.
        graph: The graph.
        facts: What is known of each of its tensors.
        stored: Sources of the weights that are counted so far, in all frames.
        rows: Tensors that depend on an input, on the tape.
        sources: Other tensors, and which parameters they are, if any.
        unpadded: Shapes without the padding that is left to convolutions.
        dilations: Dilated convolutions, by the tensor they write.
        folded: Tensors that are written as part of an earlier row.
        owners: The operator that writes each tensor.
        readers: Operators that read each tensor; `None` is the caller.
    """

    index: int
    graph: Graph
    facts: list[Facts]
    stored: set[Hashable]
    rows: dict[int, TensorShape] = dataclasses.field(default_factory=dict)
    sources: dict[int, Hashable] = dataclasses.field(default_factory=dict)
    unpadded: dict[int, Shape] = dataclasses.field(default_factory=dict)
    dilations: dict[int, Dilation] = dataclasses.field(default_factory=dict)
    folded: set[int] = dataclasses.field(default_factory=set)

    def __post_init__(self) -> None:
        self.owners: dict[int, Operator] = {}
        self.readers: dict[int, list[Operator | None]] = {}
        for index in self.graph.outputs:
            self.readers.setdefault(index, []).append(None)
        for operator in self.graph.operators:
            self.owners.update(dict.fromkeys(operator.outputs, operator))
            for index in dict.fromkeys(operator.inputs):
                self.readers.setdefault(index, []).append(operator)

    def calls(self) -> Iterator[Call]:
        """Its operators, which stand in execution order."""
        for operator in self.graph.operators:
            yield Call(self, operator)

    def source(self, index: int, depth: int = 0) -> Hashable:
        """Which parameters a tensor is, if it depends on no input.

        An operator may ask of what is not reached yet.
        """
        if index in self.sources:
            return self.sources[index]
        tensor, owner = self.graph.tensors[index], self.owners.get(index)
        if owner is None or tensor.data is not None:
            return None if tensor.data is None else tensor.buffer
        if depth > _FARTHEST:
            return None
        sources = Call(self, owner).source(depth + 1)
        return sources[owner.outputs.index(index)]

    def is_zero(self, index: int) -> bool:
        """Whether a stored tensor, maybe of another type, is all zero."""
        for _ in range(_FARTHEST):
            owner = self.owners.get(index)
            if owner is None or owner.op not in (
                _SAME_VALUES - _NOT_ZERO_OF_ZERO
            ):
                break
            index = owner.inputs[0] if owner.inputs else -1
        return index >= 0 and self.graph.tensors[index].is_zero

    def only_reader(self, index: int) -> Operator | None:
        """The operator that alone reads a tensor."""
        match self.readers.get(index):
            case [Operator() as reader]:
                return reader
        return None


@dataclasses.dataclass(frozen=True, eq=False)
class Call:
    """An operator in a frame."""

    frame: Frame
    operator: Operator

    @property
    def op(self) -> str:
        """Its name in the words of the schema."""
        return self.operator.op

    @property
    def name(self) -> str:
        """What the first tensor that it writes is called."""
        return self.operator.name

    def option(self, name: str, default: Any = 0) -> Any:
        """An option, or its default where the operator has none such."""
        return self.operator.option(name, default)

    def has(self, position: int) -> bool:
        """Whether an optional input is there."""
        inputs = self.operator.inputs
        return position < len(inputs) and inputs[position] >= 0

    def index(self, position: int) -> int:
        """The number of an input."""
        if not self.has(position):
            raise ValueError(f"it lacks its input {position}")
        return self.operator.inputs[position]

    def tensor(self, position: int) -> Tensor:
        """The input at a position, as the file states it."""
        return self.frame.graph.tensors[self.index(position)]

    def facts(self, position: int) -> Facts:
        """What is known of the input at a position."""
        return self.frame.facts[self.index(position)]

    def shape(self, position: int) -> Shape:
        """The shape of the input at a position."""
        return self.facts(position).shape

    def integers(self, position: int) -> list[int] | None:
        """The numbers of the input at a position, if they are known."""
        if not self.has(position):
            return None
        numbers = self.facts(position).numbers
        return None if numbers is None else [int(n) for n in numbers.flat]

    def is_activation(self, position: int) -> bool:
        """Whether the input at a position depends on an input of the graph."""
        return self.has(position) and self.index(position) in self.frame.rows

    def row(self, position: int) -> TensorShape:
        """The input at a position, which must not be known before."""
        if not self.is_activation(position):
            raise ValueError(f"its input {position} is constant")
        return self.frame.rows[self.index(position)]

    def reads(self) -> list[TensorShape]:
        """The activations that it reads."""
        rows = self.frame.rows
        return [rows[i] for i in self.operator.inputs if i in rows]

    @property
    def outputs(self) -> list[Facts]:
        """What is known of what it writes."""
        return [self.frame.facts[index] for index in self.operator.outputs]

    @property
    def layouts(self) -> list[graph_tape.Extents]:
        """The extents of all outputs."""
        return [graph_tape.extents(facts.shape) for facts in self.outputs]

    @property
    def bits(self) -> int:
        """Bits of an element of the first output."""
        return self.frame.graph.tensors[self.operator.outputs[0]].bits

    def image(self, position: int) -> TensorShape:
        """An input for a window to slide over, without its padding."""
        index = self.index(position)
        shape = self.frame.unpadded.get(index, self.shape(position))
        layout = graph_tape.extents(shape)
        row = self.row(position)
        if math.prod(layout) != row.elements:
            raise ValueError(
                f"its input of {row.elements} elements has the shape {shape}"
            )
        return view(row, layout)

    def source(self, depth: int = 0) -> list[Hashable]:
        """Which parameters each output is, where no input is an activation."""
        outputs, frame = self.operator.outputs, self.frame
        if self.op == "VAR_HANDLE":
            return [variable(self.operator)] * len(outputs)
        if self.op in _SAME_VALUES and len(outputs) == 1 and self.has(0):
            sizes = math.prod(self.shape(0)), math.prod(self.outputs[0].shape)
            if sizes[0] == sizes[1] or self.op == "READ_VARIABLE":
                return [frame.source(self.index(0), depth)]
        if self.op in _PARTS:
            # Which part is said by numbers: equal ones, wherever stored.
            operands = [
                frame.source(index, depth)
                if self.tensor(i).type not in ("INT32", "INT64")
                else tuple(self.integers(i) or ())
                for i, index in enumerate(self.operator.inputs)
                if index >= 0
            ]
            if None not in operands:
                return [
                    (self.op, *operands, part) for part in range(len(outputs))
                ]
        return [None] * len(outputs)

    def weights(self, position: int, use_bias: bool = False) -> dict[str, Any]:
        """Fields of a row by its weights; who comes first stores them."""
        index = self.index(position)
        fields = {
            "weight_bits": self.tensor(position).bits,
            "use_bias": use_bias,
            "reuses_weights": False,
        }
        if index in self.frame.rows:  # computed from an input: not stored
            return {**fields, "reuses_weights": True}
        source = self.frame.source(index)
        if source is None:
            source = ("computed", self.frame.index, index)
        fields["reuses_weights"] = source in self.frame.stored
        self.frame.stored.add(source)
        return fields

    def weight_shape(self, position: int, rank: int) -> Shape:
        """The shape of the weights at a position."""
        shape = self.shape(position)
        if len(shape) != rank or min(shape) < 1:
            raise ValueError(f"it has weights of shape {shape}")
        return shape

    def constants(self) -> dict[str, int]:
        """Fields of a row by the constants of an operation on elements.

        Single numbers, indices and zeros are no parameters.
        """
        elements, bits = 0, 0
        for position in range(len(self.operator.inputs)):
            if not self.has(position) or self.is_activation(position):
                continue
            tensor, size = (
                self.tensor(position),
                math.prod(self.shape(position)),
            )
            source = self.frame.source(self.index(position))
            is_index = tensor.type in ("INT32", "INT64", "BOOL")
            if size < 2 or source is None or is_index:
                continue
            if self.frame.is_zero(self.index(position)):
                continue
            if source not in self.frame.stored:
                self.frame.stored.add(source)
                elements, bits = elements + size, max(bits, tensor.bits)
        if not elements:
            return {}
        return {"stored_elements": elements, "weight_bits": bits}

    def stores_bias(self, position: int, channels: int) -> bool:
        """Whether there is a bias at a position, or one is added later."""
        if self.has(position) and not self.frame.is_zero(self.index(position)):
            return True
        index = self.operator.outputs[0]
        dilated = self.frame.dilations.get(index)
        reader = self.frame.only_reader(index)
        while reader is not None and (
            reader.op in AXES or (dilated and reader is dilated.last)
        ):
            index = reader.outputs[0]
            reader = self.frame.only_reader(index)
        if reader is not None and reader.op == "ADD":
            call = Call(self.frame, reader)
            others = [
                math.prod(call.shape(i))
                for i in range(len(reader.inputs))
                if call.index(i) != index
                and call.is_constant(i)
                and self.frame.source(call.index(i)) is not None
            ]
            if others == [channels]:
                self.frame.folded.add(reader.outputs[0])
                return True
        return self.has(position)

    def is_constant(self, position: int) -> bool:
        """Whether the input at a position is stored, or computed before.

        An operator that comes later may ask of what is not reached yet.
        """
        index, pending = self.index(position), [self.index(position)]
        visited: set[int] = set()
        while pending:
            index = pending.pop()
            if index in self.frame.rows:
                return False
            if index in visited or index in self.frame.sources:
                continue
            visited.add(index)
            if (owner := self.frame.owners.get(index)) is not None:
                pending += [i for i in owner.inputs if i >= 0]
        return True

    def axes(self) -> list[int | None] | None:
        """For each axis written which one it is of those read, if any.

        `None` unless axes of extent 1 are all that comes or goes.
        """
        before, after = list(self.shape(0)), list(self.outputs[0].shape)
        origins: list[int | None] = list(range(len(before)))
        if self.op == "EXPAND_DIMS" and (stated := self.integers(1)):
            origins.insert(stated[0] % len(after), None)
        elif len(after) == len(before) + 1:
            for axis in range(1, len(after)):
                if [*before[:axis], 1, *before[axis:]] == after:
                    origins.insert(axis, None)
                    break
        elif len(after) == len(before) - 1:
            for axis in range(1, len(before)):
                if [*after[:axis], 1, *after[axis:]] == before:
                    del origins[axis]
                    break
        if [1 if axis is None else before[axis] for axis in origins] != after:
            return None
        return origins


def variable(operator: Operator) -> Hashable:
    """The source of the variable that a handle names."""
    return "variable", operator.option("SharedName", b"")
