"""The mapper: tries every mapping on every layer and keeps the best."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from tf_cosearch.accelerators import Accelerator
from tf_cosearch.cost import mapping
from tf_cosearch.cost.mapping import Loops, Spread
from tf_cosearch.cost.traffic import Traffic, count_traffic
from tf_cosearch.networks.workload import LayerTable

OBJECTIVES = ("latency", "energy", "energy_delay")
"""What the mapping of a layer may be chosen by."""


class Choice(NamedTuple):
    """The mapping of every layer; each field is `[B, L]`, or a tuple of them.

    The rest is `None` unless asked for: the number of the mapping, cycles of
    array, PE memory and interconnect, energy of register files, PE memory and
    interconnect, and the traffic.
    """

    cycles: Any
    energy_pj: Any
    index: Any = None
    busy: Any = None
    parts_pj: Any = None
    traffic: Any = None


def choose(
    layers: LayerTable,
    loops: Loops,
    machine: Accelerator,
    objective: str,
    per_layer: bool,
) -> Choice:
    """Tries every mapping on every layer and keeps the best.

    Only what happens on the chip counts, with the leakage of that time: so a
    layer keeps its mapping whatever the DRAM and its place in a network.

    Args:
        layers: `LayerTable` of `[B, L]` tensors, or `[L, 1]`.
        loops: Their `Loops`.
        machine: `Accelerator` of `[B, 1]` tensors, or `[1, B]`.
        objective: One of `OBJECTIVES`.
        per_layer: Whether to fill in all of `Choice`.

    Returns:
        The `Choice`.
    """
    leakage_pj = machine.leakage_mw() / machine.process.clock_ghz
    unit_pj = _unit_pj(machine)
    spaces = {
        unrolling: mapping.spread(layers, loops, machine, unrolling)
        for unrolling in mapping.UNROLLINGS
    }
    best: Any = None
    for index, (unrolling, dataflow) in enumerate(mapping.MAPPINGS):
        space = spaces[unrolling]
        traffic = count_traffic(layers, loops, machine, space, dataflow)
        busy = _busy_cycles(machine, space, traffic)
        cycles = tf.maximum(tf.maximum(busy[0], busy[1]), busy[2])
        parts_pj = _mapped_pj(unit_pj, traffic)
        energy_pj = parts_pj[0] + parts_pj[1] + parts_pj[2]
        needed_pj = energy_pj + leakage_pj * cycles
        keys = {
            "latency": (cycles, needed_pj),
            "energy": (needed_pj, cycles),
            "energy_delay": (needed_pj * cycles, cycles),
        }[objective]
        here = Choice(cycles, energy_pj)
        if per_layer:
            number = tf.fill(tf.shape(cycles), float(index))
            here = Choice(*here[:2], number, busy, parts_pj, traffic)
        best = _better(best, (keys, here))
    return best[1]


def _better(best: Any, here: Any) -> Any:
    """The better one of two mappings by their keys, layer by layer."""
    if best is None:
        return here
    (key, tie), (least, least_tie) = here[0], best[0]
    wins = (key < least) | ((key == least) & (tie < least_tie))
    return tf.nest.map_structure(
        lambda new, old: None if new is None else tf.where(wins, new, old),
        here,
        best,
    )


def _busy_cycles(
    machine: Accelerator, space: Spread, traffic: Traffic
) -> tuple[Any, Any, Any]:
    """Cycles in which array, PE memories and interconnect are busy."""
    share, runtime = space.pe_share, machine.runtime
    moved = traffic.read_bytes() + traffic.write_bytes()
    per_byte = runtime.memory_cycles(machine.pe_memory.cycles(share))
    return (
        runtime.compute_cycles(space.compute_cycles),
        moved * per_byte,
        traffic.interconnect_bytes * machine.interconnect.cycles(share),
    )


class _UnitEnergy(NamedTuple):
    """Energy of one byte by where it goes, each `[B, 1]`."""

    register_read_pj: Any
    register_write_pj: Any
    memory_read_pj: Any
    memory_write_pj: Any
    transfer_pj: Any


def _unit_pj(machine: Accelerator) -> _UnitEnergy:
    node_nm = machine.process.node_nm
    registers = machine.register_file.sram(node_nm)
    memory = machine.pe_memory.sram(node_nm)
    return _UnitEnergy(
        registers.read_pj(),
        registers.write_pj(),
        memory.read_pj(),
        memory.write_pj(),
        machine.interconnect.transfer_pj(node_nm),
    )


def _mapped_pj(unit: _UnitEnergy, traffic: Traffic) -> tuple[Any, Any, Any]:
    """Energy of register files, PE memories and interconnect by a mapping."""
    return (
        traffic.register_file_read_bytes * unit.register_read_pj
        + traffic.register_file_write_bytes * unit.register_write_pj,
        traffic.read_bytes() * unit.memory_read_pj
        + traffic.write_bytes() * unit.memory_write_pj,
        (traffic.interconnect_bytes + traffic.reduced_bytes) * unit.transfer_pj,
    )
