"""What runs of a network's rows cost, each on a chip that holds no others.

A chip of a pipeline keeps the weights of its own rows, so what of them stays
depends on where the network is cut: every run of rows is priced as a network.
`L` are rows; a run begins at one and ends before another.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_cosearch.accelerators import Accelerator
from tf_cosearch.cost import fallback, kernels
from tf_cosearch.cost.model import estimate
from tf_cosearch.networks import workload
from tf_cosearch.networks.workload import Layer, LayerTable

_REUSES = LayerTable._fields.index("reuses_weights")
_PADDING = np.asarray(
    [workload.PADDING[name] for name in LayerTable._fields], np.float32
)


class Runs(NamedTuple):
    """What runs of rows cost on an accelerator, each `[L + 1, L + 1]`.

    Entry `[begin, end]` is of the rows from `begin` up to `end`, which is not
    among them; where that is none, or does not fit the chip, the time is
    infinite. Nothing of it is of tensors that come from other chips.

    Attributes:
        latency_ms: Time of an inference.
        energy_mj: Its energy.
        params: Parameters stored.
        dram_bytes: Bytes to and from DRAM.
        weight_residency: Share of the weights that stay on the chip.
    """

    latency_ms: np.ndarray
    energy_mj: np.ndarray
    params: np.ndarray
    dram_bytes: np.ndarray
    weight_residency: np.ndarray


def price(layers: Sequence[Layer], accelerator: Accelerator) -> Runs:
    """Prices all runs of rows of a network, exactly as `estimate` does.

    The first row of a run works with none before. Weights that it shares with
    a row outside the run it stores itself.

    Args:
        layers: The rows of the network, in execution order.
        accelerator: An `Accelerator` of numbers.

    Returns:
        The `Runs`.

    Raises:
        ValueError: If the host would run a row, or a row is no layer.

    Example:
    Of layers of 6 MiB each one stays in 8 MiB of memory, of two 8 / 12 do.

    >>> from tf_cosearch import accelerators
    >>> wide = Layer("wide", "dense", 1, 1, 2048, 1, 1, 3072)
    >>> chip = accelerators.from_paths({"pe_memory/capacity_mib": 0.5})
    >>> runs = price([wide, wide], chip)
    >>> runs.weight_residency[[0, 0], [1, 2]].round(2)
    array([1.  , 0.67])
    """
    falls = fallback.on_cpu(layers, accelerator)
    if any(falls):
        row = layers[falls.index(True)]
        raise ValueError(
            "A pipeline must run every layer on its chips. Received: "
            f"{row.name} ({row.operator}), which the accelerator leaves to "
            "its host. Take it out of the network, or estimate one chip."
        )
    rows, count = workload.to_array(layers), len(layers)
    already = stored_already(layers)
    begins, lasts = np.triu_indices(count)
    ends = lasts + 1
    order = np.argsort(ends - begins, kind="stable")
    runs = Runs(*(np.full((count + 1,) * 2, np.inf) for _ in Runs._fields))
    # The graph takes any depth; compiled code would be compiled for each.
    for start in range(0, len(order), kernels.SMALL):
        some = order[start : start + kernels.SMALL]
        begin, end = begins[some], ends[some]
        cost = estimate(_table(rows, already, begin, end), accelerator)
        fits = np.asarray(cost.memory_missing_bytes) == 0
        lacking = np.asarray(cost.register_missing_bytes) > 0
        fits &= ~(lacking & (np.asarray(cost.macs) > 0))
        for name, field in runs._asdict().items():
            values = np.asarray(getattr(cost, name), np.float64)
            field[begin, end] = values
        runs.latency_ms[begin[~fits], end[~fits]] = np.inf
    return runs


def by_layer(
    layers: Sequence[Layer], accelerator: Accelerator, begin: int, end: int
) -> Any:
    """What each row of a run costs, on a chip that holds no others.

    Args:
        layers: The rows of the network, in execution order.
        accelerator: An `Accelerator` of numbers.
        begin: The first row of the run.
        end: The row before which it ends.

    Returns:
        `layers` of a `Cost` of `estimate`, arrays `[1, end - begin]`.
    """
    rows, already = workload.to_array(layers), stored_already(layers)
    table = _table(rows, already, np.array([begin]), np.array([end]))
    cost = estimate(table, accelerator, per_layer=True)
    return tf.nest.map_structure(np.asarray, cost.layers)


def crossing_bytes(layers: Sequence[Layer]) -> np.ndarray:
    """What has to travel where a network is cut before each of its rows.

    That is all that is alive there. Where rows do not say it, it is inputs of
    the row, and what is held for later ones; images are not among it until a
    row has read them.

    Args:
        layers: The rows of the network, in execution order.

    Returns:
        Bytes, `[L + 1]`; 0 at both ends, where nothing is cut. Infinite within
        a loop, and before a row that `repeats` and does not say what is alive.

    Example:
    The second row reads 64 x 16 elements while 64 x 4 are held.

    >>> first = Layer("first", "conv2d", 8, 8, 16, 8, 8, 4)
    >>> second = Layer("second", "conv2d", 8, 8, 4, 8, 8, 16,
    ...     held_elements=256)
    >>> crossing_bytes([first, second])
    array([   0., 1280.,    0.])
    """
    result = np.zeros(len(layers) + 1)
    for place, row in enumerate(layers[1:], 1):
        alive = row.alive_elements
        if alive is None:
            alive = _derived(row)
        result[place] = alive * row.activation_bits / 8
    return result


def _derived(row: Layer) -> float:
    """Elements alive before a row, from what it reads and holds in a run."""
    if row.repeats > 1:
        return math.inf
    read = row.in_elements
    if row.network_in_elements:
        read = max(row.touched_elements - row.network_in_elements, 0)
    if not row.kind.has_weights:  # the right operand of a product
        read += row.operand_elements
    return read + row.held_elements


def _table(
    rows: np.ndarray, already: np.ndarray, begin: np.ndarray, end: np.ndarray
) -> LayerTable:
    """Runs as a table, one a network: `[B]` runs to `[B, L]` fields."""
    places = begin[:, None] + np.arange((end - begin).max())
    is_row = places < end[:, None]
    places = np.minimum(places, len(rows) - 1)
    cells = rows[places]
    cells[..., _REUSES] = already[begin[:, None], places]
    cells = np.where(is_row[..., None], cells, _PADDING)
    return LayerTable(*np.moveaxis(cells, -1, 0))


def stored_already(layers: Sequence[Layer]) -> np.ndarray:
    """Whether a row finds its weights on a chip whose rows begin at another.

    Rows do not say whose weights they share. So a chip stores those of equal
    form once for each row that shares, but not more often than there are rows
    in the network that do not: that may be too much, and never is too little.

    Returns:
        1 where they are stored already, else 0, `[L, L]` by begin and row.

    Example:
    A layer is called three times; a chip that has the last two stores it once.

    >>> a = Layer("a", "dense", 1, 1, 8, 1, 1, 8)
    >>> again = Layer("again", "dense", 1, 1, 8, 1, 1, 8, reuses_weights=True)
    >>> stored_already([a, again, again])[1, 1:]
    array([0., 1.], dtype=float32)
    """
    flags = np.asarray([row.reuses_weights for row in layers], np.float32)
    result = np.tile(flags, (len(layers), 1))
    if not flags.any():
        return result
    kinds = [_weights(row) for row in layers]
    own = Counter[tuple[object, ...]]()
    most = []
    for row, kind in zip(layers, kinds, strict=True):
        own[kind] += not row.reuses_weights
        most.append(max(own[kind], 1))
    for begin in range(1, len(layers)):
        stored = Counter[tuple[object, ...]]()
        for place in range(begin, len(layers)):
            kind = kinds[place]
            if not flags[place] or stored[kind] < most[place]:
                result[begin, place] = 0
                stored[kind] += 1
    return result


def _weights(row: Layer) -> tuple[object, ...]:
    """The form of what a row stores."""
    return (
        row.operand_elements,
        row.out_c,
        row.k_h,
        row.k_w,
        row.groups,
        row.weight_bits,
        row.stored_elements,
    )
