"""Chains of layers that are worked on together, tile by tile of their rows.

Where `Room.fused_layers` allows, two or three layers in a row, each of which
alone reads all that the one before writes (`Layer.continues`), may run as a
chain `i..j`: `h` rows of the last output at a time, and of each layer before
as many as these need. What is made inside the chain never leaves the chip, and
only a tile of it is there at a time. With stride `s`, `k_h` taps `d` apart:

    rows of a tile    r_j = h,  r_k-1 = (r_k - 1) s_k + (k_h - 1) d + 1
    tiles             T = ceil(H_j / h) where h = ceil(H_j / n), for each n of
                      `cuts.TILES`
    tile bytes        = sum of r_k x bytes of a row of outputs, k = i .. j-1,
                        no more than activations may take
    live bytes        = all else that is there when the chain starts, its input
                        among it, + outputs of j + tile bytes
    off-chip input    comes T r_i-1 / H_i-1 times, streamed weights T times
    either            once more, of each tile, for each half that the other
                        fills of what tile bytes and weights that stay leave of
                        the memory, see `off_chip`
    cycles, energy    T times those of a layer of r_k rows, each mapped as any
                        layer is, and of its first operands; a start only once

One tile is the whole map: then rows are as many as there are. Else padding is
computed like any row, and so are, once more in each tile, the rows that windows
overlap by. They could be kept instead (line buffers, as Vela has): that takes
no more memory and less work, but tiles that depend on each other. Tiles here
are runs of one program on other rows, in any order, on whichever PEs, as the
row tiles of the Edge TPU are, so what is said to be won by fusion is the least.

Where activations have memory of their own (`Room.tile_bytes`), a tile of all
that the chain touches has to fit it, input and output too, in each part of the
chip and with as much overlap as a layer's own tiles have. What is made inside
the chain passes from PE to PE no more, but for what windows overlap by, where
PEs have rows and columns of their own, see the family's mapper.

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
from tf_cosearch.arithmetic import divide_up
from tf_cosearch.cost.off_chip import Part, live_bytes, part_lines
from tf_cosearch.cost.residency import padded_out_c
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
        may: Whether these rows may be a chain.
        rows: Rows of a tile: of the input, then of each layer's output.
        tiles: Tiles, of all images.
        inner_bytes: What tiles of the maps inside take of the memory that
            weights share.
        part_bytes: What a tile takes of memory that activations have in each
            part of the chip.
        live_bytes: Activations while the chain runs.
        in_bytes: Those that its first layer reads.
        out_bytes: Those that its last one writes.
    """

    may: Any
    rows: list[Any]
    tiles: Any
    inner_bytes: Any
    part_bytes: Any
    live_bytes: Any
    in_bytes: Any
    out_bytes: Any


def chains(
    layers: LayerTable, loops: Loops, room: Room, length: int, tiles: int
) -> Chains:
    """The chains of so many rows, in so many tiles of an image or fewer.

    Args:
        layers: `LayerTable` of `[B, L]`.
        loops: `Loops` of them.
        room: `Room` of `[B, 1]`.
        length: Rows of a chain.
        tiles: Tiles at most; as many as all have the height of the first.

    Returns:
        The `Chains`.

    Example:
    Of 3x3 convolutions of 8 rows a tile of 4 rows needs 6, which need 8.

    >>> from tf_cosearch.networks.workload import Layer, pad
    >>> from tf_cosearch.networks.loops import loops_of
    >>> conv = Layer("conv", "conv2d", 8, 8, 4, 8, 8, 4, k_h=3, k_w=3,
    ...     continues=True)
    >>> table = pad([[conv] * 2])
    >>> room = Room(*[tf.constant([[1e6]])] * 3, 0.0, fused_layers=2.0)
    >>> some = chains(table, loops_of(table), room, length=2, tiles=2)
    >>> [float(rows[0, 0]) for rows in some.rows]
    [8.0, 6.0, 4.0]
    >>> float(some.inner_bytes[0, 0])  # 6 rows of 8 x 4
    192.0
    """
    images = loops.images
    may = _may_begin(layers) & (room.fused_layers >= length)
    for place in range(1, length):
        may &= at(_may_follow(layers), place)
    outputs = [at(layers.out_h, place) / images for place in range(length)]
    heights = [layers.in_h / images, *outputs]
    rows = [tf.math.ceil(heights[-1] / tiles)]
    count = tf.math.ceil(heights[-1] / rows[0])
    for place in reversed(range(length)):
        span = at((layers.k_h - 1) * layers.dilation_h + 1, place)
        rows.insert(0, (rows[0] - 1) * at(layers.stride_h, place) + span)
    rows = [
        tf.where(count > 1, some, every)
        for some, every in zip(rows, heights, strict=True)
    ]
    line = layers.out_w * padded_out_c(layers, room) * loops.out_element_bytes
    inner_bytes = tf.add_n(
        [rows[place + 1] * at(line, place) for place in range(length - 1)]
    )
    out_bytes = at(loops.output_bytes, length - 1)
    live = live_bytes(layers, loops) - loops.output_bytes
    return Chains(
        may=may,
        rows=rows,
        tiles=count * images,
        inner_bytes=tf.where(room.tile_bytes > 0, 0.0, inner_bytes),
        part_bytes=_part_bytes(layers, loops, room, rows),
        live_bytes=live + out_bytes + inner_bytes,
        in_bytes=layers.in_elements() * loops.activation_bytes,
        out_bytes=out_bytes,
    )


def fits(chain: Chains, room: Room) -> Any:
    """Where a tile of chains finds room, `[B, L]`."""
    return chain.may & tf.where(
        room.tile_bytes > 0,
        chain.part_bytes <= room.tile_bytes,
        chain.inner_bytes <= room.activation_bytes,
    )


def _part_bytes(
    layers: LayerTable, loops: Loops, room: Room, rows: list[Any]
) -> Any:
    """What a tile takes of each part of the chip, as `row_tiles` has it.

    That is the inputs of all layers of a chain and the outputs of the last.
    """
    line, out_line = part_lines(layers, loops, room)
    halo = layers.k_h - 1
    taken: Any = 0.0
    for place, count in enumerate(rows[1:]):
        own = divide_up(count, room.tile_rows)
        read = own * at(layers.stride_h, place)
        read += at(2 * halo * layers.dilation_h, place)
        taken += read * at(line, place)
    return taken + (own + at(halo, place)) * at(out_line, place)


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
    layers: LayerTable, chain: Chains, place: int, length: int
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
        taken_bytes=at(chain.inner_bytes, -place),
        read_again=tiles * rows_in / layers.in_h,
    )
    return table, part, Tiling(tiles, tiles * rows_out / layers.out_h)
