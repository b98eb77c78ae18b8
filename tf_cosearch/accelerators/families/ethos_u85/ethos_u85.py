"""The components of an Ethos-U85, and what they add up to."""

from __future__ import annotations

from typing import Any, NamedTuple

from tf_cosearch.accelerators.families.ethos_u.ethos_u import EthosU
from tf_cosearch.accelerators.families.ethos_u.off_chip_memory import (
    OffChipMemory,
)
from tf_cosearch.accelerators.families.ethos_u.system_sram import SystemSram
from tf_cosearch.accelerators.families.ethos_u85.mac_array import MacArray
from tf_cosearch.accelerators.family import Room
from tf_cosearch.accelerators.host_link import HostLink
from tf_cosearch.accelerators.process import Process
from tf_cosearch.accelerators.runtime import Runtime


class EthosU85(NamedTuple):
    """Arm's Ethos-U85 beside the processor of its system.

    The baseline is one of 256 multipliers in the system that Vela calls
    `Ethos_U85_SYS_DRAM_Mid`: 1 GHz, SRAM of 32 GB/s, of which it has 384 KiB
    of its own, DRAM of 12 GB/s that answers after 500 cycles. What it cannot
    run a Cortex-M55 does, as beside the other Ethos-U.

    Example:
    >>> EthosU85().macs_per_cycle()
    256

    Reference: Vela 5.2.0, pypi.org/project/ethos-u-vela, its vela.ini.
    """

    mac_array: MacArray = MacArray()
    system_sram: SystemSram = SystemSram(384, 32, 1)
    dram: OffChipMemory = OffChipMemory(12)
    host_link: HostLink = HostLink()
    process: Process = Process(clock_ghz=1)
    runtime: Runtime = Runtime(cpu_gmacs=2, cpu_gelements=0.08)

    def _rest(self) -> EthosU:
        """An Ethos-U around the same array, which says what is alike."""
        return EthosU(**self._asdict())

    def macs_per_cycle(self) -> Any:
        """See `family.Accelerator`, as of the others."""
        return self.mac_array.units()

    def pes(self) -> Any:
        """Its core."""
        return self._rest().pes()

    def port_bytes(self) -> Any:
        """That of the SRAM."""
        return self._rest().port_bytes()

    def area_mm2(self) -> Any:
        """Area of all components."""
        return self._rest().area_mm2()

    def leakage_mw(self) -> Any:
        """Power that transistors leak."""
        return self._rest().leakage_mw()

    def register_bytes(self) -> Any:
        """Those of the array."""
        return self._rest().register_bytes()

    def room(self) -> Room:
        """The SRAM, for activations alone."""
        return self._rest().room()

    def write_pj(self) -> Any:
        """Energy of the SRAM."""
        return self._rest().write_pj()

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
