"""Which convolutions a padding of a .tflite file is left to.

The padding before a convolution costs nothing. Between the two may stand axes
that are added or dropped, and the blocks by which a converter writes dilation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from tf_cosearch.networks.importers.tflite_file import Operator
from tf_cosearch.networks.importers.tflite_graph import Call
from tf_cosearch.networks.importers.tflite_kinds import AXES, CONVOLUTIONS
from tf_cosearch.networks.importers.tflite_shapes import Shape

_BETWEEN_BLOCKS = AXES | {"RELU", "RELU6", "QUANTIZE", "FAKE_QUANT"}


class Convolution(NamedTuple):
    """A convolution as seen from an earlier tensor.

    Attributes:
        call: The convolution.
        axes: For each axis of its input the one of the earlier tensor.
        rates: Dilation by blocks that are moved to the batch and back.
        end: The shape it writes after they are moved back, and by whom.
    """

    call: Call
    axes: list[int | None]
    rates: tuple[int, int]
    end: tuple[Shape, Operator] | None

    def shape(self, earlier: Shape) -> Shape:
        """The shape of its input, given that of the earlier tensor."""
        return tuple(1 if a is None else earlier[a] for a in self.axes)

    def fits(self, earlier: Shape, pads: Sequence[Sequence[int]]) -> bool:
        """Whether each of its windows touches the earlier tensor.

        Args:
            earlier: The shape of the earlier tensor without padding.
            pads: What is padded before and after each of its axes.
        """
        _, k_h, k_w, _ = self.call.weight_shape(1, 4)
        shape = self.shape(earlier)
        written = self.end[0] if self.end else self.call.outputs[0].shape
        for axis, kernel, letter, rate in (
            (1, k_h, "H", self.rates[0]),
            (2, k_w, "W", self.rates[1]),
        ):
            rate = max(rate, self.call.option(f"Dilation{letter}Factor", 1))
            reach = (kernel - 1) * rate
            stride = self.call.option(f"Stride{letter}", 1)
            origin = self.axes[axis]
            edges = (0, 0) if origin is None else pads[origin]
            if min(edges) < 0 or max(edges) > reach:
                return False
            if (written[axis] - 1) * stride >= shape[axis] + reach:
                return False
        slid = {self.axes[1], self.axes[2]}
        return all(
            axis in slid or not any(edges) for axis, edges in enumerate(pads)
        )


def convolutions(call: Call) -> list[Convolution] | None:
    """The convolutions that read what an operator writes, if only such do.

    Axes may be added in between, and blocks moved to the batch and back.
    """
    index = call.operator.outputs[0]
    rank = len(call.outputs[0].shape)
    convolutions = []
    for reader in call.frame.readers.get(index, ()):
        if reader is None:
            return None
        convolution = _slides(Call(call.frame, reader), list(range(rank)), {})
        if convolution is None:
            return None
        convolutions.append(convolution)
    return convolutions


def leads_to(call: Call) -> Convolution | None:
    """The convolution that alone reads an operator in the end, if one does."""
    return _slides(call, list(range(len(call.shape(0)))), {})


def _slides(
    call: Call, axes: Sequence[int | None], blocks: dict[int, int]
) -> Convolution | None:
    """The convolution that this operator is, or leads to alone."""
    if call.op in CONVOLUTIONS:
        if len(axes) != 4 or not call.has(1) or call.is_activation(1):
            return None
        if not blocks:
            return Convolution(call, list(axes), (1, 1), None)
        return _ends_dilation(call, list(axes), blocks)
    passed = list(axes)
    if call.op in AXES:
        if (origins := call.axes()) is None:
            return None
        passed = [None if a is None else axes[a] for a in origins]
    elif call.op == "SPACE_TO_BATCH_ND" and not blocks:
        sizes = call.integers(1)
        if sizes is None or call.integers(2) is None:
            return None
        blocks = dict(enumerate(sizes, 1))
        blocks = {a: blocks.get(i, 1) for i, a in enumerate(passed) if a}
    else:
        return None
    reader = call.frame.only_reader(call.operator.outputs[0])
    if reader is None:
        return None
    return _slides(Call(call.frame, reader), passed, blocks)


def _ends_dilation(
    convolution: Call, axes: list[int | None], blocks: dict[int, int]
) -> Convolution | None:
    """Follows a convolution to the batch-to-space that alone reads it."""
    passed: list[int | None] = [0, 1, 2, 3]
    index = convolution.operator.outputs[0]
    while (reader := convolution.frame.only_reader(index)) is not None:
        call = Call(convolution.frame, reader)
        if call.op == "BATCH_TO_SPACE_ND":
            sizes = call.integers(1)
            rates = tuple(blocks.get(a or 0, 1) for a in axes[1:3])
            if sizes is None or math.prod(sizes) != math.prod(rates):
                return None
            shape = call.outputs[0].shape
            written = [1, 1, 1, 1]
            for axis, extent in zip(passed, shape, strict=True):
                if axis is not None:
                    written[axis] = extent
            return Convolution(
                convolution,
                axes,
                (rates[0], rates[1]),
                (tuple(written), reader),
            )
        if call.op in AXES:
            if (origins := call.axes()) is None:
                return None
            passed = [None if a is None else passed[a] for a in origins]
        elif call.op == "ADD":
            others = [i for i in (0, 1) if call.index(i) != index]
            if len(others) != 1 or not call.is_constant(others[0]):
                return None
        elif call.op not in _BETWEEN_BLOCKS:
            return None
        index = reader.outputs[0]
    return None
