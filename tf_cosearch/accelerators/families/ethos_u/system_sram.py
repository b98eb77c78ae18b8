"""The SRAM that an Ethos-U shares with the rest of the system."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from tf_cosearch.accelerators.parameter import Fixed, Searched
from tf_cosearch.accelerators.sram import Sram


class SystemSram(NamedTuple):
    """Activations, and weights on their way from flash or DRAM.

    Where `arena_in_dram` is 0 image and answer are in it, too, as Vela's
    memory mode `Shared_Sram` says; where it is 1 they are in DRAM, and the SRAM
    keeps what finds room (`Dedicated_Sram`). Fields are numbers or `[B]`
    tensors.
    """

    capacity_kib: Annotated[
        Any, Searched((256, 512, 1024, 2048, 4096), "KiB", 16, 65536)
    ] = 4096
    width_bytes: Annotated[Any, Fixed("bytes/cycle", 1, 64)] = 8
    arena_in_dram: Annotated[Any, Fixed("0 or 1", 0, 1, True)] = 0

    def sram(self, node_nm: Any) -> Sram:
        """The memory as one macro."""
        return Sram(self.capacity_kib, self.width_bytes, node_nm)

    def capacity_bytes(self) -> Any:
        """All that it holds."""
        return self.capacity_kib * 1024

    def cycles(self, moved_bytes: Any) -> Any:
        """Cycles its port is busy."""
        return moved_bytes * (1.0 / self.width_bytes)
