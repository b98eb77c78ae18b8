"""Arm's Ethos-U55 and U65, as the compiler Vela prices them."""

from tf_cosearch.accelerators.families.ethos_u import blocks
from tf_cosearch.accelerators.families.ethos_u.ethos_u import EthosU
from tf_cosearch.accelerators.family import Family

__all__ = ["FAMILY", "EthosU"]

_UNITS = {"mac_array/macs": 1, "mac_array/cores": 1}


def _depthwise_words(chip: EthosU) -> str:
    return "depthwise uses 4 products of 32 of every output"


FAMILY = Family(
    accelerator=EthosU,
    on_chip=blocks.on_chip,
    describe=blocks.describe,
    memory="system_sram",
    memory_noun="SRAM",
    bounds=("compute", "system_sram"),
    energy_parts=("buffers", "system_sram"),
    relief={
        "dram": ("dram/bandwidth_gbs", "system_sram/capacity_kib"),
        "system_sram": ("system_sram/width_bytes",),
    },
    array={"mac_array/macs": "multipliers", "mac_array/cores": "cores"},
    shape=("mac_array/macs", "mac_array/cores"),
    depthwise_words=_depthwise_words,
    relations={
        "multipliers": _UNITS,
        "multipliers to bandwidth": {**_UNITS, "dram/bandwidth_gbs": -1},
    },
)
