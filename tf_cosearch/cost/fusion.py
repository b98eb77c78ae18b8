"""Chains of layers that are worked on together, tile by tile of their rows.

Where `Room.fused_layers` allows, two or three layers in a row, each of which
alone reads all that the one before writes (`Layer.continues`), may run as a
chain `i..j`: `h` rows of the last output at a time, and of each layer before
as many as these need. What is made inside the chain never leaves the chip, and
only a tile of it is there at a time. With stride `s`, `k_h` taps `d` apart:

    rows of a tile    r_j = h,  r_k-1 = (r_k - 1) s_k + (k_h - 1) d + 1
    tiles             T = ceil(H_j / h), and then h = ceil(H_j / T)
    tile bytes        = sum of r_k x bytes of a row of outputs, k = i .. j-1
    live bytes        = all else that is there when the chain starts, its input
                        among it, + outputs of j + tile bytes
    off-chip input    comes T r_i-1 / H_i-1 times, streamed weights T times
    cycles, energy    T times those of a layer of r_k rows, each mapped as any
                        layer is, and of its first operands; a start only once

One tile is the whole map: then rows are as many as there are. Else padding is
computed like any row, and so are, once more in each tile, the rows that windows
overlap by. They could be kept instead (line buffers, as Vela has): that takes
no more memory and less work, but tiles that depend on each other. Tiles here
are runs of one program on other rows, in any order, on whichever PEs, as the
row tiles of the Edge TPU are, so what is said to be won by fusion is the least.

`B` are candidates, `L` rows of a network.

References:
    Alwani et al., "Fused-Layer CNN Accelerators", 2016.
    Mei et al., "DeFiNES", 2023: overlaps computed again, or kept.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_cosearch import accelerators
from tf_cosearch.accelerators import Accelerator, families
from tf_cosearch.accelerators.family import Room
from tf_cosearch.cost.off_chip import Part, live_bytes
from tf_cosearch.cost.residency import padded_in_c, padded_out_c
from tf_cosearch.networks.loops import Loops
from tf_cosearch.networks.workload import LayerTable


class Tiling(NamedTuple):
    """How rows of a table are worked on in tiles, each `[B, L]`.

    Attributes:
        tiles: Tiles, one after the other.
        work: Rows that are computed in all of them, for each row of outputs.
    """

    tiles: Any
    work: Any


def is_on(accelerator: Accelerator) -> bool:
    """Whether one of the accelerators may work on several layers together.

    Example:
    >>> is_on(accelerators.default())
    False
    """
    path = families.of(accelerator).fused_layers
    if not path:
        return False
    return bool(
        np.any(np.asarray(accelerators.to_paths(accelerator)[path]) > 1)
    )


class Chains(NamedTuple):
    """Chains of some length that begin at each row, each field `[B, L]`.

    Attributes:
        may: Whether these rows may be a chain, and a tile of it fits.
        rows: Rows of a tile: of the input, then of each layer's output.
        tiles: Tiles, of all images.
        live_bytes: Activations while it runs.
        in_bytes: Those that its first layer reads.
        out_bytes: Those that its last one writes.
    """

    may: Any
    rows: list[Any]
    tiles: Any
    live_bytes: Any
    in_bytes: Any
    out_bytes: Any


def chains(
    layers: LayerTable, loops: Loops, room: Room, share: float, length: int
) -> Chains:
    """The chains of so many rows, with as few tiles as fit.

    Args:
        layers: `LayerTable` of `[B, L]`.
        loops: `Loops` of them.
        room: `Room` of `[B, 1]`, whose `activation_bytes` are divided already.
        share: Of a memory for activations alone, what a tile may take.
        length: Rows of a chain.

    Returns:
        The `Chains`.
    """
    images = loops.images
    may = _may_begin(layers) & (room.fused_layers >= length)
    for place in range(1, length):
        may &= at(_may_follow(layers), place)
    # Rows of a tile as slope x h + rest, of the last output first.
    slopes, rests = [tf.ones_like(layers.out_h)], [tf.zeros_like(layers.out_h)]
    for place in reversed(range(length)):
        stride = at(layers.stride_h, place)
        span = at((layers.k_h - 1) * layers.dilation_h + 1, place)
        slopes.insert(0, stride * slopes[0])
        rests.insert(0, stride * rests[0] + span - stride)
    line = layers.in_w * padded_in_c(layers, room) * loops.activation_bytes
    out_line = layers.out_w * padded_out_c(layers, room)
    out_line = out_line * loops.out_element_bytes
    lines = [line, *(at(out_line, place) for place in range(length))]
    heights = [layers.in_h / images]
    heights += [at(layers.out_h, k) / images for k in range(length)]

    is_apart = room.tile_bytes > 0
    live = live_bytes(layers, loops)
    in_bytes = layers.in_elements() * loops.activation_bytes
    out_bytes = at(loops.output_bytes, length - 1)
    whole = live - loops.output_bytes + out_bytes
    # Where activations are apart a tile of all that a chain touches is there.
    ends = tf.where(is_apart, 1.0, 0.0)
    counted = [ends, *[1.0] * (length - 1), ends]
    slope, rest, most = (
        sum(c * a * b for c, a, b in zip(counted, lines, values, strict=True))
        for values in (slopes, rests, heights)
    )
    here = room.activation_bytes
    limit = tf.maximum(here - whole, here / 2)
    parts = room.tile_bytes * room.tile_rows * room.tile_columns
    limit = tf.where(is_apart, share * parts, limit)
    height = tf.minimum(tf.floor((limit - rest) / slope), heights[-1] - 1)
    height = tf.where(most <= limit, heights[-1], height)
    may &= height >= 1
    tiles = tf.math.ceil(heights[-1] / tf.maximum(height, 1.0))
    height = tf.math.ceil(heights[-1] / tiles)
    rows = [
        tf.where(tiles > 1, a * height + b, all_rows)
        for a, b, all_rows in zip(slopes, rests, heights, strict=True)
    ]
    taken = sum(a * b for a, b in zip(lines[1:-1], rows[1:-1], strict=True))
    return Chains(may, rows, tiles * images, whole + taken, in_bytes, out_bytes)


def at(field: Any, further: int) -> Any:
    """What stands so many rows further on; rows come round at the end."""
    return tf.roll(field, -further, -1) if further else field


def _may_begin(layers: LayerTable) -> Any:
    """Rows with windows that a tile of rows can be worked out of, `[B, L]`.

    A window may lie on the padding in part; what spans more than twice that,
    like rows of an image that is magnified, is no window.
    """
    span = (layers.k_h - 1) * layers.dilation_h + 1
    read = (layers.out_h - 1) * layers.stride_h + span
    has_windows = read - layers.in_h <= 2 * (span - 1)
    works = layers.is_mac * layers.has_weights + layers.is_vector > 0
    return works & has_windows & (layers.repeats == 1)


def _may_follow(layers: LayerTable) -> Any:
    """Rows that may be worked on together with the row before, `[B, L]`."""
    same: Any = True
    for out, into in (("out_h", "in_h"), ("out_w", "in_w"), ("out_c", "in_c")):
        same &= at(getattr(layers, out), -1) == getattr(layers, into)
    bits = layers.output_bits
    bits = layers.activation_bits if bits is None else bits
    same &= at(bits, -1) == layers.activation_bits
    same &= at(layers.network_out_elements, -1) == 0
    is_first = tf.range(tf.shape(layers.out_h)[-1]) == 0
    return (
        same
        & _may_begin(layers)
        & (layers.continues > 0)
        & (layers.network_in_elements == 0)
        & (layers.is_layer > 0)
        & ~is_first
    )


def part_of(
    layers: LayerTable, chain: Chains, length: int, place: int
) -> tuple[LayerTable, Part, Tiling]:
    """What rows are as a part of the chains that begin so many before them.

    Returns:
        A tile of each, as a table; what it is of the chain; and its tiling.
    """
    tiles, may = at(chain.tiles, -place), at(chain.may, -place)
    rows_in, rows_out = (at(chain.rows[place + k], -place) for k in (0, 1))
    rows_in = tf.where(may, rows_in, layers.in_h)
    rows_out = tf.where(may, rows_out, layers.out_h)
    ones = tf.ones_like(rows_in)
    table = layers._replace(
        in_h=rows_in,
        out_h=rows_out,
        side_elements=layers.side_elements * (rows_in / layers.in_h),
    )
    part = Part(
        live_bytes=at(chain.live_bytes, -place),
        in_bytes=at(chain.in_bytes, -place),
        out_bytes=at(chain.out_bytes, -place),
        is_first=ones * float(place == 0),
        is_last=ones * float(place == length - 1),
        tiles=tiles,
        read_again=tiles * rows_in / layers.in_h,
    )
    return table, part, Tiling(tiles, tiles * rows_out / layers.out_h)
