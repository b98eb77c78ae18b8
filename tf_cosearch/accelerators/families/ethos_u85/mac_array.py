"""The multiply-accumulate array of an Ethos-U85, and what feeds it."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import tensorflow as tf

from tf_cosearch.accelerators import technology
from tf_cosearch.accelerators.families.ethos_u.mac_array import (
    CHANNEL_BYTES,
    DOT_WIDTH,
    OUTSTANDING_BYTES,
)
from tf_cosearch.accelerators.parameter import Fixed, Searched
from tf_cosearch.accelerators.sram import Sram
from tf_cosearch.networks.loops import ACCUMULATOR_BYTES, PRODUCT_BYTES

SIZES = (128, 256, 512, 1024, 2048)
"""Multiply-accumulates a cycle of those that Arm offers."""

SHALLOW = 16.0
"""Channels of a piece where each output channel has an input of its own."""

_WAITING = 0.8
"""Share of what may be asked for at once which is."""

_MOST_BYTES = _WAITING * 8192
"""What 64 bursts of DRAM bring."""

_SRAM_BYTES = _WAITING * 1024
"""What 16 bursts of the SRAM bring."""


class MacArray(NamedTuple):
    """A core of 128 to 2048 int8 multiply-accumulates a cycle.

    It works on a piece of the output at a time, which has an eighth as many
    elements as there are multipliers. `latency_cycles` is the time that flash
    or DRAM takes to answer, `sram_latency_cycles` that of the SRAM. What may
    be asked for before an answer comes is limited, so that a slow answer
    limits what comes in. Fields are numbers or `[B]` tensors.

    Reference: Arm Ethos-U85 NPU technical reference manual,
    developer.arm.com, 102685. Sizes of buffers, pieces and windows are those
    of Vela 5.2.0, pypi.org/project/ethos-u-vela.
    """

    macs: Annotated[
        Any, Searched(SIZES, "multipliers", 128, 2048, True, exact=True)
    ] = 256
    latency_cycles: Annotated[Any, Fixed("cycles", 0, 10000)] = 500
    sram_latency_cycles: Annotated[Any, Fixed("cycles", 0, 10000)] = 32

    def units(self) -> Any:
        """Multiply-accumulates a cycle when nothing stands idle."""
        return self.macs

    def cores(self) -> Any:
        """One, of any size."""
        return 1.0 + 0.0 * self.macs

    def of_size(self, *values: float) -> Any:
        """The one of five values, of as many multipliers each."""
        value: Any = values[-1]
        for most, smaller in zip(SIZES[-2::-1], values[-2::-1], strict=True):
            value = tf.where(self.macs <= most, smaller, value)
        return value

    def pieces(self) -> tuple[tuple[Any, Any, Any], ...]:
        """Rows, columns and channels of the pieces of a convolution."""
        channels = tf.maximum(self.macs / 32, 8.0)
        square = self.of_size(1.0, 2.0, 2.0, 2.0, 2.0), 2.0, channels
        row = 1.0, self.of_size(2.0, 4.0, 4.0, 4.0, 4.0), channels
        shallow = tuple(
            tf.where(self.macs > 512, few, many)
            for few, many in zip(self.shallow_piece(), square, strict=True)
        )
        return square, row, (shallow[0], shallow[1], shallow[2])

    def shallow_piece(self) -> tuple[Any, Any, Any]:
        """That of all else."""
        rows = self.of_size(1.0, 1.0, 2.0, 2.0, 4.0)
        return rows, self.macs / (8 * SHALLOW) / rows, SHALLOW

    def set_cycles(self, channels: Any) -> Any:
        """Cycles of decoding 32 weights of so many channels."""
        decoded = 8 * self.of_size(1.0, 1.0, 2.0, 4.0, 4.0)
        return 4 * DOT_WIDTH * channels / decoded

    def element_cycles(self) -> Any:
        """Cycles of scaling, rounding and writing one output."""
        return 64.0 / self.macs

    def resize_slower(self, factor: Any) -> Any:
        """How many times as long an output takes of a map enlarged so."""
        return tf.where(
            (self.macs > 512) & (factor < self.macs / 512), 2.0, 1.0
        )

    def sums(self) -> Any:
        """Accumulators."""
        return 16.0 * self.macs

    def input_bytes(self) -> Any:
        """The buffer of inputs."""
        return 1024 * self.of_size(8.0, 16.0, 16.0, 16.0, 32.0)

    def staging_cycles(self) -> Any:
        """Cycles a byte of weights takes from flash or DRAM to the SRAM."""
        return self._wait(self.of_size(1024.0, 1664.0, 2048.0, 4096.0, 4096.0))

    def weight_cycles(self) -> Any:
        """Those that it takes from there to the core."""
        return self._wait(
            self.of_size(2048.0, 2048.0, 4096.0, _MOST_BYTES, _MOST_BYTES)
        )

    def image_cycles(self) -> Any:
        """Those of a byte of inputs."""
        return self._wait(self.of_size(1664.0, 2048.0, 2048.0, 4096.0, 4096.0))

    def channel_cycles(self) -> Any:
        """Those of bias and scale of an output channel."""
        return CHANNEL_BYTES * self._wait(OUTSTANDING_BYTES)

    def stream_cycles(self) -> Any:
        """Those of a byte that the SRAM sends or takes in one stream."""
        return self.sram_latency_cycles / (_WAITING * _SRAM_BYTES)

    def grid(self) -> tuple[Any, Any]:
        """Rows and columns that inputs of up to 16 channels come by."""
        return (
            self.of_size(1.0, 2.0, 2.0, 2.0, 4.0),
            self.of_size(2.0, 2.0, 2.0, 4.0, 4.0),
        )

    def _wait(self, window_bytes: Any) -> Any:
        return self.latency_cycles / (_WAITING * window_bytes)

    def inputs(self, node_nm: Any) -> Sram:
        """The buffer of inputs."""
        return Sram(self.input_bytes() / 1024, 16.0, node_nm)

    def accumulators(self, node_nm: Any) -> Sram:
        """That of sums."""
        kib = self.sums() * (ACCUMULATOR_BYTES / 1024)
        return Sram(kib, 16.0, node_nm)

    def register_bytes(self) -> Any:
        """Of all multipliers: two operands and a product, and shared sums."""
        return self.macs * (2 + PRODUCT_BYTES + ACCUMULATOR_BYTES / DOT_WIDTH)

    def area_mm2(self, node_nm: Any) -> Any:
        """Area of multipliers and buffers."""
        return (
            self.macs * technology.mac_area_mm2(node_nm)
            + self.inputs(node_nm).area_mm2()
            + self.accumulators(node_nm).area_mm2()
        )

    def leakage_mw(self, node_nm: Any) -> Any:
        """Leakage of multipliers and buffers."""
        macs = self.macs * technology.mac_area_mm2(node_nm)
        return (
            technology.logic_leakage_mw(macs, node_nm)
            + self.inputs(node_nm).leakage_mw()
            + self.accumulators(node_nm).leakage_mw()
        )
