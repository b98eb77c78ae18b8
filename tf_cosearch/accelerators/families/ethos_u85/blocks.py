"""How an Ethos-U85 cuts the output of layers into blocks.

Of the blocks whose sums fill half of the accumulators at most, and whose inputs
half of their buffer, that one is taken which fetches least: weights once for
every block of positions, inputs once for every block of channels. Tried are
powers of two of channels and of pieces in a column, each with as many columns
as find room. Where each output channel has an input of its own nothing is
fetched twice; such layers take as many positions as find room in all of the
accumulators, then channels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_cosearch.accelerators.families.ethos_u85.ethos_u85 import EthosU85
from tf_cosearch.networks.loops import Loops
from tf_cosearch.networks.workload import LayerTable

WINDOW = 8.0
"""Rows and columns of a kernel that are worked on at a time."""

_SUMS = 16.0  # accumulators are for so many channels
_FEW, _MANY = 16.0, 64.0  # input channels that come at a time
_TAPS, _LEAST_TAPS = 5.0, 2.0  # taps come in so many; the last of them
_NEVER = 1e6  # times what is fetched of a block that finds no room
_TRIED = np.asarray(
    [(rows, 16 * 2**power) for power in range(7) for rows in (1, 2, 4, 8)],
    np.float32,
)  # pieces in a column of a block, and channels


class Shape(NamedTuple):
    """Rows, columns and channels, each `[B, L]`."""

    rows: Any
    columns: Any
    channels: Any

    def covering(self, piece: Shape) -> Shape:
        """How many pieces cover it in each direction."""
        each = (tf.math.ceil(a / b) for a, b in zip(self, piece, strict=True))
        return Shape(*each)

    def elements(self) -> Any:
        """How many there are."""
        return self.rows * self.columns * self.channels


class Cut(NamedTuple):
    """What layers are, and how they are cut; each field is `[B, L]`.

    Attributes:
        by_channel: Whether every output channel has an input of its own.
        is_mean: Whether it is the mean of a map, a depthwise convolution.
        is_turned: 1 where a map is transposed, which a pooling does, else 0.
        enlarged: How many times as many rows, or columns if these are fewer
            times as many, a resized map has; 0 where none is resized.
        by_taps: Whether 4 taps of 8 channels are added up in a step.
        operations: As many as groups, if they are not channels.
        output: The output of an operation.
        piece: What is worked on at a time.
        block: What is worked on before the next weights.
        lines: Rows and columns of the input that a block reads.
    """

    by_channel: Any
    is_mean: Any
    is_turned: Any
    enlarged: Any
    by_taps: Any
    operations: Any
    output: Shape
    piece: Shape
    block: Shape
    lines: tuple[Any, Any]


def cut(layers: LayerTable, loops: Loops, machine: EthosU85) -> Cut:
    """Cuts layers into blocks.

    Args:
        layers: `LayerTable` of `[B, L]` tensors, or `[L, 1]`.
        loops: Their `Loops`.
        machine: `EthosU85` of `[B, 1]` tensors, or `[1, B]`.

    Returns:
        The `Cut`.
    """
    is_mac = loops.is_mac > 0
    alone = loops.out_c * loops.in_c == 1
    by_channel = ~is_mac | (alone & (loops.groups > 1))
    depth = tf.where(by_channel, loops.groups, loops.out_c)
    output = Shape(loops.rows, loops.columns, depth)
    inputs, taps = loops.in_c, loops.taps
    rest = taps - _TAPS * tf.floor(taps / _TAPS)
    spread = taps - rest + tf.maximum(rest, _LEAST_TAPS)
    filled = inputs / up(inputs, _FEW) * taps / spread
    by_taps = is_mac & ~by_channel & (filled >= inputs / up(inputs, _MANY))
    whole = _whole(layers, loops, output, by_taps, machine)
    single = _single(layers, output, machine)
    piece, block = (
        Shape(*(tf.where(by_channel, a, b) for a, b in zip(*two, strict=True)))
        for two in zip(single, whole, strict=True)
    )
    return Cut(
        by_channel,
        ~is_mac & (loops.rows * loops.columns == loops.images) & (taps > 1),
        _is_turned(layers),
        _enlarged(layers),
        by_taps,
        tf.where(by_channel, 1.0, loops.groups),
        output,
        piece,
        block,
        _whole_lines(layers, machine, block, by_taps | by_channel),
    )


def _is_turned(layers: LayerTable) -> Any:
    """1 where outputs are inputs in another order of their axes, else 0."""
    before, after = (
        tf.sort(tf.stack(shape), 0)
        for shape in (
            (layers.in_h, layers.in_w, layers.in_c),
            (layers.out_h, layers.out_w, layers.out_c),
        )
    )
    is_same = tf.reduce_all(before == after, 0)
    is_other = is_same & (layers.in_c != layers.out_c)
    return tf.cast(_moves(layers) & is_other, tf.float32)


def _enlarged(layers: LayerTable) -> Any:
    """The lesser factor where rows and columns are so many times as many.

    A table does not tell a resize by other factors from padding.
    """
    rows = layers.out_h / layers.in_h
    columns = layers.out_w / layers.in_w
    is_whole = (tf.floor(rows) == rows) & (tf.floor(columns) == columns)
    is_alone = (layers.in_c == layers.out_c) & (layers.side_elements == 0)
    is_more = is_whole & is_alone & (rows * columns > 1)
    return tf.where(_moves(layers) & is_more, tf.minimum(rows, columns), 0.0)


def _moves(layers: LayerTable) -> Any:
    """Whether a row does nothing but move data."""
    return (layers.is_mac + layers.is_vector == 0) & (layers.is_layer > 0)


def input_depth(by_taps: Any, inputs: Any) -> Any:
    """Input channels that come at a time."""
    return tf.minimum(tf.where(by_taps, _FEW, _MANY), inputs)


def up(value: Any, step: Any) -> Any:
    """The least multiple of a step that is not less."""
    return tf.math.ceil(value / step) * step


def _lines(layers: LayerTable, block: Shape) -> tuple[Any, Any]:
    """Rows and columns of the input that a block reads."""
    high, wide = _windows(layers)
    return (
        (block.rows - 1) * layers.stride_h + high,
        (block.columns - 1) * layers.stride_w + wide,
    )


def _whole_lines(
    layers: LayerTable, machine: EthosU85, block: Shape, is_shallow: Any
) -> tuple[Any, Any]:
    """The same in whole steps of the grid, but no more than there are."""
    steps = machine.mac_array.grid()
    rows, columns = (
        tf.where(is_shallow, up(lines, step), lines)
        for lines, step in zip(_lines(layers, block), steps, strict=True)
    )
    return tf.minimum(rows, layers.in_h), tf.minimum(columns, layers.in_w)


def _windows(layers: LayerTable) -> tuple[Any, Any]:
    """Rows and columns of a window, or of the part that is worked on."""
    high = (layers.k_h - 1) * layers.dilation_h + 1
    wide = (layers.k_w - 1) * layers.dilation_w + 1
    return tf.minimum(high, WINDOW), tf.minimum(wide, WINDOW)


def _whole(
    layers: LayerTable,
    loops: Loops,
    output: Shape,
    by_taps: Any,
    machine: EthosU85,
) -> tuple[Shape, Shape]:
    """Pieces and blocks where outputs add up all input channels."""
    array = machine.mac_array
    pieces = [
        Shape(*(length + tf.zeros_like(output.rows) for length in piece))
        for piece in array.pieces()
    ]
    covered = [
        output.covering(piece).elements() * piece.elements() for piece in pieces
    ]
    best = tf.argmin(tf.stack(covered), 0)
    piece = Shape(
        *(
            tf.where(best == 0, a, tf.where(best == 1, b, c))
            for a, b, c in zip(*pieces, strict=True)
        )
    )
    depth = input_depth(by_taps, loops.in_c)
    line = up(depth, tf.where(by_taps, _FEW, _MANY))
    room = array.input_bytes() / 2 / (line * loops.activation_bytes)

    def filled(rows: Any, channels: Any) -> Shape:
        return _filled(
            layers, output, piece, rows, channels, room, array.sums() / 2
        )

    tried = filled(*(_TRIED[:, at, None, None] for at in (0, 1)))
    high, wide = _lines(layers, tried)
    times = output.covering(tried)
    inputs = high * wide * times.channels
    inputs *= output.rows * output.columns / (tried.rows * tried.columns)
    weights = loops.taps * times.rows * times.columns * output.channels
    fetched = (inputs + weights) * loops.in_c
    in_elements = layers.in_h * layers.in_w * loops.in_c
    fetched *= tf.where(in_elements < 2 * high * wide * line, 0.5, 1.0)
    lacks = (high * wide > room) | (2 * tried.elements() > array.sums())
    best = tf.argmin(tf.where(lacks, fetched * _NEVER, fetched), 0)
    return piece, filled(*(tf.gather(_TRIED[:, at], best) for at in (0, 1)))


def _filled(
    layers: LayerTable,
    output: Shape,
    piece: Shape,
    rows: Any,
    channels: Any,
    room: Any,
    sums: Any,
) -> Shape:
    """A block with as many columns as find room.

    Args:
        layers: `LayerTable` of `[B, L]` tensors.
        output: Their outputs.
        piece: What is worked on at a time.
        rows: Pieces in a column of the block.
        channels: Its channels.
        room: Positions of the input that there is room for.
        sums: Outputs that there is.

    Returns:
        The block, of whole pieces; of one where there is no room for any.
    """
    least = tf.maximum(piece.channels, _SUMS)
    deep = tf.maximum(channels, least)
    deep = tf.minimum(deep, up(output.channels, least))
    high = tf.minimum(rows * piece.rows, up(output.rows, piece.rows))
    window_h, window_w = _windows(layers)
    line = tf.floor(room / ((high - 1) * layers.stride_h + window_h))
    most = tf.minimum(
        sums / (deep * high), (line - window_w) / layers.stride_w + 1
    )
    most = tf.floor(most / piece.columns) * piece.columns
    most = tf.maximum(most, piece.columns)
    return Shape(high, _spread(output.columns, most, piece.columns), deep)


def _spread(length: Any, most: Any, step: Any) -> Any:
    """What is less than `most` if it takes no more blocks."""
    blocks = tf.math.ceil(length / most)
    return tf.minimum(most, up(tf.math.ceil(length / blocks), step))


def _single(
    layers: LayerTable, output: Shape, machine: EthosU85
) -> tuple[Shape, Shape]:
    """Pieces and blocks where each output channel has an input of its own."""
    array = machine.mac_array
    piece = Shape(*(p + 0.0 * output.rows for p in array.shallow_piece()))
    area = array.sums() / _SUMS
    wide = tf.sqrt(area * output.columns / output.rows)
    wide = tf.floor(wide / piece.columns) * piece.columns
    wide = tf.maximum(wide, piece.columns)
    wide = _spread(output.columns, wide, piece.columns)
    window_h, window_w = _windows(layers)
    line = (wide - 1) * layers.stride_w + window_w
    room = array.input_bytes() / (_SUMS * line)
    room = (tf.floor(room) - window_h) / layers.stride_h + 1
    high = tf.floor(tf.minimum(area / wide, room) / piece.rows) * piece.rows
    high = tf.minimum(high, up(output.rows, piece.rows))
    high = tf.maximum(high, piece.rows)
    read = line * ((high - 1) * layers.stride_h + window_h)
    deep = tf.minimum(array.sums() / (wide * high), array.input_bytes() / read)
    deep = tf.minimum(deep, tf.maximum(array.macs, 128.0))
    deep = tf.maximum(tf.floor(deep / _SUMS) * _SUMS, _SUMS)
    deep = tf.minimum(deep, up(output.channels, _SUMS))
    return piece, Shape(high, wide, deep)
