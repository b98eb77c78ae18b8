"""The components of an Edge TPU, a file each."""

from __future__ import annotations

from typing import Any, NamedTuple

from tf_cosearch.accelerators.dram import Dram
from tf_cosearch.accelerators.families.edge_tpu.interconnect import (
    Interconnect,
)
from tf_cosearch.accelerators.families.edge_tpu.pe_array import PEArray
from tf_cosearch.accelerators.families.edge_tpu.pe_memory import PEMemory
from tf_cosearch.accelerators.families.edge_tpu.register_file import (
    RegisterFile,
)
from tf_cosearch.accelerators.family import Room
from tf_cosearch.accelerators.host_link import HostLink
from tf_cosearch.accelerators.process import Process
from tf_cosearch.accelerators.runtime import Runtime


class EdgeTpu(NamedTuple):
    """An edge accelerator after the template of the Edge TPU.

    Weights and activations come from DRAM into the memories of the PEs, over
    the interconnect to the lanes, through register files into SIMD units. The
    fields of every component are numbers, or `[B]` tensors for a batch.

    Example:
    >>> EdgeTpu().macs_per_cycle()
    16384

    Reference:
        Template, values and baseline: NAHAS (arXiv 2102.08619); the same
        machine is "V1" in arXiv 2102.10423.
    """

    pe_array: PEArray = PEArray()
    register_file: RegisterFile = RegisterFile()
    pe_memory: PEMemory = PEMemory()
    interconnect: Interconnect = Interconnect()
    dram: Dram = Dram()
    host_link: HostLink = HostLink()
    process: Process = Process()
    runtime: Runtime = Runtime()

    def macs_per_cycle(self) -> Any:
        """See `family.Accelerator`, as of the others."""
        return self.pe_array.macs_per_cycle()

    def pes(self) -> Any:
        """Number of PEs."""
        return self.pe_array.pes()

    def port_bytes(self) -> Any:
        """Those of all PE memories."""
        return self.pe_array.pes() * self.pe_memory.width_bytes

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
        """Power that transistors leak."""
        node_nm = self.process.node_nm
        pes = self.pe_array.pes()
        lanes = pes * self.pe_array.lanes
        return (
            self.pe_array.leakage_mw(node_nm)
            + lanes * self.register_file.sram(node_nm).leakage_mw()
            + pes * self.pe_memory.sram(node_nm).leakage_mw()
        )

    def register_bytes(self) -> Any:
        """Those of the array."""
        return self.pe_array.register_bytes()

    def room(self) -> Room:
        """All PE memories together."""
        array, memory = self.pe_array, self.pe_memory
        pes = array.pes()
        return Room(
            memory.capacity_bytes(pes),
            memory.weight_bytes(pes),
            memory.activation_bytes(pes),
            self.dram.onload_share,
            image_share=1 - self.host_link.is_there(),
            whole_layers=memory.whole_layers,
            out_c_multiple=memory.out_c_multiple(array.simd_units),
            in_c_multiple=memory.in_c_multiple(array.dot_width),
            channel_bytes=memory.channel_bytes(),
            tile_bytes=memory.tile_kib * 1024.0,
            tile_rows=memory.tile_parts(array.rows),
            tile_columns=memory.tile_parts(array.columns),
            fused_layers=memory.fused_layers,
        )

    def write_pj(self) -> Any:
        """Energy of a PE memory."""
        return self.pe_memory.sram(self.process.node_nm).write_pj()

    def pipeline_cycles(self) -> Any:
        """Those of the array."""
        return self.pe_array.pipeline_cycles

    def operand_cycles(self, operand_bytes: Any) -> Any:
        """The first operands pass the interconnect before anything runs."""
        return self.interconnect.cycles(operand_bytes)

    def repeat_cycles(self, weight_bytes: Any) -> Any:
        """Weights go round to all PEs."""
        return self.interconnect.ring_cycles(weight_bytes)

    def missing_register_bytes(self) -> Any:
        """What a register file lacks for its SIMD units."""
        return self.register_file.missing_bytes(self.pe_array.simd_units)
