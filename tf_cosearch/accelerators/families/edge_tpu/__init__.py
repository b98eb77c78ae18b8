"""The template of the Edge TPU: PEs of SIMD lanes with memories of their own.

`mapping` unrolls the loops of a layer, `traffic` counts what that moves, and
`mapper` keeps the best of all mappings.
"""

from tf_cosearch.accelerators.families.edge_tpu import mapper, mapping
from tf_cosearch.accelerators.families.edge_tpu.edge_tpu import EdgeTpu
from tf_cosearch.accelerators.family import Family

__all__ = ["FAMILY", "EdgeTpu"]

FAMILY = Family(
    accelerator=EdgeTpu,
    on_chip=mapper.choose,
    describe=mapping.describe,
    memory="pe_memory",
    bounds=("compute", "pe_memory", "interconnect"),
    energy_parts=("register_file", "pe_memory", "interconnect"),
    off_chip=("pe_memory/weight_share",),
)
