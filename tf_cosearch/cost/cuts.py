"""How a network is cut into chains of layers that are worked on together.

Activations and weights share the memory, and chains need less for the former.
So where layers may be fused memory is also divided in other ways than as ever:
activations have a part, see `SHARES`, of what they may take or, if less, take
with nothing fused; weights have the rest. Then all costs are sums over rows.
A dynamic program from the last row to the first finds the best of all ways to
cut the network into chains, each with its best number of tiles:

    best(i) = min over ways of cost of the chain i .. i+n-1 + best(i+n)

by cycles, by energy, or, for the least product of both, by the sum of both
relative to those of nothing fused, which changes as the product does where
changes are small. Ways that are equally good are told apart as mappings are:
equally fast ones by energy, others by cycles. A chain that needs more than
weights that stay leave of the memory is none. The best division is kept, or
nothing is fused if that is as good. A division counts only where it makes way
for a chain, and where memory that lacks does not come to lack more. So fusion
never costs more of what is asked for; of the rest it may. `TILES` are
not all numbers of tiles there are, so now and then another one would do better.

`B` are candidates, `L` rows, `N` parts that a row may be of chains, `PARTS`.
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

TILES = (1, 2, 4, 8, 16)
"""Tiles that chains may run in."""

_TIED = 1 + 1e-7
"""What is worse by less is equally good, but for rounding."""

WAYS = ((1, 1), *((length, tiles) for tiles in TILES for length in (2, 3)))
"""Layers, and tiles, of what may begin at a row: itself first."""

PARTS = tuple(
    (n, m) for n, (length, _) in enumerate(WAYS) for m in range(length)
)
"""What a row may be: one of `WAYS`, and layers of it that come before."""

_FIRST = [PARTS.index((way, 0)) for way in range(len(WAYS))]


class Rows(NamedTuple):
    """What rows cost, each field `[B, L]`; see `model.price_rows`.

    Attributes:
        cycles: Cycles of a run.
        fixed_cycles: Those of them in which nothing is computed.
        energy_pj: Energy of a run, without what its time takes.
        mac_pj: That of arithmetic.
        dram_pj: That of transfers off the chip.
        write_pj: That of writing on it what comes from there or the host.
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
        ones,
        ones,
        ones,
        tf.zeros_like(ones),
        ones,
    )
    chains = [fusion.chains(layers, loops, room, *way) for way in WAYS[1:]]
    tables, parts, tilings = zip(
        *(
            fusion.part_of(layers, chains[way - 1], place, WAYS[way][0])
            for way, place in PARTS[1:]
        ),
        strict=True,
    )
    # Only tiles are mapped, as the layers by themselves are already.
    table = _side_by_side(tables)
    tile_loops = loops_of(table)._replace(
        comes=_side_by_side([part.is_first for part in parts]),
        goes=_side_by_side([part.is_last for part in parts]),
    )
    tiling = _side_by_side([fusion.Tiling(ones, ones), *tilings])
    of_tiles = _apart(on_chip(table, tile_loops), len(parts))
    chosen = _side_by_side([alone.chosen, *of_tiles])
    mapped = _all_tiles(chosen, tiling.tiles)
    part = _side_by_side([own, *parts])
    whole = _side_by_side([layers] * len(PARTS))
    whole_loops = loops_of(whole, loops.images)
    is_alone = part.is_first * part.is_last
    is_shared = tf.where(room.tile_bytes > 0, 0.0, 1.0)
    joined = [ones * float(place > 0) for _, place in PARTS]
    idle_pj = power.idle_mw(machine) / machine.process.clock_ghz
    spend = functools.partial(_spend, layers, idle_pj)
    alone_spent = [tf.reduce_sum(spent, -1) for spent in spend(alone)]
    best, least = alone, _totals(objective, *alone_spent)
    needed = tf.reduce_max(alone.outside.needed_bytes, -1)
    needed = tf.maximum(needed, tf.squeeze(room.capacity_bytes, -1))
    for share in SHARES:
        here = room._replace(activation_bytes=share * most)
        residency, stays = shares_that_stay(stored, share * most, here, layers)
        kept = residency * tf.reduce_sum(stored, -1, keepdims=True) * is_shared
        residency, stays = _side_by_side(
            [(residency * ones, stays)] * len(PARTS)
        )
        beside = part._replace(
            taken_bytes=part.taken_bytes + kept * (1 - is_alone)
        )
        outside = moved(whole, whole_loops, here, residency, stays, beside)
        rows = price_rows(whole, whole_loops, machine, mapped, outside, tiling)
        rows = rows._replace(is_joined=_side_by_side(joined))
        rows = _each(
            lambda field: tf.stack(tf.split(field, len(PARTS), -1), 1), rows
        )
        costs = tf.stack(_keys(objective, spend(rows), alone_spent))
        lacks = rows.outside.needed_bytes > room.capacity_bytes[:, None]
        lacks &= np.arange(len(PARTS))[:, None] > 0
        costs = tf.where(lacks, tf.constant(np.inf, costs.dtype), costs)
        may = [fusion.fits(chain, here) for chain in chains]
        which = _best_cut(costs, may)
        rows = _each(functools.partial(_pick, which=which), rows)
        totals = _totals(
            objective, *(tf.reduce_sum(spent, -1) for spent in spend(rows))
        )
        wins = (
            _is_better(totals, least)
            & tf.reduce_any(rows.is_joined > 0, -1)
            & (tf.reduce_max(rows.outside.needed_bytes, -1) <= needed)
        )
        best = _each(
            lambda new, old, wins=wins: tf.where(wins[:, None], new, old),
            rows,
            best,
        )
        least = tf.where(wins, totals, least)
    return best


def _keys(
    objective: str, spent: Sequence[Any], alone: Sequence[Any]
) -> tuple[Any, Any]:
    """Sums over rows that ways to cut are compared by, and then by."""
    cycles, needed_pj = spent
    if objective == "latency":
        return cycles, needed_pj
    if objective == "energy":
        return needed_pj, cycles
    total_cycles, total_pj = (total[:, None, None] for total in alone)
    return cycles / total_cycles + needed_pj / total_pj, cycles


def _spend(layers: LayerTable, idle_pj: Any, rows: Rows) -> tuple[Any, Any]:
    """Cycles and energy of all runs of rows, `[B, ..., L]`.

    In float64: sums of the same numbers are the same in any order.
    """
    runs = layers.all_runs(layers.is_layer)
    for _ in rows.cycles.shape[2:]:
        runs, idle_pj = runs[:, None], idle_pj[:, None]
    needed_pj = rows.energy_pj + idle_pj * rows.cycles
    return (
        tf.cast(rows.cycles * runs, tf.float64),
        tf.cast(needed_pj * runs, tf.float64),
    )


def _totals(objective: str, cycles: Any, needed_pj: Any) -> Any:
    """What networks are compared by, and then by, `[2, B]`."""
    return tf.stack(
        {
            "latency": (cycles, needed_pj),
            "energy": (needed_pj, cycles),
            "energy_delay": (cycles * needed_pj, cycles),
        }[objective]
    )


def _is_better(new: Any, old: Any) -> Any:
    """Where networks cost less, or as much and less of what is compared then.

    Example:
    >>> _is_better(tf.constant([[1.0, 2.0, 3.0], [5.0, 5.0, 1.0]]),
    ...     tf.constant([[2.0] * 3, [6.0, 6.0, 6.0]])).numpy()
    array([ True,  True, False])
    """
    is_less = new * _TIED < old
    return is_less[0] | (new[0] <= old[0] * _TIED) & is_less[1]


def _best_cut(costs: Any, may: Sequence[Any]) -> Any:
    """The part of each row in the cheapest of all ways to cut networks.

    Args:
        costs: What each row costs as each of `PARTS` by what is compared, and
            what by that which tells equally good ways apart, `[2, B, N, L]`.
        may: Where each of `WAYS` but the first may begin, `[B, L]`.

    Returns:
        Indices of `PARTS`, `[B, L]`.

    Example:
    Of four rows that take 5 each two or three take 3 each together: two pairs
    are better than three and one.

    >>> each = tf.constant([5.0] + [3.0] * (len(PARTS) - 1))[:, None]
    >>> may = [tf.constant([[True, True, True, False]]),
    ...     tf.constant([[True, True, False, False]])] * len(TILES)
    >>> parts = _best_cut(each + tf.zeros([2, 1, 1, 4]), may)
    >>> [PARTS[int(part)] for part in parts.numpy()[0]]
    [(1, 0), (1, 1), (1, 0), (1, 1)]
    """
    never = tf.constant(np.inf, costs.dtype)
    begun = [costs[:, :, 0]]
    for (length, _), first, allowed in zip(
        WAYS[1:], _FIRST[1:], may, strict=True
    ):
        total = tf.add_n(
            [fusion.at(costs[:, :, first + n], n) for n in range(length)]
        )
        begun.append(tf.where(allowed, total, never))
    by_row = tf.transpose(tf.stack(begun), [3, 2, 0, 1])  # L, B, ways, 2
    no_cost = tf.zeros_like(by_row[0, :, 0])
    nothing = tf.cast(no_cost[:, 0], tf.float32)

    def backwards(state: Any, ways: Any) -> Any:
        rest = state[0]  # the least that what follows 1, 2 and 3 rows on costs
        totals = ways + tf.stack([rest[length - 1] for length, _ in WAYS], 1)
        first, second = tf.unstack(totals, axis=-1)
        least = tf.reduce_min(first, -1, keepdims=True)
        way = tf.argmin(tf.where(first <= least * _TIED, second, never), -1)
        least = tf.gather(totals, way, batch_dims=1)
        return tf.stack([least, rest[0], rest[1]]), tf.cast(way, tf.float32)

    start = tf.stack([no_cost] * 3), nothing
    _, ways = tf.scan(backwards, by_row, start, reverse=True)

    def forwards(state: Any, way: Any) -> Any:
        part, left = state
        begins = left == 0
        at_first, length = nothing, nothing
        for number, (rows, _) in enumerate(WAYS):
            at_first = tf.where(way == number, float(_FIRST[number]), at_first)
            length = tf.where(way == number, float(rows), length)
        part = tf.where(begins, at_first, part + 1)
        return part, tf.where(begins, length, left) - 1

    parts, _ = tf.scan(forwards, ways, (nothing, nothing))
    return tf.transpose(parts)


def _pick(field: Any, which: Any) -> Any:
    """Of what rows are as each of `PARTS`, `[B, N, L]`, what they are."""
    result = field[:, 0]
    for number in range(1, len(PARTS)):
        result = tf.where(which == number, field[:, number], result)
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
