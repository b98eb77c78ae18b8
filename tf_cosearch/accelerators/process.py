"""The process: what the chip is made in, and its clock."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from tf_cosearch.accelerators import technology
from tf_cosearch.accelerators.parameter import Fixed


class Process(NamedTuple):
    """What the chip is made in and how fast it is clocked."""

    clock_ghz: Annotated[Any, Fixed("GHz", 0.01, 10)] = 0.8
    node_nm: Annotated[Any, Fixed("nm", *technology.NODE_RANGE_NM)] = 22
