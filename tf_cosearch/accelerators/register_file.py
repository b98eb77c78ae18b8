"""The register file of a compute lane."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import tensorflow as tf

from tf_cosearch.accelerators.parameter import Fixed, Searched
from tf_cosearch.accelerators.sram import Sram

ACCUMULATOR_BYTES = 4


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

    def accumulators(self, outputs: Any) -> Any:
        """Positions a lane can accumulate before it needs other weights.

        Args:
            outputs: Outputs of a position that the lane works on in parallel.

        Returns:
            Positions, at least the one in the SIMD units' own registers.
        """
        room = self.capacity_kib * 1024
        return tf.maximum(room // (ACCUMULATOR_BYTES * outputs), 1.0)

    def chunks(self, weight_bytes: Any) -> Any:
        """Parts that a lane's weights fall into when they do not fit.

        Args:
            weight_bytes: Weights of the outputs that the lane works on.

        Returns:
            Parts, at least one.
        """
        return tf.maximum(
            tf.math.ceil(weight_bytes / self.capacity_kib / 1024), 1.0
        )
