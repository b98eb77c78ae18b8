"""What layers cost on an Ethos-U85, block by block of their output.

A block is multiplied while the one before it is scaled and written, and
whatever is slower holds the other up. Of `I` input channels and `T` taps a
piece of it takes

    dense        4 ceil(T / 4) ceil(I / 8), or T ceil(I / 8)    cycles
    depthwise    4 ceil(T / 4)
    pooling      4 max(T, 4)

and the pieces of a block that share weights no less than these take to be
decoded. A block is written when its biases and scales have come from where
weights are. The first one waits for inputs, and the layer for the last output.
Commands are issued in a quarter of the time of what they cause.

DRAM or flash answers late, and no more than a few KiB are asked for at a time.
What comes from there takes that long whatever the bandwidth: weights, which
come once; biases and scales, again for every block of positions; the image, in
bursts of which it fills an eighth. Weights that several blocks of positions
need are brought to the SRAM first. What comes again is in none of the bytes
that pass the DRAM, nor in its energy.

A sum, and a map that is enlarged by whole factors, cost the writing of their
elements. Groups are operations one after another
and a pooling that joins them. A transposition is a pooling, too.

Reference:
    All numbers here are those of Vela 5.2.0, ethosu/regor of its source
    distribution; how blocks are chosen and what is brought to the SRAM follows
    it roughly. How well networks agree says `tools/validate_cost_model.py`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from tf_cosearch.accelerators.families.ethos_u.blocks import Traffic
from tf_cosearch.accelerators.families.ethos_u.mac_array import (
    CHANNEL_BYTES,
    DOT_WIDTH,
    OUTSTANDING_BYTES,
    STEP_CYCLES,
)
from tf_cosearch.accelerators.families.ethos_u85.blocks import (
    Cut,
    Shape,
    cut,
    input_depth,
    up,
)
from tf_cosearch.accelerators.families.ethos_u85.ethos_u85 import EthosU85
from tf_cosearch.accelerators.families.ethos_u85.mac_array import MacArray
from tf_cosearch.accelerators.family import OnChip
from tf_cosearch.networks.loops import Loops
from tf_cosearch.networks.workload import LayerTable

WAYS = ("64 channels at a tap", "8 channels at 4 taps", "channels one by one")
"""How products are added up, by the number of a mapping."""

_POOL = 4.0  # cycles of a tap
_BURST = 8.0  # bytes that come for one of an image
_IMAGE_CHANNELS = 3.0  # no other map has as few, or fewer
_COMMANDS = 0.25  # of the time that they cause


def on_chip(
    layers: LayerTable,
    loops: Loops,
    machine: EthosU85,
    objective: str,
    per_layer: bool,
) -> OnChip:
    """What layers cost; see `Family.on_chip`. There is nothing to choose.

    Args:
        layers: `LayerTable` of `[B, L]` tensors, or `[L, 1]`.
        loops: Their `Loops`.
        machine: `EthosU85` of `[B, 1]` tensors, or `[1, B]`.
        objective: Makes no difference.
        per_layer: Whether to fill in all of `OnChip`.

    Returns:
        The `OnChip`.
    """
    node_nm, sram = machine.process.node_nm, machine.system_sram
    how = cut(layers, loops, machine)
    spent = _work(loops, machine, how)
    moved = _moved(layers, loops, how)
    streams = moved.weight_bytes, moved.input_bytes, moved.output_bytes
    widest = tf.maximum(tf.maximum(*streams[:2]), streams[2])
    port = machine.runtime.memory_cycles(
        tf.maximum(
            sram.cycles(sum(streams)),
            widest * machine.mac_array.stream_cycles(),
        )
    )
    worked = tuple(machine.runtime.compute_cycles(each) for each in spent)
    inputs = machine.mac_array.inputs(node_nm)
    sums = machine.mac_array.accumulators(node_nm)
    macro = sram.sram(node_nm)
    read = moved.weight_bytes + moved.input_bytes
    parts_pj = (
        moved.input_bytes * inputs.write_pj()
        + moved.input_bytes * loops.taps * inputs.read_pj()
        + moved.buffer_bytes * (sums.read_pj() + sums.write_pj()),
        read * macro.read_pj() + moved.output_bytes * macro.write_pj(),
    )
    cycles = tf.maximum(worked[0], port)
    energy_pj = parts_pj[0] + parts_pj[1]
    if not per_layer:
        return OnChip(cycles, energy_pj)
    index = tf.where(how.by_taps, 1.0, tf.where(how.by_channel, 2.0, 0.0))
    index += tf.zeros_like(cycles)
    busy = (*worked[1:], port)
    return OnChip(cycles, energy_pj, index, busy, parts_pj, moved)


class _Work(NamedTuple):
    """Cycles of layers, each `[B, L]`.

    Attributes:
        all: From the first to the last of them.
        array: Those in which the multipliers, or poolings, are busy.
        fetch: Those in which flash or DRAM sends.
        output: Those in which results are scaled and written.
    """

    all: Any
    array: Any
    fetch: Any
    output: Any


def _work(loops: Loops, machine: EthosU85, how: Cut) -> _Work:
    """Cycles of the array, and of what feeds and empties it."""
    array = machine.mac_array
    block = Shape(*map(tf.minimum, how.block, how.output))
    pieces = block.covering(how.piece)
    blocks = how.output.covering(how.piece).elements() / pieces.elements()
    times = how.output.covering(block)
    positions = times.rows * times.columns
    is_sum = _is_sum(loops, how)
    is_fed = (loops.is_mac > 0) | how.is_mean
    multiply = _multiply(loops, array, how, pieces)
    element = array.element_cycles()
    stored = up(how.output.channels, how.piece.channels)
    weights = loops.weight_bytes / how.operations
    weights *= stored / how.output.channels
    is_staged = positions > 1
    latency = tf.where(
        is_staged, array.sram_latency_cycles, array.latency_cycles
    )
    scale = latency * block.channels * (CHANNEL_BYTES / OUTSTANDING_BYTES)
    write = element * block.elements()
    waited = tf.maximum(write, tf.where(is_fed, scale, 0.0))
    first, last = _edges(loops, machine, how, block)
    inside = _alternate(multiply, waited, blocks, first, last)
    slower = tf.where(how.enlarged > 0, array.resize_slower(how.enlarged), 1.0)
    inside = tf.where(is_sum, slower * element * how.output.elements(), inside)
    fetch = weights * tf.where(
        is_staged, array.staging_cycles(), array.weight_cycles()
    )
    fetch += tf.where(is_staged, array.latency_cycles, 0.0)
    fetch = tf.maximum(fetch, array.channel_cycles() * stored * positions)
    image = array.image_cycles() * _BURST * how.lines[0] * how.lines[1]
    image *= loops.in_c * loops.activation_bytes * positions * times.channels
    is_image = (loops.in_c <= _IMAGE_CHANNELS) & ~how.by_channel
    fetch = tf.maximum(fetch, tf.where(is_image, image, 0.0))
    fetch = tf.where(is_fed, fetch, 0.0)
    joined = tf.where(how.operations > 1, _join(loops, machine, how), 0.0)
    count = how.operations * _is_busy(loops, how)
    written = tf.where(is_sum, inside, write * blocks)
    return _Work(
        count * tf.maximum(inside, fetch) + joined,
        count * tf.where(is_sum, 0.0, multiply * blocks),
        count * fetch,
        count * written + joined,
    )


def _multiply(loops: Loops, array: MacArray, how: Cut, pieces: Shape) -> Any:
    """Cycles of the multipliers, or of poolings, in a block."""
    ceil, area = tf.math.ceil, pieces.rows * pieces.columns
    decode = array.set_cycles(how.piece.channels)
    depth = input_depth(how.by_taps, loops.in_c)
    in_taps = ceil(loops.taps / STEP_CYCLES)
    dots = ceil(depth / DOT_WIDTH)
    by_taps = tf.maximum(decode, STEP_CYCLES * area) * in_taps
    whole = tf.where(
        how.by_taps,
        by_taps * dots,
        tf.maximum(decode, dots * area) * loops.taps,
    )
    is_mac = loops.is_mac > 0
    pool = _POOL * area * tf.maximum(loops.taps, float(STEP_CYCLES))
    single = tf.where(is_mac | how.is_mean, by_taps, pool)
    step = tf.where(how.by_channel, single, whole * ceil(loops.in_c / depth))
    return step * pieces.channels * tf.where(is_mac, loops.passes, 1.0)


def _edges(
    loops: Loops, machine: EthosU85, how: Cut, block: Shape
) -> tuple[Any, Any]:
    """Cycles until the first inputs have come, and the last outputs gone."""
    depth = tf.where(
        how.by_channel, block.channels, input_depth(how.by_taps, loops.in_c)
    )
    moved = (
        how.lines[0] * how.lines[1] * depth * loops.activation_bytes,
        block.elements() * loops.out_element_bytes,
    )
    wait = machine.mac_array.sram_latency_cycles
    first, last = (wait + machine.system_sram.cycles(each) for each in moved)
    return first, last


def _join(loops: Loops, machine: EthosU85, how: Cut) -> Any:
    """Cycles of the pooling that joins groups, whose last block is written."""
    array = machine.mac_array
    channels = how.operations * how.output.channels
    pieces = how.output._replace(channels=channels).covering(
        Shape(*array.shallow_piece())
    )
    last = tf.minimum(loops.outputs, array.sums())
    edge = array.sram_latency_cycles + machine.system_sram.cycles(last)
    pool = _POOL * STEP_CYCLES * pieces.elements()
    return pool + array.element_cycles() * last + 2 * edge


def _alternate(
    multiply: Any, write: Any, blocks: Any, first: Any, last: Any
) -> Any:
    """Cycles of blocks where one is written while the next is multiplied."""
    between = tf.where(blocks > 1, tf.abs(last - first), 0.0)
    issue = _COMMANDS * (between + multiply + write)
    multiply, write = tf.maximum(multiply, issue), tf.maximum(write, issue)
    slow, fast = tf.maximum(multiply, write), tf.minimum(multiply, write)
    return slow * blocks + fast + first + last


def _moved(layers: LayerTable, loops: Loops, how: Cut) -> Traffic:
    """Bytes of layers; of what moves data only what is turned or enlarged."""
    is_busy = _is_busy(loops, how)
    times = how.output.covering(how.block)
    positions = times.rows * times.columns
    read = how.lines[0] * how.lines[1] * positions
    read = tf.where(_is_sum(loops, how), loops.rows * loops.columns, read)
    read = tf.where(how.enlarged > 0, layers.in_h * layers.in_w, read)
    again = tf.where(how.by_channel, 1.0, times.channels)
    # A map that is turned is read whole for every column of pieces.
    turns = layers.in_h * layers.in_w * up(loops.columns, how.piece.columns)
    read = tf.where(how.is_turned > 0, turns / how.piece.columns, read)
    inputs = read * layers.in_c * again + layers.side_elements
    steps = tf.where(how.by_channel, 1.0, tf.math.ceil(loops.in_c / 64.0))
    return Traffic(
        weight_bytes=loops.weight_bytes * positions,
        input_bytes=inputs * loops.activation_bytes * is_busy,
        output_bytes=loops.output_bytes * is_busy,
        buffer_bytes=loops.sum_bytes * steps * loops.taps * is_busy,
    )


def _is_sum(loops: Loops, how: Cut) -> Any:
    """Whether elements come, are worked on, and go, one by one."""
    return ((loops.is_vector > 0) & (loops.taps == 1)) | (how.enlarged > 0)


def _is_busy(loops: Loops, how: Cut) -> Any:
    """1 where there is something to do, 0 where data are moved for nothing."""
    resizes = tf.cast(how.enlarged > 0, tf.float32)
    return loops.is_mac + loops.is_vector + how.is_turned + resizes


def describe(mapping: int, tile: tuple[int, int, int] | None = None) -> str:
    """How products are added up, in words; see `Family.describe`.

    Example:
    >>> describe(0, (8, 8, 16))
    '64 channels at a tap, tile 8x8x16'
    """
    words = WAYS[mapping]
    if tile is not None:
        words += f", tile {'x'.join(map(str, tile))}"
    return words
