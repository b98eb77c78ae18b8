"""The process: what the chip is made in, and its clock."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from tf_cosearch.accelerators import technology
from tf_cosearch.accelerators.parameter import Fixed


class Process(NamedTuple):
    """What the chip is made in and how fast it is clocked.

    `clocked_share` of the registers between multipliers are clocked in every
    cycle of an inference, whether or not they have work; the others are gated
    at no cost.
    """

    clock_ghz: Annotated[Any, Fixed("GHz", 0.01, 10)] = 0.8
    node_nm: Annotated[Any, Fixed("nm", *technology.NODE_RANGE_NM)] = 22
    clocked_share: Annotated[Any, Fixed("share of registers", 0, 1)] = 0

    def clock_pj(self, register_bytes: Any) -> Any:
        """Energy that the clock of so many bytes of registers takes a cycle."""
        clocked_bytes = self.clocked_share * register_bytes
        return technology.clock_energy_pj(clocked_bytes, self.node_nm)
