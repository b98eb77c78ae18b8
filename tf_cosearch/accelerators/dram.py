"""The memory off the chip and the interface to it."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from tf_cosearch.accelerators import technology
from tf_cosearch.accelerators.parameter import Fixed, Searched


class Dram(NamedTuple):
    """DRAM behind an interface of limited bandwidth.

    `onload_share` is the part of a layer's off-chip input that has to be on
    the chip before the array starts: 0 where computing starts with the first
    rows, 1 where the whole input is loaded first. A byte takes `byte_pj` to
    move, and standing by takes `idle_mw` as long as an inference lasts. Fields
    are numbers or `[B]` tensors.
    """

    bandwidth_gbs: Annotated[
        Any, Searched((5, 10, 15, 20, 25), "GB/s", 0.01, 4096)
    ] = 20
    onload_share: Annotated[Any, Fixed("share of the input", 0, 1)] = 0
    byte_pj: Annotated[Any, Fixed("pJ/byte", 0, 1e4)] = (
        technology.DRAM_ACCESS.value
    )
    idle_mw: Annotated[Any, Fixed("mW", 0, 1e5)] = 0

    def cycles(self, traffic_bytes: Any, clock_ghz: Any) -> Any:
        """Cycles the interface is busy."""
        return traffic_bytes * (clock_ghz / self.bandwidth_gbs)

    def area_mm2(self, node_nm: Any) -> Any:
        """Area of the interface on the chip."""
        return technology.dram_interface_area_mm2(self.bandwidth_gbs, node_nm)
