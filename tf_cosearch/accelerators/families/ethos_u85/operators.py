"""What Vela leaves to the processor beside an Ethos-U85.

Reference: `vela --supported-ops-report` of Vela 5.2.0. Its limits on shapes are
not checked but that of bilinear resizing.
"""

from __future__ import annotations

from tf_cosearch.accelerators.families.ethos_u import operators
from tf_cosearch.networks.workload import Layer

_NAMES = (
    "ASSIGN_VARIABLE CAST DIV EQUAL GATHER GREATER GREATER_EQUAL LESS "
    "LESS_EQUAL LOGICAL_AND LOGICAL_NOT LOGICAL_OR NOT_EQUAL READ_VARIABLE "
    "REDUCE_ALL REDUCE_ANY SCATTER_ND SELECT SELECT_V2"
)
OPERATORS = operators.OPERATORS | frozenset(_NAMES.split())
"""Operators of a .tflite file that it runs."""

FACTORS = tuple(2**power for power in range(11))
"""Rows that a bilinear resize makes of one."""


def runs(layer: Layer) -> bool:
    """Whether an Ethos-U85 runs an operation; see `Family.runs`.

    Example:
    >>> import dataclasses
    >>> row = Layer("up", "data_movement", 96, 96, 8, 32, 32, 8,
    ...     operator="RESIZE_BILINEAR")
    >>> runs(row), runs(dataclasses.replace(row, in_h=24, in_w=24))
    (False, True)
    """
    if layer.operator == "RESIZE_BILINEAR":
        return operators.resizes(layer, FACTORS)
    return layer.operator in OPERATORS
