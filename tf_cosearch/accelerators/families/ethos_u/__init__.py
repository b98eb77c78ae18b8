"""Arm's Ethos-U55 and U65, as the compiler Vela prices them."""

from tf_cosearch.accelerators.families.ethos_u import blocks, operators
from tf_cosearch.accelerators.families.ethos_u.ethos_u import EthosU
from tf_cosearch.accelerators.family import Family

__all__ = ["FAMILY", "EthosU"]


def _depthwise_words(chip: EthosU) -> str:
    return "depthwise uses 4 products of 32 of every output"


FAMILY = Family(
    accelerator=EthosU,
    on_chip=blocks.on_chip,
    describe=blocks.describe,
    memory="system_sram",
    memory_noun="SRAM",
    bounds=("compute", "weight_decoder", "output_unit", "system_sram"),
    energy_parts=("buffers", "system_sram"),
    relief={
        "dram": ("dram/bandwidth_gbs", "system_sram/capacity_kib"),
        "weight_decoder": ("mac_array/macs",),
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
