"""Systolic arrays as SCALE-Sim simulates them.

`folds` cuts layers into folds of the array and counts cycles and bytes.
"""

from tf_cosearch.accelerators.families.systolic import folds
from tf_cosearch.accelerators.families.systolic.systolic import Systolic
from tf_cosearch.accelerators.family import Family

__all__ = ["FAMILY", "Systolic"]

_UNITS = {"array/rows": 1, "array/columns": 1}


def _depthwise_words(chip: Systolic) -> str:
    return (
        "depthwise multiplies the taps of one channel at a time: as many of "
        f"{chip.array.rows:g} rows, and 1 of {chip.array.columns:g} columns"
    )


FAMILY = Family(
    accelerator=Systolic,
    on_chip=folds.on_chip,
    describe=folds.describe,
    memory="scratchpad",
    memory_noun="scratchpad",
    bounds=("compute", "scratchpad"),
    energy_parts=("registers", "scratchpad"),
    relief={
        "dram": ("dram/bandwidth_gbs", "scratchpad/capacity_kib"),
        "scratchpad": ("array/columns",),
    },
    array={"array/rows": "rows", "array/columns": "columns"},
    shape=("array/rows", "array/columns"),
    depthwise_words=_depthwise_words,
    off_chip=("scratchpad/weight_share",),
    relations={
        "aspect ratio": {"array/columns": 1, "array/rows": -1},
        "units": _UNITS,
        "memory of a unit": {
            "scratchpad/capacity_kib": 1,
            "array/rows": -1,
            "array/columns": -1,
        },
        "units to bandwidth": {**_UNITS, "dram/bandwidth_gbs": -1},
    },
)
