"""An accelerator and its components, a file each.

A parameter is a field of its component, which says whether it is searched.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tf_cosearch.accelerators import parameter
from tf_cosearch.accelerators.dram import Dram
from tf_cosearch.accelerators.interconnect import Interconnect
from tf_cosearch.accelerators.parameter import Fixed, Searched
from tf_cosearch.accelerators.pe_array import PEArray
from tf_cosearch.accelerators.pe_memory import PEMemory
from tf_cosearch.accelerators.process import Process
from tf_cosearch.accelerators.register_file import RegisterFile
from tf_cosearch.accelerators.runtime import Runtime


class Accelerator(NamedTuple):
    """An edge accelerator after the template of the Edge TPU.

    Weights and activations come from DRAM into the memories of the PEs, over
    the interconnect to the lanes, through register files into SIMD units. The
    fields of every component are numbers, or `[B]` tensors for a batch.

    Example:
    >>> round(float(Accelerator().peak_tops()), 1)
    26.2

    Reference:
        Template, values and baseline: NAHAS (arXiv 2102.08619); the same
        machine is "V1" in arXiv 2102.10423.
    """

    pe_array: PEArray = PEArray()
    register_file: RegisterFile = RegisterFile()
    pe_memory: PEMemory = PEMemory()
    interconnect: Interconnect = Interconnect()
    dram: Dram = Dram()
    process: Process = Process()
    runtime: Runtime = Runtime()

    def peak_tops(self) -> Any:
        """Peak of the array in 10^12 operations a second; a MAC is two."""
        macs = self.pe_array.macs_per_cycle() * self.process.clock_ghz
        return 2 * macs / 1e3

    def area_mm2(self) -> Any:
        """Area of all components."""
        node_nm = self.process.node_nm
        pes = self.pe_array.pes()
        lanes = pes * self.pe_array.lanes
        return (
            self.pe_array.area_mm2(node_nm)
            + lanes * self.register_file.sram(node_nm).area_mm2()
            + pes * self.pe_memory.sram(node_nm).area_mm2()
            + self.dram.area_mm2(node_nm)
        )

    def leakage_mw(self) -> Any:
        """Power that flows whether or not anything is computed."""
        node_nm = self.process.node_nm
        pes = self.pe_array.pes()
        lanes = pes * self.pe_array.lanes
        return (
            self.pe_array.leakage_mw(node_nm)
            + lanes * self.register_file.sram(node_nm).leakage_mw()
            + pes * self.pe_memory.sram(node_nm).leakage_mw()
        )


def parameters() -> dict[str, Searched | Fixed]:
    """All parameters of an accelerator by their paths.

    Returns:
        What each may hold, for example under `pe_array/rows`.

    Example:
    >>> parameters()["pe_array/rows"].choices
    (1, 2, 4, 6, 8)
    """
    return {
        f"{component}/{name}": hint
        for component, default in Accelerator()._asdict().items()
        for name, hint in parameter.fields(type(default)).items()
    }


def from_paths(values: dict[str, Any]) -> Accelerator:
    """Builds an accelerator from values by path; the rest is the default's.

    Args:
        values: Values under paths such as `pe_array/rows`; numbers, or `[B]`
            arrays for a batch.

    Returns:
        The `Accelerator`.
    """
    base = Accelerator()
    for path, value in values.items():
        component, name = path.split("/")
        replaced = getattr(base, component)._replace(**{name: value})
        base = base._replace(**{component: replaced})
    return base


def to_paths(accelerator: Accelerator) -> dict[str, Any]:
    """The values of an accelerator by path, the inverse of `from_paths`."""
    return {
        f"{component}/{name}": value
        for component, fields in accelerator._asdict().items()
        for name, value in fields._asdict().items()
    }
