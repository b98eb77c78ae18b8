"""The memory of a PE; together they are all the memory on the chip."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from tf_cosearch.accelerators.parameter import Fixed, Searched
from tf_cosearch.accelerators.sram import Sram


class PEMemory(NamedTuple):
    """SRAM shared by the lanes of a PE: activations, weights, partial sums.

    Fields are numbers or `[B]` tensors. The port of 256 bytes is that of the
    2 MB SRAM in ZigZag's public `edge_tpu_like` template (2048 bits).
    """

    capacity_mib: Annotated[
        Any, Searched((0.5, 1, 2, 3, 4), "MiB", 0.001, 1024)
    ] = 2
    width_bytes: Annotated[Any, Fixed("bytes/cycle", 1, 4096)] = 256

    def sram(self, node_nm: Any) -> Sram:
        """The macro that the memory of one PE is."""
        return Sram(self.capacity_mib * 1024, self.width_bytes, node_nm)

    def capacity_bytes(self, pes: Any) -> Any:
        """Capacity of all PEs together."""
        return self.capacity_mib * (1024 * 1024) * pes

    def cycles(self, traffic_bytes: Any, pes: Any) -> Any:
        """Cycles the ports are busy with traffic spread over all PEs."""
        return traffic_bytes / (self.width_bytes * pes)
