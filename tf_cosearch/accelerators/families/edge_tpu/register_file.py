"""The register file of a compute lane."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import tensorflow as tf

from tf_cosearch.accelerators.parameter import Fixed, Searched
from tf_cosearch.accelerators.sram import Sram
from tf_cosearch.networks.loops import ACCUMULATOR_BYTES


class RegisterFile(NamedTuple):
    """Holds the weights, or the accumulators, that a lane works on.

    Fields are numbers or `[B]` tensors.
    """

    capacity_kib: Annotated[
        Any, Searched((8, 16, 32, 64, 128), "KiB", 0.5, 4096)
    ] = 32
    width_bytes: Annotated[Any, Fixed("bytes", 1, 1024)] = 64

    def sram(self, node_nm: Any) -> Sram:
        """The macro that one register file is."""
        return Sram(self.capacity_kib, self.width_bytes, node_nm)

    def buffer_bytes(self) -> Any:
        """What is worked on: the other half is being filled meanwhile."""
        return self.capacity_kib * 512

    def accumulators(self, units: Any) -> Any:
        """Positions a lane can accumulate before it needs other weights.

        Args:
            units: SIMD units that accumulate at the same time.

        Returns:
            Positions, at least the one in the SIMD units' own registers.
        """
        room = self.buffer_bytes() / (ACCUMULATOR_BYTES * units)
        return tf.maximum(tf.floor(room), 1.0)

    def missing_bytes(self, units: Any) -> Any:
        """What a register file lacks to hold one accumulator a SIMD unit."""
        needed = 2 * ACCUMULATOR_BYTES * units
        return tf.maximum(needed - 1024.0 * self.capacity_kib, 0.0)
