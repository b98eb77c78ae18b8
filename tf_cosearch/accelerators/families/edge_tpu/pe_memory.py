"""The memory of a PE; together they are all the memory on the chip."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_cosearch.accelerators.parameter import Fixed, Searched
from tf_cosearch.accelerators.sram import Sram


def _least(one: Any, other: float) -> Any:
    return (
        tf.minimum(one, other) if tf.is_tensor(one) else np.minimum(one, other)
    )


class PEMemory(NamedTuple):
    """SRAM shared by the lanes of a PE: activations, weights, partial sums.

    Fields are numbers or `[B]` tensors. The port of 256 bytes is that of the
    2 MB SRAM in ZigZag's public `edge_tpu_like` template (2048 bits). At most
    `weight_share` of the memory keeps weights from inference to inference, at
    most `activation_share` keeps activations from layer to layer; 0 is a
    machine that streams all of them every time.

    What a compiler makes of it: with `whole_layers` weights leave by whole
    layers, in the order of their use. With `padded_weights` they are stored
    for whole lanes: output channels in multiples of the SIMD units or of 64,
    input channels in multiples of the dot product or of 4, whichever is less,
    and with a 32-bit scale beside each bias, as the Edge TPU's compiler does
    for 64 units of 4 products (to 0.01 MiB of what it logs of 68 networks).
    With a `tile_kib` activations have so much of a PE's memory for themselves:
    what does not fit is worked on in tiles of rows instead of spilled. Of more
    than one of `fused_layers` so many layers in a row, at most, may be worked
    on together, tile by tile: see `cost/fusion.py`.
    """

    capacity_mib: Annotated[
        Any, Searched((0.5, 1, 2, 3, 4), "MiB a PE", 0.001, 1024)
    ] = 2
    width_bytes: Annotated[Any, Fixed("bytes/cycle", 1, 4096)] = 256
    weight_share: Annotated[Any, Fixed("share of the capacity", 0, 1)] = 1
    activation_share: Annotated[Any, Fixed("share of the capacity", 0, 1)] = 1

    whole_layers: Annotated[Any, Fixed("0 or 1", 0, 1, True)] = 0
    padded_weights: Annotated[Any, Fixed("0 or 1", 0, 1, True)] = 0
    tile_kib: Annotated[Any, Fixed("KiB a PE", 0, 1e6)] = 0
    fused_layers: Annotated[Any, Fixed("layers", 1, 3, True)] = 1

    def sram(self, node_nm: Any) -> Sram:
        """The macro that the memory of one PE is."""
        return Sram(self.capacity_mib * 1024, self.width_bytes, node_nm)

    def capacity_bytes(self, pes: Any) -> Any:
        """Capacity of all PEs together."""
        return self.capacity_mib * (1024 * 1024) * pes

    def weight_bytes(self, pes: Any) -> Any:
        """The most that may be taken by weights that stay."""
        return self.weight_share * self.capacity_bytes(pes)

    def activation_bytes(self, pes: Any) -> Any:
        """The most that may be taken by activations between layers."""
        return self.activation_share * self.capacity_bytes(pes)

    def out_c_multiple(self, simd_units: Any) -> Any:
        """What output channels that are stored fill multiples of."""
        return 1 + self.padded_weights * (_least(simd_units, 64) - 1)

    def in_c_multiple(self, dot_width: Any) -> Any:
        """What input channels that are stored fill multiples of."""
        return 1 + self.padded_weights * (_least(dot_width, 4) - 1)

    def tile_parts(self, pes: Any) -> Any:
        """PEs that rows, or columns, of tiles are dealt to; 1 without tiles."""
        sign = tf.sign if tf.is_tensor(self.tile_kib) else np.sign
        return 1 + sign(self.tile_kib) * (pes - 1)

    def channel_bytes(self) -> Any:
        """What is stored with the weights of an output channel."""
        return 4.0 + 4.0 * self.padded_weights

    def cycles(self, bytes_per_pe: Any) -> Any:
        """Cycles the port of a PE's memory is busy."""
        return bytes_per_pe * (1.0 / self.width_bytes)
