"""The cost model: latency, energy and area of networks on accelerators."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from tf_cosearch import accelerators
from tf_cosearch.accelerators import Accelerator, technology
from tf_cosearch.cost import mapping
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
        utilization: Share of the peak multiply-accumulates achieved.
        macs: Multiply-accumulates.
        params: Parameters stored with the model.
        dram_bytes: Bytes to and from DRAM.
        busy_cycles: Cycles each of `BOUNDS` is busy, a tuple of `[B, L]`.
        mapping: Number of the chosen mapping, see `mapping.describe`.
    """

    cycles: Any
    latency_ms: Any
    energy_mj: Any
    utilization: Any
    macs: Any
    params: Any
    dram_bytes: Any
    busy_cycles: tuple[Any, ...]
    mapping: Any


class Cost(NamedTuple):
    """What each candidate costs; every field is `[B]` but `layers`.

    Attributes:
        latency_ms: Time of one inference in milliseconds.
        energy_mj: Energy of one inference in millijoules.
        area_mm2: Area of the accelerator in square millimetres.
        utilization: Share of the peak multiply-accumulates achieved.
        macs: Multiply-accumulates of one inference.
        params: Parameters stored with the model.
        dram_bytes: Bytes to and from DRAM an inference.
        weight_residency: Share of the weights that stay on the chip.
        energy_parts_mj: `energy_mj` by `ENERGY_PARTS`, a tuple of `[B]`.
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
    energy_parts_mj: tuple[Any, ...]
    layers: Any = None


def estimate(
    layers: LayerTable, accelerator: Accelerator, per_layer: bool = False
) -> Cost:
    """Estimates what each network costs on the accelerator beside it.

    Layers run one after another. Within a layer the components of the
    accelerator work at the same time, so the layer lasts as long as its
    busiest component (a roofline with one roof per component), whereas the
    energy of all components adds up. Of all mappings a layer is given the
    fastest and, among equally fast ones, the one that needs least energy.

    In the shapes below `B` is the number of candidates and `L` the number of
    rows that every network is padded to.

    Args:
        layers: `LayerTable` of `[B, L]` float32 tensors.
        accelerator: `Accelerator` of `[B]` float32 tensors, entry `b` is the
            hardware that network `b` runs on; or of numbers, one hardware for
            all of them.
        per_layer: Whether to fill in `Cost.layers`.

    Returns:
        A `Cost` of `[B]` float32 tensors.

    Raises:
        ValueError: If `layers` and `accelerator` differ in batch size, or an
            accelerator has a parameter that is not positive and finite.

    Example:
    A 3x3 convolution on 64 positions, 8 to 16 channels: each of 2 SIMD units
    does a channel at a time, so 64 x 9 x 16/2 x 8/4 cycles.

    >>> from tf_cosearch.networks.workload import Layer, pad
    >>> conv = Layer("conv", "conv2d", 8, 8, 16, 8, 8, 8, k_h=3, k_w=3)
    >>> array = Accelerator().pe_array._replace(
    ...     columns=1, rows=1, lanes=1, simd_units=2)
    >>> chip = Accelerator(pe_array=array)
    >>> cost = estimate(pad([[conv], [conv, conv]]), chip, per_layer=True)
    >>> cost.layers.cycles.numpy()
    array([[9216.,    0.],
           [9216., 9216.]], dtype=float32)

    Reference:
        Williams et al., "Roofline: An Insightful Visual Performance Model for
        Multicore Architectures", 2009.
    """
    batch = layers.out_h.shape[0]
    hardware = tf.nest.map_structure(
        lambda value: tf.convert_to_tensor(value, tf.float32), accelerator
    )
    for path, value in accelerators.to_paths(hardware).items():
        if value.shape.rank > 1 or value.shape not in ((), (1,), (batch,)):
            raise ValueError(
                "`layers` and `accelerator` must describe the same number of "
                f"candidates. Received: {batch} networks and {path} of shape "
                f"{tuple(value.shape)}."
            )
        if not bool(tf.reduce_all(tf.math.is_finite(value) & (value > 0))):
            raise ValueError(
                f"{path} must be positive and finite. Received: "
                f"{value.numpy()}."
            )
    hardware = tf.nest.map_structure(
        lambda value: tf.broadcast_to(value, (batch,)), hardware
    )
    cost = _estimate(layers, hardware)
    return cost if per_layer else cost._replace(layers=None)


_SIGNATURE = (
    LayerTable(*(tf.TensorSpec((None, None)) for _ in LayerTable._fields)),
    tf.nest.map_structure(lambda _: tf.TensorSpec((None,)), Accelerator()),
)


@tf.function(input_signature=_SIGNATURE, autograph=False)
def _estimate(layers: LayerTable, accelerator: Accelerator) -> Cost:
    """`estimate` in the graph: one trace for any batch and depth."""
    machine = tf.nest.map_structure(
        lambda field: field[:, None, None], accelerator
    )
    pes = machine.pe_array.pes()
    traffic = mapping.map_layers(layers, accelerator)
    residency, dram_bytes = _off_chip(layers, accelerator)
    moved = traffic.pe_memory_read_bytes + traffic.pe_memory_write_bytes
    busy = (
        traffic.compute_cycles,
        machine.pe_memory.cycles(moved, pes),
        machine.interconnect.cycles(traffic.interconnect_bytes_per_pe),
        machine.dram.cycles(dram_bytes[:, :, None], machine.process.clock_ghz),
    )
    cycles = tf.maximum(
        tf.maximum(busy[0], busy[1]), tf.maximum(busy[2], busy[3])
    )
    parts_pj = _energy_pj(layers, machine, traffic, dram_bytes, cycles)
    energy_pj = tf.add_n(parts_pj)
    fastest = tf.reduce_min(cycles, -1, keepdims=True)
    chosen = tf.argmin(tf.where(cycles <= fastest, energy_pj, float("inf")), -1)

    def choose(values: Any) -> Any:
        values = tf.broadcast_to(values, tf.shape(cycles))
        picked = tf.gather(values, chosen, axis=2, batch_dims=2)
        return picked * layers.is_layer

    return _summarise(
        layers,
        accelerator,
        residency,
        LayerCost(
            cycles=choose(cycles),
            latency_ms=choose(cycles)
            / (accelerator.process.clock_ghz[:, None] * 1e6),
            energy_mj=choose(energy_pj) / 1e9,
            utilization=tf.math.divide_no_nan(
                layers.macs(),
                choose(cycles) * accelerator.pe_array.macs_per_cycle()[:, None],
            ),
            macs=layers.macs() * layers.is_layer,
            params=layers.params() * layers.is_layer,
            dram_bytes=dram_bytes * layers.is_layer,
            busy_cycles=tuple(choose(cycles) for cycles in busy),
            mapping=tf.cast(chosen, tf.int32),
        ),
        tuple(tf.reduce_sum(choose(part), -1) / 1e9 for part in parts_pj),
    )


def _off_chip(layers: LayerTable, accelerator: Accelerator) -> tuple[Any, Any]:
    """What does not stay on the chip.

    The largest set of activations that a layer needs at once comes first;
    weights stay on the chip from inference to inference in what that leaves,
    and the share that finds no room is streamed. Activations of a layer
    beyond the memory go out or come in once. The image and the answer pass
    the interface in any case.

    Returns:
        Share of the weights that is resident `[B]`, bytes to and from DRAM by
        layer `[B, L]`.
    """
    is_layer = layers.is_layer
    bytes_each = layers.activation_bits / 8
    in_bytes = layers.in_elements() * bytes_each
    out_bytes = layers.out_elements() * bytes_each
    is_matmul = layers.is_mac * (1 - layers.has_weights)
    right_bytes = is_matmul * layers.operand_elements() * bytes_each
    live = in_bytes + out_bytes + right_bytes
    live = (live + layers.held_elements * bytes_each) * is_layer
    # A bias is a 32-bit number whatever the weights are.
    weight_bytes = (
        is_layer
        * layers.has_weights
        * (
            layers.operand_elements() * layers.weight_bits / 8
            + 4 * layers.use_bias * layers.out_c
        )
    )
    pes = accelerator.pe_array.pes()
    capacity = accelerator.pe_memory.capacity_bytes(pes)[:, None]
    room = tf.maximum(capacity[:, 0] - tf.reduce_max(live, -1), 0.0)
    all_weights = tf.reduce_sum(weight_bytes, -1)
    residency = tf.minimum(
        tf.math.divide_no_nan(room, all_weights)
        + tf.cast(all_weights <= 0, tf.float32),
        1.0,
    )
    count = tf.cast(tf.reduce_sum(is_layer, -1, keepdims=True), tf.int32)
    index = tf.range(tf.shape(is_layer)[1])[None, :]
    edge_bytes = tf.where(index == 0, in_bytes, 0.0)
    edge_bytes += tf.where(index == count - 1, out_bytes, 0.0)
    streamed = weight_bytes * (1 - residency[:, None])
    spilled = tf.maximum(live - capacity, 0.0)
    return residency, (streamed + spilled + edge_bytes) * is_layer


def _energy_pj(
    layers: LayerTable,
    machine: Accelerator,
    traffic: mapping.Traffic,
    dram_bytes: Any,
    cycles: Any,
) -> tuple[Any, ...]:
    """Energy of every mapping by `ENERGY_PARTS`, each `[B, L, M]` or less."""
    node_nm = machine.process.node_nm
    rows = tf.nest.map_structure(lambda field: field[:, :, None], layers)
    registers = machine.register_file.sram(node_nm)
    memory = machine.pe_memory.sram(node_nm)
    pes = machine.pe_array.pes()
    mac_pj = technology.mac_energy_pj(
        rows.weight_bits, rows.activation_bits, node_nm
    )
    vector_ops = rows.is_vector * rows.out_elements() * rows.taps()
    dram_bytes = dram_bytes[:, :, None]
    # What comes from DRAM is written to PE memory; mW for ns are pJ.
    nanoseconds = cycles / machine.process.clock_ghz
    return (
        tf.zeros_like(cycles)
        + rows.macs() * mac_pj
        + vector_ops * technology.vector_energy_pj(node_nm),
        traffic.register_file_read_bytes * registers.read_pj()
        + traffic.register_file_write_bytes * registers.write_pj(),
        traffic.pe_memory_read_bytes * memory.read_pj()
        + (traffic.pe_memory_write_bytes + dram_bytes) * memory.write_pj(),
        traffic.interconnect_bytes_per_pe
        * pes
        * machine.interconnect.transfer_pj(node_nm),
        tf.zeros_like(cycles) + dram_bytes * machine.dram.access_pj(),
        machine.leakage_mw() * nanoseconds,
    )


def _summarise(
    layers: LayerTable,
    accelerator: Accelerator,
    residency: Any,
    by_layer: LayerCost,
    energy_parts_mj: tuple[Any, ...],
) -> Cost:
    """Adds up the layers of each candidate."""
    cycles = tf.reduce_sum(by_layer.cycles, -1)
    macs = tf.reduce_sum(by_layer.macs, -1)
    return Cost(
        latency_ms=tf.reduce_sum(by_layer.latency_ms, -1),
        energy_mj=tf.reduce_sum(by_layer.energy_mj, -1),
        area_mm2=accelerator.area_mm2(),
        utilization=tf.math.divide_no_nan(
            macs, cycles * accelerator.pe_array.macs_per_cycle()
        ),
        macs=macs,
        params=tf.reduce_sum(by_layer.params, -1),
        dram_bytes=tf.reduce_sum(by_layer.dram_bytes, -1),
        weight_residency=residency,
        energy_parts_mj=energy_parts_mj,
        layers=by_layer,
    )
