"""The mapping space of one layer on the array.

A mapping says two things. The spatial unrolling: over which loop each level of
the array (PE columns, PE rows, lanes of a PE, SIMD units of a lane) is spread.
And the dataflow: what stays in the register files while the other loops run,
see `traffic`.

A SIMD unit adds up `dot_width` products of input channels of one output a
cycle, or more of 4 bits (`PEArray.products`); kernel taps follow one another.
The units of a lane see the same input, or as many different ones as it has
`input_streams`: depthwise and grouped layers, which share no inputs between
groups, use no more units than that. Rows
and columns of the output are dealt to PEs and lanes in blocks that differ by
one at most; each block reads the rows and columns of its windows, zero padding
included, whether or not its neighbour reads them too. The rows of a batch are
one loop: the first rows of all images, then the second ones and so on. Windows
of different images share nothing.

In the shapes below `B` is the number of candidates and `L` of layers.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import tensorflow as tf

from tf_cosearch.accelerators.families.edge_tpu.edge_tpu import EdgeTpu
from tf_cosearch.arithmetic import at_most, ceil_log2, divide_up, is_one
from tf_cosearch.networks.loops import (
    ACCUMULATOR_BYTES,
    Loops,
    input_bytes,
    lines_read,
)
from tf_cosearch.networks.workload import LayerTable

LEVELS = ("PE columns", "PE rows", "lanes", "SIMD units")
DATAFLOWS = ("weight-stationary", "output-stationary", "input-stationary")
UNROLLINGS = (
    ("out_c", "out_c", "out_c", "out_c"),
    ("out_c", "rows", "out_c", "out_c"),
    ("columns", "rows", "out_c", "out_c"),
    ("columns", "rows", "rows", "out_c"),
    ("out_c", "in_c", "out_c", "out_c"),
    ("columns", "rows", "out_c", "columns"),
    ("out_c", "out_c", "out_c", "few out_c"),
    ("out_c", "rows", "out_c", "few out_c"),
    ("columns", "rows", "out_c", "few out_c"),
    ("columns", "rows", "rows", "few out_c"),
    ("out_c", "in_c", "out_c", "few out_c"),
    ("columns", "rows", "out_c", "balanced out_c"),
)
"""The loop that each of `LEVELS` is spread over; groups go with `out_c`.

Channels fill the units of a lane before the next lane is used. Of `few` units
no more work than take no longer, so more lanes and PEs do. Of `balanced` ones
so few that weights and inputs come again about as often.
"""


class Mapping(NamedTuple):
    """One way to run a layer: a spatial unrolling and a dataflow."""

    unrolling: tuple[str, str, str, str]
    dataflow: str

    def __str__(self) -> str:
        levels: dict[str, list[str]] = {}
        for level, on in zip(LEVELS, self.unrolling, strict=True):
            share, _, loop = on.rpartition(" ")
            levels.setdefault(loop, []).append(f"{share} {level}".strip())
        spread = (f"{on} over {', '.join(at)}" for on, at in levels.items())
        return f"{self.dataflow}, {'; '.join(spread)}"


MAPPINGS = tuple(
    Mapping(unrolling, dataflow)
    for unrolling, dataflow in itertools.product(UNROLLINGS, DATAFLOWS)
    if unrolling[3] != "balanced out_c" or dataflow == "output-stationary"
)
"""All mappings that a layer is tried with.

Only accumulators leave a choice how often weights come again.
"""


def describe(mapping: int, tile: tuple[int, int, int] | None = None) -> str:
    """A mapping in words.

    Args:
        mapping: Its number, an index of `MAPPINGS`.
        tile: Rows, columns and channels of the output that the PE memories
            work on at a time.

    Returns:
        Dataflow, spatial unrolling and tile.

    Example:
    >>> describe(3, (28, 28, 64))
    'weight-stationary, out_c over PE columns, lanes, SIMD units; rows over PE
    rows, tile 28x28x64'
    """
    words = str(MAPPINGS[mapping])
    if tile is not None:
        words += f", tile {'x'.join(map(str, tile))}"
    return words


class Spread(NamedTuple):
    """What an unrolling does to layers, each `[B, L]` or `[B, 1]`.

    Attributes:
        compute_cycles: Cycles the array is busy.
        row_steps: Rows that a lane works on.
        column_steps: Steps in which a lane works on a row.
        steps: Steps in which it works on all of them.
        row_blocks: Blocks the rows fall into.
        column_blocks: Blocks the columns fall into.
        in_c_steps: Dot products one after the other at a tap.
        lane_out_c: Output channels that a lane works on at a time.
        lane_in_c: Input channels that it needs for them.
        pe_share: Share of the work of each PE that has something to do.
        weight_pes: PEs that need the same weight.
        input_pes: PEs that need the same input.
        input_lanes: Lanes that need the same input.
        reduced_pes: PEs whose partial sums belong to the same output.
        combined_bytes: Partial results of a reduction in parts, but the last.
        lane_columns: Columns that a lane works on at a time.
        units: SIMD units of a lane at work, which share its register file.
        dot_width: Input channels of a dot product.
        operand_read_bytes: Inputs read from register files.
        accumulated_bytes: Accumulators read and written, a dot product each.
        fetched_bytes: Inputs read from the PE memories in all passes.
        pass_bytes: Those of one pass.
    """

    compute_cycles: Any
    row_steps: Any
    column_steps: Any
    steps: Any
    row_blocks: Any
    column_blocks: Any
    in_c_steps: Any
    lane_out_c: Any
    lane_in_c: Any
    pe_share: Any
    weight_pes: Any
    input_pes: Any
    input_lanes: Any
    reduced_pes: Any
    combined_bytes: Any
    lane_columns: Any
    units: Any
    dot_width: Any
    operand_read_bytes: Any
    accumulated_bytes: Any
    fetched_bytes: Any
    pass_bytes: Any


def spread(
    layers: LayerTable,
    loops: Loops,
    machine: EdgeTpu,
    unrolling: tuple[str, str, str, str],
) -> Spread:
    """Spreads the loops of layers over the levels of the array.

    With `K` output and `C` input channels in each of `G` groups, `u` SIMD
    units of a lane and `p` lanes on channels, `l` of them in each of `P` PEs,
    `S` input streams:

        groups of a lane  g = min(S, floor(u / K), G), at least 1
        jobs of a group   j = ceil(K / u)
        groups at once    t = P floor(l / j), or floor(P / ceil(j / l)) of
                          those that take several PEs; at least 1
        compute cycles    = ceil(ceil(G / g) / t)
                            ceil(j / p) ceil(rows / p_rows)
                            ceil(columns / p_columns)
                            ceil(ceil(C / products) / p_in_c) taps

    where `products` are those of `PEArray.products`: `dot_width`, or more of
    4 bits. Of `few` units `_few` says how many, `few` dot products are as
    narrow as takes no more steps, and of `balanced` units `_balanced` says how
    many.
    Columns at a time on the units of a lane are as few as take no more steps.

    What columns in `b` blocks read says `lines_read`, without dilation
    `b k_w + (n - b) min(stride_w, k_w)`. So do rows, but a block has those of
    each image apart: of `N` images there are `min(b N, n)`. A pass reads rows x
    columns x `in_c`, and there are ceil(j / p) of them.

    A vector operation has `vector_units` for input streams. It takes the steps
    of `reduction_parts` instead of taps, and its parts are dealt to PEs that
    would be idle.

    Args:
        layers: `LayerTable` of `[B, L]`.
        loops: `Loops` of `[B, L]`.
        machine: `EdgeTpu` of `[B, 1]`.
        unrolling: One of `UNROLLINGS`.

    Returns:
        The `Spread`.
    """
    array = machine.pe_array
    sizes = dict(zip(LEVELS, array.unrolling(), strict=True))

    def product(loop: str, levels: int) -> Any:
        """How many a loop is spread over, of the first so many levels."""
        result: Any = 1.0
        for level, on in zip(LEVELS[:levels], unrolling, strict=False):
            result = result * sizes[level] if on == loop else result
        return result

    streams = tf.where(
        loops.is_mac > 0, array.input_streams, array.vector_units
    )
    pes, lanes = product("out_c", 2), product("out_c", 3)
    pe_lanes = sizes[LEVELS[2]] if unrolling[2] == "out_c" else 1.0
    columns = product("columns", 3)
    column_steps = divide_up(loops.columns, columns)
    row_steps = divide_up(loops.rows, product("rows", 3))
    column_blocks = at_most(loops.columns, columns)
    row_blocks = at_most(loops.rows, product("rows", 3))
    image_blocks = tf.minimum(row_blocks * loops.images, loops.rows)
    rows_read = lines_read(loops.row_windows, loops.rows, image_blocks)
    columns_read = lines_read(
        loops.column_windows, loops.columns, column_blocks
    )
    inputs = input_bytes(layers, rows_read * columns_read)
    lane_columns: Any = 1.0
    if unrolling[3] == "columns":
        block = column_steps
        column_steps = tf.math.ceil(
            block / tf.minimum(array.simd_units, streams)
        )
        lane_columns = tf.math.ceil(block / column_steps)
        jobs, lane_groups = loops.out_c, 1.0
        group_jobs, lane_out_c = loops.groups, 1.0
        units = lane_columns
    else:
        units = array.simd_units
        if unrolling[3] == "balanced out_c":
            steps = row_steps * column_steps
            balanced = _balanced(loops, machine, inputs, steps, lanes)
            units = tf.minimum(units, balanced)
        jobs = divide_up(loops.out_c, units)
        at_once = tf.minimum(streams, tf.floor(units / loops.out_c))
        lane_groups = tf.maximum(tf.minimum(at_once, loops.groups), 1.0)
        group_jobs = tf.math.ceil(loops.groups / lane_groups)
        if unrolling[3] != "out_c":
            units, lane_groups = _few(loops, jobs, group_jobs, pes, pe_lanes)
            jobs = tf.math.ceil(loops.out_c / units)
            group_jobs = tf.math.ceil(loops.groups / lane_groups)
        lane_out_c = units = tf.minimum(units, lane_groups * loops.out_c)
    # Groups share a PE whole, or have whole PEs.
    input_pes: Any = 1.0
    channel_pes: Any = 1.0
    if unrolling[2] == "out_c":
        together = _together(jobs, pes, pe_lanes)
        if not is_one(pes):
            in_flight = tf.minimum(group_jobs, together)
            input_pes = tf.minimum(jobs, tf.floor(pes / in_flight))
            input_pes = tf.maximum(input_pes, 1.0)
            channel_pes = tf.minimum(pes, in_flight * input_pes)
        group_jobs = tf.math.ceil(group_jobs / together)
    passes = divide_up(jobs, lanes)
    pixel_pes = at_most(loops.rows, product("rows", 2)) * column_blocks
    in_c_steps = dots = divide_up(loops.in_c, array.products(layers))
    in_c_pes = product("in_c", 2)
    if not is_one(in_c_pes):
        in_c_steps = divide_up(dots, in_c_pes)
        if unrolling[3] != "out_c":
            narrow = divide_up(loops.in_c, in_c_pes * in_c_steps)
            dots = tf.math.ceil(loops.in_c / narrow)
    dot_width = tf.math.ceil(loops.in_c / dots)
    lane_in_c = tf.minimum(loops.in_c, in_c_steps * dot_width)
    parts = reduction_parts(loops, machine)
    at_work = channel_pes * pixel_pes * at_most(dots, in_c_pes)
    return Spread(
        compute_cycles=group_jobs
        * passes
        * row_steps
        * column_steps
        * in_c_steps
        * _steps(loops, parts),
        row_steps=row_steps,
        column_steps=column_steps,
        steps=row_steps * column_steps,
        row_blocks=row_blocks,
        column_blocks=column_blocks,
        in_c_steps=in_c_steps,
        lane_out_c=lane_out_c,
        lane_in_c=lane_groups * lane_in_c,
        pe_share=1.0 / tf.minimum(at_work * parts, array.pes()),
        weight_pes=pixel_pes,
        input_pes=input_pes,
        input_lanes=at_most(jobs, lanes),
        reduced_pes=at_most(dots, in_c_pes),
        combined_bytes=(parts - 1) * loops.sum_bytes,
        lane_columns=lane_columns,
        units=units,
        dot_width=dot_width,
        operand_read_bytes=loops.is_mac
        * (loops.rows * loops.columns * loops.taps * loops.in_c)
        * (loops.groups * loops.activation_bytes)
        * jobs,
        accumulated_bytes=loops.is_mac
        * (2 * loops.sum_bytes * (loops.taps * dots)),
        fetched_bytes=inputs * passes,
        pass_bytes=inputs,
    )


def _together(jobs: Any, pes: Any, pe_lanes: Any) -> Any:
    """Groups of so many jobs that are at work at once."""
    result = tf.maximum(pes * tf.floor(pe_lanes / jobs), 1.0)
    if not is_one(pes):
        apart = tf.floor(pes / divide_up(jobs, pe_lanes))
        result = tf.maximum(result, apart)
    return result


def _balanced(
    loops: Loops, machine: EdgeTpu, inputs: Any, steps: Any, lanes: Any
) -> Any:
    """The SIMD units that make weights and inputs come about as often.

    Accumulators of `u` units make weights come `r = steps u / room` times,
    and inputs `K / (u p)` times. Both are as many bytes if

        r = sqrt(inputs K steps / (weights room p))

    which is rounded, as weights come a whole number of times; the units are as
    many as that leaves room for.

    Args:
        loops: `Loops` of `[B, L]`.
        machine: `EdgeTpu` of `[B, 1]`.
        inputs: Bytes that come in a pass.
        steps: Positions that a lane works on, one after the other.
        lanes: Lanes that channels are spread over.

    Returns:
        Units, `[B, L]`.
    """
    room = machine.register_file.buffer_bytes() / ACCUMULATOR_BYTES
    weights = tf.maximum(loops.weight_bytes + loops.table_bytes, 1.0)
    often = tf.sqrt(inputs * loops.out_c * steps / (weights * room * lanes))
    often = tf.maximum(tf.round(often), 1.0)
    return tf.maximum(tf.floor(often * room / steps), 1.0)


def _few(
    loops: Loops, jobs: Any, group_jobs: Any, pes: Any, pe_lanes: Any
) -> tuple[Any, Any]:
    """The fewest units, and groups, of a lane that take no more cycles.

    `jobs` of a group fit the lanes in some passes, groups in some rounds. Of
    as many rounds each lane gets as few groups as it can; where that is a part
    of one, the lanes share its channels evenly.

    Example:
    100 channels on 64 units are 2 jobs. Of 4 lanes each takes 25 channels.

    Args:
        loops: `Loops` of `[B, L]`.
        jobs: Jobs of a group on all units.
        group_jobs: Groups one after the other in one lane.
        pes: PEs that channels are spread over.
        pe_lanes: Lanes of a PE that they are.

    Returns:
        Units of a lane, and the groups on them.
    """
    if is_one(pe_lanes):
        groups = tf.math.ceil(loops.groups / group_jobs)
        return tf.math.ceil(loops.out_c * groups / jobs), groups
    together = _together(jobs, pes, pe_lanes)
    rounds = tf.math.ceil(group_jobs / together)
    groups = tf.math.ceil(loops.groups / (together * rounds))
    in_flight = tf.math.ceil(loops.groups / (groups * rounds))
    apart = tf.floor(pes / in_flight) * pe_lanes
    each = tf.floor(pe_lanes / tf.math.ceil(in_flight / pes))
    each = tf.maximum(apart, each)
    passes = tf.math.ceil(jobs / each)
    units = tf.math.ceil(loops.out_c / (each * passes))
    return tf.where(groups > 1, groups * loops.out_c, units), groups


def reduction_parts(loops: Loops, machine: EdgeTpu) -> Any:
    """Parts that the taps of a vector operation are worked on in at a time.

    A pooling with fewer outputs than the array has SIMD units leaves none
    idle: the taps of each output fall into as many parts as units are left
    for, on PEs, lanes and units of their own. Then the partial results are
    combined two by two, level by level. Of `n` outputs and `t` taps on `u`
    units:

        parts  p = min(floor(u / n), t), at least 1
        steps    = ceil(t / p) + ceil(log2(p)), never more than t

    Args:
        loops: `Loops` of `[B, L]`.
        machine: `EdgeTpu` of `[B, 1]`.

    Returns:
        Parts, `[B, L]`; 1 for what is no vector operation.
    """
    array = machine.pe_array
    units = tf.minimum(array.simd_units, array.vector_units)
    units = array.pes() * array.lanes * units
    parts = tf.minimum(tf.floor(units / loops.outputs), loops.taps)
    return tf.maximum(parts * loops.is_vector, 1.0)


def _steps(loops: Loops, parts: Any) -> Any:
    """Cycles of a dot product, or of a reduction that falls into parts."""
    return tf.math.ceil(loops.steps / parts) + ceil_log2(parts)
