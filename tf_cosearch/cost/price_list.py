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
from sums over layers. The formulas are those of `model.estimate`, which prices
the accelerators that may work on several layers together: what these cost are
no sums over layers of one mapping each.

`N` are networks, `L` layers of one, `U` different layers, `H` accelerators,
`A` those of them that differ in more than `neighbours.off_chip`.
"""

from __future__ import annotations

import concurrent.futures
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.sparse
import tensorflow as tf

from tf_cosearch import accelerators, configuration, machine
from tf_cosearch.accelerators import Accelerator, families, power, stacking
from tf_cosearch.accelerators.family import OBJECTIVES
from tf_cosearch.arithmetic import as_one
from tf_cosearch.cost import kernels, model, peak
from tf_cosearch.cost.costs import Cost
from tf_cosearch.cost.neighbours import sort
from tf_cosearch.cost.transfers import Transfers
from tf_cosearch.networks import table_errors, workload
from tf_cosearch.networks.loops import loops_of
from tf_cosearch.networks.workload import Layer, LayerTable

IN_NETWORK = (
    "use_bias",
    "held_elements",
    "network_in_elements",
    "network_out_elements",
    "repeats",
    "reuses_weights",
    "continues",
)
"""Columns of a layer that its mapping does not depend on."""

ROWS, TILE = 32, 512
"""Layers and arrays that compiled code maps at a time."""

CANDIDATES = 2**20
"""Candidates that a core works on at a time."""

FUSED = 2**14
"""Candidates whose layers may be fused that are priced at a time."""

_BLOCK = 2**17  # numbers that stay in the cache of a core


class PriceList:
    """What layers cost on some accelerators; networks are put together of it.

    Layers are mapped when they are met first, and kept.

    Args:
        accelerators: `Accelerator` of `[H]` arrays, or of numbers.
        objective: What mappings are chosen by, one of `family.OBJECTIVES`.
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
    array([[ 73728.,  73728.],
           [147456., 147456.]], dtype=float32)
    >>> prices.num_layers, prices.num_arrays
    (1, 1)
    """

    def __init__(
        self,
        accelerators: Accelerator,
        objective: str = "latency",
        most_bytes: int = 2**30,
    ) -> None:
        if objective not in OBJECTIVES:
            raise configuration.unknown("objective", objective, OBJECTIVES)
        count = max(np.size(v) for v in tf.nest.flatten(accelerators))
        self._hardware = stacking.stack(accelerators, count)
        self._family = families.name_of(accelerators)
        self._chips = stacking.unstack(self._hardware, self._family)
        self._area_mm2 = self._chips.area_mm2()
        self._idle_mw = power.idle_mw(self._chips)
        self._missing = np.asarray(self._chips.missing_register_bytes())
        self._objective = objective
        may_fuse = self._chips.room().fused_layers > 1
        self._fused = np.flatnonzero(np.broadcast_to(may_fuse, count))
        self._is_split = peak.is_split(accelerators)
        self._most = most_bytes // 8
        self._sorted = sort(self._hardware, self._family, TILE)
        self.num_arrays = self._sorted.arrays.shape[1]
        self._forget()

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

    def costs(self, networks: Sequence[Sequence[Layer] | np.ndarray]) -> Cost:
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
        shape = len(tables), self._hardware.shape[1]
        fields = {
            name: np.empty(shape[:axes] + (1,) * (2 - axes), np.float32)
            for name, axes in _AXES.items()
        }
        cores = machine.threads()
        most = min(CANDIDATES // shape[1], -(-shape[0] // cores))
        parts = _pieces(np.arange(shape[0]), max(most, 1))
        for some in _pieces(parts, cores):
            rows = self._rows([tables[n] for part in some for n in part])
            ends = np.cumsum([len(part) for part in some])
            jobs = [
                (
                    [tables[n] for n in part],
                    rows[end - len(part) : end],
                    {
                        name: field[part[0] : part[-1] + 1]
                        for name, field in fields.items()
                    },
                )
                for part, end in zip(some, ends, strict=True)
            ]
            _on_all_cores(self._put_together, jobs)
        if len(self._fused):
            self._estimate_fused(tables, fields)
        fields["area_mm2"] = self._area_mm2
        fields["register_missing_bytes"] = self._missing
        return Cost(
            **{
                name: np.broadcast_to(field, shape)
                for name, field in fields.items()
            }
        )

    def _rows(self, tables: list[np.ndarray]) -> list[np.ndarray]:
        """Where layers of networks are on the list; maps those that are new."""
        known, row_of = len(self._row_of), self._row_of
        flat = np.concatenate(tables)
        keys = _keys(flat)
        new = dict.fromkeys(key for key in keys if key not in row_of)
        if known and (known + len(new)) * self.num_arrays > self._most:
            self._forget()
            return self._rows(tables)
        if new:
            layers = np.frombuffer(b"".join(new), np.float32)
            layers = layers.reshape(len(new), -1)
            if LayerTable(*tf.constant(layers.T)).is_wrong().numpy().any():
                _explain(tables)
            self._map(layers, known)
        row_of.update(zip(new, range(known, known + len(new)), strict=True))
        rows = np.asarray([row_of[key] for key in keys])
        return np.split(rows, np.cumsum([len(t) for t in tables])[:-1])

    def _map(self, layers: np.ndarray, known: int) -> None:
        """Puts layers on the list, after those that are known."""
        needed = known + len(layers)
        if needed > self._priced[0].shape[1]:
            for tile, old in enumerate(self._priced):
                wide = (2, max(needed, 2 * known), old.shape[2])
                self._priced[tile] = np.empty(wide, np.float32)
                self._priced[tile][:, :known] = old[:, :known]
        width = len(LayerTable(*layers.T[:, :, None]).columns())
        compiled = _compiled_map(self._objective, width, self._family)
        padding = _PADDING[:width, None, None]

        def run(job: tuple[int, int]) -> None:
            row, tile = job
            columns = np.empty((len(padding), ROWS, 1), np.float32)
            columns[:] = padding
            some = layers[row : row + ROWS, : len(padding)]
            columns[:, : len(some), 0] = some.T
            arrays = self._sorted.arrays[:, tile * TILE : (tile + 1) * TILE]
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
        job: tuple[list[np.ndarray], list[np.ndarray], dict[str, np.ndarray]],
    ) -> None:
        """Prices some networks on all accelerators; fills in their costs."""
        tables, rows, fields = job
        moved = Transfers(tables, self._sorted.memories)
        used, flat = np.unique(np.concatenate(rows), return_inverse=True)
        lengths = [len(some) for some in rows]
        runs = np.concatenate([table[:, _REPEATS] for table in tables])
        counts = _counts(flat, runs, lengths, len(used))
        padded = np.zeros((len(rows), max(lengths)), np.intp)
        padded[np.arange(padded.shape[1]) < np.asarray(lengths)[:, None]] = flat
        cycles, energy_pj = np.empty(
            (2, len(rows), len(self._sorted.rank)), np.float32
        )
        tile = -1
        for run in self._sorted.runs:
            if run.tile != tile:
                tile = run.tile
                priced = self._priced[tile][:, used]
                sums = [counts @ part for part in priced]
            chips = slice(run.begin, run.end)
            arrays = slice(run.array, run.array + run.end - run.begin)
            cycles[:, chips] = sums[0][:, arrays]
            energy_pj[:, chips] = sums[1][:, arrays]
            moved.add_excess(
                run.memory,
                padded,
                priced[0][:, arrays],
                self._sorted.dram_cycles[chips],
                cycles[:, chips],
            )
        self._finish(moved, self._work(tables), cycles, energy_pj, fields)

    def _work(self, tables: list[np.ndarray]) -> np.ndarray | None:
        """Multiply-accumulates over the speed-up of 4 bits, `[N, H]`."""
        if not self._is_split:
            return None
        work = np.empty((len(tables), self._hardware.shape[1]), np.float32)
        for row, table in enumerate(tables):
            layers = LayerTable(*tf.constant(table.T[:, :, None]))
            macs = layers.all_runs(layers.macs())
            by_layer = macs / peak.speedup(layers, self._chips)
            work[row] = tf.reduce_sum(by_layer, 0)
        return work

    def _estimate_fused(
        self, tables: list[np.ndarray], fields: dict[str, np.ndarray]
    ) -> None:
        """Fills in what networks cost where layers may be fused."""
        columns = workload.pad(tables).columns()
        pairs = np.arange(len(tables) * len(self._fused))
        for some in _pieces(pairs, FUSED):
            rows, places = np.divmod(some, len(self._fused))
            chips = self._fused[places]
            cost = model.estimate(
                LayerTable(*(column[rows] for column in columns)),
                stacking.unstack(self._hardware[:, chips], self._family),
                objective=self._objective,
            )
            for name, axes in _AXES.items():
                if axes == 2:
                    fields[name][rows, chips] = getattr(cost, name)

    def _finish(
        self,
        moved: Transfers,
        work: np.ndarray | None,
        cycles: np.ndarray,
        energy_pj: np.ndarray,
        fields: dict[str, np.ndarray],
    ) -> None:
        """Adds what is proportional to bytes, and fills in costs."""
        chips = self._chips
        dram_pj, write_pj = model.transfer_pj(chips, 1.0)
        capacity = chips.room().capacity_bytes
        repeats = moved.repeated_bytes.any()
        step = max(_BLOCK // len(self._sorted.rank), 1)
        for at in range(0, len(cycles), step):
            some = slice(at, at + step)

            def of_chips(sums: np.ndarray, some: slice = some) -> np.ndarray:
                return sums[moved.index[some]].take(self._sorted.memory_of, 1)

            dram_bytes = of_chips(moved.dram_bytes)
            missing = of_chips(moved.needed_bytes) - capacity
            serial = model.Serial(*(total[some] for total in moved.serial))
            fixed = model.serial_cycles(
                chips,
                serial,
                of_chips(moved.edge_bytes),
                of_chips(moved.repeated_bytes) if repeats else 0.0,
            )
            needed_pj = energy_pj[some].take(self._sorted.rank, 1)
            needed_pj += dram_bytes * (dram_pj + write_pj)
            by_link_pj = (
                model.link_pj(chips, serial),
                model.image_write_pj(chips, serial),
            )
            for each_pj in by_link_pj:
                if np.ndim(each_pj):  # a pass over all pairs less without it
                    needed_pj += each_pj
            cost = model.put_together(
                chips,
                cycles[some].take(self._sorted.rank, 1) + fixed,
                needed_pj,
                area_mm2=self._area_mm2,
                idle_mw=self._idle_mw,
                macs=moved.macs[some],
                work=(moved.macs if work is None else work)[some],
                params=moved.params[some],
                dram_bytes=dram_bytes,
                weight_residency=of_chips(moved.residency),
                memory_missing_bytes=np.maximum(missing, 0, out=missing),
                register_missing_bytes=self._missing,
            )
            for name, field in fields.items():
                field[some] = getattr(cost, name)


_PADDING = np.asarray(
    [workload.PADDING[name] for name in LayerTable._fields], np.float32
)
_ALONE = np.asarray(
    [name not in IN_NETWORK for name in LayerTable._fields], bool
)
_REPEATS = LayerTable._fields.index("repeats")
_AXES = {
    "latency_ms": 2,
    "energy_mj": 2,
    "utilization": 2,
    "macs": 1,
    "params": 1,
    "dram_bytes": 2,
    "weight_residency": 2,
    "memory_missing_bytes": 2,
}
"""Axes of costs: 2 if they depend on the accelerator, 1 on the network only."""


def _keys(table: np.ndarray) -> list[bytes]:
    """Layers without what their network makes of them, as bytes."""
    alone = np.where(_ALONE, table, _PADDING)
    kind = np.dtype((np.void, alone.itemsize * alone.shape[1]))
    keys: list[bytes] = alone.view(kind)[:, 0].tolist()
    return keys


def _counts(
    flat: np.ndarray, runs: np.ndarray, lengths: list[int], width: int
) -> Any:
    """How often networks run each layer, a sparse `[N, U]` matrix."""
    return scipy.sparse.csr_array(
        (
            runs,
            flat,
            np.append(0, np.cumsum(lengths)),
        ),
        shape=(len(lengths), width),
    )


def _explain(tables: list[np.ndarray]) -> None:
    """Raises for the first row that describes no layer."""
    flat = np.concatenate(tables)
    is_wrong = LayerTable(*tf.constant(flat.T)).is_wrong().numpy()
    ends = np.cumsum([len(rows) for rows in tables])
    network = int(np.searchsorted(ends, is_wrong.argmax(), "right"))
    raise ValueError(table_errors.explain(workload.pad(tables), network))


def _pieces(items: Any, size: int) -> list[Any]:
    return [items[at : at + size] for at in range(0, len(items), size)]


def _on_all_cores(run: Callable[[Any], Any], jobs: Sequence[Any]) -> None:
    with concurrent.futures.ThreadPoolExecutor(machine.threads()) as pool:
        list(pool.map(run, jobs))


@functools.cache
def _compiled_map(
    objective: str, width: int, family: str
) -> Callable[..., Any]:
    kernels.prefer_wide_vectors()

    def run(columns: Any, hardware: Any) -> Any:
        layers = LayerTable(*tf.unstack(columns))
        machine = tf.nest.map_structure(
            lambda field: field[None], stacking.unstack(hardware, family)
        )
        chosen = families.get(family).on_chip(
            layers, loops_of(layers), machine, objective, False
        )
        mac_pj = model.arithmetic_pj(layers, machine)
        return as_one(chosen.cycles, chosen.energy_pj + mac_pj)

    parameters = len(accelerators.parameters(family))
    return tf.function(
        run,
        input_signature=[
            tf.TensorSpec((width, ROWS, 1)),
            tf.TensorSpec((parameters, TILE)),
        ],
        autograph=False,
        jit_compile=True,
    ).get_concrete_function()
