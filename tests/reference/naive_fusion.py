"""Chains of fused layers once more: every division, cut and number of tiles.

Float64, plain Python, written from the description of `cost/fusion.py` and
`cost/cuts.py`. Every way to cut a network into chains is priced; those that
are best but for rounding are all kept, so a result is a range.
"""

import dataclasses
import itertools
import math

from reference import naive_cost
from reference.naive_cost import TIE, WAYS, WEIGHTED, activations, out_bits

SHARES = (1, 0.5, 0.25)
TILES = (1, 2, 4, 8, 16)


@dataclasses.dataclass
class Price:
    """What some rows take: least and most cycles and pJ, DRAM bytes, and the
    layers and tiles of each chain."""

    cycles: tuple
    pj: tuple
    dram_bytes: float
    lengths: tuple = ()
    tiles: tuple = ()

    def __add__(self, other):
        return Price(
            *(
                tuple(map(sum, zip(one, another, strict=True)))
                for one, another in (
                    (self.cycles, other.cycles),
                    (self.pj, other.pj),
                )
            ),
            self.dram_bytes + other.dram_bytes,
            self.lengths + other.lengths,
            self.tiles + other.tiles,
        )


NOTHING = Price((0, 0), (0, 0), 0)


def estimate(layers, chip, objective="latency", images=1, tiles_of=TILES):
    """All best ways to run a network: `Price` of each.

    `tiles_of` are the numbers of tiles to try.
    """
    layers = naive_cost.stacked(layers, images)
    job = Job(layers, chip, objective, images)
    moved, _ = naive_cost.off_chip(layers, chip, images)
    alone = [job.alone(k, moved[k]) for k in range(len(layers))]
    start = chip.runtime.inference_us * 1e3 * chip.process.clock_ghz
    start = Price((start,) * 2, (job.idle_pj * start,) * 2, 0)
    ways = [sum(alone, NOTHING)]
    cycles, pj = ways[0].cycles[0], ways[0].pj[0]
    capacity = naive_cost.size(chip)
    most = min(
        max(sum(activations(row)) for row in layers),
        capacity * chip.pe_memory.activation_share,
    )
    for share in SHARES:
        division = most * share
        moved, _ = naive_cost.off_chip(layers, chip, images, division)
        used, _, kept = naive_cost.weights_kept(layers, chip, division)
        options = {}
        for first in range(len(layers)):
            options[first] = [job.alone(first, moved[first])]
            for length in (2, 3):
                options[first] += job.chain(
                    first, length, division, used, kept, tiles_of
                )

        def cost(price):
            return {
                "latency": price.cycles[0],
                "energy": price.pj[0],
                "energy_delay": price.cycles[0] / cycles + price.pj[0] / pj,
            }[objective]

        cuts = list(_cuts(0, options, len(layers)))
        least = min(map(cost, cuts))
        ways += [
            price
            for price in cuts
            if cost(price) <= least * (1 + TIE) and max(price.lengths) > 1
        ]

    def total(price):
        return {
            "latency": price.cycles[0],
            "energy": price.pj[0],
            "energy_delay": price.cycles[0] * price.pj[0],
        }[objective]

    least = min(map(total, ways))
    best = [way for way in ways if total(way) <= least * (1 + 3 * TIE)]
    if objective == "latency":  # of equally fast ones that of least energy
        most = min(way.pj[1] for way in best) * (1 + 3 * TIE)
        best = [way for way in best if way.pj[0] <= most]
    return [way + start for way in best]


def _cuts(first, options, end):
    """Prices of all ways to go on from a row."""
    if first == end:
        yield NOTHING
        return
    for option in options[first]:
        for rest in _cuts(first + option.lengths[0], options, end):
            yield option + rest


class Job:
    """Rows of a network on a chip."""

    def __init__(self, layers, chip, objective, images):
        self.layers, self.chip, self.images = layers, chip, images
        self.objective = objective
        node, ghz = chip.process.node_nm, chip.process.clock_ghz
        peak = math.prod(chip.pe_array[:5])
        idle_mw = naive_cost.silicon(chip, peak)[1]
        self.idle_pj = (idle_mw + naive_cost.waiting_mw(chip, peak)) / ghz
        self.node, self.known = node, {}

    def alone(self, k, moved):
        row = self.layers[k]
        options = [
            naive_cost.mapped(row, self.chip, *way, self.images) for way in WAYS
        ]
        taken = naive_cost.tied(options, self.objective, self.idle_pj)
        prices = [
            naive_cost.price(row, self.chip, option, *moved, self.idle_pj)
            for option in taken
        ]
        return self._range(prices, moved[0], row.repeats, (1,), (1,))

    def _range(self, prices, dram_bytes, repeats, *chain):
        return Price(
            *(
                (
                    min(p[part] for p in prices) * repeats,
                    max(p[part] for p in prices) * repeats,
                )
                for part in (0, 1)
            ),
            dram_bytes * repeats,
            *chain,
        )

    def chain(self, first, length, division, used, kept, tiles_of):
        """The price of a chain, if it may be one and a tile of it fits."""
        rows = self.layers[first : first + length]
        if len(rows) < length or not self._may(rows):
            return []
        height = rows[-1].out_h // self.images
        inputs, _, others = activations(rows[0])
        outputs = activations(rows[-1])[1]
        whole = inputs + others + outputs
        limit, apart = division, self.chip.pe_memory.tile_kib > 0
        if apart:
            limit = self.chip.pe_memory.tile_kib * 1024
        fitting = []
        for most in tiles_of:
            # As many as are as high as the first one, but perhaps the last.
            tiles = -(-height // -(-height // most))
            lines = self._lines(rows, tiles)
            taken = self._bytes(rows, lines)
            in_part = self._part_bytes(rows, lines)
            if (in_part if apart else sum(taken)) <= limit:
                fitting.append((tiles, lines, sum(taken)))
        return [
            price
            for tiles, lines, taken in fitting
            for price in self._price(
                first, rows, tiles, lines, whole, taken, division, used, kept
            )
        ]

    def _may(self, rows):
        if len(rows) > self.chip.pe_memory.fused_layers:
            return False
        for row in rows:
            span = 1 + (row.k_h - 1) * row.dilation_h
            padding = (row.out_h - 1) * row.stride_h + span - row.in_h
            if row.op not in (*WEIGHTED, "pool", "elementwise"):
                return False
            if row.repeats > 1 or padding > 2 * span - 2:
                return False
        for before, row in itertools.pairwise(rows):
            made = before.out_h, before.out_w, before.out_c, out_bits(before)
            read = row.in_h, row.in_w, row.in_c, row.activation_bits
            if not row.continues or made != read:
                return False
            if before.network_out_elements or row.network_in_elements:
                return False
        return True

    def _lines(self, rows, tiles):
        """Rows of a tile: of the input, then of the output of each layer."""
        if tiles == 1:
            heights = [rows[0].in_h, *(row.out_h for row in rows)]
            return [height // self.images for height in heights]
        lines = [-(-rows[-1].out_h // self.images // tiles)]
        for row in reversed(rows):
            span = (row.k_h - 1) * row.dilation_h + 1
            lines.insert(0, (lines[0] - 1) * row.stride_h + span)
        return lines

    def _bytes(self, rows, lines):
        """Bytes of a tile of each map inside a chain."""
        return [
            count
            * row.out_w
            * naive_cost.channels(row, self.chip)[1]
            * out_bits(row)
            / 8
            for row, count in zip(rows[:-1], lines[1:-1], strict=True)
        ]

    def _part_bytes(self, rows, lines):
        """Bytes of a tile in each PE: inputs of all layers, the last outputs.

        Rows of windows and as many again as the windows overlap by."""
        array, total = self.chip.pe_array, 0
        for row, count in zip(rows, lines[1:], strict=True):
            in_c, out_c = naive_cost.channels(row, self.chip)
            high, wide = -(-count // array.rows), -(-row.out_w // array.columns)
            seen = high * row.stride_h + 2 * (row.k_h - 1) * row.dilation_h
            across = wide * row.stride_w + (row.k_w - 1) * row.dilation_w
            total += seen * across * in_c * row.activation_bits / 8
        made = high + row.k_h - 1
        return total + made * wide * out_c * out_bits(row) / 8

    def _price(
        self, first, rows, tiles, lines, whole, taken, division, used, kept
    ):
        """The price, in a list; none of what two tiles of a row do not fit."""
        chip, images = self.chip, self.images
        apart = chip.pe_memory.tile_kib > 0
        beyond = 0 if apart else max(whole + taken - division, 0)
        capacity = naive_cost.size(chip)
        left = capacity
        if not apart:  # beside the maps inside and all weights that stay
            left -= taken + sum(map(math.prod, zip(used, kept, strict=True)))
        by_dram = not chip.host_link.input_gbs
        inputs, _, _ = activations(rows[0])
        outputs = activations(rows[-1])[1]
        off_in = min(inputs, beyond)
        off_out = min(outputs, beyond - off_in)
        total = NOTHING
        for place, row in enumerate(rows):
            each = row.activation_bits / 8
            is_first, is_last = place == 0, place == len(rows) - 1
            number = first + place
            tile = dataclasses.replace(
                row,
                in_h=lines[place],
                out_h=lines[place + 1],
                side_elements=row.side_elements * lines[place] // row.in_h,
                network_in_elements=0,
                network_out_elements=0,
            )
            options = self._mapped(tile, is_first, is_last)
            read = min(row.side_elements * each, beyond)
            elsewhere = 0
            if is_first:
                read = off_in
                brought = row.network_in_elements * each * by_dram
                if brought:
                    read = brought + min(off_in, self._others(row, brought))
                read *= tiles * images * lines[0] / row.in_h
                elsewhere = beyond - off_in - off_out
            written = 0
            if is_last:
                leaving = row.network_out_elements * out_bits(row) / 8
                written = max(off_out, leaving * by_dram)
            # A tile at a time: its inputs, and the weights that are streamed,
            # in halves of what there is room for, one order or the other.
            runs = tiles * images
            streams = used[number] * (1 - kept[number])
            once_more = [0]
            if not apart:
                half = max(left, 1) / 2
                once_more = (
                    read / runs * (max(math.ceil(streams / half), 1) - 1),
                    streams * (max(math.ceil(read / runs / half), 1) - 1),
                )
            streamed = (streams + min(once_more)) * runs
            again = used[number] * kept[number] * (tiles * images - 1) * apart
            span = 1 + row.dilation_h * (row.k_h - 1)
            start = min(span * row.in_w * row.in_c * each, read)
            start = max(start, chip.dram.onload_share * read)
            dot = 0
            if row.op in WEIGHTED:
                taps = row.in_c // row.groups * row.k_h * row.k_w
                dot = taps * row.weight_bits / 8
            end = min(row.out_w * row.out_c * out_bits(row) / 8, written)
            moved = read + written + elsewhere + streamed
            if 2 * (min(span * row.in_w * row.in_c * each, read) + dot) > left:
                return []
            fills = (runs - 1) * naive_cost.fill(row, chip)
            more = runs * lines[place + 1] / row.out_h - 1
            prices = []
            for cycles, pj in options:
                whole = cycles * runs, pj * runs
                cycles, pj = naive_cost.price(
                    row, chip, whole, moved, start + end, again, self.idle_pj
                )
                pj += self.idle_pj * fills
                pj += more * naive_cost.arithmetic(row, self.node)
                prices.append((cycles + fills, pj))
            chain = ((len(rows),), (tiles,)) if is_first else ()
            total += self._range(prices, moved, 1, *chain)
        return [total]

    def _mapped(self, tile, comes, goes):
        key = tile, comes, goes
        if key not in self.known:
            options = [
                naive_cost.mapped(tile, self.chip, *way, 1, comes, goes)
                for way in WAYS
            ]
            self.known[key] = naive_cost.tied(
                options, self.objective, self.idle_pj
            )
        return self.known[key]

    def _others(self, row, brought):
        """Inputs beside those from outside the chip that are read at all."""
        rows, columns = row.in_h, row.in_w
        if naive_cost.is_mac(row):
            rows = self.images * naive_cost.in_windows(
                row.in_h // self.images,
                row.out_h // self.images,
                row.k_h,
                row.stride_h,
                row.dilation_h,
            )
            columns = naive_cost.in_windows(
                row.in_w, row.out_w, row.k_w, row.stride_w, row.dilation_w
            )
        elements = rows * columns * row.in_c + row.side_elements
        return max(elements * row.activation_bits / 8 - brought, 0)
