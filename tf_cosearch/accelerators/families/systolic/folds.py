"""What layers cost on a systolic array, by the matrices they multiply.

A convolution is a matrix product for each of its groups: of `M` positions, `K`
inputs of a window and `N` output channels. What is stationary is cut into folds
of the array's `R` rows and `C` columns, which come one after another; into
each, and out of it, data move diagonally. SCALE-Sim's simulation comes to

    weight-stationary  ceil(K / R) ceil(N / C) (2 R + C + M - 2) - 1 cycles
    output-stationary  ceil(M / R) ceil(N / C) (R + C + K - 2) - 1
    input-stationary   ceil(K / R) ceil(M / C) (2 R + C + N - 2) - 1

SCALE-Sim knows no groups: its own tables write a depthwise convolution as one
filter over all channels, which has as many products but adds up what it must
not. Here groups are products of their own, one after another, so of a 3x3
depthwise convolution 9 of 32 rows and 1 of 32 columns are at work.

Poolings and sums are done below the array, an element a column and cycle; what
only moves data takes its time at the edges.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from tf_cosearch.accelerators import technology
from tf_cosearch.accelerators.families.systolic.array import DATAFLOWS
from tf_cosearch.accelerators.families.systolic.systolic import Systolic
from tf_cosearch.accelerators.family import OnChip
from tf_cosearch.arithmetic import divide_up
from tf_cosearch.networks.loops import (
    ACCUMULATOR_BYTES,
    Loops,
    input_bytes,
    lines_read,
)
from tf_cosearch.networks.workload import LayerTable


class Traffic(NamedTuple):
    """Bytes that a dataflow moves in one layer; each field is `[B, L]`.

    Attributes:
        weight_bytes: Weights read from the scratchpad.
        input_bytes: Inputs read from it, a window at a time.
        spilled_bytes: Partial sums written to it, and read again.
        output_bytes: Outputs written to it.
        register_bytes: What the units write to registers.
    """

    weight_bytes: Any
    input_bytes: Any
    spilled_bytes: Any
    output_bytes: Any
    register_bytes: Any


def on_chip(
    layers: LayerTable,
    loops: Loops,
    machine: Systolic,
    objective: str,
    per_layer: bool,
) -> OnChip:
    """What layers cost; see `Family.on_chip`. There is nothing to choose.

    Args:
        layers: `LayerTable` of `[B, L]` tensors, or `[L, 1]`.
        loops: Their `Loops`.
        machine: `Systolic` of `[B, 1]` tensors, or `[1, B]`.
        objective: Makes no difference.
        per_layer: Whether to fill in all of `OnChip`.

    Returns:
        The `OnChip`.
    """
    array, node_nm = machine.array, machine.process.node_nm
    products, moved = _products(layers, loops, machine)
    lanes = array.columns * array.vector_lanes
    vectors = divide_up(loops.outputs, lanes) * loops.steps
    compute = tf.where(
        loops.is_mac > 0, loops.groups * loops.passes * products, vectors
    )
    sram = machine.scratchpad.sram(node_nm)
    read = moved.weight_bytes + moved.input_bytes + moved.spilled_bytes
    written = moved.output_bytes + moved.spilled_bytes
    busy = (
        machine.runtime.compute_cycles(compute),
        machine.runtime.memory_cycles((read + written) / array.port_bytes()),
    )
    parts_pj = (
        moved.register_bytes
        * technology.register_energy_pj(node_nm, machine.process.clocked_share),
        read * sram.read_pj() + written * sram.write_pj(),
    )
    cycles = tf.maximum(busy[0], busy[1])
    energy_pj = parts_pj[0] + parts_pj[1]
    if not per_layer:
        return OnChip(cycles, energy_pj)
    index = array.dataflow + tf.zeros_like(cycles)
    return OnChip(cycles, energy_pj, index, busy, parts_pj, moved)


def _products(
    layers: LayerTable, loops: Loops, machine: Systolic
) -> tuple[Any, Traffic]:
    """Cycles of a group's matrix product, and what all of them move."""
    array = machine.array
    m, k, n = loops.rows * loops.columns, loops.in_c * loops.taps, loops.out_c
    on_rows, on_columns = divide_up(k, array.rows), divide_up(n, array.columns)
    m_on_rows = divide_up(m, array.rows)
    m_on_columns = divide_up(m, array.columns)
    through = array.rows + array.columns - 2
    outputs, inputs = array.dataflow == 1, array.dataflow == 2

    def pick(weight: Any, output: Any, stationary_input: Any) -> Any:
        """One of three by the dataflow."""
        return tf.where(
            outputs, output, tf.where(inputs, stationary_input, weight)
        )

    cycles = pick(
        on_rows * on_columns * (through + array.rows + m),
        m_on_rows * on_columns * (through + k),
        on_rows * m_on_columns * (through + array.rows + n),
    )
    is_mac = loops.is_mac > 0
    once = 1.0
    windows = m * k * (loops.groups * loops.activation_bytes)
    side = layers.side_elements * loops.activation_bytes
    images = tf.minimum(loops.images, loops.rows)
    positions = lines_read(loops.row_windows, loops.rows, images)
    positions *= lines_read(loops.column_windows, loops.columns, 1.0)
    passing = pick(
        loops.activation_bytes,
        loops.activation_bytes + loops.operand_bytes,
        loops.operand_bytes,
    )
    macs = m * k * n * loops.groups * loops.is_mac
    return cycles - 1, Traffic(
        weight_bytes=loops.weight_bytes * pick(once, m_on_rows, m_on_columns)
        + loops.table_bytes,
        input_bytes=tf.where(
            is_mac,
            windows * pick(on_columns, on_columns, once) + side,
            input_bytes(layers, positions),
        ),
        spilled_bytes=loops.is_mac
        * loops.sum_bytes
        * pick(on_rows - 1, 0.0, on_rows - 1),
        output_bytes=loops.output_bytes,
        register_bytes=macs * (passing + ACCUMULATOR_BYTES),
    )


def describe(mapping: int, tile: tuple[int, int, int] | None = None) -> str:
    """A dataflow in words; see `Family.describe`.

    Example:
    >>> describe(1, (8, 8, 16))
    'output-stationary, tile 8x8x16'
    """
    words = DATAFLOWS[mapping].replace("_", "-")
    if tile is not None:
        words += f", tile {'x'.join(map(str, tile))}"
    return words
