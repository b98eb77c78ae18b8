"""The loop nest of layers: bounds, windows and operands, whatever runs them.

In the shapes below `B` is the number of candidates and `L` of layers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from tf_cosearch.arithmetic import is_one
from tf_cosearch.networks.workload import LayerTable, common_step

ACCUMULATOR_BYTES = 4
"""What a partial sum takes."""

PRODUCT_BYTES = 2
"""What a product of two 8-bit operands takes."""


class Windows(NamedTuple):
    """Windows of layers along rows, or columns, each field `[B, L]`.

    Attributes:
        kernel: Taps of a window.
        fresh: Lines that a window reads and the ones before it did not.
        shared: Taps that land where those of another window do.
        gap: Windows from one to the next that it shares lines with.
    """

    kernel: Any
    fresh: Any
    shared: Any
    gap: Any


class Loops(NamedTuple):
    """Loop bounds and operands of layers, each `[B, L]`.

    A vector operation is taken as one group a channel, without reduction. The
    rows of all `images` of a batch, a scalar, are one loop. Inputs come from
    other layers, and outputs go to them, but inside a chain of fused layers,
    where `comes` or `goes` is 0.
    """

    rows: Any
    columns: Any
    groups: Any
    out_c: Any
    in_c: Any
    taps: Any
    weight_bytes: Any
    table_bytes: Any
    operand_bytes: Any
    activation_bytes: Any
    outputs: Any
    out_element_bytes: Any
    output_bytes: Any
    sum_bytes: Any
    is_mac: Any
    is_vector: Any
    passes: Any
    steps: Any
    images: Any
    row_windows: Windows
    column_windows: Windows
    comes: Any = 1.0
    goes: Any = 1.0


def loops_of(layers: LayerTable, images: Any = 1.0) -> Loops:
    """Reads the loop nest off the rows of a table.

    Products of more than 8 bits take an 8-bit multiplier several steps.

    Args:
        layers: `LayerTable` of `[B, L]` float32 tensors, of all images.
        images: How many there are, see `LayerTable.stack_images`.

    Returns:
        `Loops`; `out_c` and `in_c` are those of a group, `passes` the steps of
        a product on an 8-bit multiplier, `steps` the cycles of one dot product
        of up to `dot_width` channels at all taps.
    """
    is_mac = layers.is_mac > 0
    activation_bytes = out_element_bytes = layers.activation_bits / 8
    if layers.output_bits is not None:
        out_element_bytes = layers.output_bits / 8
    taps, outputs = layers.taps(), layers.out_elements()
    operand_bytes = layers.is_mac * layers.operand_bits() / 8
    passes = tf.math.ceil(operand_bytes) * tf.math.ceil(activation_bytes)
    return Loops(
        rows=layers.out_h,
        columns=layers.out_w,
        groups=tf.where(is_mac, layers.groups, layers.out_c),
        out_c=tf.where(is_mac, layers.out_c / layers.groups, 1.0),
        in_c=tf.where(is_mac, layers.in_c / layers.groups, 1.0),
        taps=taps,
        weight_bytes=layers.operand_elements() * operand_bytes,
        table_bytes=_table_bytes(layers, outputs),
        operand_bytes=operand_bytes,
        activation_bytes=activation_bytes,
        outputs=outputs,
        out_element_bytes=out_element_bytes,
        output_bytes=outputs * out_element_bytes,
        sum_bytes=ACCUMULATOR_BYTES * outputs,
        is_mac=layers.is_mac,
        is_vector=layers.is_vector,
        passes=passes,
        steps=taps
        * tf.where(is_mac, passes, 1.0)
        * (layers.is_mac + layers.is_vector),
        images=images,
        row_windows=_windows(layers.k_h, layers.stride_h, layers.dilation_h),
        column_windows=_windows(layers.k_w, layers.stride_w, layers.dilation_w),
    )


def _table_bytes(layers: LayerTable, outputs: Any) -> Any:
    """What a run reads of parameters besides the weights: each once."""
    if not tf.is_tensor(layers.stored_elements):
        return 0.0
    read = tf.minimum(layers.stored_elements, outputs)
    return read * (layers.weight_bits / 8)


def _windows(kernel: Any, stride: Any, dilation: Any) -> Windows:
    gap: Any = 1.0
    if not is_one(dilation):
        # Taps and windows stand on multiples of what divides both.
        common = common_step(stride, dilation)
        stride, gap = stride / common, dilation / common
    fresh = tf.minimum(stride, kernel)
    return Windows(kernel, fresh, kernel - fresh, gap)


def lines_read(windows: Windows, outputs: Any, blocks: Any) -> Any:
    """Rows, or columns, of the input that blocks of those of the output read.

    `n` windows of `k` taps, `d` apart, at steps of `s`, look at `n k` lines.
    What lies `d` windows back and `s` taps on is the same line, so

        lines = n k - max(n - d, 0) max(k - s, 0)

    which is `min(n k, (n - 1) s + k)` for `d = 1` and `min(n k, n + (k - 1) d)`
    for `s = 1`. It holds if `s` and `d` have no common divisor; if one of them
    divides the other, all is done in steps of that first. Blocks share nothing
    and differ by one window at most, so with `b` of them it is `n - b d`.

    Args:
        windows: Those of the layers.
        outputs: Rows of the output.
        blocks: Runs of them that share no window.

    Returns:
        Rows, each as often as a block reads it.
    """
    if is_one(windows.gap):
        return outputs * windows.fresh + blocks * windows.shared
    again = tf.maximum(outputs - blocks * windows.gap, 0.0)
    return outputs * windows.kernel - again * windows.shared


def input_bytes(layers: LayerTable, positions: Any) -> Any:
    """Bytes of the inputs at some positions, with those of further inputs.

    What only moves data reads each element once.

    Args:
        layers: `LayerTable` of `[B, L]`.
        positions: Positions that a layer with windows reads.

    Returns:
        Bytes, `[B, L]`.
    """
    is_busy = layers.is_mac + layers.is_vector > 0
    whole = layers.in_h * layers.in_w
    elements = tf.where(is_busy, positions, whole) * layers.in_c
    return (elements + layers.side_elements) * (layers.activation_bits / 8)
