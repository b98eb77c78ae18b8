"""The cost model once more: float64, plain Python, one layer at a time.

Written from the model's description, not from its code, and shares only the
technology constants with it. Slow and simple on purpose.
"""

import dataclasses
import itertools
import math

from tf_cosearch.accelerators import technology


@dataclasses.dataclass
class Result:
    latency_ms: float
    energy_mj: float
    area_mm2: float
    layer_cycles: list
    layer_energy_mj: list
    dram_bytes: float


def sram(law, kib, width, node):
    return (
        law.value
        * kib**law.capacity
        * width**law.width
        * (node / 22.0) ** law.node
    )


def mac_pj(weight_bits, activation_bits, node):
    at_45 = 0.2 * (weight_bits / 8) * (activation_bits / 8) + 0.1
    return at_45 * (node / 45.0) ** technology.LOGIC_ENERGY_EXPONENT.value


def estimate(layers, chip):
    """Costs one network (a list of `Layer`) on one accelerator of numbers."""
    array, node = chip.pe_array, float(chip.process.node_nm)
    pes = array.columns * array.rows
    lanes = pes * array.lanes
    peak = lanes * array.simd_units * array.dot_width
    rf_kib, rf_w = (
        chip.register_file.capacity_kib,
        chip.register_file.width_bytes,
    )
    pm_kib = chip.pe_memory.capacity_mib * 1024
    pm_w = chip.pe_memory.width_bytes
    logic_mm2 = peak * technology.MAC_AREA.value * (node / 28) ** 2
    area = (
        logic_mm2
        + lanes * sram(technology.SRAM_AREA, rf_kib, rf_w, node)
        + pes * sram(technology.SRAM_AREA, pm_kib, pm_w, node)
        + technology.DRAM_INTERFACE_AREA.value
        * chip.dram.bandwidth_gbs
        * (node / 28) ** 2
    )
    leakage_mw = (
        technology.LOGIC_LEAKAGE.value * logic_mm2 * 1e6 * (40 / node) ** 2
        + lanes * sram(technology.SRAM_LEAKAGE, rf_kib, rf_w, node)
        + pes * sram(technology.SRAM_LEAKAGE, pm_kib, pm_w, node)
    )
    live, stored = [], []
    for row in layers:
        bytes_each = row.activation_bits / 8
        inputs = row.in_h * row.in_w * row.in_c + row.side_elements
        outputs = row.out_h * row.out_w * row.out_c
        right = row.operand_elements if row.op == "matmul" else 0
        live.append((inputs + outputs + right + row.held_elements) * bytes_each)
        has_weights = row.op in (
            "conv2d",
            "depthwise_conv2d",
            "conv2d_transpose",
            "dense",
        )
        bias = 4 * row.out_c if row.use_bias else 0
        stored.append(
            row.operand_elements * row.weight_bits / 8 + bias
            if has_weights
            else 0
        )
    capacity = pes * pm_kib * 1024
    room = max(0.0, capacity - max(live))
    resident = min(1.0, room / sum(stored)) if sum(stored) else 1.0
    dram = []
    for i, row in enumerate(layers):
        total = stored[i] * (1 - resident) + max(0.0, live[i] - capacity)
        each = row.activation_bits / 8
        if i == 0:
            total += (row.in_h * row.in_w * row.in_c + row.side_elements) * each
        if i == len(layers) - 1:
            total += row.out_h * row.out_w * row.out_c * each
        dram.append(total)
    cycles, energies = [], []
    for row, dram_bytes in zip(layers, dram, strict=True):
        best = min(
            mapping_cost(row, chip, dram_bytes, leakage_mw, on, dataflow)
            for dataflow in ("weight", "output")
            for on in itertools.product("cx", repeat=4)
        )
        cycles.append(best[0])
        energies.append(best[1] / 1e9)
    ghz = chip.process.clock_ghz
    return Result(
        sum(cycles) / (ghz * 1e6),
        sum(energies),
        area,
        cycles,
        energies,
        sum(dram),
    )


def mapping_cost(row, chip, dram_bytes, leakage_mw, on, dataflow):
    """(cycles, pJ) of one mapping; `on` says c(hannels) or x (positions)."""
    array, node = chip.pe_array, float(chip.process.node_nm)
    sizes = (array.columns, array.rows, array.lanes, array.simd_units)
    p_c = math.prod(s for s, o in zip(sizes, on, strict=True) if o == "c")
    p_x = math.prod(s for s, o in zip(sizes, on, strict=True) if o == "x")
    pe_c = math.prod(s for s, o in zip(sizes[:2], on, strict=False) if o == "c")
    pe_x = math.prod(s for s, o in zip(sizes[:2], on, strict=False) if o == "x")
    simd_c = array.simd_units if on[3] == "c" else 1
    pes = array.columns * array.rows
    is_mac = row.op in (
        "conv2d",
        "depthwise_conv2d",
        "conv2d_transpose",
        "dense",
        "matmul",
    )
    is_vector = row.op in ("pool", "elementwise")
    channels = row.in_c / row.groups
    taps = row.k_h * row.k_w
    positions = row.out_h * row.out_w
    macs = positions * row.out_c * channels * taps if is_mac else 0
    x_tiles = math.ceil(positions / p_x)
    compute = math.ceil(row.out_c / p_c) * x_tiles * taps
    compute *= math.ceil(channels / array.dot_width) if is_mac else 1
    compute *= 1 if is_mac or is_vector else 0
    w_bytes = row.weight_bits / 8
    a_bytes = row.activation_bits / 8
    weights = row.out_c * channels * taps * w_bytes if is_mac else 0
    inputs = (row.in_h * row.in_w * row.in_c + row.side_elements) * a_bytes
    outputs = positions * row.out_c
    rf_bytes = chip.register_file.capacity_kib * 1024
    spills = 0.0
    if dataflow == "weight":
        fetched = weights
        parts = math.ceil(simd_c * channels * taps * w_bytes / rf_bytes)
        if is_mac:
            spills = outputs * 4 * (max(parts, 1) - 1)
        per_mac = w_bytes / (array.simd_units if on[3] == "x" else 1)
    else:
        fits = max(1, math.floor(rf_bytes / (4 * array.simd_units)))
        fetched = weights * math.ceil(x_tiles / fits)
        per_mac = 2 * 4 / array.dot_width
    passes = math.ceil(row.out_c / row.groups / p_c) if is_mac else 1
    brought = inputs * passes
    read = fetched + brought + spills
    written = outputs * a_bytes + spills
    to_pe = fetched / pe_c + brought / pe_x / min(pe_c, row.groups)
    ghz = chip.process.clock_ghz
    cycles = max(
        compute,
        (read + written) / (chip.pe_memory.width_bytes * pes),
        to_pe / chip.interconnect.width_bytes,
        dram_bytes / (chip.dram.bandwidth_gbs / ghz),
    )
    rf = chip.register_file
    pm_kib = chip.pe_memory.capacity_mib * 1024
    pm_w = chip.pe_memory.width_bytes
    shared = min(simd_c, row.out_c / row.groups)
    pj = macs * mac_pj(row.weight_bits, row.activation_bits, node)
    if is_vector:
        pj += outputs * taps * mac_pj(0, 0, node)
    pj += (macs * a_bytes / shared + macs * per_mac) * sram(
        technology.SRAM_READ, rf.capacity_kib, rf.width_bytes, node
    )
    pj += (fetched + brought) * sram(
        technology.SRAM_WRITE, rf.capacity_kib, rf.width_bytes, node
    )
    pj += read * sram(technology.SRAM_READ, pm_kib, pm_w, node)
    pj += (written + dram_bytes) * sram(
        technology.SRAM_WRITE, pm_kib, pm_w, node
    )
    pj += to_pe * pes * mac_pj(16, 16, node)
    pj += dram_bytes * 70.0
    pj += leakage_mw * cycles / ghz
    return cycles, pj
