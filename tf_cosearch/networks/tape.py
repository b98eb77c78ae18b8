"""Records operations and finds what has to be held while each one runs."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tf_cosearch.networks.workload import Layer


class TensorShape(NamedTuple):
    """A tensor on a `Tape`: its number there, its shape, bits an element."""

    number: int
    height: int
    width: int
    channels: int
    bits: int = 8

    @property
    def extents(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return self.height, self.width, self.channels

    @property
    def elements(self) -> int:
        """Elements of one example."""
        return self.height * self.width * self.channels

    def count_of(self, bits: int) -> int:
        """Elements of so many bits that take as much memory."""
        return -(-self.elements * self.bits // bits)


def view(tensor: TensorShape, extents: tuple[int, int, int]) -> TensorShape:
    """The same tensor, seen with other extents."""
    height, width, channels = extents
    return tensor._replace(height=height, width=width, channels=channels)


def depth_first(
    inputs: Sequence[Sequence[int]], ends: Sequence[int]
) -> list[int]:
    """An order of operations in which branches come one after the other.

    So little is held: of what an operation reads, the first comes first, with
    all that it needs.

    Args:
        inputs: For each operation those that it reads from, by their numbers.
        ends: Operations that are wanted.

    Returns:
        The numbers of those and of all that they need, each after its inputs.

    Example:
    A short and a long branch of operation 0, read by 4.

    >>> depth_first([[], [0], [0], [2], [1, 3]], ends=[4])
    [0, 1, 2, 3, 4]
    """
    order: dict[int, None] = {}
    pending = [*reversed(ends)]
    while pending:
        missing = [each for each in inputs[pending[-1]] if each not in order]
        if missing:
            pending += reversed(missing)
        else:
            order.setdefault(pending.pop())
    return list(order)


class _Row(NamedTuple):
    """An operation on a tape.

    Attributes:
        layer: Its layer.
        read: Numbers of the tensors it reads.
        wanted: Elements that a run reads of each.
        written: The number of the tensor it writes.
        loop: The number of the loop that it is in, 0 if it is in none.
    """

    layer: Layer
    read: tuple[int, ...]
    wanted: tuple[int, ...]
    written: int
    loop: int


class Tape:
    """Records operations in execution order, with what they read and write.

    From who reads what until when follows which tensors have to be held while
    a layer runs, and which come from outside the chip or leave it, so that
    nobody has to say it: `layers` fills in `held_elements`, `side_elements`,
    `network_in_elements`, `network_out_elements`, `alive_elements` and
    `continues`. A tensor has bits of its own, and rows count what they read
    besides their first input in elements of that one.

    Example:
    >>> tape = Tape()
    >>> image = tape.input(8, 8, 4)
    >>> y = tape.add("conv", "conv2d", [image], (8, 8, 4), k_h=3, k_w=3)
    >>> y = tape.add("add", "elementwise", [y, image], (8, 8, 4))
    >>> [(row.name, row.held_elements) for row in tape.layers()]
    [('conv', 0), ('add', 0)]
    >>> [row.network_in_elements for row in tape.layers()]
    [256, 0]
    >>> [row.alive_elements for row in tape.layers()]  # the image, and `conv`
    [0, 512]
    >>> y = tape.add("top", "pool", [y], (1, 1, 4), k_h=8, k_w=8, groups=4,
    ...     output_bits=32)
    >>> tape.layers([y])[-1].network_out_elements, y.bits
    (4, 32)
    """

    def __init__(self) -> None:
        self._rows: list[_Row] = []
        self._tensors: list[TensorShape] = []
        self._starts: set[int] = set()
        self._loop = self._loops = 0

    @contextlib.contextmanager
    def loop(self) -> Iterator[None]:
        """Has the rows to come take turns: each step runs all of them.

        A loop within another is a part of it.
        """
        before = self._loop
        if not before:
            self._loops += 1
            self._loop = self._loops
        try:
            yield
        finally:
            self._loop = before

    def input(
        self,
        height: int,
        width: int,
        channels: int,
        bits: int = 8,
        is_outside: bool = True,
    ) -> TensorShape:
        """Declares a tensor that no recorded operation makes.

        Args:
            height: Its rows.
            width: Its columns.
            channels: Its channels.
            bits: Bits of an element.
            is_outside: Whether it comes from outside the chip, as the zeros
                do not that a state starts as.

        Returns:
            The tensor.
        """
        shape = TensorShape(len(self._tensors), height, width, channels, bits)
        self._tensors.append(shape)
        if not is_outside:
            self._starts.add(shape.number)
        return shape

    def add(
        self,
        name: str,
        op: str,
        inputs: Sequence[TensorShape],
        output: tuple[int, int, int],
        written: tuple[int, int, int] | None = None,
        **bounds: Any,
    ) -> TensorShape:
        """Records an operation.

        Args:
            name: Name of the row.
            op: One of `OPS`.
            inputs: What it reads; the first gives `in_h`, `in_w`, `in_c` and
                `activation_bits`. For a `matmul` only the left operand goes
                here first; a right operand that follows is held, but not
                counted twice.
            output: Height, width and channels of what it writes in a run.
            written: Those of the whole tensor, if several runs write it.
            **bounds: Further fields of `Layer`. `output_bits` are those of
                the tensor written, by default the bits of the first input;
                `held_elements` are held besides what the tape finds.

        Returns:
            The tensor written.
        """
        first, *others = inputs
        bits = bounds.setdefault("activation_bits", first.bits)
        if op != "matmul" and "side_elements" not in bounds:
            bounds["side_elements"] = sum(t.count_of(bits) for t in others)
        if bounds.get("repeats", 1) == 1:
            rest = self._unread(inputs, bits)
            bounds["held_elements"] = bounds.get("held_elements", 0) + rest
        layer = Layer(name, op, *output, *first.extents, **bounds)
        tensor = self.input(*(written or output), layer.output_bits or bits)
        read = tuple(each.number for each in inputs)
        wanted = tuple(each.elements for each in inputs)
        self._rows.append(_Row(layer, read, wanted, tensor.number, self._loop))
        return tensor

    def _unread(self, inputs: Sequence[TensorShape], bits: int) -> int:
        """What stays of tensors that are read in part, like a half of one."""
        views = collections.Counter[int]()
        for tensor in inputs:
            views[tensor.number] += tensor.count_of(bits)
        wholes = {n: self._tensors[n].count_of(bits) for n in views}
        return sum(max(0, wholes[n] - views[n]) for n in views)

    def reads(self, tensor: TensorShape) -> bool:
        """Whether an operation so far reads a tensor."""
        return any(tensor.number in row.read for row in self._rows)

    def sort(self) -> None:
        """Puts the operations in the order that `depth_first` gives."""
        here = {row.written: i for i, row in enumerate(self._rows)}
        inputs = [
            [here[number] for number in row.read if number in here]
            for row in self._rows
        ]
        read = {number for numbers in inputs for number in numbers}
        ends = [i for i in range(len(self._rows)) if i not in read]
        self._rows = [self._rows[i] for i in depth_first(inputs, ends)]

    def layers(
        self, outputs: Sequence[TensorShape] | None = None
    ) -> list[Layer]:
        """The rows so far, with what each has to hold.

        Args:
            outputs: Tensors, or parts of them, that leave the chip when they
                are made; what the last row writes, if they are not given.

        Returns:
            The recorded `Layer`s.
        """
        last_use = {
            number: index
            for index, row in enumerate(self._rows)
            for number in row.read
        }
        here = {row.written: i for i, row in enumerate(self._rows)}
        for index, row in enumerate(self._rows):
            for number in row.read:
                here.setdefault(number, index)  # an input comes when needed
        held = [row.layer.held_elements for row in self._rows]
        for number, last in last_use.items():
            for index in range(here[number] + 1, last):
                row = self._rows[index]
                if number not in row.read:
                    tensor = self._tensors[number]
                    held[index] += tensor.count_of(row.layer.activation_bits)
        brought, alive = self._brought(), self._alive()
        if outputs is None:
            outputs = [self._tensors[row.written] for row in self._rows[-1:]]
        leaving: collections.Counter[int] = collections.Counter()
        for tensor in outputs:
            leaving[tensor.number] += tensor.elements
        readers = collections.Counter(n for row in self._rows for n in row.read)
        return [
            dataclasses.replace(
                row.layer,
                held_elements=held[index],
                network_in_elements=brought[index],
                # Runs that write one tensor again and again leave it once,
                # and what is a part of it, like a last state, in part.
                network_out_elements=-(
                    -min(
                        leaving[row.written],
                        self._tensors[row.written].elements,
                    )
                    // row.layer.repeats
                ),
                continues=self._continues(index, readers, leaving),
                alive_elements=alive[index],
            )
            for index, row in enumerate(self._rows)
        ]

    def _alive(self) -> list[float]:
        """Elements that are there before each row and needed from it on.

        Rows may read the same part of a tensor, or others: together they need
        at most the sum of their parts, and no more than all of it.
        """
        alive: list[float] = [0] * len(self._rows)
        first = {row.written: index for index, row in enumerate(self._rows)}
        reads = collections.defaultdict[int, list[tuple[int, int, int]]](list)
        for index, row in enumerate(self._rows):
            for number, wanted in zip(row.read, row.wanted, strict=True):
                first.setdefault(number, index)  # an input comes when needed
                runs = row.layer.repeats
                reads[number].append((index, wanted, wanted * runs))
        for number, readers in reads.items():
            tensor = self._tensors[number]
            whole = max(tensor.elements, *(each for _, each, _ in readers))
            needed = 0
            while readers:
                last, _, wanted = readers.pop()
                needed = min(needed + wanted, whole)
                start = readers[-1][0] if readers else first[number]
                for index in range(max(start, first[number]) + 1, last + 1):
                    bits = self._rows[index].layer.activation_bits
                    alive[index] += -(-needed * tensor.bits // bits)
        for index in range(1, len(alive)):
            loop = self._rows[index].loop
            if loop and loop == self._rows[index - 1].loop:
                alive[index] = math.inf
        return alive

    def _continues(
        self, index: int, readers: Mapping[int, int], leaving: Mapping[int, int]
    ) -> bool:
        """Whether a row alone reads what was made just before, all of it.

        Of the first row that is what it starts from, as the rows of a block
        follow those of another.
        """
        layer, read = self._rows[index][:2]
        before = self._rows[index - 1 : index]
        if not read or any(row.written != read[0] for row in before):
            return False
        whole = self._tensors[read[0]].elements
        is_whole = whole == layer.in_h * layer.in_w * layer.in_c
        return is_whole and readers[read[0]] == 1 and not leaving[read[0]]

    def _brought(self) -> list[int]:
        """Elements that come from outside the chip for each row and run."""
        readers = collections.Counter(
            number for row in self._rows for number in set(row.read)
        )
        known = self._starts | {row.written for row in self._rows}
        brought = []
        for layer, read, *_ in self._rows:
            elements = 0
            for number in dict.fromkeys(read):
                if number not in known:
                    tensor = self._tensors[number]
                    count = tensor.count_of(layer.activation_bits)
                    # Nobody needs what strides jump over.
                    if number == read[0] and readers[number] == 1:
                        skipped = layer.in_elements - layer.touched_elements
                        count -= skipped
                    elements += count
            known.update(read)
            brought.append(-(-elements // layer.repeats))
        return brought
