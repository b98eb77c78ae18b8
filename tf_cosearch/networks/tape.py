"""Records operations and finds what has to be held while each one runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

from tf_cosearch.networks.workload import Layer


class TensorShape(NamedTuple):
    """A tensor on a `Tape`: its number there and its shape."""

    number: int
    height: int
    width: int
    channels: int

    @property
    def elements(self) -> int:
        """Elements of one example."""
        return self.height * self.width * self.channels


class Tape:
    """Records operations in execution order, with what they read and write.

    From who reads what until when follows which tensors have to be held while
    a layer runs, so that nobody has to say it: `layers` fills in
    `held_elements` and `side_elements`.

    Example:
    >>> tape = Tape()
    >>> image = tape.input(8, 8, 4)
    >>> y = tape.add("conv", "conv2d", [image], (8, 8, 4), k_h=3, k_w=3)
    >>> y = tape.add("add", "elementwise", [y, image], (8, 8, 4))
    >>> [(row.name, row.held_elements) for row in tape.layers()]
    [('conv', 0), ('add', 0)]
    """

    def __init__(self) -> None:
        self._rows: list[tuple[Layer, tuple[int, ...], int]] = []
        self._tensors: list[TensorShape] = []

    def input(self, height: int, width: int, channels: int) -> TensorShape:
        """Declares a tensor that no recorded operation makes."""
        shape = TensorShape(len(self._tensors), height, width, channels)
        self._tensors.append(shape)
        return shape

    def add(
        self,
        name: str,
        op: str,
        inputs: Sequence[TensorShape],
        output: tuple[int, int, int],
        **bounds: Any,
    ) -> TensorShape:
        """Records an operation.

        Args:
            name: Name of the row.
            op: One of `OPS`.
            inputs: What it reads; the first gives `in_h`, `in_w` and `in_c`.
                For a `matmul` only the left operand goes here first; a right
                operand that follows is held, but not counted twice.
            output: Height, width and channels of what it writes.
            **bounds: Further fields of `Layer`.

        Returns:
            The tensor written.
        """
        first, *others = inputs
        sides = 0 if op == "matmul" else sum(t.elements for t in others)
        layer = Layer(
            name,
            op,
            *output,
            first.height,
            first.width,
            first.channels,
            **{"side_elements": sides, **bounds},
        )
        written = self.input(*output)
        read = tuple(tensor.number for tensor in inputs)
        self._rows.append((layer, read, written.number))
        return written

    def layers(self, outputs: Sequence[TensorShape] = ()) -> list[Layer]:
        """The rows so far, with what each has to hold.

        Args:
            outputs: Tensors that are needed after the last row.

        Returns:
            The recorded `Layer`s.
        """
        last_use = {
            number: index
            for index, (_, read, _) in enumerate(self._rows)
            for number in read
        }
        last_use |= {tensor.number: len(self._rows) for tensor in outputs}
        made = {written: i for i, (_, _, written) in enumerate(self._rows)}
        held = [0] * len(self._rows)
        for number, last in last_use.items():
            for index in range(made.get(number, -1) + 1, last):
                if number not in self._rows[index][1]:
                    held[index] += self._tensors[number].elements
        return [
            dataclasses.replace(layer, held_elements=elements)
            for (layer, _, _), elements in zip(self._rows, held, strict=True)
        ]
