"""Arm's Ethos-U85, as the compiler Vela prices it."""

from tf_cosearch.accelerators.families.ethos_u85 import operators, work
from tf_cosearch.accelerators.families.ethos_u85.ethos_u85 import EthosU85
from tf_cosearch.accelerators.family import Family

__all__ = ["FAMILY", "EthosU85"]


def _depthwise_words(chip: EthosU85) -> str:
    return "depthwise uses 4 products of 32 of every output"


FAMILY = Family(
    accelerator=EthosU85,
    on_chip=work.on_chip,
    describe=work.describe,
    memory="system_sram",
    memory_noun="SRAM",
    bounds=("compute", "fetch", "output_unit", "system_sram"),
    energy_parts=("buffers", "system_sram"),
    relief={
        "dram": ("dram/bandwidth_gbs", "system_sram/capacity_kib"),
        "fetch": ("mac_array/macs",),
        "output_unit": ("mac_array/macs",),
        "system_sram": ("system_sram/width_bytes",),
    },
    array={"mac_array/macs": "multipliers"},
    shape=(),
    depthwise_words=_depthwise_words,
    runs=operators.runs,
    compiler="Vela",
    relations={
        "multipliers to bandwidth": {
            "mac_array/macs": 1,
            "dram/bandwidth_gbs": -1,
        },
    },
)
