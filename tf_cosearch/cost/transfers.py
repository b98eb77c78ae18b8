"""What networks move to and from DRAM, where networks and memories repeat.

`N` are networks, `L` layers of one, `M` different memories, `Q` the pairs of
them that need to be told apart: all memories that hold all of a network are
one, as only image and answer pass the DRAM whatever they are.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import tensorflow as tf

from tf_cosearch.accelerators.family import Room
from tf_cosearch.cost import model, off_chip
from tf_cosearch.networks import workload
from tf_cosearch.networks.loops import loops_of
from tf_cosearch.networks.workload import LayerTable

_BLOCK = 2**17  # numbers that stay in the cache of a core


class Transfers:
    """What networks move to and from DRAM with different memories.

    Args:
        tables: `N` networks, `[L, F]` each.
        memories: Different `family.Room` of accelerators, `[R, M]`.

    Attributes:
        index: The pair of each network with each memory, `[N, M]`.
        steady_bytes: DRAM traffic of a run while the array is at work,
            `[Q, L]`.
        edge_bytes: Sum of the other DRAM traffic of layers, `[Q]`.
        repeated_bytes: Sum of weights that are brought once more, `[Q]`.
        dram_bytes: Sum of all DRAM traffic, `[Q]`.
        residency: Share of the weights that stays, `[Q]`.
        needed_bytes: What two tiles of one row take at most, `[Q]`.
        serial: Sums of all runs, each `[N, 1]`.
        macs: Multiply-accumulates, `[N, 1]`.
        params: Parameters, `[N, 1]`.
    """

    def __init__(self, tables: list[np.ndarray], memories: np.ndarray) -> None:
        self._of_memory: dict[int, tuple[Any, Any, Any]] = {}
        table = workload.pad(tables)._replace(continues=0.0)
        columns = np.stack(table.columns())
        self._runs = table.repeats.numpy()
        memories = _needed(memories)
        stays_of, outside_of = _graphs(len(columns), len(memories))
        stays, *sums = (value.numpy() for value in stays_of(columns, memories))
        self.macs, self.params, *serial = (x[:, None] for x in sums)
        self.serial = model.Serial(*serial)
        kinds = _kinds(Room(*memories))
        networks, chosen = np.nonzero(_told_apart(stays, kinds))
        self.index = np.zeros(stays.shape, np.intp)
        self.index[networks, chosen] = np.arange(len(networks))
        for kind in np.unique(kinds):
            alike = stays & (kinds == kind)
            first = self.index[np.arange(len(stays)), alike.argmax(1)]
            self.index = np.where(alike, first[:, None], self.index)
        (
            self.steady_bytes,
            self.edge_bytes,
            self.repeated_bytes,
            self.dram_bytes,
            self.residency,
            self.needed_bytes,
        ) = (
            value.numpy()
            for value in outside_of(
                columns,
                memories,
                tf.constant(networks, tf.int32),
                tf.constant(chosen, tf.int32),
            )
        )

    def add_excess(
        self,
        memory: int,
        rows: np.ndarray,
        priced: np.ndarray,
        dram: np.ndarray,
        cycles: np.ndarray,
    ) -> None:
        """Adds by how much layers take longer to bring than to work on.

        Args:
            memory: Which memories the accelerators have.
            rows: Where the layers are in `priced`, `[N, L]`.
            priced: Cycles of layers on arrays, `[U, W]`.
            dram: Cycles it takes to move a byte, `[W]`.
            cycles: What to add to, `[N, W]`.
        """
        networks, layers, traffic = self._traffic(memory)
        which = rows[networks, layers]
        may = np.flatnonzero(traffic * dram.max() > priced.min(1)[which])
        if not len(may):
            return
        runs = self._runs[networks, layers][may, None]
        networks, which, traffic = networks[may], which[may], traffic[may, None]
        starts = np.append(0, np.flatnonzero(np.diff(networks)) + 1)
        into = networks[starts]
        width = max(_BLOCK // len(which), 16)
        for begin in range(0, len(dram), width):
            span = slice(begin, begin + width)
            excess = traffic * dram[span]
            excess -= priced[:, span][which]
            np.maximum(excess, 0, out=excess)
            if (runs != 1).any():
                excess *= runs
            cycles[into, span] += np.add.reduceat(excess, starts, 0)

    def _traffic(self, memory: int) -> tuple[Any, Any, Any]:
        """Layers with DRAM traffic at work: network, place, and bytes."""
        if memory not in self._of_memory:
            steady = self.steady_bytes[self.index[:, memory]]
            networks, layers = np.nonzero(steady > 0)
            traffic = steady[networks, layers]
            self._of_memory[memory] = networks, layers, traffic
        return self._of_memory[memory]


def _needed(memories: np.ndarray) -> np.ndarray:
    """Memories without the last fields that are the defaults of all."""
    needed = len(memories)
    least = Room._fields.index("image_share") + 1
    while needed > least:
        default = Room._field_defaults[Room._fields[needed - 1]]
        if (memories[needed - 1] != default).any():
            break
        needed -= 1
    return memories[:needed]


def _kinds(room: Room) -> np.ndarray:
    """Numbers memories by what tells those apart that hold all of a network."""
    shares = np.stack([room.onload_share, room.image_share])
    return np.unique(shares, axis=1, return_inverse=True)[1].reshape(-1)


def _told_apart(stays: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Of memories that hold all of a network, one of each kind."""
    result = ~stays
    for kind in np.unique(kinds):
        alike = stays & (kinds == kind)
        some = np.flatnonzero(alike.any(1))
        result[some, alike[some].argmax(1)] = True
    return result


@functools.cache
def _graphs(columns: int, rows: int) -> tuple[Any, Any]:
    """`_stays` and `_outside` for tables with the first so many columns."""
    table = tf.TensorSpec((columns, None, None))
    rooms = tf.TensorSpec((rows, None))
    pairs = [tf.TensorSpec((None,), tf.int32)] * 2
    return (
        tf.function(_stays, [table, rooms], autograph=False),
        tf.function(_outside, [table, rooms, *pairs], autograph=False),
    )


def _stays(columns: Any, memories: Any) -> Any:
    """Which memories hold all of a network, and sums over its layers."""
    layers = LayerTable(*tf.unstack(columns))
    loops = loops_of(layers)
    room = Room(*tf.unstack(memories))

    def total(values: Any) -> Any:
        return tf.reduce_sum(values * layers.is_layer, -1)

    return (
        off_chip.all_stays(layers, loops, room),
        total(layers.all_runs(layers.macs())),
        total(layers.params()),
        *(
            total(layers.all_runs(part))
            for part in model.serial_of(layers, loops)
        ),
    )


def _outside(columns: Any, memories: Any, networks: Any, chosen: Any) -> Any:
    """What passes the DRAM for pairs of a network and memories."""
    layers = LayerTable(*tf.unstack(tf.gather(columns, networks, axis=1)))
    room = Room(*tf.unstack(tf.gather(memories, chosen, axis=1)[..., None]))
    loops = loops_of(layers)
    outside = off_chip.off_chip(layers, loops, room)
    edge_bytes = outside.edge_bytes() * layers.is_layer
    return (
        outside.steady_bytes() * layers.is_layer,
        tf.reduce_sum(layers.all_runs(edge_bytes), -1),
        tf.reduce_sum(layers.all_runs(outside.repeated_bytes), -1),
        tf.reduce_sum(layers.all_runs(outside.dram_bytes), -1),
        tf.squeeze(outside.residency, -1),
        tf.reduce_max(outside.needed_bytes, -1),
    )
