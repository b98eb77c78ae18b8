"""The memory of a systolic array: inputs, weights and outputs."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from tf_cosearch.accelerators.parameter import Fixed, Searched
from tf_cosearch.accelerators.sram import Sram


class Scratchpad(NamedTuple):
    """SRAM in banks, as many as the edges of the array take bytes a cycle.

    Half of it is at work while the other half is filled. At most
    `weight_share` of it keeps weights from inference to inference, at most
    `activation_share` activations from layer to layer. Fields are numbers or
    `[B]` tensors.
    """

    capacity_kib: Annotated[
        Any, Searched((64, 128, 256, 512, 1024, 2048), "KiB", 1, 65536)
    ] = 192
    width_bytes: Annotated[Any, Fixed("bytes", 1, 1024)] = 32
    weight_share: Annotated[Any, Fixed("share of the capacity", 0, 1)] = 0
    activation_share: Annotated[Any, Fixed("share of the capacity", 0, 1)] = 1

    def sram(self, node_nm: Any) -> Sram:
        """The memory as one macro."""
        return Sram(self.capacity_kib, self.width_bytes, node_nm)

    def capacity_bytes(self) -> Any:
        """All that it holds."""
        return self.capacity_kib * 1024
