"""What passes the DRAM interface: image, answer, and what finds no room.

The largest set of activations that a layer needs at once comes first; weights
stay on the chip from inference to inference in what that leaves, and the share
that finds no room is streamed. Activations of a layer beyond the memory go out
or come in once.

A layer whose inputs come from off the chip, or whose weights are streamed, is
worked on in tiles of which the PE memories hold two, one at work and one on
its way. One of two loop orders is taken, whichever moves less: weights
outermost (each weight comes once, inputs again for every tile of weights), or
rows outermost (inputs come once, weights again for every tile of rows).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_cosearch.accelerators.family import Room
from tf_cosearch.networks.loops import Loops, loops_of
from tf_cosearch.networks.workload import LayerTable

BIAS_BYTES = 4


class OffChip(NamedTuple):
    """What does not stay on the chip.

    Attributes:
        residency: Share of the weights that stays, `[B, 1]`.
        dram_bytes: Bytes to and from DRAM, `[B, L]`.
        first_bytes: Those of them before which nothing can start.
        last_bytes: Those of them after which nothing runs.
        row_tiles: Tiles the rows of a layer fall into.
        out_c_tiles: Tiles the output channels fall into.
        needed_bytes: What two tiles of one row take of the PE memories.
    """

    residency: Any
    dram_bytes: Any
    first_bytes: Any
    last_bytes: Any
    row_tiles: Any
    out_c_tiles: Any
    needed_bytes: Any

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
    the taps of a window span, `(k_h - 1) dilation_h + 1` of them.

    Args:
        layers: `LayerTable` of `[B, L]`.
        loops: `Loops` of `[B, L]`.
        room: `Room` of `[B, 1]`.

    Returns:
        The `OffChip`.
    """
    is_layer = layers.is_layer
    live, used = _live_and_used(layers, loops)
    stored = _stored(layers, loops, used)
    in_bytes = layers.in_elements() * loops.activation_bytes
    out_bytes = loops.output_bytes
    total = tf.reduce_sum(stored, -1, keepdims=True)
    residency = _residency(live, total, room)
    kept = room.activation_bytes
    beyond = tf.maximum(live - kept, 0.0)
    per_half = 2 / room.capacity_bytes
    brought = room.image_share * image_bytes(layers, loops)
    leaving = room.image_share * answer_bytes(layers, loops)
    spilled_in = tf.minimum(in_bytes, beyond)
    spilled_out = tf.minimum(out_bytes, beyond - spilled_in)
    elsewhere = beyond - spilled_in - spilled_out
    # Where nothing is kept, what is held is where it was: off the chip.
    elsewhere = tf.where(
        kept > 0, elsewhere, loops.weight_bytes * (1 - layers.has_weights)
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
    streamed = used * (1 - residency)
    out_c_tiles = tf.maximum(tf.math.ceil(streamed * per_half), 1.0)
    row_tiles = tf.maximum(tf.math.ceil(read * per_half), 1.0)
    again = tf.minimum(read * (out_c_tiles - 1), streamed * (row_tiles - 1))
    line = layers.in_w * layers.in_c * loops.activation_bytes
    span = (layers.k_h - 1) * layers.dilation_h + 1
    window = tf.minimum(span * line, read)
    row = layers.out_w * layers.out_c * loops.out_element_bytes
    dot = loops.in_c * loops.taps * (layers.operand_bits() / 8)
    needed = 2 * (window + dot * layers.has_weights) * is_layer
    return OffChip(
        residency=residency,
        dram_bytes=(read + written + elsewhere + streamed + again) * is_layer,
        first_bytes=tf.maximum(window, room.onload_share * read),
        last_bytes=tf.minimum(row, written),
        row_tiles=row_tiles,
        out_c_tiles=out_c_tiles,
        needed_bytes=needed,
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
    live, used = _live_and_used(layers, loops)
    stored = _stored(layers, loops, used)
    total = tf.reduce_sum(stored, -1, keepdims=True)
    fits = tf.reduce_max(live, -1, keepdims=True) <= room.activation_bytes
    return fits & (_residency(live, total, room) >= 1)


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
    live, used = _live_and_used(table, loops)
    return live.numpy(), _stored(table, loops, used).numpy()


def _live_and_used(layers: LayerTable, loops: Loops) -> tuple[Any, Any]:
    """Bytes of activations while a layer runs, and of parameters it reads."""
    elements = layers.in_elements() + layers.held_elements
    right_bytes = loops.weight_bytes * (1 - layers.has_weights)
    live = elements * loops.activation_bytes + loops.output_bytes + right_bytes
    # A bias is a 32-bit number whatever the weights are.
    biases = BIAS_BYTES * layers.use_bias * layers.out_c
    used = (loops.weight_bytes + biases) * layers.has_weights
    used += loops.table_bytes
    return live * layers.is_layer, used * layers.is_layer


def _stored(layers: LayerTable, loops: Loops, used: Any) -> Any:
    """Bytes of parameters that layers add to those of the layers before."""
    if tf.is_tensor(layers.stored_elements):
        stored_bytes = layers.stored_elements * (layers.weight_bits / 8)
        used = used + (stored_bytes - loops.table_bytes) * layers.is_layer
    return layers.once(used)


def _residency(live: Any, total: Any, room: Room) -> Any:
    """Share of the weights that stays beside the largest activations."""
    beside = room.capacity_bytes - tf.reduce_max(live, -1, keepdims=True)
    beside = tf.minimum(beside, room.weight_bytes)
    share = tf.maximum(beside, 0.0) / tf.maximum(total, 1.0)
    return tf.where(total > 0, tf.minimum(share, 1.0), 1.0)
