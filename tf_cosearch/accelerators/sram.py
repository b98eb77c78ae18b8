"""An SRAM macro: what register files and PE memories are made of."""

from __future__ import annotations

from typing import Any, NamedTuple

from tf_cosearch.accelerators import technology


class Sram(NamedTuple):
    """One SRAM with a read and a write port; numbers or `[B]` tensors.

    Attributes:
        capacity_kib: Capacity in KiB.
        width_bytes: Bytes a port moves in a cycle.
        node_nm: Process node in nm.
    """

    capacity_kib: Any
    width_bytes: Any
    node_nm: Any

    def read_pj(self) -> Any:
        """Energy of reading one byte."""
        return technology.SRAM_READ(*self)

    def write_pj(self) -> Any:
        """Energy of writing one byte."""
        return technology.SRAM_WRITE(*self)

    def area_mm2(self) -> Any:
        """Area of the macro."""
        return technology.SRAM_AREA(*self)

    def leakage_mw(self) -> Any:
        """Leakage of the macro."""
        return technology.SRAM_LEAKAGE(*self)
