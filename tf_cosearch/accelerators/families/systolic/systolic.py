"""The components of a systolic array, a file each."""

from __future__ import annotations

from typing import Any, NamedTuple

from tf_cosearch.accelerators.dram import Dram
from tf_cosearch.accelerators.families.systolic.array import Array
from tf_cosearch.accelerators.families.systolic.scratchpad import Scratchpad
from tf_cosearch.accelerators.family import Room
from tf_cosearch.accelerators.host_link import HostLink
from tf_cosearch.accelerators.process import Process
from tf_cosearch.accelerators.runtime import Runtime


class Systolic(NamedTuple):
    """A systolic array with a scratchpad, as SCALE-Sim has it.

    The baseline is SCALE-Sim's example: 32 x 32 units and three memories of 64
    KiB, which are one here.

    Example:
    >>> Systolic().macs_per_cycle()
    1024

    Reference:
        Samajdar et al., "A systematic methodology for characterizing
        scalability of DNN accelerators using SCALE-Sim", ISPASS 2020.
    """

    array: Array = Array()
    scratchpad: Scratchpad = Scratchpad()
    dram: Dram = Dram()
    host_link: HostLink = HostLink()
    process: Process = Process()
    runtime: Runtime = Runtime()

    def macs_per_cycle(self) -> Any:
        """See `family.Accelerator`, as of the others."""
        return self.array.units()

    def pes(self) -> Any:
        """All of the array is one: there is a single memory."""
        return 1

    def port_bytes(self) -> Any:
        """What passes the edges of the array."""
        return self.array.port_bytes()

    def area_mm2(self) -> Any:
        """Area of all components."""
        node_nm = self.process.node_nm
        return (
            self.array.area_mm2(node_nm)
            + self.scratchpad.sram(node_nm).area_mm2()
            + self.dram.area_mm2(node_nm)
        )

    def leakage_mw(self) -> Any:
        """Power that transistors leak."""
        node_nm = self.process.node_nm
        return (
            self.array.leakage_mw(node_nm)
            + self.scratchpad.sram(node_nm).leakage_mw()
        )

    def register_bytes(self) -> Any:
        """Those of the array."""
        return self.array.register_bytes()

    def room(self) -> Room:
        """The scratchpad."""
        capacity = self.scratchpad.capacity_bytes()
        return Room(
            capacity,
            self.scratchpad.weight_share * capacity,
            self.scratchpad.activation_share * capacity,
            self.dram.onload_share,
            image_share=1 - self.host_link.is_there(),
        )

    def write_pj(self) -> Any:
        """Energy of the scratchpad."""
        return self.scratchpad.sram(self.process.node_nm).write_pj()

    def pipeline_cycles(self) -> Any:
        """None: those of filling the array are counted with each fold."""
        return 0.0

    def operand_cycles(self, operand_bytes: Any) -> Any:
        """None, likewise."""
        return 0.0 * operand_bytes

    def repeat_cycles(self, weight_bytes: Any) -> Any:
        """None: what stays is brought as often as folds need it."""
        return 0.0 * weight_bytes

    def missing_register_bytes(self) -> Any:
        """None: any layer runs."""
        return 0.0 * self.array.rows
