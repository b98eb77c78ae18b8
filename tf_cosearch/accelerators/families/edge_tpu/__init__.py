"""The template of the Edge TPU: PEs of SIMD lanes with memories of their own.

`mapping` unrolls the loops of a layer, `traffic` counts what that moves, and
`mapper` keeps the best of all mappings.
"""

from tf_cosearch.accelerators.families.edge_tpu import (
    mapper,
    mapping,
    operators,
)
from tf_cosearch.accelerators.families.edge_tpu.edge_tpu import EdgeTpu
from tf_cosearch.accelerators.family import Family

__all__ = ["FAMILY", "EdgeTpu"]

_PES = {"pe_array/columns": 1, "pe_array/rows": 1}
_UNITS = {**_PES, "pe_array/lanes": 1, "pe_array/simd_units": 1}


def _depthwise_words(chip: EdgeTpu) -> str:
    array = chip.pe_array
    fed = min(array.input_streams, array.simd_units)
    return (
        f"depthwise feeds {fed} of {array.simd_units} SIMD units a lane, "
        f"each 1 of {array.dot_width} products"
    )


FAMILY = Family(
    accelerator=EdgeTpu,
    on_chip=mapper.choose,
    describe=mapping.describe,
    memory="pe_memory",
    memory_noun="PE memory",
    bounds=("compute", "pe_memory", "interconnect"),
    energy_parts=("register_file", "pe_memory", "interconnect"),
    relief={
        "dram": ("dram/bandwidth_gbs", "pe_memory/capacity_mib"),
        "pe_memory": ("pe_memory/width_bytes",),
        "interconnect": (
            "interconnect/width_bytes",
            "interconnect/activation_width_bytes",
        ),
    },
    array={
        "pe_array/dot_width": "products a SIMD unit",
        "pe_array/simd_units": "SIMD units a lane",
        "pe_array/lanes": "lanes a PE",
        "pe_array/rows": "PE rows",
        "pe_array/columns": "PE columns",
    },
    shape=("pe_array/dot_width", "pe_array/simd_units", "pe_array/lanes"),
    depthwise_words=_depthwise_words,
    runs=operators.runs,
    compiler="Coral's compiler",
    resumes=False,
    off_chip=(
        "pe_memory/weight_share",
        "pe_memory/whole_layers",
        "pe_memory/padded_weights",
        "pe_memory/tile_kib",
        "pe_memory/fused_layers",
        "interconnect/ring_width_bytes",
    ),
    fused_layers="pe_memory/fused_layers",
    int4_products="pe_array/int4_products",
    relations={
        "aspect ratio": {"pe_array/columns": 1, "pe_array/rows": -1},
        "PEs": _PES,
        "SIMD units": _UNITS,
        "memory": {**_PES, "pe_memory/capacity_mib": 1},
        "memory of a SIMD unit": {
            "pe_memory/capacity_mib": 1,
            "pe_array/lanes": -1,
            "pe_array/simd_units": -1,
        },
        "registers of a SIMD unit": {
            "register_file/capacity_kib": 1,
            "pe_array/simd_units": -1,
        },
        "SIMD units to bandwidth": {**_UNITS, "dram/bandwidth_gbs": -1},
    },
)
