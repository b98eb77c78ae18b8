"""Rows of networks, put together of those of blocks and stages seen before."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tf_cosearch.networks.layer_ops import LayerRecorder
from tf_cosearch.networks.network import Network
from tf_cosearch.networks.spaces.stage import Stage
from tf_cosearch.networks.workload import (
    NETWORK_ENDS,
    Layer,
    LayerTable,
    to_array,
)

MOST_STAGES = 2**15
"""Stages whose rows are remembered."""

_FROM_OUTSIDE, _TO_OUTSIDE = NETWORK_ENDS
_HELD, _BITS = (
    LayerTable._fields.index(name)
    for name in ("held_elements", "activation_bits")
)

Tensor = tuple[int, int, int, int]
"""Height, width and channels, and bits of an element."""


class _End(NamedTuple):
    """What ends a network.

    Attributes:
        rows: `[L, F]`.
        early: The stages that it reads, beside the last one.
        is_last: Whether all its rows come after those of the stages.
    """

    rows: np.ndarray
    early: tuple[int, ...]
    is_last: bool


class RowMemory:
    """Knows the rows of blocks and stages by the shapes that they start from.

    A block holds what it needs of its input itself, so blocks can be recorded
    one by one. What the end of a network reads of an earlier stage, all blocks
    between hold besides.

    Args:
        stages: Of the networks.
        network: One without blocks, for all that they have in common.
    """

    def __init__(self, stages: Sequence[Stage], network: Network) -> None:
        self._stages, self._network = stages, network
        self._blocks: dict[tuple[Any, ...], tuple[np.ndarray, Tensor]] = {}
        self._runs: dict[tuple[Any, ...], tuple[np.ndarray, Tensor]] = {}
        self._ends: dict[tuple[Tensor, ...], _End] = {}

    def rows(self, genes: Sequence[tuple[int, ...]]) -> np.ndarray:
        """The rows of a network, equal to those of its `layers()`.

        Args:
            genes: Of each stage.

        Returns:
            A `[L, F]` float32 array, see `workload.to_array`.
        """
        shape: Tensor = (*self._network.input_shape, 8)
        parts, outputs = [], []
        for stage, part in zip(self._stages, genes, strict=True):
            rows, shape = self._stage(stage, part, shape)
            parts.append(rows)
            outputs.append(shape)
        read = outputs if self._network.task.reads_stages else outputs[-1:]
        end = self._end(tuple(read))
        # A stage without rows puts out the very tensor of the one before, and
        # one of other bits may be converted once for two that read it.
        is_known = end.is_last and all(map(len, parts))
        if end.early and not (
            is_known and all(outputs[index][3] == 8 for index in end.early)
        ):
            specs = itertools.chain.from_iterable(
                stage.decode(part)
                for stage, part in zip(self._stages, genes, strict=True)
            )
            network = dataclasses.replace(self._network, blocks=tuple(specs))
            return to_array(network.layers())
        for index in end.early:
            shape = outputs[index]
            after = index + 1
            parts[after], _ = self._stage(
                self._stages[after], genes[after], shape, is_kept=True
            )
        for index in end.early:
            for later in range(index + 2, len(parts)):
                parts[later] = _holding(parts[later], outputs[index])
        return np.concatenate([*parts, end.rows])

    def _stage(
        self,
        stage: Stage,
        genes: tuple[int, ...],
        shape: Tensor,
        is_kept: bool = False,
    ) -> tuple[np.ndarray, Tensor]:
        """Rows of a stage that starts from a shape, and the one it ends in."""
        key = stage.name, genes, shape, is_kept
        known = self._runs.get(key)
        if known is None:
            if len(self._runs) >= MOST_STAGES:
                self._runs.clear()
            known = self._runs[key] = self._read(stage, genes, shape, is_kept)
        return known

    def _read(
        self,
        stage: Stage,
        genes: tuple[int, ...],
        shape: Tensor,
        is_kept: bool,
    ) -> tuple[np.ndarray, Tensor]:
        start, is_held = shape, False
        parts = [np.empty((0, len(LayerTable._fields)), np.float32)]
        for spec in stage.decode(genes):
            key = (
                *(spec.block, spec.filters, spec.stride, spec.options),
                *(shape, is_kept),
            )
            known = self._blocks.get(key)
            if known is None:
                known = self._blocks[key] = _record(spec.apply, shape, is_kept)
            rows, shape = known
            parts.append(_holding(rows, start) if is_held else rows)
            if is_kept and len(rows):  # else it has what it starts from itself
                is_kept, is_held = False, True
        rows = np.concatenate(parts)
        # Only the first block reads the image, only the last row answers.
        is_first = stage is self._stages[0]
        rows[len(parts[1]) if is_first else 0 :, _FROM_OUTSIDE] = 0
        rows[:, _TO_OUTSIDE] = 0
        return rows, shape

    def _end(self, shapes: tuple[Tensor, ...]) -> _End:
        if shapes not in self._ends:
            rows, early, is_last = rows_of_end(self._network, shapes)
            array = to_array(rows)
            array[:, _FROM_OUTSIDE] = 0
            self._ends[shapes] = _End(array, early, is_last)
        return self._ends[shapes]


def rows_of_end(
    network: Network, shapes: Sequence[tuple[int, ...]]
) -> tuple[list[Layer], tuple[int, ...], bool]:
    """What ends a network whose stages put out such shapes.

    Args:
        network: With or without blocks.
        shapes: Of the stages that the end is told, the last one last.

    Returns:
        Its rows, which of the others it reads, and whether all its rows come
        after those of the stages.
    """
    recorder = LayerRecorder()
    inputs = [recorder.input(*shape) for shape in shapes]
    network.end(recorder, inputs)
    *others, last = shapes
    early = tuple(i for i in range(len(others)) if recorder.reads(inputs[i]))
    if not early:
        return recorder.layers(), early, True
    # A row in the place of all between keeps what it reads for later.
    recorder = LayerRecorder()
    inputs = [recorder.input(*shape) for shape in others]
    height, width, channels, *bits = last
    between = recorder.row(
        "between",
        "elementwise",
        [inputs[index] for index in early],
        (height, width, channels),
        **({"output_bits": bits[0]} if bits else {}),
    )
    network.end(recorder, [*inputs, between])
    first, *rows = recorder.layers()
    return rows, early, first.name == "between"


def _holding(rows: np.ndarray, tensor: Tensor) -> np.ndarray:
    """Rows during which a tensor is kept that none of them reads."""
    height, width, channels, bits = tensor
    rows = rows.copy()
    rows[:, _HELD] += np.ceil(height * width * channels * bits / rows[:, _BITS])
    return rows


def _record(
    read: Callable[[Any, Any], Any], shape: Tensor, is_kept: bool
) -> tuple[np.ndarray, Tensor]:
    """Rows of a block that starts from a shape, and the shape it ends in.

    Args:
        read: Reads the block.
        shape: Of what it starts from.
        is_kept: Whether that is read once more, after the block.
    """
    recorder = LayerRecorder()
    start = recorder.input(*shape)
    x = read(recorder, start)
    if is_kept:
        recorder.row("later", "elementwise", [start], shape[:3])
    layers = recorder.layers()
    rows = to_array(layers[:-1] if is_kept else layers)
    return rows, (*recorder.shape(x), recorder.bits(x))
