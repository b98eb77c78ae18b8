"""The cost model once more: float64, plain Python, one layer at a time.

Prices whole networks by closed forms written from the model's description, not
from its code, and shares only the technology constants with it. Numbers that
differ by less than float32 resolves make mappings tie: a result is a range.
`simulator.py` counts the same by walking loops.
"""

import dataclasses
import itertools
import math

from tf_cosearch.accelerators import technology

WEIGHTED = ("conv2d", "depthwise_conv2d", "conv2d_transpose", "dense")
DATAFLOWS = ("weight", "output", "input")
# What columns, rows, lanes and units are spread over: c(hannels of the output),
# r(ows), x (columns), i(nput channels).
# Units may be few (f), or balanced (b).
UNROLLINGS = ("cccc", "crcc", "xrcc", "xrrc", "cicc", "xrcx")
SPARING = ("cccf", "crcf", "xrcf", "xrrf", "cicf")
WAYS = (
    *itertools.product(UNROLLINGS + SPARING, DATAFLOWS),
    ("xrcb", "output"),
)
TIE = 2e-6


@dataclasses.dataclass
class Result:
    """A network's price; pairs are least and most among tied mappings."""

    latency_ms: tuple
    energy_mj: tuple
    area_mm2: float
    utilization: tuple
    dram_bytes: float
    stored_bytes: float


def estimate(layers, chip, objective="latency", batch_size=1):
    """Prices a list of `Layer` on one accelerator of numbers."""
    layers = stacked(layers, batch_size)
    ghz, array = chip.process.clock_ghz, chip.pe_array
    pes = array.columns * array.rows
    peak = pes * array.lanes * array.simd_units * array.dot_width
    area, leakage_mw = silicon(chip, peak)
    idle_pj = (leakage_mw + waiting_mw(chip, peak)) / ghz
    dram, stored = off_chip(layers, chip, batch_size)
    start = chip.runtime.inference_us * 1e3 * ghz
    cycles, energy = [start, start], [idle_pj * start] * 2
    for row, moved in zip(layers, dram, strict=True):
        options = [
            mapped(row, chip, on, dataflow, batch_size) for on, dataflow in WAYS
        ]
        taken = tied(options, objective, idle_pj)
        prices = [price(row, chip, option, *moved, idle_pj) for option in taken]
        for _ in range(row.repeats):
            for index, extreme in enumerate((min, max)):
                cycles[index] += extreme(p[0] for p in prices)
                energy[index] += extreme(p[1] for p in prices)
    work = sum(row.macs / split(row, array) for row in layers)
    return Result(
        tuple(c / (ghz * 1e6) for c in cycles),
        tuple(e / 1e9 for e in energy),
        area,
        tuple(work / max(c, 1e-30) / peak for c in reversed(cycles)),
        sum(
            row.repeats * moved
            for row, (moved, *_) in zip(layers, dram, strict=True)
        ),
        stored,
    )


def stacked(layers, batch_size):
    """The rows of all images as one loop."""
    return [
        dataclasses.replace(
            row,
            out_h=row.out_h * batch_size,
            in_h=row.in_h * batch_size,
            side_elements=row.side_elements * batch_size,
            held_elements=row.held_elements * batch_size,
            network_in_elements=row.network_in_elements * batch_size,
            network_out_elements=row.network_out_elements * batch_size,
        )
        for row in told(layers)
    ]


def told(layers):
    """Says of a table that does not what its first row reads and last writes.

    What strides jump over, or falls between taps, is not read.
    """
    if any(r.network_in_elements or r.network_out_elements for r in layers):
        return layers
    first, last = layers[0], layers[-1]
    rows, columns = first.in_h, first.in_w
    if is_mac(first):
        rows = in_windows(
            rows, first.out_h, first.k_h, first.stride_h, first.dilation_h
        )
        columns = in_windows(
            columns, first.out_w, first.k_w, first.stride_w, first.dilation_w
        )
    image = rows * columns * first.in_c + first.side_elements
    layers = list(layers)
    layers[0] = dataclasses.replace(first, network_in_elements=image)
    layers[-1] = dataclasses.replace(
        layers[-1], network_out_elements=last.pixels * last.out_c
    )
    return layers


def split(row, array):
    """Products of a multiplier a cycle."""
    halves = {1: (1, 1), 2: (2, 1), 4: (2, 2)}[array.int4_products]
    fits = right_bits(row) <= 4, row.activation_bits <= 4
    return math.prod(h for h, fit in zip(halves, fits, strict=True) if fit)


def silicon(chip, peak):
    """Square millimetres and milliwatts of leakage."""
    node = chip.process.node_nm
    pes = chip.pe_array.columns * chip.pe_array.rows
    lanes = pes * chip.pe_array.lanes
    # HCM's fit of a 4 x 8, a 4 x 4 and an 8 x 8 bit multiplier.
    halves, quarters, whole = 898.88, 528.50, 1467.50
    share = {1: 1, 2: 2 * halves / whole, 4: 4 * quarters / whole}
    logic = peak * technology.MAC_AREA.value * (node / 28) ** 2
    logic *= share[chip.pe_array.int4_products]
    area = logic + technology.DRAM_INTERFACE_AREA.value * (
        chip.dram.bandwidth_gbs * (node / 28) ** 2
    )
    leakage = technology.LOGIC_LEAKAGE.value * logic * 1e6 * (40 / node) ** 2
    for count, memory in ((lanes, registers(chip)), (pes, memories(chip))):
        area += count * sram(technology.SRAM_AREA, *memory, node)
        leakage += count * sram(technology.SRAM_LEAKAGE, *memory, node)
    return area, leakage


def waiting_mw(chip, peak):
    """Milliwatts of clock, DRAM and link.

    Operands and as wide products of a multiplier are clocked, and a sum a unit.
    """
    operands = {1: 2, 2: 3, 4: 4}[chip.pe_array.int4_products]
    bits = 8 * (2 * operands * peak + 4 * peak / chip.pe_array.dot_width)
    scale = (chip.process.node_nm / 40) ** 0.59
    milliwatts = chip.process.clock_ghz * 7.936518e-3 * bits * scale
    milliwatts *= chip.process.clocked_share
    if chip.host_link.input_gbs:
        milliwatts += chip.host_link.idle_mw
    return milliwatts + chip.dram.idle_mw


def registers(chip):
    return chip.register_file.capacity_kib, chip.register_file.width_bytes


def memories(chip):
    return chip.pe_memory.capacity_mib * 1024, chip.pe_memory.width_bytes


def sram(law, kib, width, node):
    return (
        law.value
        * kib**law.capacity
        * width**law.width
        * (node / 22) ** law.node
    )


def mac_pj(weight_bits, activation_bits, node):
    at_45 = 0.2 * weight_bits * activation_bits / 64 + 0.1
    return at_45 * (node / 45) ** technology.LOGIC_ENERGY_EXPONENT.value


def is_mac(row):
    return row.op in (*WEIGHTED, "matmul")


def right_bits(row):
    return row.weight_bits if row.op in WEIGHTED else row.activation_bits


def in_windows(size, outputs, kernel, stride, dilation):
    """Rows or columns of an image that are read at all: marks them."""
    marks = bytearray(size)
    padding = max(
        (outputs - 1) * stride + (kernel - 1) * dilation + 1 - size, 0
    )
    for output in range(outputs):
        for tap in range(kernel):
            at = output * stride + tap * dilation - padding // 2
            if 0 <= at < size:
                marks[at] = 1
    return sum(marks)


def out_bits(row):
    return row.activation_bits if row.output_bits is None else row.output_bits


def besides(row):
    """Bytes of further parameters, and of those that a run reads."""
    read = min(row.stored_elements, row.pixels * row.out_c)
    return row.stored_elements * row.weight_bits / 8, read * row.weight_bits / 8


def size(chip):
    """Bytes of all PE memories."""
    return memories(chip)[0] * 1024 * chip.pe_array.columns * chip.pe_array.rows


def activations(row):
    """Bytes of inputs, of outputs, and of what else is there meanwhile."""
    each = row.activation_bits / 8
    right = row.operand_elements if row.op == "matmul" else 0
    return (
        (row.in_h * row.in_w * row.in_c + row.side_elements) * each,
        row.pixels * row.out_c * out_bits(row) / 8,
        (row.held_elements + right) * each,
    )


def weights_kept(layers, chip, largest):
    """Bytes of weights that layers use, of all that are stored, and the share
    of each layer that stays beside the largest activations."""
    capacity, used, stored = size(chip), [], []
    for row in layers:
        weights = compiled(row, chip) if row.op in WEIGHTED else 0
        table, read = besides(row)
        used.append(weights + read)
        stored.append(0 if row.reuses_weights else weights + table)
    apart = chip.pe_memory.tile_kib > 0
    room = capacity if apart else max(capacity - largest, 0)
    room = min(room, capacity * chip.pe_memory.weight_share)
    # Tables come after all weights.
    order = sorted(
        range(len(layers)), key=lambda number: layers[number].op == "embedding"
    )
    kept, left = [1] * len(layers), room
    for is_table in (False, True):
        some = [n for n in order if is_table == (layers[n].op == "embedding")]
        total = sum(stored[n] for n in some)
        for number in some:
            kept[number] = min(left / total, 1) if total else 1
        left = max(left - total, 0)
    if chip.pe_memory.whole_layers and sum(stored) > room:
        left = room
        for number in order:
            kept[number] = int(stored[number] <= left)
            left -= stored[number] * kept[number]
        share = sum(k * b for k, b in zip(kept, stored, strict=True))
        for number, bytes_ in enumerate(stored):
            kept[number] = kept[number] if bytes_ else share / sum(stored)
    return used, sum(stored), kept


def off_chip(layers, chip, images, division=None):
    """Bytes of each layer, of them before and after all work, and of weights
    that go round again; and all weights. Of the memory activations have what
    they take, or may, or what is said."""
    capacity, tensors = size(chip), [activations(row) for row in layers]
    apart = chip.pe_memory.tile_kib > 0
    limit = capacity * chip.pe_memory.activation_share
    largest = max(map(sum, tensors))
    if division is not None:
        limit = largest = division
    used, stored, kept = weights_kept(layers, chip, largest)
    moved = []
    for number, row in enumerate(layers):
        each = row.activation_bits / 8
        beyond = max(sum(tensors[number]) - limit, 0)
        beyond *= not apart
        outside = []
        for tensor in tensors[number]:  # inputs make way first
            outside.append(min(tensor, beyond))
            beyond -= outside[-1]
        if not limit and not apart:  # what is held is off the chip already
            outside[2] -= row.held_elements * each
        by_dram = not chip.host_link.input_gbs
        brought = row.network_in_elements * each * by_dram
        if brought:  # other inputs may be off the chip as well
            rows, columns = row.in_h, row.in_w
            if is_mac(row):
                rows = images * in_windows(
                    row.in_h // images,
                    row.out_h // images,
                    row.k_h,
                    row.stride_h,
                    row.dilation_h,
                )
                columns = in_windows(
                    row.in_w, row.out_w, row.k_w, row.stride_w, row.dilation_w
                )
            needed = (rows * columns * row.in_c + row.side_elements) * each
            others = max(needed - brought, 0)
            outside[0] = brought + min(outside[0], others)
        leaving = row.network_out_elements * out_bits(row) / 8 * by_dram
        outside[1] = max(outside[1], leaving)
        weights = used[number] * (1 - kept[number])
        tiles = tiles_of(row, chip)
        again = weights * (tiles - 1)
        if not apart:
            again = min(
                outside[0] * (max(math.ceil(weights * 2 / capacity), 1) - 1),
                weights * (max(math.ceil(outside[0] * 2 / capacity), 1) - 1),
            )
        span = 1 + row.dilation_h * (row.k_h - 1)
        first = min(span * row.in_w * row.in_c * each, outside[0])
        first = max(first, chip.dram.onload_share * outside[0])
        last = min(row.out_w * row.out_c * out_bits(row) / 8, outside[1])
        moved.append(
            (
                sum(outside) + weights + again,
                first + last,
                (used[number] - weights) * (tiles - 1),
            )
        )
    return moved, stored


def up(count, multiple):
    return -(-count // multiple) * multiple


def channels(row, chip):
    """Channels of inputs and outputs as they are stored."""
    if not chip.pe_memory.padded_weights:
        return row.in_c, row.out_c
    in_c = row.in_c if row.groups > 1 else up(row.in_c, chip.pe_array.dot_width)
    return in_c, up(row.out_c, chip.pe_array.simd_units)


def compiled(row, chip):
    """Bytes of weights and biases as they are stored."""
    in_c, out_c = channels(row, chip)
    elements = in_c // row.groups * out_c * row.k_h * row.k_w
    beside = 8 if chip.pe_memory.padded_weights else 4
    return elements * row.weight_bits / 8 + beside * out_c * bool(row.use_bias)


def tiles_of(row, chip):
    """Tiles of rows: each the largest that an activation memory holds."""
    room = chip.pe_memory.tile_kib * 1024
    if not room or row.op not in WEIGHTED:
        return 1
    array, (in_c, out_c) = chip.pe_array, channels(row, chip)
    rows = -(-row.out_h // array.rows)
    columns = -(-row.out_w // array.columns)
    width = columns * row.stride_w + (row.k_w - 1) * row.dilation_w

    def takes(height):
        seen = height * row.stride_h + 2 * (row.k_h - 1) * row.dilation_h
        made = height + row.k_h - 1
        return (
            seen * width * in_c * row.activation_bits
            + made * columns * out_c * out_bits(row)
        ) / 8

    fit = [height for height in range(1, rows + 1) if takes(height) <= room]
    return -(-rows // max(fit, default=1))


def mapped(row, chip, on, dataflow, images, comes=True, goes=True):
    """(cycles on the chip, pJ that depend on the mapping).

    Where inputs or outputs do not come, or go, they stay in PEs that have rows
    and columns of their own."""
    array, node = chip.pe_array, chip.process.node_nm
    sizes = (array.columns, array.rows, array.lanes)
    on_pes = {
        c: math.prod(s for s, o in zip(sizes[:2], on, strict=False) if o == c)
        for c in "crxi"
    }
    on_lanes = {
        c: n * (sizes[2] if on[2] == c else 1) for c, n in on_pes.items()
    }
    apart = on[:2] == "xr"
    macs = is_mac(row)
    busy = macs or row.op in ("pool", "elementwise")
    groups = row.groups if macs else row.out_c
    out_c, in_c = (row.out_c // groups, row.in_c // groups) if macs else (1, 1)
    taps = row.k_h * row.k_w
    a_bytes, w_bytes = row.activation_bits / 8, right_bits(row) / 8 * macs
    outputs = row.pixels * row.out_c
    streams = array.input_streams if macs else array.vector_units

    def seen(outputs, blocks, kernel, stride, dilation):
        """Rows or columns that blocks of at most one more read, by filling."""
        lines = 0
        for block in range(blocks):
            size = outputs // blocks + (block < outputs % blocks)
            lines += distinct(size, kernel, stride, dilation)
        return lines

    row_blocks = min(row.out_h, on_lanes["r"])
    column_blocks = min(row.out_w, on_pes["x"])

    def elements(rows, columns):
        positions = rows * columns if busy else row.in_h * row.in_w
        return positions * row.in_c + row.side_elements

    # An image is cut as if it were alone: rows of all of them take turns.
    of_image = row.out_h // images
    rows = images * seen(
        of_image,
        min(of_image, on_lanes["r"]),
        row.k_h,
        row.stride_h,
        row.dilation_h,
    )
    of_columns = row.k_w, row.stride_w, row.dilation_w
    columns = seen(row.out_w, column_blocks, *of_columns)
    a_pass = elements(rows, columns) * a_bytes
    weights = row.operand_elements * w_bytes + besides(row)[1]
    half = registers(chip)[0] * 512
    row_steps = -(-row.out_h // on_lanes["r"])
    block = -(-row.out_w // on_pes["x"])

    # Channels: jobs of a group, groups of a lane, groups at work at once.
    lanes_of_pe = on_lanes["c"] // on_pes["c"]

    def groups_at_once(jobs):
        if jobs <= lanes_of_pe:
            return on_pes["c"] * (lanes_of_pe // jobs)
        return max(on_pes["c"] // -(-jobs // lanes_of_pe), 1)

    column_steps = block
    if on[3] == "x":
        per_unit = bundle = 1
        column_steps = -(-block // min(streams, array.simd_units))
    else:
        per_unit = array.simd_units
        if on[3] == "b":
            room = half / 4
            often = math.sqrt(
                (a_pass * out_c / on_lanes["c"])
                / max(weights, 1)
                * (row_steps * block / room)
            )
            often = max(round(often), 1)
            most = int(often * room / (row_steps * block))
            per_unit = max(min(per_unit, most), 1)
        bundle = max(min(streams, per_unit // out_c, groups), 1)
    jobs = -(-out_c // per_unit)
    if on[3] in "fb":
        turns = -(-groups // bundle // groups_at_once(jobs))
        passes = -(-jobs // on_lanes["c"])
        bundle = -(-groups // (groups_at_once(jobs) * turns))
        if bundle > 1:
            per_unit = bundle * out_c
        else:  # as many jobs as take no more turns
            per_unit = min(
                -(-out_c // more)
                for more in range(1, out_c + 1)
                if -(-groups // groups_at_once(more)) <= turns
                and -(-more // on_lanes["c"]) <= passes
            )
        jobs = -(-out_c // per_unit)
    wide = -(-block // column_steps)
    bundles = -(-groups // bundle)
    at_once = groups_at_once(jobs)
    at_work = wide * min(per_unit, bundle * out_c)
    slots = min(bundles, at_once)
    passes = -(-jobs // on_lanes["c"])
    pes_of_input = max(min(jobs, on_pes["c"] // slots), 1)
    channel_pes = min(on_pes["c"], slots * pes_of_input)
    # Positions and dot products.
    dots = -(-in_c // (array.dot_width * split(row, array)))
    dot_steps = -(-dots // on_pes["i"])
    if on[3] == "f" and on_pes["i"] > 1:
        dots = -(-in_c // -(-in_c // (on_pes["i"] * dot_steps)))
    width = -(-in_c // dots)
    pixel_pes = min(row.out_h, on_pes["r"]) * min(row.out_w, on_pes["x"])
    adding = min(dots, on_pes["i"])
    pes = channel_pes * pixel_pes * adding
    # A reduction to few outputs keeps all units busy, then adds up pairs.
    parts_of_taps, taps_in_turn = 1, taps
    if busy and not macs:
        units = array.columns * array.rows * array.lanes
        units *= min(array.simd_units, array.vector_units)
        parts_of_taps = max(min(units // outputs, taps), 1)
        taps_in_turn = -(-taps // parts_of_taps)
        taps_in_turn += (parts_of_taps - 1).bit_length()
        pes = min(pes * parts_of_taps, array.columns * array.rows)
    cycles_a_dot = math.ceil(w_bytes) * math.ceil(a_bytes) if macs else busy
    compute = -(-bundles // at_once) * passes
    compute *= row_steps * column_steps * dot_steps
    compute *= taps_in_turn * cycles_a_dot

    inputs = a_pass * passes
    fetched, written, parts = weights, 0, 1
    room = max(half // (4 * at_work), 1)
    read = row.pixels * taps * in_c * groups * jobs * a_bytes * macs
    if dataflow == "weight":
        lane_c = min(per_unit, bundle * out_c)
        held = taps * dot_steps
        if macs:  # dot products at a tap, of all channels of a lane
            held = half // (width * lane_c * w_bytes)
        if held >= taps:
            parts = math.ceil(dot_steps / (held // taps))
        else:
            cuts = math.ceil(taps / max(held, 1))
            inputs, parts = inputs * cuts, dot_steps * cuts
        written = weights * row_blocks * column_blocks
        read += written * row_steps * column_steps
    else:
        read += 8 * outputs * taps * dots * macs
    if dataflow == "output":
        fetched *= -(-row_steps * column_steps // room)
    if dataflow == "input":
        line = bundle * min(in_c, dot_steps * width)
        line *= a_bytes * row.k_h
        fit = 0
        while fit < row.out_w and half >= (
            line * distinct((fit + 1) * wide, *of_columns)
            + 4 * at_work * (fit + 1)
        ):
            fit += 1
        run = max(fit, 1)
        runs = math.ceil(column_steps / run)
        fetched *= row_steps * runs
        if fit >= 1 and busy:
            pieces = min(runs * column_blocks, row.out_w)
            columns = seen(row.out_w, pieces, *of_columns)
            inputs = elements(row.out_h * row.k_h, columns) * a_bytes
    spills = (parts - 1) * 4 * outputs
    brought = fetched * pixel_pes + inputs * pes_of_input
    from_memory = fetched + inputs + spills
    to_memory = outputs * out_bits(row) / 8 + spills
    pj = sram(technology.SRAM_READ, *registers(chip), node) * read
    pj += sram(technology.SRAM_WRITE, *registers(chip), node) * (
        written + inputs * min(jobs, on_lanes["c"])
    )
    pj += sram(technology.SRAM_READ, *memories(chip), node) * from_memory
    pj += sram(technology.SRAM_WRITE, *memories(chip), node) * to_memory
    pj += mac_pj(16, 16, node) * (
        brought + ((adding - 1) * parts + parts_of_taps - 1) * outputs * 4
    )
    ports = chip.pe_memory.width_bytes * chip.runtime.memory_share * pes
    return max(
        compute / chip.runtime.compute_share,
        (from_memory + to_memory) / ports,
        brought / (chip.interconnect.width_bytes * pes),
        passed(row, chip, a_pass, comes or not apart, goes or not apart) * busy,
    ), pj


def passed(row, chip, a_pass, comes, goes):
    """Cycles that activations take from PE to PE, once in and once out.

    What does not come is passed as far as PEs read it twice."""
    width = chip.interconnect.activation_width_bytes * chip.pes()
    inputs, outputs, others = activations(row)
    others -= row.held_elements * row.activation_bits / 8
    moved = (
        inputs + others
        if comes
        else (
            max(a_pass - inputs, 0)
            + row.side_elements * row.activation_bits / 8
        )
    )
    return (moved + outputs * goes) / width if width else 0


def distinct(outputs, kernel, stride, dilation):
    """Different lines that the taps of so many windows land on."""
    return len(
        {
            o * stride + t * dilation
            for o in range(outputs)
            for t in range(kernel)
        }
    )


def tied(options, objective, idle_pj):
    """The best mappings, with those that are as good but for rounding."""

    def keys(option):
        cycles, needed = option[0], option[1] + idle_pj * option[0]
        return {
            "latency": (cycles, needed),
            "energy": (needed, cycles),
            "energy_delay": (needed * cycles, cycles),
        }[objective]

    least = min(map(keys, options))[0]
    return [o for o in options if keys(o)[0] <= least * (1 + TIE)]


def fill(row, chip):
    """Cycles until the first result: operands come, the pipeline fills."""
    elements = row.in_c / row.groups * row.k_h * row.k_w if is_mac(row) else 1
    window = elements * row.activation_bits / 8
    if row.op in (*WEIGHTED, "embedding"):
        window += elements * row.weight_bits / 8
    cycles = window / chip.interconnect.width_bytes
    return cycles + chip.pe_array.pipeline_cycles


def linked(row, link):
    """Nanoseconds on the link to the host; GB/s are bytes a nanosecond."""
    if not link.input_gbs:
        return 0
    sent = row.network_in_elements * row.activation_bits / 8
    if is_mac(row) or row.op in ("pool", "elementwise"):
        sent += link.instruction_bytes
    sent = sent / link.input_gbs
    answer = row.network_out_elements * out_bits(row) / 8
    return sent + (answer / link.output_gbs if link.output_gbs else 0)


def crossing(row, link):
    """Bytes on the link, whatever time they take."""
    if not link.input_gbs:
        return 0
    crossed = row.network_in_elements * row.activation_bits / 8
    crossed += row.network_out_elements * out_bits(row) / 8
    if is_mac(row) or row.op in ("pool", "elementwise"):
        crossed += link.instruction_bytes
    return crossed


def arithmetic(row, node):
    """pJ of products, or of the steps of a vector operation."""
    macs = row.pixels * row.operand_elements
    pj = macs * mac_pj(right_bits(row), row.activation_bits, node)
    if row.op in ("pool", "elementwise"):
        taps = row.k_h * row.k_w
        pj += row.pixels * row.out_c * taps * mac_pj(0, 0, node)
    return pj


def price(row, chip, option, dram_bytes, edges, repeated, idle_pj):
    """(cycles, pJ) of a layer with a mapping."""
    ghz, node = chip.process.clock_ghz, chip.process.node_nm
    ring = chip.interconnect.ring_width_bytes
    dram_rate = chip.dram.bandwidth_gbs / ghz
    cycles = (
        chip.runtime.layer_us * 1e3 * ghz
        + edges / dram_rate
        + fill(row, chip)
        + linked(row, chip.host_link) * ghz
        + (repeated / ring if ring else 0)
        + max(option[0], (dram_bytes - edges) / dram_rate)
    )
    pj = option[1] + idle_pj * cycles + arithmetic(row, node)
    pj += dram_bytes * chip.dram.byte_pj
    pj += crossing(row, chip.host_link) * chip.host_link.byte_pj
    written = dram_bytes
    if chip.host_link.input_gbs:  # images come over it, not from the DRAM
        written += row.network_in_elements * row.activation_bits / 8
    pj += written * sram(technology.SRAM_WRITE, *memories(chip), node)
    return cycles, pj
