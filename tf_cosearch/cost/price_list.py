"""Prices networks on accelerators where layers and accelerators repeat.

Inside a search space few layers, arrays and memories are different, and what
a candidate costs falls into parts that depend on two of them each:

    cycles = sum over layers of the cycles of the layer on the array
             + of max(cycles of its DRAM traffic - those, 0)
             + of its fixed cycles

- The cycles and the energy of a layer on an array depend neither on its place
  in a network nor on the DRAM. Each different layer is mapped once to each
  different array and kept; the first sum is a sparse matrix, how often a
  network has each layer, times those.
- DRAM traffic depends on network and memories. Where all of it stays on the
  chip but image and answer it does not even depend on the memories.
- Only for layers whose DRAM traffic may take longer than their work on the
  array both are compared, on every accelerator.

Fixed cycles and energy of transfers are proportional to bytes, so they follow
from sums over layers. The formulas are those of `model.estimate`.

`N` are networks, `L` layers of one, `U` different layers, `H` accelerators,
`A` those of them that differ in more than `OFF_CHIP`, `M` different memories.
"""

from __future__ import annotations

import concurrent.futures
import functools
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
import tensorflow as tf

from tf_cosearch import accelerators, configuration
from tf_cosearch.accelerators import Accelerator
from tf_cosearch.cost import batches, mapper, mapping, model, off_chip
from tf_cosearch.networks import workload
from tf_cosearch.networks.workload import Layer, LayerTable

OFF_CHIP = (
    "pe_memory/weight_share",
    "dram/bandwidth_gbs",
    "dram/onload_share",
    "runtime/inference_us",
)
"""Parameters that the mapping of a layer does not depend on."""

IN_NETWORK = ("use_bias", "held_elements")
"""Columns of a layer that its mapping does not depend on."""

ROWS, TILE = 32, 512
"""Layers and arrays that compiled code maps at a time."""

CANDIDATES = 2**20
"""Candidates that a core works on at a time."""

_BLOCK = 2**17  # numbers that stay in the cache of a core


class _Run(NamedTuple):
    """Accelerators with the same memories whose arrays are neighbours.

    Attributes:
        chips: Their indices.
        memory: Their memories.
        tile: Which `TILE` arrays theirs are among.
        begin: The first of their arrays in it; others follow.
    """

    chips: np.ndarray
    memory: int
    tile: int
    begin: int


class PriceList:
    """What layers cost on some accelerators; networks are put together of it.

    Layers are mapped when they are met first, and kept.

    Args:
        accelerators: `Accelerator` of `[H]` arrays, or of numbers.
        objective: What mappings are chosen by, one of `mapper.OBJECTIVES`.
        most_bytes: What the list may take of memory. When it is full it is
            begun anew.

    Raises:
        ValueError: If an argument is not possible.

    Example:
    >>> conv = Layer("conv", "conv2d", 8, 8, 16, 8, 8, 8, k_h=3, k_w=3)
    >>> chips = accelerators.from_paths(
    ...     {"dram/bandwidth_gbs": np.asarray([5.0, 25.0])})
    >>> prices = PriceList(chips)
    >>> prices.costs([[conv], [conv, conv]]).macs
    array([[147456., 147456.],
           [294912., 294912.]], dtype=float32)
    >>> prices.num_layers, prices.num_arrays
    (1, 1)
    """

    def __init__(
        self,
        accelerators: Accelerator,
        objective: str = "latency",
        most_bytes: int = 2**30,
    ) -> None:
        if objective not in mapper.OBJECTIVES:
            raise configuration.unknown(
                "objective", objective, mapper.OBJECTIVES
            )
        count = max(np.size(v) for v in tf.nest.flatten(accelerators))
        self._hardware = batches.check_hardware(accelerators, count)
        self._chips = batches.unpack(self._hardware)
        self._area_mm2 = self._chips.area_mm2()
        self._leakage_mw = self._chips.leakage_mw()
        registers, array = self._chips.register_file, self._chips.pe_array
        self._missing = registers.missing_bytes(array.simd_units).numpy()
        self._objective = objective
        self._most = most_bytes // 8
        self._sort_accelerators()
        self._forget()

    def _sort_accelerators(self) -> None:
        """Finds the different memories and arrays, and runs of neighbours."""
        memory, pes = self._chips.pe_memory, self._chips.pe_array.pes()
        dram = self._chips.dram
        first, self._memory_of = _unique(
            np.stack(
                [
                    memory.capacity_bytes(pes),
                    memory.weight_bytes(pes),
                    memory.activation_bytes(pes),
                    dram.onload_share,
                ]
            )
        )
        self._memories = self._hardware[:, first]
        # Arrays are numbered so that those met in this order are neighbours.
        order = np.lexsort((dram.bandwidth_gbs, self._memory_of))
        paths = accelerators.parameters()
        on_chip = [path not in OFF_CHIP for path in paths]
        first, array_of = _unique(self._hardware[on_chip][:, order])
        self._arrays = self._hardware[:, order[first]]
        self.num_arrays = len(first)
        memory_of = self._memory_of[order]
        breaks = (
            (np.diff(array_of) != 1)
            | (np.diff(memory_of) != 0)
            | (array_of[1:] % TILE == 0)
        )
        starts = np.append(0, np.flatnonzero(breaks) + 1)
        self._runs = [
            _Run(chips, int(memory_of[at]), *divmod(int(array_of[at]), TILE))
            for at, chips in zip(
                starts, np.split(order, starts[1:]), strict=True
            )
        ]

    def _forget(self) -> None:
        self._row_of: dict[bytes, int] = {}
        self._priced = [
            np.empty((2, 0, len(piece)), np.float32)
            for piece in _pieces(np.arange(self.num_arrays), TILE)
        ]

    @property
    def num_layers(self) -> int:
        """Different layers that are on the list."""
        return len(self._row_of)

    def costs(
        self, networks: Sequence[Sequence[Layer] | np.ndarray]
    ) -> model.Cost:
        """What networks cost, each on every accelerator.

        Args:
            networks: `N` networks, each a sequence of `Layer` or the `[L, F]`
                array that `workload.to_array` makes of one.

        Returns:
            A `Cost` of `[N, H]` float32 arrays, some of them read-only; equal
            to `estimate` but for the order of sums (2e-6).

        Raises:
            ValueError: If there is no network, one has no layers, or a row
                describes no layer.
        """
        tables = [
            rows if isinstance(rows, np.ndarray) else workload.to_array(rows)
            for rows in networks
        ]
        if not tables or not all(map(len, tables)):
            raise ValueError(
                "`networks` must be networks of one layer or more. Received: "
                f"{[len(rows) for rows in tables]} layers."
            )
        _check(tables)
        shape = len(tables), self._hardware.shape[1]
        fields = [np.empty(shape, np.float32) for _ in _FIELDS]
        cores = os.cpu_count() or 1
        most = min(CANDIDATES // shape[1], -(-shape[0] // cores))
        parts = _pieces(np.arange(shape[0]), max(most, 1))
        for some in _pieces(parts, cores):
            rows = self._rows([tables[n] for part in some for n in part])
            ends = np.cumsum([len(part) for part in some])
            jobs = [
                (
                    [tables[n] for n in part],
                    rows[end - len(part) : end],
                    [field[part[0] : part[-1] + 1] for field in fields],
                )
                for part, end in zip(some, ends, strict=True)
            ]
            _on_all_cores(self._put_together, jobs)
        found = dict(zip(_FIELDS, fields, strict=True))
        found["area_mm2"] = np.broadcast_to(self._area_mm2, shape)
        found["register_file_missing_bytes"] = np.broadcast_to(
            self._missing, shape
        )
        return model.Cost(**found)

    def _rows(self, tables: list[np.ndarray]) -> list[np.ndarray]:
        """Where layers of networks are on the list; maps those that are new."""
        known = len(self._row_of)
        keys = [_keys(table) for table in tables]
        new = {key for some in keys for key in some} - self._row_of.keys()
        if known and (known + len(new)) * self.num_arrays > self._most:
            self._forget()
            return self._rows(tables)
        new_rows = dict.fromkeys(k for some in keys for k in some if k in new)
        if new_rows:
            flat = np.frombuffer(b"".join(new_rows), np.float32)
            self._map(flat.reshape(len(new_rows), -1), known)
        for key in new_rows:
            self._row_of[key] = len(self._row_of)
        row_of = self._row_of
        return [np.asarray([row_of[key] for key in some]) for some in keys]

    def _map(self, layers: np.ndarray, known: int) -> None:
        """Puts layers on the list, after those that are known."""
        needed = known + len(layers)
        if needed > self._priced[0].shape[1]:
            for tile, old in enumerate(self._priced):
                wide = (2, max(needed, 2 * known), old.shape[2])
                self._priced[tile] = np.empty(wide, np.float32)
                self._priced[tile][:, :known] = old[:, :known]
        compiled = _compiled_map(self._objective)

        def run(job: tuple[int, int]) -> None:
            row, tile = job
            columns = np.empty((len(_PADDING), ROWS, 1), np.float32)
            columns[:] = _PADDING[:, None, None]
            some = layers[row : row + ROWS]
            columns[:, : len(some), 0] = some.T
            arrays = self._arrays[:, tile * TILE : (tile + 1) * TILE]
            width = arrays.shape[1]
            arrays = np.pad(arrays, ((0, 0), (0, TILE - width)), "edge")
            both = compiled(tf.constant(columns), tf.constant(arrays)).numpy()
            both = both[: len(some), :width]
            into = self._priced[tile][:, known + row :]
            into[0, : len(some)], into[1, : len(some)] = both.real, both.imag

        _on_all_cores(
            run,
            [
                (row, tile)
                for row in range(0, len(layers), ROWS)
                for tile in range(len(self._priced))
            ],
        )

    def _put_together(
        self,
        job: tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]],
    ) -> None:
        """Prices some networks on all accelerators; fills in their costs."""
        tables, rows, fields = job
        outside = _Outside(tables, self._memories)
        used, flat = np.unique(np.concatenate(rows), return_inverse=True)
        lengths = [len(some) for some in rows]
        counts = _counts(flat, lengths, len(used))
        padded = np.zeros((len(rows), max(lengths)), np.intp)
        padded[np.arange(padded.shape[1]) < np.asarray(lengths)[:, None]] = flat
        shape = fields[0].shape
        cycles, energy_pj = np.empty((2, *shape), np.float32)
        dram = self._chips.dram.cycles(1.0, self._chips.process.clock_ghz)
        tile = -1
        for run in sorted(self._runs, key=lambda run: run.tile):
            if run.tile != tile:
                tile = run.tile
                priced = self._priced[tile][:, used]
                sums = [counts @ part for part in priced]
            span = slice(run.begin, run.begin + len(run.chips))
            more = outside.excess_cycles(
                run.memory, padded, priced[0][:, span], dram[run.chips]
            )
            more += sums[0][:, span]
            cycles[:, run.chips] = more
            energy_pj[:, run.chips] = sums[1][:, span]
        self._finish(outside, lengths, cycles, energy_pj, fields)

    def _finish(
        self,
        outside: _Outside,
        lengths: list[int],
        cycles: np.ndarray,
        energy_pj: np.ndarray,
        fields: list[np.ndarray],
    ) -> None:
        """Adds what is proportional to bytes, and fills in costs."""
        chips, index = self._chips, outside.index
        starts = np.asarray(lengths, np.float32)[:, None]

        def of_chips(sums: np.ndarray) -> np.ndarray:
            return sums[index].take(self._memory_of, 1)

        dram_bytes = of_chips(outside.dram_bytes)
        cycles += model.fixed_cycles(
            chips, starts, outside.operands, of_chips(outside.edge_bytes)
        )
        dram_pj, write_pj = model.transfer_pj(chips, 1.0)
        energy_pj += dram_bytes * (dram_pj + write_pj)
        capacity = chips.pe_memory.capacity_bytes(chips.pe_array.pes())
        missing = of_chips(outside.needed_bytes)
        missing -= capacity
        cost = model.put_together(
            chips,
            cycles,
            energy_pj,
            area_mm2=self._area_mm2,
            leakage_mw=self._leakage_mw,
            macs=outside.macs,
            params=outside.params,
            dram_bytes=dram_bytes,
            weight_residency=of_chips(outside.residency),
            pe_memory_missing_bytes=np.maximum(missing, 0, out=missing),
            register_file_missing_bytes=self._missing,
        )
        for name, field in zip(_FIELDS, fields, strict=True):
            field[:] = getattr(cost, name)


_PADDING = np.asarray(
    [workload.PADDING[name] for name in LayerTable._fields], np.float32
)
_ALONE = np.asarray(
    [name not in IN_NETWORK for name in LayerTable._fields], np.float32
)
_FIELDS = [
    name
    for name in model.Cost._fields[:-2]
    if name not in ("area_mm2", "register_file_missing_bytes")
]
"""Costs that depend on network and accelerator."""


class _Outside:
    """What networks move to and from DRAM with different memories.

    `Q` are the pairs of network and memories that need to be told apart: all
    memories that hold all of a network, as far as its inside goes, are one.

    Attributes:
        index: The pair of each network with each memory, `[N, M]`.
        steady_bytes: DRAM traffic while the array is at work, `[Q, L]`.
        edge_bytes: Sum of the other DRAM traffic of layers, `[Q]`.
        dram_bytes: Sum of all of it, `[Q]`.
        residency: Share of the weights that stays, `[Q]`.
        needed_bytes: What two tiles of one row take at most, `[Q]`.
        operands: Sum of `model.operand_bytes`, `[N, 1]`.
        macs: Multiply-accumulates, `[N, 1]`.
        params: Parameters, `[N, 1]`.
    """

    def __init__(self, tables: list[np.ndarray], memories: np.ndarray) -> None:
        columns = tf.stack(workload.pad(tables))
        stays, *sums = (
            value.numpy() for value in _graph_stays(columns, memories)
        )
        self.operands, self.macs, self.params = (x[:, None] for x in sums)
        shares = batches.unpack(memories).dram.onload_share
        networks, chosen = np.nonzero(_told_apart(stays, shares))
        self.index = np.zeros(stays.shape, np.intp)
        self.index[networks, chosen] = np.arange(len(networks))
        for share in np.unique(shares):
            alike = stays & (shares == share)
            first = self.index[np.arange(len(stays)), alike.argmax(1)]
            self.index = np.where(alike, first[:, None], self.index)
        (
            self.steady_bytes,
            self.edge_bytes,
            self.dram_bytes,
            self.residency,
            self.needed_bytes,
        ) = (
            value.numpy()
            for value in _graph_outside(
                columns,
                memories,
                tf.constant(networks, tf.int32),
                tf.constant(chosen, tf.int32),
            )
        )

    def excess_cycles(
        self,
        memory: int,
        rows: np.ndarray,
        priced: np.ndarray,
        dram: np.ndarray,
    ) -> np.ndarray:
        """By how much layers take longer to bring than to work on, summed.

        Args:
            memory: Which memories the accelerators have.
            rows: Where the layers are in `priced`, `[N, L]`.
            priced: Cycles of layers on arrays, `[U, W]`.
            dram: Cycles it takes to move a byte, `[W]`.

        Returns:
            Cycles, `[N, W]`.
        """
        steady = self.steady_bytes[self.index[:, memory]]
        least = priced.min(1)[rows]
        networks, layers = np.nonzero(steady * dram.max() > least)
        result = np.zeros((len(rows), len(dram)), np.float32)
        if not len(networks):
            return result
        traffic = steady[networks, layers][:, None]
        which = rows[networks, layers]
        starts = np.append(0, np.flatnonzero(np.diff(networks)) + 1)
        into = networks[starts]
        width = max(_BLOCK // len(which), 16)
        for begin in range(0, len(dram), width):
            span = slice(begin, begin + width)
            excess = traffic * dram[span]
            excess -= priced[:, span][which]
            np.maximum(excess, 0, out=excess)
            result[into, span] = np.add.reduceat(excess, starts, 0)
        return result


def _told_apart(stays: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Of memories that hold all of a network, one for each onload share."""
    result = ~stays
    for share in np.unique(shares):
        alike = stays & (shares == share)
        some = np.flatnonzero(alike.any(1))
        result[some, alike[some].argmax(1)] = True
    return result


def _keys(table: np.ndarray) -> list[bytes]:
    """Layers without what their network makes of them, as bytes."""
    alone = np.ascontiguousarray(table * _ALONE, np.float32)
    kind = np.dtype((np.void, alone.itemsize * alone.shape[1]))
    keys: list[bytes] = alone.view(kind)[:, 0].tolist()
    return keys


def _counts(flat: np.ndarray, lengths: list[int], width: int) -> Any:
    """How often networks have each layer, a sparse `[N, U]` matrix."""
    return scipy.sparse.csr_array(
        (
            np.ones(len(flat), np.float32),
            flat,
            np.append(0, np.cumsum(lengths)),
        ),
        shape=(len(lengths), width),
    )


def _unique(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Different columns in order of appearance: first ones, and which each is.

    Args:
        columns: `[P, H]` float32.

    Returns:
        Indices of `A` columns, and `[H]` indices below `A`.
    """
    rows = np.ascontiguousarray(columns.T)
    keys = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1])))
    _, first, inverse = np.unique(
        keys[:, 0], return_index=True, return_inverse=True
    )
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[inverse.reshape(-1)]


def _check(tables: list[np.ndarray]) -> None:
    """Raises for the first row that describes no layer."""
    flat = np.concatenate(tables)
    is_wrong = LayerTable(*tf.constant(flat.T)).is_wrong().numpy()
    if is_wrong.any():
        ends = np.cumsum([len(rows) for rows in tables])
        network = int(np.searchsorted(ends, is_wrong.argmax(), "right"))
        raise ValueError(workload.explain(workload.pad(tables), network))


def _pieces(items: Any, size: int) -> list[Any]:
    return [items[at : at + size] for at in range(0, len(items), size)]


def _on_all_cores(run: Callable[[Any], Any], jobs: Sequence[Any]) -> None:
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(run, jobs))


@functools.cache
def _compiled_map(objective: str) -> Callable[..., Any]:
    def run(columns: Any, hardware: Any) -> Any:
        layers = LayerTable(*tf.unstack(columns))
        machine = tf.nest.map_structure(
            lambda field: field[None], batches.unpack(hardware)
        )
        loops = mapping.loops_of(layers)
        chosen = mapper.choose(layers, loops, machine, objective, False)
        mac_pj = model.arithmetic_pj(layers, machine)
        # As one number, so that XLA works it out in one go.
        return tf.complex(chosen.cycles, chosen.energy_pj + mac_pj)

    parameters = len(accelerators.parameters())
    return tf.function(
        run,
        input_signature=[
            tf.TensorSpec((len(_PADDING), ROWS, 1)),
            tf.TensorSpec((parameters, TILE)),
        ],
        autograph=False,
        jit_compile=True,
    ).get_concrete_function()


@tf.function(
    input_signature=[
        tf.TensorSpec((len(_PADDING), None, None)),
        tf.TensorSpec((None, None)),
    ],
    autograph=False,
)
def _graph_stays(columns: Any, memories: Any) -> Any:
    """Which memories hold all of a network, and sums over its layers."""
    layers = LayerTable(*tf.unstack(columns))
    loops = mapping.loops_of(layers)
    machine = batches.unpack(memories)

    def total(values: Any) -> Any:
        return tf.reduce_sum(values * layers.is_layer, -1)

    return (
        off_chip.all_stays(layers, loops, machine),
        total(model.operand_bytes(layers, loops)),
        total(layers.macs()),
        total(layers.params()),
    )


@tf.function(
    input_signature=[
        tf.TensorSpec((len(_PADDING), None, None)),
        tf.TensorSpec((None, None)),
        tf.TensorSpec((None,), tf.int32),
        tf.TensorSpec((None,), tf.int32),
    ],
    autograph=False,
)
def _graph_outside(
    columns: Any, memories: Any, networks: Any, chosen: Any
) -> Any:
    """What passes the DRAM for pairs of a network and memories."""
    layers = LayerTable(*tf.unstack(tf.gather(columns, networks, axis=1)))
    machine = model.expand(batches.unpack(tf.gather(memories, chosen, axis=1)))
    loops = mapping.loops_of(layers)
    outside = off_chip.off_chip(layers, loops, machine)
    edge_bytes = outside.edge_bytes() * layers.is_layer
    return (
        outside.steady_bytes() * layers.is_layer,
        tf.reduce_sum(edge_bytes, -1),
        tf.reduce_sum(outside.dram_bytes, -1),
        tf.squeeze(outside.residency, -1),
        tf.reduce_max(outside.needed_bytes, -1),
    )
