"""What layers cost on an Ethos-U, block by block of their output.

An output falls into blocks whose accumulators fit the buffer of a core, and a
block into pieces (`MacArray.piece`), each of which takes 4 cycles for 32
products of every output. These are 32 input channels at one tap of the kernel
or, where that wastes no more, 8 channels at 4 taps. Of `I` input channels and
`T` taps a piece takes

    dense        4 T ceil(I / 32), or 4 ceil(T / 4) 2 ceil(I / 16)   cycles
    depthwise    4 ceil(T / 4)
    pooling      max(T, 4)

and whatever is slower holds all up: weights, which are decoded at 8 a cycle,
again for each block of positions; biases and scales, which wait for flash or
DRAM (`MacArray.scale_cycles`); outputs, which are written one in
`MacArray.element_cycles`. A sum of two tensors takes that unit 3 times as long.
The last block is written when all else is done. Inputs pass the SRAM again for
every block of channels.

Weights are streamed to the SRAM first and read from there, which is what Vela
does of a slow memory, so that each of those readings takes the energy of one.

Groups are operations one after another, and what they are joined to is written
once more, as their activation is an operation of its own. The mean of a whole
map is a depthwise convolution. Blocks have 128 positions or so, 16 to 128
channels, and two of them take two thirds of the buffer.

Reference:
    All numbers here are read off what Vela 5.2.0 prints of layers; none is
    fitted to networks. How well networks agree says
    `tools/validate_cost_model.py`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from tf_cosearch.accelerators.families.ethos_u.ethos_u import EthosU
from tf_cosearch.accelerators.families.ethos_u.mac_array import (
    DOT_WIDTH,
    STEP_CYCLES,
)
from tf_cosearch.accelerators.family import OnChip
from tf_cosearch.networks.loops import Loops, lines_read
from tf_cosearch.networks.workload import LayerTable

DECODED = 8.0
"""Weights that are decoded a cycle and core."""

WAYS = ("32 channels at a tap", "8 channels at 4 taps", "channels one by one")
"""How products are added up, by the number of a mapping."""

_SUM = 3.0  # an element of a sum takes as long as so many others
_JOIN = 2.0  # so does one of what groups are joined to, or so many cycles
_PADDED = 16.0  # channels that a sum takes together


class Traffic(NamedTuple):
    """Bytes that pass the SRAM in one layer; each field is `[B, L]`.

    Attributes:
        weight_bytes: Weights, written once and read for every block.
        input_bytes: Inputs, again for every block of channels.
        output_bytes: Outputs.
        buffer_bytes: Operands and accumulators, in the buffers of cores.
    """

    weight_bytes: Any
    input_bytes: Any
    output_bytes: Any
    buffer_bytes: Any


def on_chip(
    layers: LayerTable,
    loops: Loops,
    machine: EthosU,
    objective: str,
    per_layer: bool,
) -> OnChip:
    """What layers cost; see `Family.on_chip`. There is nothing to choose.

    Args:
        layers: `LayerTable` of `[B, L]` tensors, or `[L, 1]`.
        loops: Their `Loops`.
        machine: `EthosU` of `[B, 1]` tensors, or `[1, B]`.
        objective: Makes no difference.
        per_layer: Whether to fill in all of `OnChip`.

    Returns:
        The `OnChip`.
    """
    node_nm, sram = machine.process.node_nm, machine.system_sram
    block = _block(loops, machine)
    moved = _moved(layers, loops, block)
    read = moved.weight_bytes + moved.input_bytes
    worked = tuple(
        machine.runtime.compute_cycles(cycles)
        for cycles in _work(loops, machine, block)
    )
    port = machine.runtime.memory_cycles(
        sram.cycles(moved.input_bytes + moved.output_bytes)
    )
    buffer, macro = machine.mac_array.sram(node_nm), sram.sram(node_nm)
    parts_pj = (
        read * buffer.write_pj() + moved.buffer_bytes * buffer.read_pj(),
        read * macro.read_pj() + moved.output_bytes * macro.write_pj(),
    )
    cycles = tf.maximum(worked[0], port)
    energy_pj = parts_pj[0] + parts_pj[1]
    if not per_layer:
        return OnChip(cycles, energy_pj)
    index = tf.where(block.by_taps, 1.0, tf.where(block.by_channel, 2.0, 0.0))
    index += tf.zeros_like(cycles)
    busy = (*worked[1:], port)
    return OnChip(cycles, energy_pj, index, busy, parts_pj, moved)


class _Block(NamedTuple):
    """How layers are cut; each field is `[B, L]`.

    Attributes:
        by_channel: Whether every output channel has an input of its own.
        by_taps: Whether 4 taps of 8 channels are added up in a step.
        depth: Output channels of an operation.
        operations: As many as groups, if they are not channels.
        steps: Steps of a piece of the output.
        across: Pieces of all positions.
        positions: Blocks that positions fall into.
        channels: Blocks that channels do.
        elements: Outputs of a block.
    """

    by_channel: Any
    by_taps: Any
    depth: Any
    operations: Any
    steps: Any
    across: Any
    positions: Any
    channels: Any
    elements: Any


def _block(loops: Loops, machine: EthosU) -> _Block:
    """Cuts layers into blocks and pieces."""
    is_mac, ceil = loops.is_mac > 0, tf.math.ceil
    alone = loops.out_c * loops.in_c == 1
    by_channel = ~is_mac | (alone & (loops.groups > 1))
    depth = tf.where(by_channel, loops.groups, loops.out_c)
    inputs, taps = loops.in_c, loops.taps
    dots = inputs / (DOT_WIDTH * ceil(inputs / DOT_WIDTH))
    narrow = dots * taps / (STEP_CYCLES * ceil(taps / STEP_CYCLES))
    step = DOT_WIDTH * STEP_CYCLES
    by_taps = (inputs <= DOT_WIDTH) | (
        narrow >= inputs / (step * ceil(inputs / step))
    )
    by_taps = by_taps & is_mac & ~by_channel
    halves = tf.where(
        inputs > DOT_WIDTH, 2 * ceil(inputs / (2 * DOT_WIDTH)), 1.0
    )
    in_taps = ceil(taps / STEP_CYCLES)
    steps = tf.where(by_taps, in_taps * halves, taps * ceil(inputs / step))
    steps = tf.where(by_channel, in_taps, steps)
    rows, columns, _ = machine.mac_array.piece()
    across = ceil(loops.rows / rows) * ceil(loops.columns / columns)
    room = machine.mac_array.accumulators()
    pixels = loops.rows * loops.columns
    at_once = tf.minimum(pixels, room / 16)
    deep = 16 * tf.clip_by_value(tf.floor(room / (16 * at_once)), 1.0, 8.0)
    deep = tf.minimum(deep, depth)
    return _Block(
        by_channel,
        by_taps,
        depth,
        tf.where(by_channel, 1.0, loops.groups),
        steps,
        across,
        ceil(pixels / at_once),
        ceil(depth / deep),
        at_once * deep,
    )


class _Work(NamedTuple):
    """Cycles of layers on a core, each `[B, L]`.

    Attributes:
        all: From the first to the last of them.
        array: Those in which the multipliers, or poolings, are busy.
        decoder: Those in which weights are decoded or scales waited for.
        output: Those in which results are scaled and written.
    """

    all: Any
    array: Any
    decoder: Any
    output: Any


def _work(loops: Loops, machine: EthosU, block: _Block) -> _Work:
    """Cycles of the array, and of what feeds and empties it."""
    array, ceil = machine.mac_array, tf.math.ceil
    channels = array.piece()[2]
    is_mac = loops.is_mac > 0
    deep = ceil(block.depth / (channels * array.cores()))
    multiply = STEP_CYCLES * loops.passes * block.steps * deep * block.across
    set_cycles = STEP_CYCLES * DOT_WIDTH * channels / DECODED
    decode = set_cycles * block.steps * deep * block.positions
    pool = deep * block.across * tf.maximum(loops.taps, float(STEP_CYCLES))
    # The mean of a whole map is a depthwise convolution.
    is_mean = (loops.rows * loops.columns == loops.images) & (loops.taps > 1)
    work = tf.where(is_mac, multiply, pool)
    scales = array.scale_cycles() * block.depth * block.positions
    feed = tf.where(is_mac | is_mean, tf.maximum(decode, scales), 0.0)
    is_sum = (loops.is_vector > 0) & (loops.taps == 1)
    element = array.element_cycles()
    write = element * tf.where(is_sum, _SUM, 1.0)
    padded = _PADDED * ceil(block.depth / _PADDED) / block.depth
    each = loops.outputs / block.operations * tf.where(is_sum, padded, 1.0)
    drain = tf.minimum(block.elements, each) * write
    inside = tf.maximum(tf.maximum(work, feed), each * write)
    again = loops.outputs * tf.minimum(_JOIN * element, _JOIN)
    joined = tf.where(block.operations > 1, again, 0.0)
    count = block.operations * (loops.is_mac + loops.is_vector)
    return _Work(
        count * (inside + tf.where(is_sum, 0.0, drain)) + joined,
        count * work,
        count * feed,
        count * each * write + joined,
    )


def _moved(layers: LayerTable, loops: Loops, block: _Block) -> Traffic:
    """Bytes of layers; what only moves data costs nothing, as Vela has it."""
    is_busy = loops.is_mac + loops.is_vector
    images = tf.minimum(loops.images, loops.rows)
    positions = lines_read(loops.row_windows, loops.rows, images)
    positions *= lines_read(loops.column_windows, loops.columns, 1.0)
    again = tf.where(block.by_channel, 1.0, block.channels)
    inputs = positions * layers.in_c * again + layers.side_elements
    input_bytes = inputs * loops.activation_bytes * is_busy
    return Traffic(
        weight_bytes=loops.weight_bytes * block.positions,
        input_bytes=input_bytes,
        output_bytes=loops.output_bytes * is_busy,
        buffer_bytes=input_bytes * loops.taps
        + 2 * loops.sum_bytes * block.steps * is_busy,
    )


def describe(mapping: int, tile: tuple[int, int, int] | None = None) -> str:
    """How products are added up, in words; see `Family.describe`.

    Example:
    >>> describe(0, (8, 8, 16))
    '32 channels at a tap, tile 8x8x16'
    """
    words = WAYS[mapping]
    if tile is not None:
        words += f", tile {'x'.join(map(str, tile))}"
    return words
