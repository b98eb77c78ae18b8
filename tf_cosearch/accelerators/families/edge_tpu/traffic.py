"""What a mapping moves between the levels of the machine, by dataflow.

Half of a register file is worked on while the other half is filled. What stays
in it while the other loops run is

- `weight-stationary`: the weights of the output channels at work. They are
  fetched once; those that do not fit are worked on in parts, whose partial
  sums go through the PE memory. A part has whole dot products: all taps of as
  many input channels as fit. Where not even the taps of one dot product do, it
  takes several parts, and its inputs come again for each.
- `output-stationary`: accumulators. Weights stream past and are fetched
  again for as many output positions as there is room to accumulate: that
  of one SIMD unit at work, as those that are idle need none.
- `input-stationary`: the inputs of a run of positions in a row, with their
  accumulators. Inputs are fetched once for all output channels, weights again
  for every run.

PEs that share an output are a chain: after every part each hands its sum on.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from tf_cosearch.accelerators.families.edge_tpu.edge_tpu import EdgeTpu
from tf_cosearch.accelerators.families.edge_tpu.mapping import Spread
from tf_cosearch.arithmetic import divide_up, is_one
from tf_cosearch.networks.loops import ACCUMULATOR_BYTES, Loops, lines_read
from tf_cosearch.networks.workload import LayerTable


class Traffic(NamedTuple):
    """Bytes that a mapping moves in one layer; each field is `[B, L]`.

    Attributes:
        weight_bytes: Weights read from the PE memories.
        input_bytes: Inputs read from the PE memories.
        spilled_bytes: Partial sums written to the PE memories, and read again.
        output_bytes: Outputs written to the PE memories.
        interconnect_bytes: Bytes brought to PEs, counted at each PE.
        reduced_bytes: Partial results handed from PE to PE, or on to another
            part of a reduction, on links of their own.
        register_file_read_bytes: Operands, and what is stationary.
        register_file_write_bytes: What is brought to the register files.
    """

    weight_bytes: Any
    input_bytes: Any
    spilled_bytes: Any
    output_bytes: Any
    interconnect_bytes: Any
    reduced_bytes: Any
    register_file_read_bytes: Any
    register_file_write_bytes: Any

    def read_bytes(self) -> Any:
        """All that is read from the PE memories."""
        return self.weight_bytes + self.input_bytes + self.spilled_bytes

    def write_bytes(self) -> Any:
        """All that is written to the PE memories by the array."""
        return self.output_bytes + self.spilled_bytes


class Flow(NamedTuple):
    """What a dataflow moves in one layer; each field is `[B, L]`.

    Attributes:
        weight_bytes: As in `Traffic`.
        input_bytes: As in `Traffic`.
        spilled_bytes: As in `Traffic`.
        output_bytes: As in `Traffic`.
        reduced_bytes: As in `Traffic`, but for reductions in parts.
        stationary_read_bytes: What is stationary, read from register files.
        stationary_write_bytes: What of it is brought to them.
    """

    weight_bytes: Any
    input_bytes: Any
    spilled_bytes: Any
    output_bytes: Any
    reduced_bytes: Any
    stationary_read_bytes: Any
    stationary_write_bytes: Any

    def moved_bytes(self) -> Any:
        """All that is read from and written to the PE memories."""
        spilled = self.spilled_bytes
        brought = self.weight_bytes + self.input_bytes + spilled
        return brought + (self.output_bytes + spilled)

    def interconnect_bytes(self, space: Spread) -> Any:
        """Bytes brought to PEs, counted at each PE."""
        return (
            self.weight_bytes * space.weight_pes
            + self.input_bytes * space.input_pes
        )


def traffic_of(moved: Flow, space: Spread) -> Traffic:
    """What a mapping moves between the levels of the machine.

    Args:
        moved: What its dataflow moves, `[B, L]`.
        space: Its unrolling.

    Returns:
        The `Traffic`.
    """
    return Traffic(
        weight_bytes=moved.weight_bytes,
        input_bytes=moved.input_bytes,
        spilled_bytes=moved.spilled_bytes,
        output_bytes=moved.output_bytes,
        interconnect_bytes=moved.interconnect_bytes(space),
        reduced_bytes=moved.reduced_bytes + space.combined_bytes,
        register_file_read_bytes=space.operand_read_bytes
        + moved.stationary_read_bytes,
        register_file_write_bytes=moved.input_bytes * space.input_lanes
        + moved.stationary_write_bytes,
    )


def flow(
    layers: LayerTable,
    loops: Loops,
    machine: EdgeTpu,
    space: Spread,
    dataflow: str,
) -> Flow:
    """Counts what a dataflow moves.

    Of weights `W`, inputs of a pass `I`, outputs `O`, dot products `d` of a
    lane one after the other at a tap, of whose weights (for all channels of
    the lane at one tap) half a register file holds `r`, at least 1:

        weight-stationary  weights W, inputs I passes tap parts, partial sums
                           4 O (parts - 1), out and in again, with
                           tap parts = ceil(taps / r) and
                           parts = tap parts ceil(d / max(floor(r / taps), 1))
        output-stationary  weights W ceil(steps / accumulators), inputs I
                           passes
        input-stationary   weights W runs of a lane, inputs: every row of
                           outputs reads k_h rows, every run its columns, once
                           for all passes; where not even the window of one
                           step fits, inputs I passes and a run a step

    Args:
        layers: `LayerTable` of `[B, L]`.
        loops: `Loops` of `[B, L]`.
        machine: `EdgeTpu` of `[B, 1]`.
        space: The unrolling of the mapping.
        dataflow: One of `DATAFLOWS`.

    Returns:
        The `Flow`.
    """
    registers = machine.register_file
    weights = loops.weight_bytes + loops.table_bytes
    inputs, parts = space.fetched_bytes, 1.0
    stationary = space.accumulated_bytes
    spilled: Any = 0.0
    written: Any = 0.0
    if dataflow == "weight-stationary":
        parts, tap_parts = _weight_parts(loops, machine, space)
        inputs = inputs * tap_parts
        spilled = (parts - 1) * loops.sum_bytes
        lanes = space.row_blocks * space.column_blocks
        written = weights * lanes
        stationary = written * space.steps
    elif dataflow == "output-stationary":
        room = registers.accumulators(space.units)
        weights = weights * tf.math.ceil(space.steps / room)
    else:
        run = _run(layers, loops, machine, space)
        fits = (run >= 1) & (layers.is_mac + layers.is_vector > 0)
        run = tf.maximum(run, 1.0)
        runs = tf.math.ceil(space.column_steps / run)
        weights = weights * space.row_steps * runs
        pieces = tf.minimum(runs * space.column_blocks, loops.columns)
        columns = lines_read(loops.column_windows, loops.columns, pieces)
        rows = loops.rows * layers.k_h * layers.in_c * loops.activation_bytes
        kept = columns * rows + layers.side_elements * loops.activation_bytes
        inputs = tf.where(fits, kept, inputs)
    reduced: Any = 0.0
    if not is_one(space.reduced_pes):
        reduced = (space.reduced_pes - 1) * loops.sum_bytes * parts
    return Flow(
        weight_bytes=weights,
        input_bytes=inputs,
        spilled_bytes=spilled,
        output_bytes=loops.output_bytes,
        reduced_bytes=reduced,
        stationary_read_bytes=stationary,
        stationary_write_bytes=written,
    )


def _run(
    layers: LayerTable, loops: Loops, machine: EdgeTpu, space: Spread
) -> Any:
    """Steps in a row whose window and sums share half of a register file.

    Of a window with gaps more steps than `gap` fill them, fewer have all taps
    apart: whichever says more holds.
    """
    windows = loops.column_windows
    line = space.lane_in_c * loops.activation_bytes * layers.k_h
    sums = ACCUMULATOR_BYTES * space.units
    half = machine.register_file.buffer_bytes()
    each = line * windows.fresh * space.lane_columns + sums
    run = tf.floor((half - line * (windows.gap * windows.shared)) / each)
    if not is_one(windows.gap):
        each = line * windows.kernel * space.lane_columns + sums
        run = tf.maximum(run, tf.floor(half / each))
    return run


def _weight_parts(
    loops: Loops, machine: EdgeTpu, space: Spread
) -> tuple[Any, Any]:
    """Parts the weights of a lane fall into, and those of one dot product."""
    width = space.dot_width
    # Layers without weights have room for any number of them.
    dot = tf.maximum(space.lane_out_c * width * loops.operand_bytes, 1e-9)
    # Sizes are multiples of an eighth of a byte: half of that outweighs what a
    # quotient is rounded by.
    room = tf.floor((machine.register_file.buffer_bytes() + 0.0625) / dot)
    room = tf.maximum(room, 1.0)
    whole = tf.maximum(tf.floor((room + 0.5) / loops.taps), 1.0)
    tap_parts = divide_up(loops.taps, room)
    return divide_up(space.in_c_steps, whole) * tap_parts, tap_parts
