"""What passes the DRAM interface: image, answer, and what finds no room.

The largest set of activations that a layer needs at once comes first; weights
stay on the chip from inference to inference in what that leaves, see
`residency`, and what finds no room is streamed. Activations of a layer beyond
the memory go out or come in once.

A layer whose inputs come from off the chip, or whose weights are streamed, is
worked on in tiles of which the PE memories hold two, one at work and one on
its way. One of two loop orders is taken, whichever moves less: weights
outermost (each weight comes once, inputs again for every tile of weights), or
rows outermost (inputs come once, weights again for every tile of rows).

Where activations have memory of their own they never go out. A layer is worked
on in tiles of as many rows as find room there. Weights that are streamed come
again for every tile; those that stay go round once more.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_cosearch.accelerators.family import Room
from tf_cosearch.arithmetic import divide_up
from tf_cosearch.cost.residency import (
    padded_in_c,
    padded_out_c,
    share_that_stays,
    shares_that_stay,
    stored_bytes,
    used_bytes,
)
from tf_cosearch.networks.loops import Loops, loops_of
from tf_cosearch.networks.workload import LayerTable


class Part(NamedTuple):
    """What a row is of a chain of layers that are worked on together.

    Each field is `[B, L]`; see `fusion`.

    Attributes:
        live_bytes: Activations while the chain runs.
        in_bytes: Those that its first row reads.
        out_bytes: Those that its last row writes.
        is_first: Whether the row is its first.
        is_last: Whether it is its last.
        tiles: Tiles that the chain runs in.
        taken_bytes: Memory that off-chip inputs and streamed weights of a chain
            find taken, by tiles of the maps inside and weights that stay.
        read_again: How often the first row reads each row of its input.
    """

    live_bytes: Any
    in_bytes: Any
    out_bytes: Any
    is_first: Any
    is_last: Any
    tiles: Any
    taken_bytes: Any
    read_again: Any


class OffChip(NamedTuple):
    """What does not stay on the chip.

    Attributes:
        residency: Share of the weights that stays, `[B, 1]`.
        dram_bytes: Bytes to and from DRAM, `[B, L]`.
        first_bytes: Those of them before which nothing can start.
        last_bytes: Those of them after which nothing runs.
        row_tiles: Tiles the rows of a layer fall into.
        out_c_tiles: Tiles the output channels fall into.
        needed_bytes: What two tiles of one row take of the PE memories, and
            beside them what a chain has to have there.
        repeated_bytes: Weights that stay and go round once more, while
            nothing is computed.
    """

    residency: Any
    dram_bytes: Any
    first_bytes: Any
    last_bytes: Any
    row_tiles: Any
    out_c_tiles: Any
    needed_bytes: Any
    repeated_bytes: Any

    def edge_bytes(self) -> Any:
        """DRAM traffic that nothing overlaps with."""
        return self.first_bytes + self.last_bytes

    def steady_bytes(self) -> Any:
        """DRAM traffic while the array is at work."""
        return self.dram_bytes - self.edge_bytes()


def off_chip(layers: LayerTable, loops: Loops, room: Room) -> OffChip:
    """Finds what every layer moves to and from DRAM.

    With capacity `M` of all PE memories, of which `kept` may hold activations,
    and `half = M / 2`, streamed weights `w` and off-chip inputs `i` of a
    layer:

        off-chip activations = max(inputs + outputs + held - kept, 0)
        i                    = those of them that are inputs, with what comes
                               from outside the chip
        dram bytes           = i + outputs that leave + held that leave + w
                               + min(i (ceil(w / half) - 1),
                                     w (ceil(i / half) - 1))

    Outputs leave likewise. All of it is of one run. Of a table `w` is what is
    read of it and did not stay. The first operation waits for the rows that
    the taps of a window span, `(k_h - 1) dilation_h + 1` of them. Of an
    activation memory apart the last line is `w (tiles - 1)`, see `row_tiles`.

    Args:
        layers: `LayerTable` of `[B, L]`.
        loops: `Loops` of `[B, L]`.
        room: `Room` of `[B, 1]`.

    Returns:
        The `OffChip`.
    """
    live = live_bytes(layers, loops)
    used = used_bytes(layers, loops, room)
    stored = stored_bytes(layers, loops, used)
    largest = tf.reduce_max(live, -1, keepdims=True)
    residency, stays = shares_that_stay(stored, largest, room, layers)
    return moved(layers, loops, room, residency, stays)


def moved(
    layers: LayerTable,
    loops: Loops,
    room: Room,
    residency: Any,
    stays: Any,
    part: Part | None = None,
) -> OffChip:
    """The same where it is known what stays.

    Of a chain, activations off the chip are the first row's, which reads them
    with those rows again that tiles overlap by; what is written is the last
    row's; what other rows read besides comes again if it may be off the chip.
    Weights that are streamed come for every tile. For each tile one
    of the two loop orders is taken, too, where `half` is half of what tiles of
    the maps inside the chain and weights that stay leave of the memory.

    Args:
        layers: `LayerTable` of `[B, L]`.
        loops: `Loops` of `[B, L]`.
        room: `Room` of `[B, 1]`, or `[B, L]`.
        residency: Share of all weights that stays, `[B, 1]`.
        stays: Of each layer, `[B, L]`.
        part: What the rows are of chains; layers by themselves by default.

    Returns:
        The `OffChip`.
    """
    is_layer = layers.is_layer
    live = live_bytes(layers, loops)
    used = used_bytes(layers, loops, room)
    in_bytes = layers.in_elements() * loops.activation_bytes
    out_bytes = loops.output_bytes
    if part is not None:
        live, in_bytes, out_bytes = part[:3]
    kept, capacity = room.activation_bytes, room.capacity_bytes
    if part is not None:
        capacity = tf.maximum(capacity - part.taken_bytes, 1.0)
    is_apart = room.tile_bytes > 0
    beyond = tf.where(is_apart, 0.0, tf.maximum(live - kept, 0.0))
    per_half = 2 / capacity
    brought = room.image_share * image_bytes(layers, loops)
    leaving = room.image_share * answer_bytes(layers, loops)
    spilled_in = tf.minimum(in_bytes, beyond)
    spilled_out = tf.minimum(out_bytes, beyond - spilled_in)
    elsewhere = beyond - spilled_in - spilled_out
    # Where nothing is kept, what is held is where it was: off the chip.
    elsewhere = tf.where(
        (kept > 0) | is_apart,
        elsewhere,
        loops.weight_bytes * (1 - layers.has_weights),
    )
    # Of a row that reads from outside the chip the other inputs may be off it.
    others = tf.maximum(
        layers.touched_elements(loops.images) * loops.activation_bytes
        - brought,
        0.0,
    )
    read = brought + tf.where(
        brought > 0, tf.minimum(spilled_in, others), spilled_in
    )
    written = tf.maximum(spilled_out, leaving)
    if part is not None:
        side_bytes = layers.side_elements * loops.activation_bytes
        beside = tf.minimum(side_bytes, beyond)
        read = tf.where(part.is_first > 0, read * part.read_again, beside)
        written = written * part.is_last
        elsewhere = elsewhere * part.is_first
    streamed = used * (1 - stays)
    runs = 1.0 if part is None else part.tiles
    out_c_tiles = tf.maximum(tf.math.ceil(streamed * per_half), 1.0)
    in_halves = tf.maximum(tf.math.ceil(read / runs * per_half), 1.0)
    again = tf.minimum(
        read * (out_c_tiles - 1), streamed * runs * (in_halves - 1)
    )
    tiles = row_tiles(layers, loops, room)
    held = tf.where(is_apart, tiles, in_halves)
    if part is not None:
        is_alone = part.is_first * part.is_last > 0
        tiles = tf.where(is_alone, tiles, part.tiles)
        held = tf.where(is_alone, held, part.tiles)
        again += streamed * (part.tiles - 1)
    again = tf.where(is_apart, streamed * (tiles - 1), again)
    repeated = tf.where(is_apart, (used - streamed) * (tiles - 1), 0.0)
    line = layers.in_w * layers.in_c * loops.activation_bytes
    span = (layers.k_h - 1) * layers.dilation_h + 1
    window = tf.minimum(span * line, read)
    row = layers.out_w * layers.out_c * loops.out_element_bytes
    dot = loops.in_c * loops.taps * (layers.operand_bits() / 8)
    needed = 2 * (window + dot * layers.has_weights)
    if part is not None:
        needed += part.taken_bytes
    return OffChip(
        residency=residency,
        dram_bytes=(read + written + elsewhere + streamed + again) * is_layer,
        first_bytes=tf.maximum(window, room.onload_share * read),
        last_bytes=tf.minimum(row, written),
        row_tiles=held,
        out_c_tiles=out_c_tiles,
        needed_bytes=needed * is_layer,
        repeated_bytes=repeated,
    )


def image_bytes(layers: LayerTable, loops: Loops) -> Any:
    """What layers read that comes from outside the chip, `[B, L]`."""
    return layers.network_in_elements * loops.activation_bytes


def answer_bytes(layers: LayerTable, loops: Loops) -> Any:
    """What layers write that leaves the chip, `[B, L]`."""
    return layers.network_out_elements * loops.out_element_bytes


def all_stays(layers: LayerTable, loops: Loops, room: Room) -> Any:
    """Where all weights and all activations between layers stay on the chip.

    What passes the DRAM is then the same whatever the memories: the image and
    the answer.

    Args:
        layers: `LayerTable` of `[B, L]`.
        loops: `Loops` of `[B, L]`.
        room: `Room` of `[M]`, or of `[B, 1]`.

    Returns:
        Booleans, `[B, M]` or `[B, 1]`.
    """
    live, used = live_bytes(layers, loops), used_bytes(layers, loops)
    stored = stored_bytes(layers, loops, used)
    total = tf.reduce_sum(stored, -1, keepdims=True)
    largest = tf.reduce_max(live, -1, keepdims=True)
    stays = share_that_stays(total, largest, room) >= 1
    stays &= largest <= room.activation_bytes
    return stays & room.keeps_what_it_is_given()


def live_and_stored_bytes(layers: LayerTable) -> tuple[np.ndarray, np.ndarray]:
    """What networks take of memory, whatever they run on.

    Args:
        layers: `LayerTable` of `[..., L]` arrays, every field given.

    Returns:
        Bytes of activations while each layer runs, and of parameters that it
        adds to those of the layers before, `[..., L]` each.

    Example:
    A 1x1 convolution of 8 x 8 x 4 to 8 x 8 x 16, with a bias of 32 bits.

    >>> from tf_cosearch.networks.workload import Layer, pad
    >>> live, stored = live_and_stored_bytes(
    ...     pad([[Layer("conv", "conv2d", 8, 8, 16, 8, 8, 4)]]))
    >>> live, stored
    (array([[1280.]], dtype=float32), array([[128.]], dtype=float32))
    """
    table = LayerTable(*(tf.constant(f, tf.float32) for f in layers))
    loops = loops_of(table)
    stored = stored_bytes(table, loops, used_bytes(table, loops))
    return live_bytes(table, loops).numpy(), stored.numpy()


def live_bytes(layers: LayerTable, loops: Loops) -> Any:
    """Bytes of activations while a layer runs, `[B, L]`."""
    elements = layers.in_elements() + layers.held_elements
    right_bytes = loops.weight_bytes * (1 - layers.has_weights)
    live = elements * loops.activation_bytes + loops.output_bytes + right_bytes
    return live * layers.is_layer


def row_tiles(layers: LayerTable, loops: Loops, room: Room) -> Any:
    """Tiles of rows that layers fall into in a memory for activations alone.

    Rows and columns are dealt to parts of the chip. Of `c` columns, a tile of
    `r` rows takes in a part, with channels as they are stored:

        inputs   (r stride_h + 2 (k_h - 1) dilation_h)
                 (c stride_w + (k_w - 1) dilation_w) in_c
        outputs  (r + k_h - 1) c out_c

    that is, the rows of the windows and as many more, of inputs and of
    outputs, as the windows of a next layer like it overlap by. A tile has at
    least a row.

    Args:
        layers: `LayerTable` of `[B, L]`.
        loops: `Loops` of `[B, L]`.
        room: `Room` of `[B, 1]`.

    Returns:
        Tiles, `[B, L]`; 1 for what has no weights, or no memory apart.
    """
    if not tf.is_tensor(room.tile_bytes):
        return tf.ones_like(layers.out_h)
    rows = divide_up(layers.out_h, room.tile_rows)
    line, out_line = part_lines(layers, loops, room)
    halo = (layers.k_h - 1) * (2 * layers.dilation_h * line + out_line)
    fit = (room.tile_bytes - halo) / (layers.stride_h * line + out_line)
    fit = tf.clip_by_value(tf.floor(fit), 1.0, rows)
    is_tiled = (room.tile_bytes > 0) & (layers.is_mac * layers.has_weights > 0)
    return tf.where(is_tiled, tf.math.ceil(rows / fit), 1.0)


def part_lines(layers: LayerTable, loops: Loops, room: Room) -> tuple[Any, Any]:
    """Bytes of a row of inputs, and of outputs, in a part of the chip."""
    columns = divide_up(layers.out_w, room.tile_columns)
    line = columns * layers.stride_w + (layers.k_w - 1) * layers.dilation_w
    line = line * padded_in_c(layers, room) * loops.activation_bytes
    out_line = columns * padded_out_c(layers, room) * loops.out_element_bytes
    return line, out_line
