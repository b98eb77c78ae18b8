"""The network on chip that brings operands to the PEs."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from tf_cosearch.accelerators import technology
from tf_cosearch.accelerators.parameter import Fixed


class Interconnect(NamedTuple):
    """Multicast buses: what several PEs need is sent once.

    Fields are numbers or `[B]` tensors. A PE takes 64 bytes a cycle, the
    weight port of ZigZag's public `edge_tpu_like` template (512 bits).
    """

    width_bytes: Annotated[Any, Fixed("bytes/cycle", 1, 4096)] = 64

    def cycles(self, bytes_per_pe: Any) -> Any:
        """Cycles it takes to bring every PE its operands."""
        return bytes_per_pe * (1.0 / self.width_bytes)

    def transfer_pj(self, node_nm: Any) -> Any:
        """Energy of bringing one byte to one PE."""
        return technology.transfer_energy_pj(node_nm)
