"""The cost model: latency, energy and area of networks on accelerators."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_cosearch import configuration
from tf_cosearch.accelerators import (
    Accelerator,
    families,
    power,
    technology,
)
from tf_cosearch.accelerators.family import OBJECTIVES, OnChip
from tf_cosearch.arithmetic import is_one, sum_two
from tf_cosearch.cost import cuts, fusion, kernels, peak
from tf_cosearch.cost.costs import Cost, LayerCost
from tf_cosearch.cost.cuts import Rows
from tf_cosearch.cost.fusion import Tiling
from tf_cosearch.cost.off_chip import (
    OffChip,
    answer_bytes,
    image_bytes,
    off_chip,
)
from tf_cosearch.networks import table_errors
from tf_cosearch.networks.loops import Loops, loops_of
from tf_cosearch.networks.workload import LayerTable


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

    The energy of all components adds up, with the power that flows meanwhile:

        energy = arithmetic + accesses x energy of each
                 + DRAM bytes x dram/byte_pj + link bytes x host_link/byte_pj
                 + idle power x time
        idle power = leakage + registers clocked x energy a cycle x clock
                     + dram/idle_mw + host_link/idle_mw

    Of all mappings a layer is given the
    one that is fastest on the chip and, among equally fast ones, needs least
    energy; or the one of least energy, or energy times cycles, if asked.

    In the shapes below `B` is the number of candidates and `L` the number of
    rows that every network is padded to. Large kernels are priced by compiled
    code, `kernels.CHUNK` candidates at a time; results differ from those of a
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

    >>> from tf_cosearch import accelerators
    >>> from tf_cosearch.networks.workload import Layer, pad
    >>> conv = Layer("conv", "conv2d", 8, 8, 16, 8, 8, 8, k_h=3, k_w=3)
    >>> chip = accelerators.from_paths({
    ...     "pe_array/columns": 1, "pe_array/rows": 1,
    ...     "pe_array/lanes": 1, "pe_array/simd_units": 2})
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
    how = fusion.is_on(accelerator), peak.is_split(accelerator)
    if per_layer or len(layers.out_h) <= kernels.SMALL:
        pricer = _pricer(objective, per_layer, *how)
        cost = kernels.run_graph(pricer, *table)
    else:
        totals = kernels.run_compiled(_totals_pricer(objective, *how), *table)
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
def _pricer(
    objective: str, per_layer: bool, is_fused: bool, is_split: bool
) -> kernels.Price:
    return functools.partial(
        price,
        objective=objective,
        per_layer=per_layer,
        is_fused=is_fused,
        is_split=is_split,
    )


@functools.cache
def _totals_pricer(
    objective: str, is_fused: bool, is_split: bool
) -> kernels.Price:
    return lambda layers, accelerator, images: price(
        layers, accelerator, images, objective, False, is_fused, is_split
    )[:-2]


def price(
    layers: LayerTable,
    accelerator: Accelerator,
    batch_size: Any,
    objective: str,
    per_layer: bool,
    is_fused: bool = False,
    is_split: bool = False,
) -> Cost:
    """`estimate` in the graph.

    Args:
        layers: `LayerTable` of `[B, L]` tensors.
        accelerator: `Accelerator` of `[B]` float32 tensors.
        batch_size: Images that are worked on together, a float32 scalar.
        objective: One of `OBJECTIVES`.
        per_layer: Whether to fill in `Cost.layers` and the parts of energy.
        is_fused: Whether some may work on several layers together.
        is_split: Whether some split multipliers for operands of 4 bits.

    Returns:
        A `Cost` of `[B]` float32 tensors.
    """
    stacked = layers.stack_images(batch_size)
    machine = expand(accelerator)
    loops = loops_of(stacked, batch_size)
    on_chip = families.of(accelerator).on_chip

    def mapped(layers: LayerTable, loops: Loops) -> OnChip:
        return on_chip(layers, loops, machine, objective, per_layer)

    chosen = mapped(stacked, loops)
    outside = off_chip(stacked, loops, machine.room())
    rows = price_rows(stacked, loops, machine, chosen, outside)
    if is_fused:
        rows = cuts.cut(
            stacked, loops, machine, rows, objective, mapped, price_rows
        )
    speedup = peak.speedup(stacked, machine) if is_split else 1.0
    is_wrong = layers.is_wrong()
    return _add_up(stacked, accelerator, machine, rows, is_wrong, speedup)


def expand(accelerator: Accelerator) -> Accelerator:
    """The `[B]` accelerators with an axis for layers, `[B, 1]`."""
    return tf.nest.map_structure(
        lambda field: tf.expand_dims(field, -1), accelerator
    )


def price_rows(
    layers: LayerTable,
    loops: Loops,
    machine: Accelerator,
    chosen: OnChip,
    outside: OffChip,
    tiling: Tiling | None = None,
) -> Rows:
    """Prices rows that are mapped.

    Args:
        layers: `LayerTable` of `[B, L]` tensors.
        loops: Their `Loops`.
        machine: Accelerators of `[B, 1]` tensors.
        chosen: The mappings, of all tiles.
        outside: What passes the DRAM.
        tiling: How the rows are worked on in tiles; whole by default.

    Returns:
        The `Rows`.
    """
    steady_cycles = machine.dram.cycles(
        outside.steady_bytes(), machine.process.clock_ghz
    )
    serial = serial_of(layers, loops)
    fixed = serial_cycles(
        machine, serial, outside.edge_bytes(), outside.repeated_bytes
    )
    mac_pj = arithmetic_pj(layers, machine)
    if tiling is not None:
        mac_pj *= tiling.work
        fill = machine.operand_cycles(serial.operand_bytes)
        fill += machine.pipeline_cycles()
        fixed += (tiling.tiles - 1) * fill
    dram_pj, write_pj = transfer_pj(machine, outside.dram_bytes)
    write_pj += image_write_pj(machine, serial)
    crossing_pj = link_pj(machine, serial)
    energy_pj = chosen.energy_pj + mac_pj + dram_pj + write_pj + crossing_pj
    return Rows(
        cycles=tf.maximum(chosen.cycles, steady_cycles) + fixed,
        fixed_cycles=fixed,
        energy_pj=energy_pj,
        mac_pj=mac_pj,
        dram_pj=dram_pj,
        write_pj=write_pj,
        crossing_pj=crossing_pj,
        chosen=chosen,
        outside=outside,
        is_joined=tf.zeros_like(fixed),
    )


def _add_up(
    layers: LayerTable,
    accelerator: Accelerator,
    machine: Accelerator,
    rows: Rows,
    is_wrong: Any,
    speedup: Any,
) -> Cost:
    """Puts rows together to networks.

    Args:
        layers: `LayerTable` of `[B, L]` tensors.
        accelerator: `Accelerator` of `[B]` float32 tensors.
        machine: The same, expanded.
        rows: What the rows cost.
        is_wrong: Rows that are no layers; they make `macs` NaN.
        speedup: How many times the peak of 8 bits rows reach; 1.0 takes no
            time.

    Returns:
        A `Cost` of `[B]` float32 tensors, with layers if `rows` has what
        that takes.
    """
    chosen, outside, cycles = rows.chosen, rows.outside, rows.cycles
    is_layer = layers.is_layer
    total_cycles, total_pj = sum_two(
        layers.all_runs(cycles) * is_layer,
        layers.all_runs(rows.energy_pj) * is_layer,
    )
    macs = tf.where(is_wrong, float("nan"), layers.all_runs(layers.macs()))
    macs, params = sum_two(macs * is_layer, layers.params() * is_layer)
    cost = put_together(
        accelerator,
        total_cycles,
        total_pj,
        area_mm2=accelerator.area_mm2(),
        idle_mw=power.idle_mw(accelerator),
        macs=macs,
        work=macs
        if is_one(speedup)
        else tf.reduce_sum(
            layers.all_runs(layers.macs()) * is_layer / speedup, -1
        ),
        params=params,
        dram_bytes=tf.reduce_sum(layers.all_runs(outside.dram_bytes), -1),
        weight_residency=outside.residency[:, 0],
        memory_missing_bytes=tf.maximum(
            tf.reduce_max(outside.needed_bytes, -1)
            - accelerator.room().capacity_bytes,
            0.0,
        ),
        register_missing_bytes=accelerator.missing_register_bytes(),
    )
    if chosen.index is None:
        return cost
    family = families.of(accelerator)
    on_chip_pj = list(chosen.parts_pj)
    on_chip_pj[family.energy_parts.index(family.memory)] += rows.write_pj
    idle_pj = [
        mw / machine.process.clock_ghz * cycles
        for mw in power.idle_power(machine)
    ]
    idle_pj[power.PARTS.index("dram")] += rows.dram_pj
    idle_pj[power.PARTS.index("host_link")] += rows.crossing_pj
    parts_pj = (rows.mac_pj, *on_chip_pj, *idle_pj)
    by_layer = _layer_cost(layers, machine, rows, parts_pj, speedup)
    totals = [tf.reduce_sum(part, -1) for part in by_layer.energy_parts_mj]
    clock_ghz = accelerator.process.clock_ghz
    start_cycles = accelerator.runtime.inference_cycles(clock_ghz)
    for at, mw in enumerate(power.idle_power(accelerator), -len(power.PARTS)):
        totals[at] += mw / clock_ghz * start_cycles / 1e9
    return cost._replace(energy_parts_mj=tuple(totals), layers=by_layer)


def put_together(
    accelerator: Accelerator,
    cycles: Any,
    energy_pj: Any,
    area_mm2: Any,
    idle_mw: Any,
    macs: Any,
    work: Any,
    **rest: Any,
) -> Cost:
    """Makes costs of sums over layers.

    All arguments are tensors or arrays that broadcast to the shape of the
    candidates.

    Args:
        accelerator: What the networks run on.
        cycles: Cycles of all layers.
        energy_pj: Energy of all layers but for what flows all the time.
        area_mm2: `accelerator.area_mm2()`.
        idle_mw: `power.idle_mw(accelerator)`.
        macs: Multiply-accumulates of all layers.
        work: Each over how many times the peak of 8 bits its layer reaches.
        **rest: Other fields of `Cost`.

    Returns:
        The `Cost`.
    """
    clock_ghz = accelerator.process.clock_ghz
    cycles = cycles + accelerator.runtime.inference_cycles(clock_ghz)
    return Cost(
        latency_ms=cycles / (clock_ghz * 1e6),
        energy_mj=(energy_pj + idle_mw / clock_ghz * cycles) / 1e9,
        area_mm2=area_mm2,
        utilization=work / (cycles * accelerator.macs_per_cycle()),
        macs=macs,
        **rest,
    )


class Serial(NamedTuple):
    """What of layers nothing overlaps with, whatever runs them.

    Each field is `[B, L]`, or a sum of such.

    Attributes:
        starts: Layers that are started.
        operations: Those of them that compute something.
        operand_bytes: What must come before the first operation: the window
            and the weights of a dot product; what has none starts with one
            element.
        image_bytes: What comes from outside the chip.
        answer_bytes: What leaves it.
    """

    starts: Any
    operations: Any
    operand_bytes: Any
    image_bytes: Any
    answer_bytes: Any


def serial_of(layers: LayerTable, loops: Loops) -> Serial:
    """The `Serial` of a run of each layer, `[B, L]`."""
    weight_bytes = layers.has_weights * (layers.operand_bits() / 8)
    window = tf.where(loops.is_mac > 0, loops.in_c * loops.taps, 1.0)
    return Serial(
        starts=layers.is_layer,
        operations=layers.is_mac + layers.is_vector,
        operand_bytes=window * (loops.activation_bytes + weight_bytes),
        image_bytes=image_bytes(layers, loops),
        answer_bytes=answer_bytes(layers, loops),
    )


def serial_cycles(
    machine: Accelerator, serial: Serial, edge_bytes: Any, repeated_bytes: Any
) -> Any:
    """Cycles that cannot overlap; proportional, so sums may be passed.

    Args:
        machine: The accelerators.
        serial: What of layers nothing overlaps with.
        edge_bytes: DRAM traffic before their first and after their last
            operations.
        repeated_bytes: Weights that stay and are brought once more.

    Returns:
        Cycles of starting layers, of these transfers, of the host's link and
        of the pipeline, in the shape the arguments broadcast to.
    """
    clock_ghz = machine.process.clock_ghz
    start = machine.runtime.layer_cycles(clock_ghz)
    # What differs most between accelerators comes last, as sums over many
    # networks by many chips are the dear ones.
    return (
        serial.starts * (start + machine.pipeline_cycles())
        + machine.operand_cycles(serial.operand_bytes)
        + machine.host_link.cycles(
            serial.image_bytes,
            serial.answer_bytes,
            serial.operations,
            clock_ghz,
        )
        + machine.repeat_cycles(repeated_bytes)
        + machine.dram.cycles(edge_bytes, clock_ghz)
    )


def arithmetic_pj(layers: LayerTable, machine: Accelerator) -> Any:
    """Energy of multiply-accumulates and vector operations, `[B, L]`."""
    node_nm = machine.process.node_nm
    mac_pj = technology.mac_energy_pj(
        layers.operand_bits(), layers.activation_bits, node_nm
    )
    vector_ops = layers.is_vector * layers.out_elements() * layers.taps()
    return layers.macs() * mac_pj + vector_ops * technology.vector_energy_pj(
        node_nm
    )


def transfer_pj(machine: Accelerator, dram_bytes: Any) -> tuple[Any, Any]:
    """Energy off the chip, and on it, of what passes the interface."""
    write_pj = machine.write_pj()
    return dram_bytes * machine.dram.byte_pj, dram_bytes * write_pj


def link_pj(machine: Accelerator, serial: Serial) -> Any:
    """Energy of what crosses the host's link; proportional, as cycles are."""
    return machine.host_link.energy_pj(
        serial.image_bytes, serial.answer_bytes, serial.operations
    )


def image_write_pj(machine: Accelerator, serial: Serial) -> Any:
    """Energy, on the chip, of what comes by the host's link, not the DRAM."""
    rate = machine.host_link.input_gbs
    if not (tf.is_tensor(rate) or np.any(rate)):
        return 0.0  # spares arrays of many networks by many chips
    share = machine.host_link.is_there() * (1.0 - machine.room().image_share)
    return serial.image_bytes * (share * machine.write_pj())


def _layer_cost(
    layers: LayerTable,
    machine: Accelerator,
    rows: Rows,
    parts_pj: tuple[Any, ...],
    speedup: Any,
) -> LayerCost:
    """Puts together what is told of every layer; padding is zero."""
    chosen, outside, cycles = rows.chosen, rows.outside, rows.cycles
    clock_ghz = machine.process.clock_ghz
    macs = layers.macs()
    dram_cycles = machine.dram.cycles(outside.dram_bytes, clock_ghz)

    def total(values: Any) -> Any:
        return tf.nest.map_structure(layers.all_runs, values)

    by_layer = LayerCost(
        cycles=total(cycles),
        latency_ms=total(cycles / (clock_ghz * 1e6)),
        energy_mj=total(tf.add_n(parts_pj) / 1e9),
        energy_parts_mj=total(tuple(part / 1e9 for part in parts_pj)),
        utilization=tf.math.divide_no_nan(
            macs, cycles * machine.macs_per_cycle() * speedup
        ),
        macs=total(macs),
        params=layers.params(),
        dram_bytes=total(outside.dram_bytes),
        busy_cycles=total((*chosen.busy, dram_cycles)),
        fixed_cycles=total(rows.fixed_cycles),
        mapping=chosen.index,
        traffic=total(chosen.traffic),
        row_tiles=outside.row_tiles,
        out_c_tiles=outside.out_c_tiles,
        missing_bytes=tf.maximum(
            outside.needed_bytes - machine.room().capacity_bytes, 0.0
        ),
        is_joined=rows.is_joined,
    )
    by_layer = tf.nest.map_structure(
        lambda field: field * layers.is_layer, by_layer
    )
    return by_layer._replace(mapping=tf.cast(by_layer.mapping, tf.int32))
