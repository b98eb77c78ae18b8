"""The components of an Ethos-U, a file each."""

from __future__ import annotations

from typing import Any, NamedTuple

from tf_cosearch.accelerators.families.ethos_u.mac_array import (
    CHANNEL_BYTES,
    MacArray,
)
from tf_cosearch.accelerators.families.ethos_u.off_chip_memory import (
    OffChipMemory,
)
from tf_cosearch.accelerators.families.ethos_u.system_sram import SystemSram
from tf_cosearch.accelerators.family import Room
from tf_cosearch.accelerators.host_link import HostLink
from tf_cosearch.accelerators.process import Process
from tf_cosearch.accelerators.runtime import Runtime


class EthosU(NamedTuple):
    """Arm's Ethos-U55 or Ethos-U65 in a microcontroller's system.

    The baseline is an Ethos-U55 with 128 multipliers in the system that Vela
    calls `Ethos_U55_High_End_Embedded`: 500 MHz, SRAM of 4 GB/s, flash of 0.5
    GB/s, which is called `dram` here. Weights are streamed from it at every
    inference. What it cannot run a Cortex-M55 does at the same clock; that does
    8 products a cycle at most, of which we assume 2, and, as scalar code would,
    an element in 12.5 cycles.

    Example:
    >>> EthosU().macs_per_cycle()
    128

    Reference: Vela 5.2.0, pypi.org/project/ethos-u-vela, its vela.ini.
    """

    mac_array: MacArray = MacArray()
    system_sram: SystemSram = SystemSram()
    dram: OffChipMemory = OffChipMemory()
    host_link: HostLink = HostLink()
    process: Process = Process(clock_ghz=0.5)
    runtime: Runtime = Runtime(cpu_gmacs=1, cpu_gelements=0.04)

    def macs_per_cycle(self) -> Any:
        """See `family.Accelerator`, as of the others."""
        return self.mac_array.units()

    def pes(self) -> Any:
        """Its cores."""
        return self.mac_array.cores()

    def port_bytes(self) -> Any:
        """That of the SRAM."""
        return self.system_sram.width_bytes

    def area_mm2(self) -> Any:
        """Area of all components."""
        node_nm = self.process.node_nm
        return (
            self.mac_array.area_mm2(node_nm)
            + self.system_sram.sram(node_nm).area_mm2()
            + self.dram.area_mm2(node_nm)
        )

    def leakage_mw(self) -> Any:
        """Power that transistors leak."""
        node_nm = self.process.node_nm
        return (
            self.mac_array.leakage_mw(node_nm)
            + self.system_sram.sram(node_nm).leakage_mw()
        )

    def register_bytes(self) -> Any:
        """Those of the array."""
        return self.mac_array.register_bytes()

    def room(self) -> Room:
        """The SRAM, for activations alone."""
        capacity = self.system_sram.capacity_bytes()
        return Room(
            capacity,
            0.0 * capacity,
            capacity,
            self.dram.onload_share,
            image_share=self.system_sram.arena_in_dram,
            channel_bytes=CHANNEL_BYTES,
        )

    def write_pj(self) -> Any:
        """Energy of the SRAM."""
        return self.system_sram.sram(self.process.node_nm).write_pj()

    def pipeline_cycles(self) -> Any:
        """None: those of each block are counted."""
        return 0.0

    def operand_cycles(self, operand_bytes: Any) -> Any:
        """None, likewise."""
        return 0.0 * operand_bytes

    def repeat_cycles(self, weight_bytes: Any) -> Any:
        """None: no weights stay."""
        return 0.0 * weight_bytes

    def missing_register_bytes(self) -> Any:
        """None: any layer runs."""
        return 0.0 * self.mac_array.macs
