"""Walks the loops of one layer on one accelerator and counts what happens.

Plain Python, written from what the machine does; nothing is taken from the
cost model. Every count comes from a loop that is walked or a set of rows and
columns that is filled.

The machine:

- A loop spread over `p` parts is dealt in `min(n, p)` blocks, in order, whose
  sizes differ by one at most. All lanes run in lockstep: they take as many
  steps as the largest block needs.
- A job is what one lane does at a time: as many output channels of one group
  as it has SIMD units or, if a group has fewer, as many whole groups as there
  is room for and input streams. With columns on the units a job is one
  channel, at as many columns as there are streams. A vector operation is a
  group a channel; its vector units have inputs of their own.
- All jobs of a group are at work at once, on lanes of their own: a slot. There
  are as many slots as fit the lanes; a group with more jobs than lanes takes
  several channel passes. PEs are dealt to slots, or slots to PEs.
- Where it says `few`, a job has the fewest channels, or groups, and a dot
  product the fewest input channels, that take no more turns. Of `balanced`
  units there are so many that weights come again as often as inputs do, as far
  as whole numbers go, and then as few. The units at work share a register file.
- A unit adds up `dot_width` input channels of one tap: a dot product. The PEs
  that share the input channels of an output take whole dot products.
- Rows, columns and weights are read from the PE memories once for all who need
  the same; every row block (of a PE or a lane) and column block (of a PE) reads
  its own windows, padding included. Side inputs come along with a layer's
  first group. What is brought to a PE or register file is counted at each.
- weight-stationary: group, pass, part, row, column, dot product. A part of the
  weights fits half of a register file. It has whole dot products: those of some
  input channels at all taps or, where one takes more room, at as many taps as
  fit. The inputs of a part's channels come for it. Partial sums go to the PE
  memory after every part but the last and come back.
- output-stationary: group, pass, chunk of steps, dot product, step in the
  chunk. A chunk is the steps that half of a register file can accumulate.
- input-stationary: group, row, run of column steps, pass, dot product, step in
  the run. The windows of a run fill half of a register file at most, its
  accumulators another half; every block has as many runs as the largest needs,
  dealt like all else. A window that does not fit is not kept: every pass reads
  its inputs as the other dataflows do.
- PEs that share the input channels of an output are a chain in lockstep: at the
  end of every part (the only one of the other dataflows) each hands its sum on.
- The rows of a batch are one loop: the first rows of all images, then the
  second ones and so on. Images have no rows of inputs in common.
- Layer by layer, data lies evenly in the memories of the PEs at work, and what
  they are brought is evenly spread over them too: ports and links are as busy
  as the average one.
- A chain of fused layers: rows of the last output are dealt in tiles of some
  height, the last of which may stick out. For each tile, from the last layer to
  the first, the rows that its windows span are what the layer before makes,
  padding included. Each layer walks those of a tile as if there were no more.
- DRAM: tiles of weights and of inputs fill half of the PE memories at most.
  One loop order or the other; a tile that is still there is not fetched again.
"""

import dataclasses
import math

ACCUMULATOR_BYTES = 4
WEIGHTED = ("conv2d", "depthwise_conv2d", "conv2d_transpose", "dense")


@dataclasses.dataclass
class Counts:
    """What happened: bytes, or cycles. Fields as `traffic.Traffic`."""

    compute_cycles: float = 0
    pes_at_work: int = 0
    weight_bytes: float = 0
    input_bytes: float = 0
    spilled_bytes: float = 0
    output_bytes: float = 0
    interconnect_bytes: float = 0
    register_file_read_bytes: float = 0
    register_file_write_bytes: float = 0
    reduced_bytes: float = 0
    row_steps: int = 1
    passed_bytes: float = 0


def deal(count, parts):
    """Deals things in order to `min(count, parts)` blocks: their ranges."""
    blocks, start = min(count, parts), 0
    dealt = []
    for block in range(blocks):
        size = count // blocks + (block < count % blocks)
        dealt.append(range(start, start + size))
        start += size
    return dealt


def touched_columns(layer, outputs):
    """The columns of the input that some outputs look at."""
    taps = [tap * layer.dilation_w for tap in range(layer.k_w)]
    return len({o * layer.stride_w + tap for o in outputs for tap in taps})


def touched_rows(layer, block):
    """The same of `(row, image)` pairs."""
    taps = [tap * layer.dilation_h for tap in range(layer.k_h)]
    return len(
        {(row * layer.stride_h + tap, i) for row, i in block for tap in taps}
    )


def inside(size, outputs, kernel, stride, dilation):
    """Rows (or columns) of the input in a window, which padding is not."""
    taps = [tap * dilation for tap in range(kernel)]
    padding = max((outputs - 1) * stride + taps[-1] + 1 - size, 0)
    windows = {
        o * stride + tap - padding // 2 for o in range(outputs) for tap in taps
    }
    return len(windows & set(range(size)))


class Nest:
    """A layer's loops, dealt to the PEs, lanes and units of an accelerator."""

    def __init__(self, layer, chip, unrolling, images):
        array = chip.pe_array
        self.layer, self.chip, self.images = layer, chip, images
        self.is_mac = layer.op in (*WEIGHTED, "matmul")
        self.is_busy = self.is_mac or layer.op in ("pool", "elementwise")
        self.taps = layer.k_h * layer.k_w
        self.input_bytes_each = layer.activation_bits / 8
        bits = (
            layer.weight_bits
            if layer.op in WEIGHTED
            else (layer.activation_bits)
        )
        self.weight_bytes_each = bits / 8 if self.is_mac else 0
        self.groups = layer.groups if self.is_mac else layer.out_c
        self.out_c = layer.out_c // self.groups
        self.in_c = layer.in_c // self.groups if self.is_busy else 1
        # What is stored besides: each that a run needs is read once.
        self.table_bytes = (
            min(layer.stored_elements, layer.pixels * layer.out_c * images)
            * layer.weight_bits
            / 8
        )
        # Factors of more than 8 bits are multiplied byte by byte.
        self.cycles_a_dot = self.is_busy * (
            math.ceil(self.weight_bytes_each) * math.ceil(self.input_bytes_each)
            if self.is_mac
            else 1
        )

        sizes = (array.columns, array.rows, array.lanes)
        pes = {"out_c": 1, "rows": 1, "columns": 1, "in_c": 1}
        lanes = dict(pes)
        for size, loop in zip(sizes[:2], unrolling[:2], strict=True):
            pes[loop] *= size
        lanes[unrolling[2]] *= sizes[2]
        self.channel_lanes = pes["out_c"] * lanes["out_c"]

        # Positions.
        rows = [(y, i) for y in range(layer.out_h) for i in range(images)]
        self.positions = len(rows) * layer.out_w
        self.row_blocks = [
            [rows[number] for number in block]
            for block in deal(len(rows), pes["rows"] * lanes["rows"])
        ]
        self.row_pes = deal(len(self.row_blocks), pes["rows"])
        self.column_blocks = deal(layer.out_w, pes["columns"])
        streams = array.input_streams if self.is_mac else array.vector_units
        self.row_steps = max(map(len, self.row_blocks))
        widest = max(map(len, self.column_blocks))
        at_once = 1
        if unrolling[3] == "columns":
            at_once = min(streams, array.simd_units)
        self.column_steps = math.ceil(widest / at_once)
        # No more at once than take no longer.
        self.columns_at_once = max(
            map(len, deal(widest, self.column_steps)), default=1
        )

        # A part of a multiplier for each nibble of what fits one.
        nibbles = array.int4_products
        products = array.dot_width
        if nibbles >= 2 and bits <= 4:
            products, nibbles = products * 2, nibbles // 2
        elif nibbles >= 2:
            nibbles //= 2
        if nibbles == 2 and layer.activation_bits <= 4:
            products *= 2

        # Dot products, in the blocks of PEs that add to the same output.
        self._deal_dots(products, pes["in_c"])
        if unrolling[3].startswith("few") and pes["in_c"] > 1:
            steps = self.dot_steps
            for width in range(1, products + 1):
                self._deal_dots(width, pes["in_c"])
                if self.dot_steps == steps:
                    break

        # Jobs of a group: its channels by lane. Bundles of groups by lane.
        self.lane_pes, self.lanes_of_pe = pes["out_c"], lanes["out_c"]
        if unrolling[3] == "columns":
            self._deal_channels(1, 1)
        else:
            units = array.simd_units
            if unrolling[3].startswith("balanced"):
                units = min(units, self._balanced_units())
            together = 1
            while (
                together < min(streams, self.groups)
                and (together + 1) * self.out_c <= units
            ):
                together += 1
            self._deal_channels(units, together)
            if unrolling[3] != "out_c":
                self._leave_idle(units, together)
        self.units = self.lane_out_c * self.columns_at_once
        slots = len(self.group_steps[0])
        # Each has as many PEs as all can have, but no more than jobs.
        each = max(min(pes["out_c"] // slots, self.slot_lanes), 1)
        self.slot_pes = [each] * slots
        self.channel_pes = min(pes["out_c"], sum(self.slot_pes))
        self.pes = (
            self.channel_pes
            * len(self.row_pes)
            * len(self.column_blocks)
            * len(self.dot_blocks)
        )
        self._deal_taps()

    def _deal_dots(self, width, pes):
        """Dot products of up to so many channels, as narrow as they can be."""
        self.dots = math.ceil(self.in_c / width)
        self.dot_width = max(map(len, deal(self.in_c, self.dots)))
        self.dot_blocks = deal(self.dots, pes)
        self.dot_steps = max(map(len, self.dot_blocks))

    def _deal_channels(self, units, together):
        """Jobs of a group, its channels by lane; bundles of groups by lane."""
        channels, groups = range(self.out_c), range(self.groups)
        self.jobs = [
            channels[start : start + units]
            for start in range(0, self.out_c, units)
        ]
        self.bundles = [
            groups[start : start + together]
            for start in range(0, self.groups, together)
        ]
        self.lane_out_c = min(units, together * self.out_c)
        # Slots: the groups (bundles) that are at work at once.
        # They share a PE whole, or have whole PEs.
        if len(self.jobs) <= self.lanes_of_pe:
            slots = self.lane_pes * (self.lanes_of_pe // len(self.jobs))
        else:
            pes_of_group = math.ceil(len(self.jobs) / self.lanes_of_pe)
            slots = max(self.lane_pes // pes_of_group, 1)
        self.group_steps = [
            self.bundles[start : start + slots]
            for start in range(0, len(self.bundles), slots)
        ]
        self.passes = [
            self.jobs[start : start + self.channel_lanes]
            for start in range(0, len(self.jobs), self.channel_lanes)
        ]
        self.slot_lanes = len(self.passes[0])

    def _leave_idle(self, units, together):
        """Tries ever more groups and units until it takes no longer."""
        turns = len(self.group_steps) * len(self.passes)
        for groups in range(1, together + 1):
            fewest = 1 if groups == 1 else groups * self.out_c
            for fewer in range(fewest, units + 1):
                self._deal_channels(fewer, groups)
                if len(self.group_steps) * len(self.passes) == turns:
                    self.lane_out_c = min(fewer, groups * self.out_c)
                    return

    def _balanced_units(self):
        """Units whose accumulators make weights come as often as inputs."""
        layer, array = self.layer, self.chip.pe_array
        rows = sum(touched_rows(layer, block) for block in self.row_blocks)
        columns = sum(touched_columns(layer, b) for b in self.column_blocks)
        positions = rows * columns
        if not self.is_busy:
            positions = layer.in_h * layer.in_w * self.images
        inputs = positions * layer.in_c + layer.side_elements * self.images
        inputs *= self.input_bytes_each
        weights = layer.operand_elements * self.weight_bytes_each
        weights = max(weights + self.table_bytes, 1)
        room = self.chip.register_file.capacity_kib * 1024 / 2
        room /= ACCUMULATOR_BYTES
        steps = self.row_steps * self.column_steps
        wish = math.sqrt(
            inputs * self.out_c / self.channel_lanes * steps / room / weights
        )
        often = max(round(wish), 1)
        units = 1
        while (units + 1) * steps <= often * room and units < array.simd_units:
            units += 1
        return units

    def _deal_taps(self):
        """Taps of a vector operation go to units that would be idle."""
        array = self.chip.pe_array
        units = array.columns * array.rows * array.lanes
        units *= min(array.simd_units, array.vector_units)
        outputs = self.positions * self.layer.out_c
        parts = 1
        while (
            self.is_busy
            and not self.is_mac
            and parts < self.taps
            and (parts + 1) * outputs <= units
        ):
            parts += 1
        self.rounds = max(map(len, deal(self.taps, parts)))
        self.combined, left = 0, parts
        while left > 1:  # of two results one is handed to the other's unit
            self.rounds += 1
            self.combined += left // 2 * outputs
            left -= left // 2
        self.pes = min(self.pes * parts, array.columns * array.rows)

    def cycles_of(self, taps):
        """Cycles of a dot product at so many taps, or of a reduction."""
        return (taps if self.is_mac else self.rounds) * self.cycles_a_dot

    def channels_at(self, step):
        """Input channels of the dot products that all PEs do in a step."""
        width = self.dot_width
        return sum(
            min(width, self.in_c - block[step] * width)
            for block in self.dot_blocks
            if step < len(block)
        )


def walk(layer, chip, mapping, images=1):
    """Runs a layer with one mapping and returns its `Counts`."""
    nest = Nest(layer, chip, mapping.unrolling, images)
    counts = Counts(pes_at_work=nest.pes, row_steps=nest.row_steps)
    {
        "weight-stationary": _weight_stationary,
        "output-stationary": _output_stationary,
        "input-stationary": _input_stationary,
    }[mapping.dataflow](nest, counts)
    _read_operands(nest, counts)
    bits = layer.output_bits or layer.activation_bits
    counts.output_bytes = nest.positions * layer.out_c * bits / 8
    counts.reduced_bytes += ACCUMULATOR_BYTES * nest.combined
    if nest.is_busy:  # else activations are left where they are
        inputs = layer.in_h * layer.in_w * layer.in_c + layer.side_elements
        inputs = inputs * images + layer.operand_elements * (
            layer.op == "matmul"
        )
        counts.passed_bytes = inputs * nest.input_bytes_each
        counts.passed_bytes += counts.output_bytes
    return counts


def walk_chain(layers, chip, mappings, height):
    """Runs fused layers tile by tile: `Counts` of each, and input rows read."""
    totals, read = [Counts() for _ in layers], 0
    waiting = list(range(layers[-1].out_h))
    is_whole = height == len(waiting)
    while waiting:
        waiting, first = waiting[height:], waiting[0]
        rows = [range(first, first + height)]
        for layer in reversed(layers):
            taps = [tap * layer.dilation_h for tap in range(layer.k_h)]
            lines = {y * layer.stride_h + tap for y in rows[0] for tap in taps}
            spanned = range(min(lines), max(lines) + 1)
            rows.insert(0, range(layer.in_h) if is_whole else spanned)
        read += len(rows[0])
        for total, layer, mapping, taken, made in zip(
            totals, layers, mappings, rows, rows[1:], strict=False
        ):
            beside = layer.side_elements // layer.in_h * len(taken)
            tile = dataclasses.replace(
                layer,
                in_h=len(taken),
                out_h=len(made),
                side_elements=beside,
            )
            counts = walk(tile, chip, mapping)
            for field in dataclasses.fields(Counts):
                amount = getattr(counts, field.name)
                amount += getattr(total, field.name)
                setattr(total, field.name, amount)
    return totals, read


def _weight_stationary(nest, counts):
    parts = _parts_of_a_register_file(nest)
    for step, slots in enumerate(nest.group_steps):
        for jobs in nest.passes:
            fetched = _bring_weights(nest, counts, slots, jobs)
            for _ in nest.row_blocks:
                for _ in nest.column_blocks:
                    counts.register_file_write_bytes += fetched
                    counts.register_file_read_bytes += (
                        fetched * nest.row_steps * nest.column_steps
                    )
            sums = sum(map(len, slots)) * sum(map(len, jobs)) * nest.positions
            for number, part in enumerate(parts):
                is_first = step == number == 0
                channels = sum(map(nest.channels_at, part))
                _bring_block_inputs(nest, counts, slots, is_first, channels)
                if number:  # the sums so far: out, and in again
                    counts.spilled_bytes += ACCUMULATOR_BYTES * sums
                for _ in range(nest.row_steps):
                    for _ in range(nest.column_steps):
                        for taps in part.values():
                            counts.compute_cycles += nest.cycles_of(taps)
                _hand_on(nest, counts, sums)


def _output_stationary(nest, counts):
    steps = [
        (row, column)
        for row in range(nest.row_steps)
        for column in range(nest.column_steps)
    ]
    room = _accumulators(nest)
    for step, slots in enumerate(nest.group_steps):
        for jobs in nest.passes:
            _bring_block_inputs(nest, counts, slots, is_first=step == 0)
            for start in range(0, len(steps), room):
                _bring_weights(nest, counts, slots, jobs)
                chunk = steps[start : start + room]
                for _ in range(nest.dot_steps):
                    counts.compute_cycles += len(chunk) * nest.cycles_of(
                        nest.taps
                    )
    _accumulate(nest, counts)
    _hand_on(nest, counts, nest.positions * nest.layer.out_c)


def _input_stationary(nest, counts):
    fitting = _steps_that_fit(nest)
    is_kept = fitting > 0 and nest.is_busy
    longest = max(fitting, 1)
    runs = deal(nest.column_steps, math.ceil(nest.column_steps / longest))
    for step, slots in enumerate(nest.group_steps):
        if not is_kept:
            for _ in nest.passes:
                _bring_block_inputs(nest, counts, slots, is_first=step == 0)
        for row in range(nest.row_steps):
            for number, run in enumerate(runs):
                if is_kept:
                    positions = _window(nest, row, len(runs), number)
                    is_first = step == row == number == 0
                    _bring_inputs(nest, counts, slots, positions, is_first)
                for jobs in nest.passes:
                    _bring_weights(nest, counts, slots, jobs)
                    for _ in range(nest.dot_steps):
                        counts.compute_cycles += len(run) * nest.cycles_of(
                            nest.taps
                        )
    _accumulate(nest, counts)
    _hand_on(nest, counts, nest.positions * nest.layer.out_c)


def _hand_on(nest, counts, sums):
    """Every PE but the last of a chain sends its sums to the next one."""
    for _ in nest.dot_blocks[1:]:
        counts.reduced_bytes += sums * ACCUMULATOR_BYTES


def _parts_of_a_register_file(nest):
    """Fills half of a register file again and again.

    Each part says at how many taps it has a lane's dot products, by number.
    """
    half = nest.chip.register_file.capacity_kib * 1024 / 2
    word = nest.lane_out_c * nest.dot_width
    word *= nest.weight_bytes_each

    def has_room(part, taps):
        return (sum(part.values()) + taps) * word <= half

    parts = [{}]
    for step in range(nest.dot_steps):
        if has_room({}, nest.taps):
            if not has_room(parts[-1], nest.taps):
                parts.append({})
            parts[-1][step] = nest.taps
            continue
        for tap in range(nest.taps):
            if parts[-1] and (tap == 0 or not has_room(parts[-1], 1)):
                parts.append({})
            parts[-1][step] = parts[-1].get(step, 0) + 1
    return parts


def _accumulators(nest):
    """Steps of positions whose sums fill half of a register file."""
    half = nest.chip.register_file.capacity_kib * 1024 / 2
    steps = 0
    while (steps + 1) * ACCUMULATOR_BYTES * nest.units <= half:
        steps += 1
    return max(steps, 1)  # one is in the registers of the units


def _steps_that_fit(nest):
    """Steps in a row whose window and sums fit half of a register file.

    The window is that of the groups and of the channels of one lane.
    """
    layer = nest.layer
    half = nest.chip.register_file.capacity_kib * 1024 / 2
    channels = min(nest.in_c, nest.dot_steps * nest.dot_width)
    channels *= len(nest.bundles[0])
    line = layer.k_h * channels * nest.input_bytes_each
    steps = 0
    while steps < layer.out_w:  # more than a row makes no difference
        columns = range((steps + 1) * nest.columns_at_once)
        window = touched_columns(layer, columns) * line
        sums = (steps + 1) * ACCUMULATOR_BYTES * nest.units
        if window + sums > half:
            break
        steps += 1
    return steps


def _window(nest, row, runs, run):
    """Positions of the input that all blocks read for one run of a row."""
    layer, columns = nest.layer, 0
    for block in nest.column_blocks:
        by_step = deal(len(block), nest.column_steps)
        by_run = deal(len(by_step), runs)
        if run < len(by_run):
            outputs = {o for step in by_run[run] for o in by_step[step]}
            columns += touched_columns(layer, outputs)
    rows = sum(
        touched_rows(layer, [block[row]])
        for block in nest.row_blocks
        if row < len(block)
    )
    return rows * columns


def _bring_block_inputs(nest, counts, slots, is_first, channels=None):
    """One pass over the inputs of all blocks, each row and column once."""
    layer = nest.layer
    if nest.is_busy:
        positions = sum(
            touched_rows(layer, rows) * touched_columns(layer, columns)
            for rows in nest.row_blocks
            for columns in nest.column_blocks
        )
    else:
        positions = layer.in_h * layer.in_w * nest.images
    _bring_inputs(nest, counts, slots, positions, is_first, channels)


def _bring_inputs(nest, counts, slots, positions, is_first, channels=None):
    """Inputs from the PE memories over the links into register files."""
    channels = nest.in_c if channels is None else channels
    for slot, bundle in enumerate(slots):
        elements = len(bundle) * channels * positions
        if not nest.is_busy:  # each once, whoever needs it
            elements = nest.layer.in_c * positions * (is_first and slot == 0)
        if is_first and slot == 0:
            elements += nest.layer.side_elements * nest.images
        amount = elements * nest.input_bytes_each
        counts.input_bytes += amount
        counts.interconnect_bytes += amount * nest.slot_pes[slot]
        counts.register_file_write_bytes += amount * nest.slot_lanes


def _bring_weights(nest, counts, slots, jobs):
    """The weights of some jobs: read once, brought to every PE in need."""
    channels = sum(map(len, slots)) * sum(map(len, jobs))
    amount = channels * nest.in_c * nest.taps * nest.weight_bytes_each
    amount += nest.table_bytes * channels / nest.layer.out_c
    counts.weight_bytes += amount
    for _ in nest.row_pes:
        for _ in nest.column_blocks:
            counts.interconnect_bytes += amount
    return amount


def _accumulate(nest, counts):
    """Every dot product of a tap is added to an accumulator: read, written."""
    for _ in range(nest.taps):
        for dots in nest.dot_blocks:
            counts.register_file_read_bytes += (
                2 * ACCUMULATOR_BYTES * len(dots) * nest.is_mac
            ) * (nest.positions * nest.layer.out_c)


def _read_operands(nest, counts):
    """Every job reads the inputs of its products from the register file."""
    if not nest.is_mac:
        return
    for slots in nest.group_steps:
        groups = sum(map(len, slots))
        for jobs in nest.passes:
            for rows in nest.row_blocks:
                for columns in nest.column_blocks:
                    positions = len(rows) * len(columns)
                    elements = positions * nest.taps * nest.in_c
                    counts.register_file_read_bytes += (
                        elements * groups * len(jobs) * nest.input_bytes_each
                    )


def port_cycles(counts, chip):
    """Cycles that the ports of the PE memories are busy."""
    moved = (
        counts.weight_bytes
        + counts.input_bytes
        + counts.output_bytes
        + 2 * counts.spilled_bytes
    )
    width = chip.pe_memory.width_bytes * chip.runtime.memory_share
    return moved / counts.pes_at_work / width


def link_cycles(counts, chip):
    """Cycles that the interconnect is busy, or activations on their way."""
    amount = counts.interconnect_bytes / counts.pes_at_work
    cycles = amount / chip.interconnect.width_bytes
    path = chip.interconnect.activation_width_bytes * chip.pes()
    return max(cycles, counts.passed_bytes / path if path else 0)


def array_cycles(counts, chip):
    """Cycles that the array is busy."""
    return counts.compute_cycles / chip.runtime.compute_share


@dataclasses.dataclass
class OffChip:
    """What one layer alone moves to and from DRAM, in bytes."""

    total: float
    first: float
    last: float
    answer: float
    repeated: float


def off_chip(layer, chip, images=1):
    """Walks the tiles of a layer that is a whole network."""
    each, has_weights = layer.activation_bits / 8, layer.op in WEIGHTED
    pes = chip.pe_array.columns * chip.pe_array.rows
    capacity = chip.pe_memory.capacity_mib * 2**20 * pes
    inputs = layer.in_h * layer.in_w * layer.in_c + layer.side_elements
    inputs *= images
    written = (layer.output_bits or layer.activation_bits) / 8
    outputs = layer.out_h * layer.out_w * layer.out_c * images
    answer = outputs * written
    right = layer.operand_elements if layer.op == "matmul" else 0
    live = inputs + right + layer.held_elements * images
    live = live * each + answer
    weights = has_weights * _compiled(layer, chip)
    table = layer.stored_elements * layer.weight_bits / 8
    read = weights + min(table, outputs * layer.weight_bits / 8)
    is_apart = chip.pe_memory.tile_kib > 0
    room = capacity if is_apart else max(capacity - live, 0)
    room = min(room, capacity * chip.pe_memory.weight_share)
    stays = min(room / (weights + table), 1) if weights + table else 1
    if chip.pe_memory.whole_layers:
        stays = int(stays)
    streamed = read * (1 - stays)
    # The image comes in, but for what strides jump over; the answer leaves.
    height, width = layer.in_h, layer.in_w
    if layer.op in (*WEIGHTED, "matmul"):
        height = inside(
            height, layer.out_h, layer.k_h, layer.stride_h, layer.dilation_h
        )
        width = inside(
            width, layer.out_w, layer.k_w, layer.stride_w, layer.dilation_w
        )
    image = height * width * layer.in_c + layer.side_elements
    image *= images * each
    # Other tensors that find no room: what lies beyond inputs and outputs.
    share = chip.pe_memory.activation_share
    beyond = 0 if is_apart else max(live - capacity * share, 0)
    elsewhere = max(beyond - inputs * each - answer, 0)
    if chip.host_link.input_gbs:  # all else is here, or finds no room
        image = min(beyond, inputs * each)
        answer = min(beyond - image, answer)
    if not share and not is_apart:  # what is held is off the chip already
        elsewhere = right * each

    fetched = min(
        _fetched(streamed, image, capacity / 2),
        _fetched(image, streamed, capacity / 2),
    )
    repeated = 0.0
    if is_apart and has_weights:
        fetched = image
        for tile in range(_row_tiles(layer, chip, images)):
            fetched += streamed
            repeated += (read - streamed) * (tile > 0)
    rows = len(range((layer.k_h - 1) * layer.dilation_h + 1))
    window = min(rows * layer.in_w * layer.in_c * each, image)
    return OffChip(
        total=fetched + answer + elsewhere,
        first=max(window, chip.dram.onload_share * image),
        last=min(layer.out_w * layer.out_c * written, answer),
        answer=answer,
        repeated=repeated,
    )


def _channels(layer, chip):
    """Input and output channels as stored: lanes and dot products filled."""
    in_c, out_c = layer.in_c, layer.out_c
    if chip.pe_memory.padded_weights:
        while layer.groups == 1 and in_c % chip.pe_array.dot_width:
            in_c += 1
        while out_c % chip.pe_array.simd_units:
            out_c += 1
    return in_c, out_c


def _compiled(layer, chip):
    """Bytes of the weights of a layer, with what stands by each channel."""
    in_c, out_c = _channels(layer, chip)
    beside = layer.use_bias * (8 if chip.pe_memory.padded_weights else 4)
    weights = in_c // layer.groups * layer.k_h * layer.k_w * layer.weight_bits
    return sum(weights / 8 + beside for _ in range(out_c))


def _row_tiles(layer, chip, images):
    """Tiles that the rows of a PE fall into, each as high as there is room.

    Windows of the next layer overlap as those of this one do: by as many rows
    do tiles of outputs, and by so many more those of inputs.
    """
    rows = deal(layer.out_h * images, chip.pe_array.rows)[0]
    columns = deal(layer.out_w, chip.pe_array.columns)[0]
    in_c, out_c = _channels(layer, chip)
    bits = layer.output_bits or layer.activation_bits
    last = (layer.k_w - 1) * layer.dilation_w
    width = len(range(len(columns) * layer.stride_w + last))

    def fits(height):
        overlap = 2 * (layer.k_h - 1) * layer.dilation_h
        lines = range(height * layer.stride_h + overlap)
        inputs = len(lines) * width * in_c * layer.activation_bits
        made = range(height + layer.k_h - 1)
        outputs = len(made) * len(columns) * out_c * bits
        return inputs + outputs <= 8192 * chip.pe_memory.tile_kib

    tiles, waiting = 0, len(rows)
    while waiting > 0:
        height = 1
        while height < len(rows) and fits(height + 1):
            height += 1
        waiting -= height
        tiles += 1
    return tiles


def by_link(layer, chip, images):
    """Nanoseconds on the link: the image, instructions, then the answer."""
    link, now = chip.host_link, 0.0
    height, width = layer.in_h, layer.in_w
    if layer.op in (*WEIGHTED, "matmul"):
        height = inside(
            height, layer.out_h, layer.k_h, layer.stride_h, layer.dilation_h
        )
        width = inside(
            width, layer.out_w, layer.k_w, layer.stride_w, layer.dilation_w
        )
    image = height * width * layer.in_c + layer.side_elements
    if link.input_gbs:
        now += image * images * layer.activation_bits / 8 / link.input_gbs
        if layer.op not in ("data_movement", "embedding"):
            now += link.instruction_bytes / link.input_gbs
    if link.input_gbs and link.output_gbs:
        answer = layer.out_h * layer.out_w * layer.out_c * images
        bits = layer.output_bits or layer.activation_bits
        now += answer * bits / 8 / link.output_gbs
    return now


def _fetched(outer, inner, half):
    """Bytes that two loops over tiles fetch, a tile of each in reach."""
    fetched, here = 0.0, None
    for outer_tile in _tiles(outer, half):
        fetched += outer_tile
        for number, inner_tile in enumerate(_tiles(inner, half)):
            if number != here:
                fetched += inner_tile
                here = number
    return fetched


def _tiles(amount, half):
    tiles = []
    while amount > half:
        tiles.append(half)
        amount -= half
    return [*tiles, amount]


def timeline(layer, chip, counts, is_elastic=True, images=1):
    """Cycles from the start of a one-layer network to its last byte.

    Its runs follow one another, without the start of the inference.

    The work of every resource falls into the row steps of a lane. With elastic
    buffers each resource goes on with its next step as soon as it has done
    one. With double buffers all wait for each other at the end of a step;
    DRAM brings the next step's inputs and takes the last step's outputs
    meanwhile.
    """
    outside, clock = off_chip(layer, chip, images), chip.process.clock_ghz
    dram_bytes = chip.dram.bandwidth_gbs / clock  # a cycle
    now = chip.runtime.layer_us * 1e3 * clock
    now += by_link(layer, chip, images) * clock
    if chip.interconnect.ring_width_bytes:
        now += outside.repeated / chip.interconnect.ring_width_bytes
    # The first window comes, it and its weights are brought to the array, and
    # the pipeline fills.
    now += outside.first / dram_bytes
    stored = (*WEIGHTED, "embedding")
    weights = layer.weight_bits if layer.op in stored else 0
    window = layer.in_c // layer.groups * layer.k_h * layer.k_w
    if layer.op not in (*WEIGHTED, "matmul"):
        window = 1  # results are added up one by one
    now += (
        window
        * (layer.activation_bits + weights)
        / 8
        / (chip.interconnect.width_bytes)
    )
    now += chip.pe_array.pipeline_cycles
    steps = counts.row_steps
    on_chip = (
        array_cycles(counts, chip) / steps,
        port_cycles(counts, chip) / steps,
        link_cycles(counts, chip) / steps,
    )
    rest = (outside.total - outside.first - outside.last) / dram_bytes
    if is_elastic:
        clocks = [now] * 4
        for _ in range(steps):
            for resource, busy in enumerate((*on_chip, rest / steps)):
                clocks[resource] += busy
        now = max(clocks)
    else:
        leaving = (outside.answer - outside.last) / dram_bytes
        coming = rest - leaving
        for step in range(steps):
            dram = 0.0
            if step < steps - 1:
                dram += coming / (steps - 1)
            if step > 0:
                dram += leaving / (steps - 1)
            if steps == 1:
                now += rest
            now += max(*on_chip, dram)
    one_run = now + outside.last / dram_bytes
    start = chip.runtime.inference_us * 1e3 * clock
    return start + sum(one_run for _ in range(layer.repeats))
