"""The mapping space of one layer and the traffic each mapping causes.

A mapping says two things. The spatial unrolling: each level of the array (PE
columns, PE rows, lanes of a PE, SIMD units of a lane) works either on
different output channels or on different output positions. And the dataflow:
what stays put in the register files while the loops run,

- `weight-stationary`: the weights of the channels at work. They are fetched
  once; weights beyond the register file are worked on in parts, whose partial
  sums go through the PE memory.
- `output-stationary`: accumulators. Weights stream past and are fetched
  again for as many output positions as there is room to accumulate.

A SIMD unit adds up `dot_width` products of input channels of one output a
cycle; kernel taps follow one another.

In the shapes below `B` is the number of candidates, `L` of layers, `M` of
mappings. Not modelled here: overlap of the input windows of neighbouring PEs,
contention on the buses, and what it takes to change from layer to layer.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_cosearch.accelerators import Accelerator
from tf_cosearch.accelerators.register_file import ACCUMULATOR_BYTES
from tf_cosearch.networks.workload import LayerTable

LEVELS = ("PE columns", "PE rows", "lanes", "SIMD units")
DATAFLOWS = ("weight-stationary", "output-stationary")

# [M, 4]: 1 where the level works on output channels, 0 on output positions.
_ON_CHANNELS = np.asarray(
    list(itertools.product((1.0, 0.0), repeat=len(LEVELS))) * len(DATAFLOWS),
    np.float32,
)
# [M]: 1 where weights are stationary.
_WEIGHT_STATIONARY = np.repeat([1.0, 0.0], len(_ON_CHANNELS) // 2).astype(
    np.float32
)
NUM_MAPPINGS = len(_ON_CHANNELS)


def describe(mapping: int) -> str:
    """A mapping in words.

    Args:
        mapping: Its number, below `NUM_MAPPINGS`.

    Returns:
        Dataflow and spatial unrolling.

    Example:
    >>> describe(3)
    'weight-stationary, out_c over PE columns, PE rows; pixels over lanes,
    SIMD units'
    """
    parts = []
    for loop, value in (("out_c", 1.0), ("pixels", 0.0)):
        levels = [
            level
            for level, on in zip(LEVELS, _ON_CHANNELS[mapping], strict=True)
            if on == value
        ]
        if levels:
            parts.append(f"{loop} over {', '.join(levels)}")
    dataflow = DATAFLOWS[int(1 - _WEIGHT_STATIONARY[mapping])]
    return f"{dataflow}, {'; '.join(parts)}"


class Traffic(NamedTuple):
    """What a layer does to each level of the machine, by mapping.

    All fields are `[B, L, M]` and count one inference.
    """

    compute_cycles: Any
    pe_memory_read_bytes: Any
    pe_memory_write_bytes: Any
    interconnect_bytes_per_pe: Any
    register_file_read_bytes: Any
    register_file_write_bytes: Any


class _Unrolling(NamedTuple):
    """Parallelism of each mapping, `[B, 1, M]`."""

    channels: Any
    pixels: Any
    pe_channels: Any
    pe_pixels: Any
    lane_channels: Any
    lane_pixels: Any


def _unrolling(accelerator: Accelerator) -> _Unrolling:
    sizes = tf.stack(accelerator.pe_array.unrolling(), -1)[:, None, None, :]
    on_channels = tf.where(_ON_CHANNELS > 0, sizes, 1.0)
    on_pixels = tf.where(_ON_CHANNELS > 0, 1.0, sizes)
    return _Unrolling(
        channels=tf.reduce_prod(on_channels, -1),
        pixels=tf.reduce_prod(on_pixels, -1),
        pe_channels=tf.reduce_prod(on_channels[..., :2], -1),
        pe_pixels=tf.reduce_prod(on_pixels[..., :2], -1),
        lane_channels=on_channels[..., 3],
        lane_pixels=on_pixels[..., 3],
    )


def map_layers(layers: LayerTable, accelerator: Accelerator) -> Traffic:
    """Counts what every mapping of every layer makes the machine do.

    With `K` output channels and `C` input channels a group, `T` kernel taps,
    `X` output positions, `p_c` channels and `p_x` positions in parallel:

        compute cycles   = ceil(out_c / p_c) ceil(X / p_x) T ceil(C / dot_width)
        input fetches    = inputs * ceil(K / p_c)
        weight fetches   = weights                         (weight-stationary)
                         = weights * ceil(ceil(X / p_x) / accumulators)
                                                           (output-stationary)
        partial sums out = outputs * (ceil(weights of a lane / register file)
                           - 1), and in again              (weight-stationary)

    Args:
        layers: `LayerTable` of `[B, L]` float32 tensors.
        accelerator: `Accelerator` of `[B]` float32 tensors.

    Returns:
        The `Traffic` of all mappings, `[B, L, M]`.
    """
    rows = tf.nest.map_structure(lambda field: field[:, :, None], layers)
    machine = tf.nest.map_structure(
        lambda field: field[:, None, None], accelerator
    )
    array, registers = machine.pe_array, machine.register_file
    spread = _unrolling(accelerator)

    channels = rows.in_c / rows.groups
    is_mac, is_busy = rows.is_mac, rows.is_mac + rows.is_vector
    steps = rows.taps() * tf.where(is_mac > 0, array.dot_steps(channels), 1.0)
    channel_tiles = tf.math.ceil(rows.out_c / spread.channels)
    pixel_tiles = tf.math.ceil(rows.pixels() / spread.pixels)

    weight_bytes = rows.operand_elements() * rows.weight_bits / 8
    activation_bytes = rows.activation_bits / 8
    in_bytes = rows.in_elements() * activation_bytes
    out_bytes = rows.out_elements() * activation_bytes
    group_tiles = tf.math.ceil(rows.out_c / rows.groups / spread.channels)
    # A vector operation needs each channel of the input for its own only.
    passes = tf.where(is_mac > 0, group_tiles, 1.0)
    dot_bytes = channels * rows.taps() * rows.weight_bits / 8
    chunks = registers.chunks(spread.lane_channels * dot_bytes)
    refetches = tf.math.ceil(
        pixel_tiles / registers.accumulators(array.simd_units)
    )
    stays = _WEIGHT_STATIONARY
    weight_fetches = weight_bytes * (stays + (1 - stays) * refetches)
    input_fetches = in_bytes * passes
    spilled = rows.out_elements() * ACCUMULATOR_BYTES * stays * (chunks - 1)
    spilled *= is_mac

    macs = rows.macs()
    # SIMD units on channels of one group share activations, those on
    # positions share weights.
    sharing = tf.minimum(spread.lane_channels, rows.out_c / rows.groups)
    operand_reads = macs * activation_bytes / sharing
    stationary_reads = macs * tf.where(
        stays > 0,
        rows.weight_bits / 8 / spread.lane_pixels,
        2 * ACCUMULATOR_BYTES / array.dot_width,
    )
    return Traffic(
        compute_cycles=is_busy * channel_tiles * pixel_tiles * steps,
        pe_memory_read_bytes=weight_fetches + input_fetches + spilled,
        pe_memory_write_bytes=out_bytes + spilled,
        interconnect_bytes_per_pe=(
            weight_fetches / spread.pe_channels
            + input_fetches
            / spread.pe_pixels
            / tf.minimum(spread.pe_channels, rows.groups)
        ),
        register_file_read_bytes=operand_reads + stationary_reads,
        register_file_write_bytes=weight_fetches + input_fetches,
    )
