"""The link to the host that an accelerator serves."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_cosearch.accelerators.parameter import Fixed
from tf_cosearch.arithmetic import inverse


class HostLink(NamedTuple):
    """What an image, an answer and instructions cross, one after the other.

    Where the chip hangs on USB or PCIe, an image is sent before anything is
    computed and an answer after everything is; neither passes the DRAM
    interface then. Of every operation `instruction_bytes` are sent at each
    inference. `input_gbs` is the bandwidth towards the chip and `output_gbs`
    that towards the host, with what the host does to an answer. At an
    `input_gbs` of 0 there is no link: images are in the chip's own DRAM; at an
    `output_gbs` of 0 answers take no time. A byte that crosses takes `byte_pj`,
    and keeping the link up `idle_mw` as long as an inference lasts. Fields are
    numbers or `[B]` tensors.

    Example:
    A picture of 150,528 bytes and a thousand scores, by USB.

    >>> link = HostLink(input_gbs=0.4, output_gbs=0.4)
    >>> float(link.cycles(150528, 1000, 0, clock_ghz=0.5)) / 0.5e6  # ms
    0.37882
    """

    input_gbs: Annotated[Any, Fixed("GB/s", 0, 4096)] = 0
    output_gbs: Annotated[Any, Fixed("GB/s", 0, 4096)] = 0
    instruction_bytes: Annotated[Any, Fixed("bytes/operation", 0, 1e6)] = 0
    byte_pj: Annotated[Any, Fixed("pJ/byte", 0, 1e4)] = 0
    idle_mw: Annotated[Any, Fixed("mW", 0, 1e5)] = 0

    def is_there(self) -> Any:
        """1 where there is a link, else 0."""
        sign = tf.sign if tf.is_tensor(self.input_gbs) else np.sign
        return sign(self.input_gbs)

    def power_mw(self) -> Any:
        """Power of a link that is there."""
        return self.idle_mw * self.is_there()

    def cycles(
        self, in_bytes: Any, out_bytes: Any, operations: Any, clock_ghz: Any
    ) -> Any:
        """Cycles that the link takes, proportional to what crosses it.

        Args:
            in_bytes: Bytes of images.
            out_bytes: Bytes of answers.
            operations: Operations that are instructed.
            clock_ghz: The clock of the chip.

        Returns:
            Cycles, in the shape the arguments broadcast to.
        """
        rate = self.input_gbs
        if not (tf.is_tensor(rate) or np.any(rate)):
            return 0.0  # spares arrays of many networks by many chips
        sent = in_bytes + operations * self.instruction_bytes
        sent_ns = sent * inverse(self.input_gbs)
        answer_ns = out_bytes * inverse(self.output_gbs) * self.is_there()
        return (sent_ns + answer_ns) * clock_ghz

    def energy_pj(self, in_bytes: Any, out_bytes: Any, operations: Any) -> Any:
        """Energy of what crosses the link.

        Args:
            in_bytes: Bytes of images.
            out_bytes: Bytes of answers.
            operations: Operations that are instructed.

        Returns:
            Picojoules, in the shape the arguments broadcast to.
        """
        each_pj = self.byte_pj
        if not (tf.is_tensor(each_pj) or np.any(each_pj)):
            return 0.0  # spares arrays, as above
        crossing = in_bytes + out_bytes + operations * self.instruction_bytes
        return crossing * (each_pj * self.is_there())
