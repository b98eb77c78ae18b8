"""The cost model: latency, energy and area of networks on accelerators."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_cosearch import configuration
from tf_cosearch.accelerators import Accelerator, technology
from tf_cosearch.cost import batches, mapping
from tf_cosearch.cost.mapper import OBJECTIVES, Choice, choose
from tf_cosearch.cost.mapping import Loops
from tf_cosearch.cost.off_chip import OffChip, off_chip
from tf_cosearch.cost.traffic import Traffic
from tf_cosearch.networks import table_errors
from tf_cosearch.networks.workload import LayerTable

BOUNDS = ("compute", "pe_memory", "interconnect", "dram")
ENERGY_PARTS = (
    "mac",
    "register_file",
    "pe_memory",
    "interconnect",
    "dram",
    "leakage",
)


class LayerCost(NamedTuple):
    """What each layer costs; every field is `[B, L]`, 0 for padding.

    Attributes:
        cycles: Cycles at the clock of the accelerator.
        latency_ms: The same in milliseconds.
        energy_mj: Energy in millijoules.
        energy_parts_mj: `energy_mj` by `ENERGY_PARTS`, a tuple of `[B, L]`.
        utilization: Share of the peak multiply-accumulates achieved.
        macs: Multiply-accumulates.
        params: Parameters stored with the model.
        dram_bytes: Bytes to and from DRAM.
        busy_cycles: Cycles each of `BOUNDS` is busy, a tuple of `[B, L]`.
        fixed_cycles: Cycles in which none of them is: fill, drain, start.
        mapping: Number of the chosen mapping, see `mapping.describe`.
        traffic: What it moves, a `Traffic`.
        row_tiles: Tiles of rows that the PE memories hold one after another.
        out_c_tiles: Tiles of output channels, likewise.
        missing_bytes: What the PE memories lack to hold a tile of one row.
    """

    cycles: Any
    latency_ms: Any
    energy_mj: Any
    energy_parts_mj: tuple[Any, ...]
    utilization: Any
    macs: Any
    params: Any
    dram_bytes: Any
    busy_cycles: tuple[Any, ...]
    fixed_cycles: Any
    mapping: Any
    traffic: Traffic
    row_tiles: Any
    out_c_tiles: Any
    missing_bytes: Any


class Cost(NamedTuple):
    """What each candidate costs; every field is `[B]` but `layers`.

    A candidate with missing bytes cannot run: some layer fits no mapping. Its
    other costs are those of a machine that had them.

    Attributes:
        latency_ms: Time of one batch, by default one inference, in
            milliseconds.
        energy_mj: Energy of one batch in millijoules.
        area_mm2: Area of the accelerator in square millimetres.
        utilization: Share of the peak multiply-accumulates achieved.
        macs: Multiply-accumulates of one batch.
        params: Parameters stored with the model.
        dram_bytes: Bytes to and from DRAM for a batch.
        weight_residency: Share of the weights that stay on the chip.
        pe_memory_missing_bytes: What the PE memories lack for two tiles of
            one row of the layer that needs most.
        register_file_missing_bytes: What a register file lacks for two
            accumulators a SIMD unit.
        energy_parts_mj: `energy_mj` by `ENERGY_PARTS`, a tuple of `[B]`, or
            `None` if layers were not asked for.
        layers: `LayerCost` of `[B, L]`, or `None` if not asked for.
    """

    latency_ms: Any
    energy_mj: Any
    area_mm2: Any
    utilization: Any
    macs: Any
    params: Any
    dram_bytes: Any
    weight_residency: Any
    pe_memory_missing_bytes: Any
    register_file_missing_bytes: Any
    energy_parts_mj: Any = None
    layers: Any = None


def estimate(
    layers: LayerTable,
    accelerator: Accelerator,
    per_layer: bool = False,
    objective: str = "latency",
    batch_size: int = 1,
) -> Cost:
    """Estimates what each network costs on the accelerator beside it.

    Layers run one after another. Within a layer the components of the
    accelerator work at the same time, so the layer lasts as long as its
    busiest component, plus what cannot overlap: its start, the transfers
    before the first operation and those after the last.

        cycles = start + fill + max(compute, PE memory, interconnect,
                                    DRAM - its part of fill and drain) + drain

    The energy of all components adds up. Of all mappings a layer is given the
    one that is fastest on the chip and, among equally fast ones, needs least
    energy; or the one of least energy, or energy times cycles, if asked.

    In the shapes below `B` is the number of candidates and `L` the number of
    rows that every network is padded to. Large batches are priced by compiled
    code, `batches.CHUNK` candidates at a time; results differ from those of a
    small batch by rounding only (2e-6).

    Args:
        layers: `LayerTable` of `[B, L]` tensors or arrays.
        accelerator: `Accelerator` of `[B]` tensors, entry `b` is the
            hardware that network `b` runs on; or of numbers, one hardware for
            all of them.
        per_layer: Whether to fill in `Cost.layers` and the parts of energy.
        objective: What mappings are chosen by, one of `OBJECTIVES`.
        batch_size: Images that are worked on together. Weights are fetched
            once for all of them, activations of all are kept.

    Returns:
        A `Cost` of `[B]` float32 tensors.

    Raises:
        ValueError: If `layers` and `accelerator` differ in batch size, a row
            of the table describes no layer, an accelerator has a parameter
            that is not finite or not positive, or an argument is unknown.

    Example:
    A 3x3 convolution on 64 positions, 8 to 16 channels: each of 2 SIMD units
    does a channel at a time, so 64 x 9 x 16/2 x 8/4 cycles. The image of 512
    bytes and the answer of 1024 pass a DRAM of 25 bytes a cycle meanwhile.
    Before the array starts, 3 rows (192 bytes) have to come, the first window
    and its weights (72 bytes each) are brought by 64 bytes a cycle, and the
    pipeline of 8 cycles fills; the last row (128 bytes) leaves at the end.

    >>> from tf_cosearch.networks.workload import Layer, pad
    >>> conv = Layer("conv", "conv2d", 8, 8, 16, 8, 8, 8, k_h=3, k_w=3)
    >>> array = Accelerator().pe_array._replace(
    ...     columns=1, rows=1, lanes=1, simd_units=2)
    >>> chip = Accelerator(pe_array=array)
    >>> cost = estimate(pad([[conv]]), chip, per_layer=True)
    >>> cost.layers.busy_cycles[0].numpy()[:, 0]
    array([9216.], dtype=float32)
    >>> round(float(cost.layers.fixed_cycles[0, 0]), 2)  # (192 + 128) / 25...
    23.05

    Reference:
        Williams et al., "Roofline: An Insightful Visual Performance Model for
        Multicore Architectures", 2009.
    """
    if objective not in OBJECTIVES:
        raise configuration.unknown("objective", objective, OBJECTIVES)
    if batch_size < 1 or batch_size != int(batch_size):
        raise ValueError(
            "`batch_size` must be a positive whole number of images. "
            f"Received: {batch_size}."
        )
    table = (layers, accelerator, batch_size)
    if per_layer or len(layers.out_h) <= batches.SMALL:
        cost = batches.run_graph(_pricer(objective, per_layer), *table)
    else:
        totals = batches.run_compiled(_totals_pricer(objective), *table)
        cost = Cost(*map(tf.constant, totals))
    check_rows(cost, layers)
    return cost


def check_rows(cost: Cost, layers: LayerTable) -> None:
    """Checks that what was priced are layers.

    Args:
        cost: What came out.
        layers: `LayerTable` of `[B, L]` that it came from.

    Raises:
        ValueError: If a row describes no layer; names row and column.
    """
    is_wrong = np.isnan(cost.macs)
    if is_wrong.any():
        raise ValueError(table_errors.explain(layers, int(is_wrong.argmax())))


@functools.cache
def _pricer(objective: str, per_layer: bool) -> batches.Price:
    return functools.partial(price, objective=objective, per_layer=per_layer)


@functools.cache
def _totals_pricer(objective: str) -> batches.Price:
    return lambda layers, accelerator, images: price(
        layers, accelerator, images, objective, per_layer=False
    )[:-2]


def price(
    layers: LayerTable,
    accelerator: Accelerator,
    batch_size: Any,
    objective: str,
    per_layer: bool,
) -> Cost:
    """`estimate` in the graph.

    Args:
        layers: `LayerTable` of `[B, L]` tensors.
        accelerator: `Accelerator` of `[B]` float32 tensors.
        batch_size: Images that are worked on together, a float32 scalar.
        objective: One of `OBJECTIVES`.
        per_layer: Whether to fill in `Cost.layers` and the parts of energy.

    Returns:
        A `Cost` of `[B]` float32 tensors.
    """
    stacked = layers.stack_images(batch_size)
    machine = expand(accelerator, -1)
    loops = mapping.loops_of(stacked, batch_size)
    chosen = choose(stacked, loops, machine, objective, per_layer)
    is_wrong = layers.is_wrong()
    return add_up(stacked, accelerator, chosen, -1, is_wrong, images=batch_size)


def expand(accelerator: Accelerator, axis: int) -> Accelerator:
    """The `[B]` accelerators with an axis for layers."""
    return tf.nest.map_structure(
        lambda field: tf.expand_dims(field, axis), accelerator
    )


def add_up(
    layers: LayerTable,
    accelerator: Accelerator,
    chosen: Choice,
    axis: int,
    is_wrong: Any = False,
    all_stays: bool = False,
    images: Any = 1.0,
) -> Cost:
    """Puts layers that are mapped together to networks.

    Args:
        layers: `LayerTable` of `[B, L]` tensors, or `[L, 1]` for one network
            on all accelerators.
        accelerator: `Accelerator` of `[B]` float32 tensors.
        chosen: The mappings, `[B, L]` or `[L, B]`.
        axis: Where the layers are: -1 or 0.
        is_wrong: Rows that are no layers; they make `macs` NaN.
        all_stays: As for `off_chip`.
        images: As for `mapping.loops_of`.

    Returns:
        A `Cost` of `[B]` float32 tensors, with layers if `chosen` has what
        that takes.
    """
    machine = expand(accelerator, axis)
    loops = mapping.loops_of(layers, images)
    outside = off_chip(layers, loops, machine, axis, all_stays)
    fixed_cycles, dram_left = _fixed_cycles(layers, loops, machine, outside)
    cycles = tf.maximum(chosen.cycles, dram_left) + fixed_cycles
    mac_pj, dram_pj, write_pj = _common_pj(layers, machine, outside)
    energy_pj = chosen.energy_pj + mac_pj + dram_pj + write_pj
    total_cycles, total_pj = _sum_two(
        cycles * layers.is_layer, energy_pj * layers.is_layer, axis
    )
    runtime, process = accelerator.runtime, accelerator.process
    start_cycles = runtime.inference_cycles(process.clock_ghz)
    total_cycles += start_cycles
    leakage_pj = accelerator.leakage_mw() / process.clock_ghz
    macs, params = _sum_two(
        tf.where(is_wrong, float("nan"), layers.macs() * layers.is_layer),
        layers.params() * layers.is_layer,
        axis,
    )
    array, registers = accelerator.pe_array, accelerator.register_file
    capacity = accelerator.pe_memory.capacity_bytes(array.pes())
    cost = Cost(
        latency_ms=total_cycles / (process.clock_ghz * 1e6),
        energy_mj=(total_pj + leakage_pj * total_cycles) / 1e9,
        area_mm2=accelerator.area_mm2(),
        utilization=macs / (total_cycles * array.macs_per_cycle()),
        macs=macs,
        params=params,
        dram_bytes=tf.reduce_sum(outside.dram_bytes, axis),
        weight_residency=tf.squeeze(outside.residency, axis),
        pe_memory_missing_bytes=tf.maximum(
            tf.reduce_max(outside.needed_bytes, axis) - capacity, 0.0
        ),
        register_file_missing_bytes=registers.missing_bytes(array.simd_units),
    )
    if chosen.index is None:
        return cost
    parts_pj = (
        mac_pj,
        chosen.parts_pj[0],
        chosen.parts_pj[1] + write_pj,
        chosen.parts_pj[2],
        dram_pj,
        machine.leakage_mw() / machine.process.clock_ghz * cycles,
    )
    by_layer = _layer_cost(
        layers, machine, outside, chosen, cycles, fixed_cycles, parts_pj
    )
    totals = [tf.reduce_sum(part, axis) for part in by_layer.energy_parts_mj]
    totals[-1] += leakage_pj * start_cycles / 1e9
    return cost._replace(energy_parts_mj=tuple(totals), layers=by_layer)


def _sum_two(one: Any, other: Any, axis: int) -> tuple[Any, Any]:
    """Sums two over layers, which XLA can evaluate side by side."""
    sums = tf.reduce_sum(tf.complex(one, other), axis)
    return tf.math.real(sums), tf.math.imag(sums)


def _layer_cost(
    layers: LayerTable,
    machine: Accelerator,
    outside: OffChip,
    chosen: Choice,
    cycles: Any,
    fixed_cycles: Any,
    parts_pj: tuple[Any, ...],
) -> LayerCost:
    """Puts together what is told of every layer; padding is zero."""
    clock_ghz = machine.process.clock_ghz
    macs = layers.macs()
    dram_cycles = machine.dram.cycles(outside.dram_bytes, clock_ghz)
    by_layer = LayerCost(
        cycles=cycles,
        latency_ms=cycles / (clock_ghz * 1e6),
        energy_mj=tf.add_n(parts_pj) / 1e9,
        energy_parts_mj=tuple(part / 1e9 for part in parts_pj),
        utilization=macs / (cycles * machine.pe_array.macs_per_cycle()),
        macs=macs,
        params=layers.params(),
        dram_bytes=outside.dram_bytes,
        busy_cycles=(*chosen.busy, dram_cycles),
        fixed_cycles=fixed_cycles,
        mapping=chosen.index,
        traffic=chosen.traffic,
        row_tiles=outside.row_tiles,
        out_c_tiles=outside.out_c_tiles,
        missing_bytes=tf.maximum(
            outside.needed_bytes
            - machine.pe_memory.capacity_bytes(machine.pe_array.pes()),
            0.0,
        ),
    )
    by_layer = tf.nest.map_structure(
        lambda field: field * layers.is_layer, by_layer
    )
    return by_layer._replace(mapping=tf.cast(by_layer.mapping, tf.int32))


def _common_pj(
    layers: LayerTable, machine: Accelerator, outside: OffChip
) -> tuple[Any, Any, Any]:
    """Energy of arithmetic, DRAM, and of PE memories for what DRAM brings."""
    node_nm = machine.process.node_nm
    mac_pj = technology.mac_energy_pj(
        layers.operand_bits(), layers.activation_bits, node_nm
    )
    vector_ops = layers.is_vector * layers.out_elements() * layers.taps()
    write_pj = machine.pe_memory.sram(node_nm).write_pj()
    return (
        layers.macs() * mac_pj
        + vector_ops * technology.vector_energy_pj(node_nm),
        outside.dram_bytes * machine.dram.access_pj(),
        outside.dram_bytes * write_pj,
    )


def _fixed_cycles(
    layers: LayerTable, loops: Loops, machine: Accelerator, outside: OffChip
) -> tuple[Any, Any]:
    """What cannot overlap, and the DRAM cycles that are left to overlap.

    Returns:
        Cycles of starting a layer, of the transfers before its first and after
        its last operation and of the pipeline, `[B, L]`; cycles of its other
        transfers to and from DRAM, `[B, L]`.
    """
    clock_ghz = machine.process.clock_ghz
    edges = outside.first_bytes + outside.last_bytes
    inside = outside.dram_bytes - edges
    operands = (
        loops.in_c
        * loops.taps
        * (
            loops.activation_bytes
            + layers.has_weights * (layers.operand_bits() / 8)
        )
    )
    fixed = (
        machine.runtime.layer_cycles(clock_ghz)
        + machine.pe_array.pipeline_cycles
        + machine.interconnect.cycles(operands)
        + machine.dram.cycles(edges, clock_ghz)
    )
    return fixed, machine.dram.cycles(inside, clock_ghz)
