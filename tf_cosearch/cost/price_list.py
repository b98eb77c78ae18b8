"""Prices every layer of some networks on every accelerator of some, once.

Inside a search space layers and accelerators repeat. What a layer costs on the
array depends neither on its place in a network nor on the DRAM, so each
different layer is mapped once to each different array. A network on all
accelerators is then a sum over rows of that list, with what depends on the
network (what stays on the chip, fill and drain) worked out along the way:
`model.add_up`, the same code that `estimate` ends in.

`U` are different layers, `H` accelerators, `A` those of them that differ in
more than `OFF_CHIP`.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_cosearch import accelerators
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

ROWS = 8
"""Layers that compiled code maps at a time."""

WIDTH = 10_000
"""Accelerators that compiled code works on at a time."""


class PriceList:
    """What the layers of some networks cost on some accelerators.

    Args:
        networks: `N` networks, each a sequence of `Layer`.
        accelerators: `Accelerator` of `[H]` arrays, or of numbers.
        objective: What mappings are chosen by, one of `model.OBJECTIVES`.

    Raises:
        ValueError: If there is no network, one has no layers, or a parameter
            is not possible.

    Example:
    >>> conv = Layer("conv", "conv2d", 8, 8, 16, 8, 8, 8, k_h=3, k_w=3)
    >>> chips = accelerators.from_paths(
    ...     {"dram/bandwidth_gbs": np.asarray([5.0, 25.0])})
    >>> prices = PriceList([[conv], [conv, conv]], chips)
    >>> prices.num_layers, prices.num_arrays, prices.cost(1).macs.numpy()
    (1, 1, array([147456., 147456.], dtype=float32))
    """

    def __init__(
        self,
        networks: Sequence[Sequence[Layer]],
        accelerators: Accelerator,
        objective: str = "latency",
    ) -> None:
        if not networks or not all(networks):
            raise ValueError(
                "`networks` must be networks of one layer or more. Received: "
                f"{[len(layers) for layers in networks]} layers."
            )
        self._networks = [workload.to_array(layers) for layers in networks]
        count = max(np.size(v) for v in tf.nest.flatten(accelerators))
        self._hardware = batches.check_hardware(accelerators, count)
        self._arrays, self._array_of = _unique_arrays(self._hardware)
        rows: dict[Layer, int] = {}
        self._rows_of = [
            np.asarray([rows.setdefault(_alone(x), len(rows)) for x in layers])
            for layers in networks
        ]
        table = workload.to_array(list(rows))
        self.num_layers, self.num_arrays = len(table), self._arrays.shape[1]
        self._cycles, self._energy_pj = _map(table, self._arrays, objective)

    def cost(self, network: int) -> model.Cost:
        """What a network costs on every accelerator.

        Args:
            network: Its index.

        Returns:
            A `Cost` of `[H]` tensors; equal to `estimate` but for the order
            of sums (3e-6).

        Raises:
            ValueError: If a row of the network describes no layer.
        """
        table, rows = self._networks[network], self._rows_of[network]
        values = self._sum_on_chip(table, rows)
        leaves = np.flatnonzero(~_stays(table, self._hardware))
        if len(leaves):
            values[:, leaves] = self._sum(
                table,
                rows,
                np.take(self._hardware, leaves, axis=1),
                self._array_of[leaves],
                False,
            )
        cost = model.Cost(*map(tf.constant, values))
        model.check_rows(cost, LayerTable(*table.T[:, None]))
        return cost

    def _sum_on_chip(self, table: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Sums a network as if it needed DRAM for image and answer only.

        Then only the first and the last layer feel what arrays do not: all
        others are summed once an array.
        """
        ends = [0, -1] if len(rows) > 1 else [0]
        arrays = np.arange(self.num_arrays)
        values = self._sum(table, rows, self._arrays, arrays, True)
        values -= self._sum(table[ends], rows[ends], self._arrays, arrays, True)
        values = np.take(values, self._array_of, axis=1)
        values += self._sum(
            table[ends], rows[ends], self._hardware, self._array_of, True
        )
        cost = model.Cost(*values)
        chips = batches.unpack(self._hardware)
        cycles = cost.latency_ms * chips.process.clock_ghz * 1e6
        peak = cycles * chips.pe_array.macs_per_cycle()
        values[model.Cost._fields.index("utilization")] = cost.macs / peak
        return values

    def _sum(
        self,
        table: np.ndarray,
        rows: np.ndarray,
        hardware: np.ndarray,
        array_of: np.ndarray,
        all_stays: bool,
    ) -> np.ndarray:
        """The fields of `Cost` for a network on some accelerators."""
        missing = -len(rows) % ROWS
        table = np.concatenate([table, np.tile(_PADDING, (missing, 1))])
        rows = np.pad(rows, (0, missing))
        columns = tf.constant(table.T[:, :, None])
        compiled = _compiled_sum(all_stays)
        count = hardware.shape[1]

        def run(start: int) -> np.ndarray:
            tall = max(start + WIDTH - count, 0)
            chips = np.pad(
                hardware[:, start : start + WIDTH], ((0, 0), (0, tall)), "edge"
            )
            arrays = np.pad(array_of[start : start + WIDTH], (0, tall), "edge")
            result = compiled(
                columns,
                batches.in_place(chips),
                batches.in_place(_pick(self._cycles, rows, arrays)),
                batches.in_place(_pick(self._energy_pj, rows, arrays)),
            )
            return result.numpy()[:, : WIDTH - tall]

        return np.concatenate(_on_all_cores(run, range(0, count, WIDTH)), 1)


_PADDING = np.asarray(
    [workload.PADDING[name] for name in LayerTable._fields], np.float32
)


def _stays(table: np.ndarray, hardware: np.ndarray) -> np.ndarray:
    """On which accelerators a network needs no DRAM inside, `[H]`."""
    layers = LayerTable(*tf.constant(table.T[:, None]))
    machine = batches.unpack(hardware[:, :, None])
    stays = off_chip.all_stays(layers, mapping.loops_of(layers), machine)
    return stays.numpy()[:, 0]


def _alone(layer: Layer) -> Layer:
    """The layer without what its network makes of it."""
    return dataclasses.replace(layer, name="", held_elements=0, use_bias=False)


def _pick(priced: np.ndarray, rows: np.ndarray, where: np.ndarray) -> Any:
    """`priced[rows][:, where]`; neighbours mostly are neighbours there."""
    first, last = where[0], where[-1]
    if last - first == len(where) - 1 and (np.diff(where) == 1).all():
        return priced[rows, first : last + 1]
    return np.take(priced[rows], where, axis=1)


def _unique_arrays(hardware: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The `[P, A]` different arrays, and `[H]` which one each has."""
    paths = list(accelerators.parameters())
    on_chip = np.asarray([path not in OFF_CHIP for path in paths])
    columns = np.ascontiguousarray(hardware[on_chip].T)
    keys = columns.view(
        np.dtype((np.void, columns.itemsize * columns.shape[1]))
    )
    _, first, inverse = np.unique(
        keys[:, 0], return_index=True, return_inverse=True
    )
    # In order of appearance, so that neighbours stay neighbours.
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return hardware[:, first[order]], rank[inverse.reshape(-1)]


def _map(
    table: np.ndarray, arrays: np.ndarray, objective: str
) -> tuple[np.ndarray, np.ndarray]:
    """Cycles and picojoules of `U` layers on `A` arrays, `[U, A]` each."""
    count, width = len(table), arrays.shape[1]
    shape = (-(-count // ROWS) * ROWS, len(_PADDING))
    rows = np.full(shape, _PADDING, np.float32)
    rows[:count] = table
    both = np.empty((len(rows), width), np.complex64)
    compiled = _compiled_map(objective)

    def run(at: tuple[int, int]) -> None:
        row, start = at
        piece = arrays[:, start : start + WIDTH]
        tall = WIDTH - piece.shape[1]
        piece = np.pad(piece, ((0, 0), (0, tall)), "edge")
        columns = rows[row : row + ROWS].T[:, :, None]
        result = compiled(tf.constant(columns), tf.constant(piece)).numpy()
        both[row : row + ROWS, start : start + WIDTH] = result[
            :, : WIDTH - tall
        ]

    _on_all_cores(
        run,
        [
            (row, start)
            for row in range(0, len(rows), ROWS)
            for start in range(0, width, WIDTH)
        ],
    )
    cycles, energy_pj = both[:count].real, both[:count].imag
    return np.ascontiguousarray(cycles), np.ascontiguousarray(energy_pj)


def _on_all_cores(run: Callable[[Any], Any], parts: Any) -> list[Any]:
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(run, parts))


@functools.cache
def _compiled_map(objective: str) -> Callable[..., Any]:
    def run(columns: Any, hardware: Any) -> Any:
        layers = LayerTable(*tf.unstack(columns))
        machine = model.expand(batches.unpack(hardware), 0)
        loops = mapping.loops_of(layers)
        chosen = mapper.choose(layers, loops, machine, objective, False)
        # As one number, so that XLA works it out in one go.
        return tf.complex(chosen.cycles, chosen.energy_pj)

    parameters = len(accelerators.parameters())
    signature = [
        tf.TensorSpec((len(_PADDING), ROWS, 1)),
        tf.TensorSpec((parameters, WIDTH)),
    ]
    return tf.function(
        run, input_signature=signature, autograph=False, jit_compile=True
    ).get_concrete_function()


@functools.cache
def _compiled_sum(all_stays: bool) -> Callable[..., Any]:
    def run(columns: Any, hardware: Any, cycles: Any, energy_pj: Any) -> Any:
        layers = LayerTable(*tf.unstack(columns))
        chosen = mapper.Choice(cycles, energy_pj)
        cost = model.add_up(
            layers,
            batches.unpack(hardware),
            chosen,
            0,
            layers.is_wrong(),
            all_stays,
        )
        shape = tf.shape(cost.latency_ms)
        return tf.stack([tf.broadcast_to(f, shape) for f in cost[:-2]])

    parameters = len(accelerators.parameters())
    signature = [
        tf.TensorSpec((len(_PADDING), None, 1)),
        tf.TensorSpec((parameters, WIDTH)),
        *[tf.TensorSpec((None, WIDTH))] * 2,
    ]
    return tf.function(
        run, input_signature=signature, autograph=False, jit_compile=True
    ).get_concrete_function()
