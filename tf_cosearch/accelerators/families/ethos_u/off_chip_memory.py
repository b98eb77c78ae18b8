"""Flash or DRAM of a microcontroller's system."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from tf_cosearch.accelerators.dram import Dram
from tf_cosearch.accelerators.parameter import Fixed, Searched


class OffChipMemory(NamedTuple):
    """What weights are streamed from; a `Dram` of other bandwidths.

    Fields are numbers or `[B]` tensors. By default the energy of a byte is that
    of DRAM, for flash as well, which is an assumption.
    """

    bandwidth_gbs: Annotated[
        Any, Searched((0.1, 0.5, 1, 3.75, 12), "GB/s", 0.01, 4096)
    ] = 0.5
    onload_share: Annotated[Any, Fixed("share of the input", 0, 1)] = 0
    byte_pj: Annotated[Any, Fixed("pJ/byte", 0, 1e4)] = Dram().byte_pj
    idle_mw: Annotated[Any, Fixed("mW", 0, 1e5)] = 0

    def cycles(self, traffic_bytes: Any, clock_ghz: Any) -> Any:
        """Cycles the interface is busy."""
        return Dram(*self).cycles(traffic_bytes, clock_ghz)

    def area_mm2(self, node_nm: Any) -> Any:
        """Area of the interface on the chip."""
        return Dram(*self).area_mm2(node_nm)
