"""Sorts accelerators so that what they share lies side by side.

`H` are accelerators, `A` those of them that differ in more than what
`off_chip` names, `M` different memories.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tf_cosearch import accelerators
from tf_cosearch.accelerators import families, stacking

OFF_CHIP = (
    "dram/bandwidth_gbs",
    "dram/onload_share",
    "dram/byte_pj",
    "host_link/input_gbs",
    "host_link/output_gbs",
    "host_link/instruction_bytes",
    "host_link/byte_pj",
    "runtime/inference_us",
    "runtime/cpu_gmacs",
    "runtime/cpu_gelements",
)
"""Parameters that the mapping of a layer does not depend on, in any family."""


class Run(NamedTuple):
    """Accelerators with the same memories whose arrays are neighbours.

    Attributes:
        begin: Where they begin when accelerators are sorted.
        end: Where they end.
        memory: Their memories.
        tile: Which tile of arrays theirs are in.
        array: The first of their arrays in it; others follow.
    """

    begin: int
    end: int
    memory: int
    tile: int
    array: int


class Sorted(NamedTuple):
    """Accelerators in an order in which those that share most are neighbours.

    Attributes:
        memories: Different `family.Room`, `[R, M]`.
        memory_of: Which of them each accelerator has, `[H]`.
        arrays: Accelerators with different arrays, `[P, A]`.
        runs: Runs of neighbours, those of a tile one after another.
        rank: Where each accelerator is in the order, `[H]`.
        dram_cycles: Cycles it takes to move a byte, in the order, `[H]`.
    """

    memories: np.ndarray
    memory_of: np.ndarray
    arrays: np.ndarray
    runs: list[Run]
    rank: np.ndarray
    dram_cycles: np.ndarray


def off_chip(family: str) -> tuple[str, ...]:
    """Parameters of a family that the mapping of a layer does not depend on.

    Example:
    >>> off_chip("edge_tpu")[-1]
    'interconnect/ring_width_bytes'
    """
    return (*OFF_CHIP, *families.get(family).off_chip)


def sort(hardware: np.ndarray, family: str, tile: int) -> Sorted:
    """Finds the different memories and arrays, and runs of neighbours.

    Args:
        hardware: Parameters of accelerators, `[P, H]`.
        family: Which family they are of.
        tile: Arrays that are worked on together; no run has more.

    Returns:
        The `Sorted`.
    """
    chips = stacking.unstack(hardware, family)
    rooms = np.stack(np.broadcast_arrays(*chips.room()))
    first, memory_of = _unique(rooms)
    # Arrays are numbered so that those met in this order are neighbours.
    order = np.lexsort((chips.dram.bandwidth_gbs, memory_of))
    outside = off_chip(family)
    on_chip = [path not in outside for path in accelerators.parameters(family)]
    first_array, array_of = _unique(hardware[on_chip][:, order])
    if 2 * len(first_array) > len(order):  # longer runs are worth more
        first_array = array_of = np.arange(len(order))
    sorted_memory = memory_of[order]
    breaks = (
        (np.diff(array_of) != 1)
        | (np.diff(sorted_memory) != 0)
        | (array_of[1:] % tile == 0)
    )
    starts = np.append(0, np.flatnonzero(breaks) + 1)
    ends = np.append(starts[1:], len(order))
    runs = [
        Run(
            int(begin),
            int(end),
            int(sorted_memory[begin]),
            *divmod(int(array_of[begin]), tile),
        )
        for begin, end in zip(starts, ends, strict=True)
    ]
    cycles: Any = chips.dram.cycles(1.0, chips.process.clock_ghz)
    return Sorted(
        memories=rooms[:, first],
        memory_of=memory_of,
        arrays=hardware[:, order[first_array]],
        runs=sorted(runs, key=lambda run: run.tile),
        rank=np.argsort(order),
        dram_cycles=cycles[order],
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
