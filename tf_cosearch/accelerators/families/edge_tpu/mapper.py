"""The mapper: tries every mapping on every layer and keeps the best."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from tf_cosearch.accelerators import power
from tf_cosearch.accelerators.families.edge_tpu import mapping
from tf_cosearch.accelerators.families.edge_tpu.edge_tpu import EdgeTpu
from tf_cosearch.accelerators.families.edge_tpu.mapping import Spread
from tf_cosearch.accelerators.families.edge_tpu.traffic import (
    Flow,
    Traffic,
    flow,
    traffic_of,
)
from tf_cosearch.accelerators.family import OnChip
from tf_cosearch.arithmetic import add_products
from tf_cosearch.networks.loops import Loops
from tf_cosearch.networks.workload import LayerTable


def choose(
    layers: LayerTable,
    loops: Loops,
    machine: EdgeTpu,
    objective: str,
    per_layer: bool,
) -> OnChip:
    """Tries every mapping on every layer and keeps the best.

    Only what happens on the chip counts, with the idle power of that time: so a
    layer keeps its mapping whatever the DRAM and its place in a network.

    Args:
        layers: `LayerTable` of `[B, L]` tensors, or `[L, 1]`.
        loops: Their `Loops`.
        machine: `EdgeTpu` of `[B, 1]` tensors, or `[1, B]`.
        objective: One of `OBJECTIVES`.
        per_layer: Whether to fill in all of `OnChip`.

    Returns:
        The `OnChip`.
    """
    idle_pj = power.idle_mw(machine) / machine.process.clock_ghz
    unit_pj = _unit_pj(machine)
    spaces = {
        unrolling: mapping.spread(layers, loops, machine, unrolling)
        for unrolling in mapping.UNROLLINGS
    }
    rates = {
        unrolling: _rates(machine, unit_pj, space)
        for unrolling, space in spaces.items()
    }
    everything = machine.interconnect.activation_cycles(
        _passed_bytes(layers, loops), machine.pes()
    )
    passed = dict.fromkeys(spaces, everything)
    if tf.is_tensor(loops.comes):
        passed |= {
            unrolling: machine.interconnect.activation_cycles(
                _passed_inside_bytes(layers, loops, space), machine.pes()
            )
            for unrolling, space in spaces.items()
            if unrolling[:2] == ("columns", "rows")
        }
    best: Any = None
    for index, (unrolling, dataflow) in enumerate(mapping.MAPPINGS):
        space, rate = spaces[unrolling], rates[unrolling]
        moved = flow(layers, loops, machine, space, dataflow)
        busy = (
            rate.compute_cycles,
            moved.moved_bytes() * rate.memory_cycles,
            tf.maximum(
                moved.interconnect_bytes(space) * rate.interconnect_cycles,
                passed[unrolling],
            ),
        )
        cycles = tf.maximum(tf.maximum(busy[0], busy[1]), busy[2])
        energy_pj = _mapped_pj(unit_pj, rate, space, moved)
        keys = _keys(objective, cycles, energy_pj, idle_pj)
        here = OnChip(cycles, energy_pj)
        if per_layer:
            number = tf.fill(tf.shape(cycles), float(index))
            traffic = traffic_of(moved, space)
            parts_pj = _parts_pj(unit_pj, traffic)
            here = OnChip(*here[:2], number, busy, parts_pj, traffic)
        best = _better(best, (keys, here))
    return best[1]


def _passed_bytes(layers: LayerTable, loops: Loops) -> Any:
    """Activations that a layer takes in and puts out, each once.

    What computes nothing leaves them where they are.
    """
    right_bytes = loops.weight_bytes * (1 - layers.has_weights)
    in_bytes = layers.in_elements() * loops.activation_bytes + right_bytes
    return (in_bytes + loops.output_bytes) * (loops.is_mac + loops.is_vector)


def _passed_inside_bytes(
    layers: LayerTable, loops: Loops, space: Spread
) -> Any:
    """The same in a chain of fused layers, where PEs have their own positions.

    What is made inside the chain stays in the PE that makes it, but for what
    windows of its neighbours overlap by; side inputs come from outside.
    """
    in_bytes = layers.in_elements() * loops.activation_bytes
    side_bytes = layers.side_elements * loops.activation_bytes
    halo = tf.maximum(space.pass_bytes - in_bytes, 0.0) + side_bytes
    in_bytes = tf.where(loops.comes > 0, in_bytes, halo)
    moved = in_bytes + loops.output_bytes * loops.goes
    return moved * (loops.is_mac + loops.is_vector)


def _keys(
    objective: str, cycles: Any, energy_pj: Any, idle_pj: Any
) -> tuple[Any, Any]:
    """What a mapping is chosen by, and what tells equally good ones apart."""
    if objective == "latency":
        return cycles, energy_pj  # equally fast ones idle the same
    needed_pj = energy_pj + idle_pj * cycles
    if objective == "energy":
        return needed_pj, cycles
    return needed_pj * cycles, cycles


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


class _UnitEnergy(NamedTuple):
    """Energy of one byte by where it goes, each `[B, 1]`."""

    register_read_pj: Any
    register_write_pj: Any
    memory_read_pj: Any
    memory_write_pj: Any
    transfer_pj: Any


def _unit_pj(machine: EdgeTpu) -> _UnitEnergy:
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


class _Rates(NamedTuple):
    """What mappings with an unrolling share, each `[B, L]` or `[B, 1]`.

    Attributes:
        compute_cycles: Cycles the array is busy.
        memory_cycles: Cycles the PE memories take for a byte.
        interconnect_cycles: Cycles the interconnect takes for one.
        weight_pj: Energy of a byte of weights, from PE memories to lanes.
        input_pj: Energy of a byte of inputs, likewise and into register files.
        spilled_pj: Energy of a byte of partial sums, out and in again.
    """

    compute_cycles: Any
    memory_cycles: Any
    interconnect_cycles: Any
    weight_pj: Any
    input_pj: Any
    spilled_pj: Any


def _rates(machine: EdgeTpu, unit: _UnitEnergy, space: Spread) -> _Rates:
    share, runtime = space.pe_share, machine.runtime
    return _Rates(
        compute_cycles=runtime.compute_cycles(space.compute_cycles),
        memory_cycles=runtime.memory_cycles(machine.pe_memory.cycles(share)),
        interconnect_cycles=machine.interconnect.cycles(share),
        weight_pj=unit.memory_read_pj + unit.transfer_pj * space.weight_pes,
        input_pj=unit.memory_read_pj
        + unit.transfer_pj * space.input_pes
        + unit.register_write_pj * space.input_lanes,
        spilled_pj=unit.memory_read_pj + unit.memory_write_pj,
    )


def _mapped_pj(
    unit: _UnitEnergy, rate: _Rates, space: Spread, moved: Flow
) -> Any:
    """Energy of a mapping: the sum of `_parts_pj` in the least operations."""
    read_bytes = space.operand_read_bytes + moved.stationary_read_bytes
    return add_products(
        # The first two are the same for all mappings of a layer.
        (moved.output_bytes, unit.memory_write_pj),
        (space.combined_bytes, unit.transfer_pj),
        (read_bytes, unit.register_read_pj),
        (moved.weight_bytes, rate.weight_pj),
        (moved.input_bytes, rate.input_pj),
        (moved.spilled_bytes, rate.spilled_pj),
        (moved.reduced_bytes, unit.transfer_pj),
        (moved.stationary_write_bytes, unit.register_write_pj),
    )


def _parts_pj(unit: _UnitEnergy, traffic: Traffic) -> tuple[Any, Any, Any]:
    """Energy of register files, PE memories and interconnect by a mapping."""
    return (
        traffic.register_file_read_bytes * unit.register_read_pj
        + traffic.register_file_write_bytes * unit.register_write_pj,
        traffic.read_bytes() * unit.memory_read_pj
        + traffic.write_bytes() * unit.memory_write_pj,
        (traffic.interconnect_bytes + traffic.reduced_bytes) * unit.transfer_pj,
    )
