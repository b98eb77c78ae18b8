"""Which weights stay on the chip from inference to inference.

Weights stay in the order in which they are used, beside the largest
activations where these have no memory of their own. What finds no room is
streamed: a share of every layer, or whole layers, of which a later and smaller
one may still fit. Tables have what the weights leave: of these a run reads a
few rows, of weights all.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tf_cosearch.accelerators.family import Room
from tf_cosearch.arithmetic import divide_up
from tf_cosearch.networks.loops import Loops
from tf_cosearch.networks.workload import LayerTable

BIAS_BYTES = 4
"""A bias is a 32-bit number whatever the weights are."""


def used_bytes(
    layers: LayerTable, loops: Loops, room: Room | None = None
) -> Any:
    """Bytes of parameters that a run of each layer reads.

    Args:
        layers: `LayerTable` of `[B, L]`.
        loops: `Loops` of `[B, L]`.
        room: Whose channels fill multiples and have bytes beside; by default
            parameters are as in a file.

    Returns:
        Bytes, `[B, L]`; of a table those that are looked up.
    """
    weight_bytes, channels = loops.weight_bytes, layers.out_c
    bias_bytes: Any = BIAS_BYTES
    if room is not None:
        channels = padded_out_c(layers, room)
        inputs = padded_in_c(layers, room) / layers.groups
        weight_bytes = channels * inputs * loops.taps
        weight_bytes *= loops.operand_bytes
        bias_bytes = room.channel_bytes
    biases = bias_bytes * layers.use_bias * channels
    used = (weight_bytes + biases) * layers.has_weights + loops.table_bytes
    return used * layers.is_layer


def padded_out_c(layers: LayerTable, room: Room) -> Any:
    """Output channels as they are stored, `[B, L]`."""
    multiple = room.out_c_multiple
    return divide_up(layers.out_c, multiple) * multiple


def padded_in_c(layers: LayerTable, room: Room) -> Any:
    """Input channels as they are stored; those of a group are as they are."""
    multiple = room.in_c_multiple
    whole = divide_up(layers.in_c, multiple) * multiple
    return tf.where(layers.groups > 1, layers.in_c, whole)


def stored_bytes(layers: LayerTable, loops: Loops, used: Any) -> Any:
    """Bytes of parameters that layers add to those of the layers before.

    Args:
        layers: `LayerTable` of `[B, L]`.
        loops: `Loops` of `[B, L]`.
        used: `used_bytes` of them.

    Returns:
        Bytes, `[B, L]`.
    """
    if tf.is_tensor(layers.stored_elements):
        table_bytes = layers.stored_elements * (layers.weight_bits / 8)
        used = used + (table_bytes - loops.table_bytes) * layers.is_layer
    return layers.once(used)


def share_that_stays(total: Any, largest: Any, room: Room) -> Any:
    """Share of all weights that finds room.

    Args:
        total: Bytes of the weights of networks, `[B, 1]`.
        largest: Bytes of their largest activations, `[B, 1]`.
        room: `Room` of `[M]`, or of `[B, 1]`.

    Returns:
        Shares, `[B, M]` or `[B, 1]`; 1 of none.
    """
    share = _room_bytes(largest, room) / tf.maximum(total, 1.0)
    return tf.where(total > 0, tf.minimum(share, 1.0), 1.0)


def shares_that_stay(
    stored: Any, largest: Any, room: Room, layers: LayerTable | None = None
) -> tuple[Any, Any]:
    """Shares of weights that stay.

    Args:
        stored: `stored_bytes` of layers, `[B, L]`.
        largest: Bytes of the largest activations, `[B, 1]`.
        room: `Room` of `[B, 1]`.
        layers: `LayerTable` of `[B, L]`, which may have tables of embeddings.

    Returns:
        Of all weights, `[B, 1]`, and of each layer, `[B, L]`: 0 or 1 where
        they leave by whole layers. What a layer shares with an earlier one
        stays as the mean of all does.

    Example:
    Of layers of 3, 6, 4 and 5 bytes the second does not fit beside the first
    in 8, nor does the last beside the third.

    >>> room = Room(*[tf.constant([[8.0]])] * 3, 0.0,
    ...     whole_layers=tf.constant([[1.0]]))
    >>> share, shares = shares_that_stay(
    ...     tf.constant([[3.0, 6.0, 4.0, 5.0]]), tf.constant([[0.0]]), room)
    >>> shares.numpy(), share.numpy().round(4)  # (3 + 4) / 18
    (array([[1., 0., 1., 0.]], dtype=float32), array([[0.3889]], dtype=float32))
    """
    total = tf.reduce_sum(stored, -1, keepdims=True)
    share = share_that_stays(total, largest, room)
    shares, tables = share + tf.zeros_like(stored), None
    if layers is not None and tf.is_tensor(layers.stored_elements):
        tables = layers.has_weights * (1 - layers.is_mac)
        shares = _weights_first(stored, tables, _room_bytes(largest, room))
    if not tf.is_tensor(room.whole_layers):
        return share, shares
    is_whole = (room.whole_layers > 0) & (share < 1)

    def whole() -> tuple[Any, Any]:
        stays = _whole_layers(stored, _room_bytes(largest, room), tables)
        kept = tf.reduce_sum(stays * stored, -1, keepdims=True)
        mean = tf.where(is_whole, kept / total, share)
        of_layers = tf.where(is_whole & (stored > 0), stays, mean)
        return mean, tf.where(is_whole, of_layers, shares)

    return tf.cond(tf.reduce_any(is_whole), whole, lambda: (share, shares))


def _weights_first(stored: Any, tables: Any, room_bytes: Any) -> Any:
    """Shares of layers where tables have what the weights leave, `[B, L]`."""
    shares = []
    for part in (1 - tables, tables):
        total = tf.reduce_sum(stored * part, -1, keepdims=True)
        share = tf.minimum(room_bytes / tf.maximum(total, 1.0), 1.0)
        shares.append(part * tf.where(total > 0, share, 1.0))
        room_bytes = tf.maximum(room_bytes - total, 0.0)
    return shares[0] + shares[1]


def _room_bytes(largest: Any, room: Room) -> Any:
    """Room for weights, which activations take of unless theirs is apart."""
    beside = room.capacity_bytes - tf.where(room.tile_bytes > 0, 0.0, largest)
    return tf.maximum(tf.minimum(beside, room.weight_bytes), 0.0)


def _whole_layers(stored: Any, room_bytes: Any, tables: Any) -> Any:
    """1 for layers that fit beside those before that do, `[B, L]`."""

    def step(state: tuple[Any, Any], layer_bytes: Any) -> tuple[Any, Any]:
        left, _ = state
        stays = tf.cast(layer_bytes <= left, left.dtype)
        return left - stays * layer_bytes, stays

    def fitting(some: Any, left: Any) -> Any:
        first = left + tf.zeros_like(some[:, 0])
        _, stays = tf.scan(step, tf.transpose(some), (first, first))
        return tf.transpose(stays)

    room_bytes = tf.squeeze(room_bytes, -1)
    if tables is None:
        return fitting(stored, room_bytes)
    weights = stored * (1 - tables)
    stays = fitting(weights, room_bytes)
    left = room_bytes - tf.reduce_sum(stays * weights, -1)
    return tf.where(tables > 0, fitting(stored * tables, left), stays)
