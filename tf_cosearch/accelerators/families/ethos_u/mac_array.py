"""The multiply-accumulate array of an Ethos-U, and what writes its results."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import tensorflow as tf

from tf_cosearch.accelerators import technology
from tf_cosearch.accelerators.parameter import Fixed, Searched
from tf_cosearch.accelerators.sram import Sram
from tf_cosearch.networks.loops import ACCUMULATOR_BYTES, PRODUCT_BYTES

DOT_WIDTH = 8
"""Products that are added up for an output in a cycle."""

CHANNEL_BYTES = 10.0
"""Bias, scale and shift of an output channel, packed."""

OUTSTANDING_BYTES = 256
"""What of them is asked for before the first has come."""

STEP_CYCLES = 4
"""Cycles that a piece of outputs stays at work: 32 products of each."""


class MacArray(NamedTuple):
    """A core of 32 to 256 int8 multiply-accumulates a cycle, or two of 256.

    A core works on a piece of the output at a time: 4 channels of a pixel (32
    multipliers), 8 channels (64), of 2 pixels in a row (128), or of 2 x 2
    (256). There are an Ethos-U55 of 32, 64, 128 and 256 multipliers and an
    Ethos-U65 of 256 and 512. `latency_cycles` is the time that flash or DRAM
    takes to answer. Fields are numbers or `[B]` tensors.

    Reference: Arm Ethos-U55 and Ethos-U65 NPU technical reference manuals,
    developer.arm.com, 102420 and 102023.
    """

    macs: Annotated[
        Any,
        Searched(
            (32, 64, 128, 256, 512), "multipliers", 32, 512, True, exact=True
        ),
    ] = 128
    latency_cycles: Annotated[Any, Fixed("cycles", 0, 10000)] = 64

    def units(self) -> Any:
        """Multiply-accumulates a cycle when nothing stands idle."""
        return self.macs

    def cores(self) -> Any:
        """Cores that the output channels of a piece are dealt to."""
        return tf.where(self.macs > 256, 2.0, 1.0)

    def piece(self) -> tuple[Any, Any, Any]:
        """Rows, columns and channels of the outputs that are worked on."""
        return (
            tf.where(self.macs >= 256, 2.0, 1.0),
            tf.where(self.macs >= 128, 2.0, 1.0),
            tf.where(self.macs >= 64, 8.0, 4.0),
        )

    def element_cycles(self) -> Any:
        """Cycles of scaling, rounding and writing one output."""
        return 64.0 / self.units()

    def scale_cycles(self) -> Any:
        """Cycles until bias and scale of an output channel have come."""
        return self.latency_cycles * (CHANNEL_BYTES / OUTSTANDING_BYTES)

    def buffer_kib(self) -> Any:
        """Memory of a core for inputs and accumulators."""
        small = tf.where(self.macs >= 128, 24.0, 16.0)
        return tf.where(self.macs >= 256, 48.0, small)

    def accumulators(self) -> Any:
        """Outputs of a block: two of them take two thirds of the buffers."""
        return self.buffer_kib() * (1024 / (3 * ACCUMULATOR_BYTES))

    def sram(self, node_nm: Any) -> Sram:
        """The buffer of a core."""
        return Sram(self.buffer_kib(), 16.0, node_nm)

    def register_bytes(self) -> Any:
        """Of all multipliers: two operands and a product, and shared sums."""
        return self.units() * (
            2 + PRODUCT_BYTES + ACCUMULATOR_BYTES / DOT_WIDTH
        )

    def area_mm2(self, node_nm: Any) -> Any:
        """Area of multipliers and buffers."""
        macs = self.units() * technology.mac_area_mm2(node_nm)
        return macs + self.cores() * self.sram(node_nm).area_mm2()

    def leakage_mw(self, node_nm: Any) -> Any:
        """Leakage of multipliers and buffers."""
        macs = self.units() * technology.mac_area_mm2(node_nm)
        buffers = self.cores() * self.sram(node_nm).leakage_mw()
        return technology.logic_leakage_mw(macs, node_nm) + buffers
