"""How a network is cut into chains of layers that are worked on together.

Activations and weights share the memory; a chain needs less
for the former. So memory is divided in some ways: as ever, with nothing fused,
or activations have a part of what they may take at most, or took, see `SHARES`,
and weights the rest. A tile takes what that leaves beside whole inputs and
outputs, or half of it, where these then spill: as few tiles as fit. Now all
costs are sums over rows, and a dynamic program from the last row to the first
finds the best of all ways to cut the network into chains:

    best(i) = min over n of cost of the chain i .. i+n-1 + best(i+n)

by cycles, by energy, or by the sum of both relative to those of nothing fused
(whose least change is that of their product). The best division is kept, and
the one with nothing fused if none is better. Where activations have memory of
their own that is what is divided, and tiles of the chain's input and output
take their part of it; the tiles of a chain pass from PE to PE no more where
PEs have positions of their own, see `mapper`.

`B` are candidates, `L` rows, `P` divisions of the memory. A row has one of
`PARTS` in a chain, so there are `6 P` of each row.

`B` are candidates, `L` rows, `P` divisions of the memory. A row has one of
`PARTS` in a chain, so there are `6 P` of each row.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_cosearch.accelerators import Accelerator, power
from tf_cosearch.accelerators.family import OnChip
from tf_cosearch.cost import fusion
from tf_cosearch.cost.off_chip import OffChip, Part, live_bytes, moved
from tf_cosearch.cost.residency import (
    shares_that_stay,
    stored_bytes,
    used_bytes,
)
from tf_cosearch.networks.loops import Loops, loops_of
from tf_cosearch.networks.workload import LayerTable

SHARES = (1.0, 0.5, 0.25)
"""What activations get of what they take with nothing fused, or may take."""

LENGTHS = (2, 3)
"""Layers of chains."""

PARTS = ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))
"""What a row may be: layers of its chain, and those of them before it."""


class Rows(NamedTuple):
    """What rows cost, each field `[B, L]`; see `model.price_rows`.

    Attributes:
        cycles: Cycles of a run.
        fixed_cycles: Those of them in which nothing is computed.
        energy_pj: Energy of a run, without what its time takes.
        mac_pj: That of arithmetic.
        dram_pj: That of transfers off the chip.
        write_pj: That of writing on it what comes from there.
        crossing_pj: That of the host's link.
        chosen: The mappings, of all tiles.
        outside: What passes the DRAM.
        is_joined: 1 for rows that are worked on together with the one before.
    """

    cycles: Any
    fixed_cycles: Any
    energy_pj: Any
    mac_pj: Any
    dram_pj: Any
    write_pj: Any
    crossing_pj: Any
    chosen: OnChip
    outside: OffChip
    is_joined: Any


def cut(
    layers: LayerTable,
    loops: Loops,
    machine: Accelerator,
    alone: Rows,
    objective: str,
    on_chip: Callable[[LayerTable, Loops], OnChip],
    price_rows: Callable[..., Rows],
) -> Rows:
    """Finds which layers to work on together.

    Args:
        layers: `LayerTable` of `[B, L]` tensors.
        loops: Their `Loops`.
        machine: Accelerators of `[B, 1]` tensors.
        alone: The rows with nothing fused.
        objective: One of `OBJECTIVES`.
        on_chip: Maps layers.
        price_rows: Prices layers of mappings, traffic and tilings.

    Returns:
        The `Rows` as they are best.
    """
    room = machine.room()
    stored = stored_bytes(layers, loops, used_bytes(layers, loops, room))
    live = live_bytes(layers, loops)
    largest = tf.reduce_max(live, -1, keepdims=True)
    most = tf.minimum(largest, room.activation_bytes)
    ones = tf.ones_like(live)
    own = Part(
        live,
        layers.in_elements() * loops.activation_bytes,
        loops.output_bytes,
        *[ones] * 4,
    )
    tables, parts, tilings, may, divided = [], [], [], [], []
    for share in SHARES:
        here = room._replace(activation_bytes=share * most)
        residency, stays = shares_that_stay(stored, share * most, here)
        divided += [(share * most * ones, residency * ones, stays)] * len(PARTS)
        parts.append(own)
        tilings.append(fusion.Tiling(ones, ones))
        for length in LENGTHS:
            chain = fusion.chains(layers, loops, here, share, length)
            may.append(chain.may)
            for place in range(length):
                table, part, tiling = fusion.part_of(
                    layers, chain, length, place
                )
                tables.append(table)
                parts.append(part)
                tilings.append(tiling)
    # Only tiles are mapped, as the layers by themselves are already.
    fused = [part for part in parts if part is not own]
    table = _side_by_side(tables)
    tile_loops = loops_of(table)._replace(
        comes=_side_by_side([part.is_first for part in fused]),
        goes=_side_by_side([part.is_last for part in fused]),
    )
    mapped = iter(_apart(on_chip(table, tile_loops), len(fused)))
    chosen = [alone.chosen if part is own else next(mapped) for part in parts]
    tiling = _side_by_side(tilings)
    whole = _side_by_side([layers] * len(parts))
    whole_loops = loops_of(whole, loops.images)
    here, residency, stays = _side_by_side(divided)
    outside = moved(
        whole,
        whole_loops,
        room._replace(activation_bytes=here),
        residency,
        stays,
        _side_by_side(parts),
    )
    rows = price_rows(
        whole,
        whole_loops,
        machine,
        _all_tiles(_side_by_side(chosen), tiling.tiles),
        outside,
        tiling,
    )
    joined = [ones * float(place > 0) for _, place in PARTS] * len(SHARES)
    rows = rows._replace(is_joined=_side_by_side(joined))
    shape = [-1, len(SHARES), len(PARTS), tf.shape(live)[-1]]
    rows = _each(lambda field: tf.reshape(field, shape), rows)
    idle_pj = power.idle_mw(machine) / machine.process.clock_ghz
    spend = functools.partial(_spend, layers, idle_pj)
    cycles, needed_pj = spend(rows)
    cycles_alone, pj_alone = (tf.reduce_sum(part, -1) for part in spend(alone))
    key = {
        "latency": cycles,
        "energy": needed_pj,
        "energy_delay": cycles / cycles_alone[:, None, None, None]
        + needed_pj / pj_alone[:, None, None, None],
    }[objective]
    may_be = [tf.stack(may[n :: len(LENGTHS)], 1) for n in range(len(LENGTHS))]
    part_of_row = _best_cut(key, may_be)
    rows = _each(lambda field: _pick(field, part_of_row), rows)
    best, least = alone, _total(objective, cycles_alone, pj_alone)
    needed = tf.reduce_max(alone.outside.needed_bytes, -1)
    needed = tf.maximum(needed, tf.squeeze(room.capacity_bytes, -1))
    for number in range(len(SHARES)):
        here = _each(lambda field, n=number: field[:, n], rows)
        total = _total(
            objective, *(tf.reduce_sum(part, -1) for part in spend(here))
        )
        wins = (
            (total < least)
            & (tf.squeeze(room.fused_layers, -1) > 1)
            & (tf.reduce_max(here.outside.needed_bytes, -1) <= needed)
        )
        best = _each(
            lambda new, old, wins=wins: tf.where(wins[:, None], new, old),
            here,
            best,
        )
        least = tf.where(wins, total, least)
    return best


def _spend(layers: LayerTable, idle_pj: Any, rows: Rows) -> tuple[Any, Any]:
    """Cycles and energy of all runs of rows, `[B, ..., L]`."""
    runs = layers.all_runs(layers.is_layer)
    for _ in rows.cycles.shape[2:]:
        runs, idle_pj = runs[:, None], idle_pj[:, None]
    needed_pj = rows.energy_pj + idle_pj * rows.cycles
    return rows.cycles * runs, needed_pj * runs


def _total(objective: str, cycles: Any, needed_pj: Any) -> Any:
    """What networks are compared by."""
    return {
        "latency": cycles,
        "energy": needed_pj,
        "energy_delay": cycles * needed_pj,
    }[objective]


def _best_cut(costs: Any, may: Sequence[Any]) -> Any:
    """The part of each row in the cheapest of all ways to cut networks.

    Args:
        costs: What each row costs as each of `PARTS`, `[B, P, 6, L]`.
        may: Where chains of each of `LENGTHS` may begin, `[B, P, L]`.

    Returns:
        Indices of `PARTS`, `[B, P, L]`.

    Example:
    Of four rows that take 5 each two or three take 3 each together: two pairs
    are better than three and one.

    >>> each = tf.constant([5.0, 3, 3, 3, 3, 3])[None, None, :, None]
    >>> may = [tf.constant([[[True, True, True, False]]]),
    ...     tf.constant([[[False, True, False, False]]])]
    >>> parts = _best_cut(each + tf.zeros([1, 1, 6, 4]), may)
    >>> [PARTS[int(part)] for part in parts.numpy()[0, 0]]
    [(2, 0), (2, 1), (2, 0), (2, 1)]
    """
    whole = [costs[..., 0, :]]
    for length, allowed in zip(LENGTHS, may, strict=True):
        first = PARTS.index((length, 0))
        total = sum(
            fusion.at(costs[..., first + place, :], place)
            for place in range(length)
        )
        whole.append(tf.where(allowed, total, np.inf))
    by_row = tf.transpose(tf.stack(whole), [3, 0, 1, 2])  # L, lengths, B, P
    rest = tf.zeros_like(by_row[0])

    def backwards(state: Any, ends: Any) -> Any:
        rest, _ = state
        all_ways = ends + rest
        best = tf.reduce_min(all_ways, 0)
        length = tf.cast(tf.argmin(all_ways, 0) + 1, tf.float32)
        return tf.concat([best[None], rest[:-1]], 0), length

    _, lengths = tf.scan(backwards, by_row, (rest, rest[0]), reverse=True)

    def forwards(state: Any, longest: Any) -> Any:
        part, left = state
        begins = left == 0
        first = longest * (longest - 1) / 2  # as `PARTS` stand in order
        part = tf.where(begins, first, part + 1)
        return part, tf.where(begins, longest, left) - 1

    parts, _ = tf.scan(forwards, lengths, (rest[0], rest[0]))
    return tf.transpose(parts, [1, 2, 0])


def _pick(field: Any, part_of_row: Any) -> Any:
    """Of what rows are as each part, `[B, P, 6, L]`, what they are."""
    result = field[:, :, 0]
    for number in range(1, len(PARTS)):
        is_it = part_of_row == number
        result = tf.where(is_it, field[:, :, number], result)
    return result


def _each(function: Callable[..., Any], *nests: Any) -> Any:
    """A function of all tensors of nests; what is left out stays so."""
    return tf.nest.map_structure(
        lambda first, *rest: (
            function(first, *rest) if tf.is_tensor(first) else first
        ),
        *nests,
    )


def _side_by_side(nests: Sequence[Any]) -> Any:
    """Nests of `[B, L]` as one, one after another along the rows."""
    return _each(lambda *fields: tf.concat(fields, -1), *nests)


def _apart(nest: Any, count: int) -> list[Any]:
    """The inverse of `_side_by_side`."""
    pieces = [
        tf.split(field, count, -1) if tf.is_tensor(field) else [field] * count
        for field in tf.nest.flatten(nest)
    ]
    return [
        tf.nest.pack_sequence_as(nest, list(piece))
        for piece in zip(*pieces, strict=True)
    ]


def _all_tiles(chosen: OnChip, tiles: Any) -> OnChip:
    """What all tiles take, of what one does."""
    scaled = _each(lambda field: field * tiles, chosen)
    return scaled._replace(index=chosen.index)
