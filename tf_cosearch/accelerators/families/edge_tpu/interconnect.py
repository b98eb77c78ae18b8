"""The network on chip that brings operands to the PEs."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from tf_cosearch.accelerators import technology
from tf_cosearch.accelerators.parameter import Fixed
from tf_cosearch.arithmetic import inverse


class Interconnect(NamedTuple):
    """Multicast buses: what several PEs need is sent once.

    Fields are numbers or `[B]` tensors. A PE takes 64 bytes a cycle, the
    weight port of ZigZag's public `edge_tpu_like` template (512 bits).

    Two paths are as wide as it takes, unless a width is given: the one that
    activations of a layer take from PE to PE, each once in and once out, with
    that width at each PE, so that twice the PEs pass on twice as much; and the
    ring on which weights go round to all PEs once more for every further tile
    of rows, while nothing is computed.
    """

    width_bytes: Annotated[Any, Fixed("bytes/cycle", 1, 4096)] = 64

    activation_width_bytes: Annotated[
        Any, Fixed("bytes/cycle a PE", 0, 1e6)
    ] = 0
    ring_width_bytes: Annotated[Any, Fixed("bytes/cycle", 0, 1e6)] = 0

    def cycles(self, bytes_per_pe: Any) -> Any:
        """Cycles it takes to bring every PE its operands."""
        return bytes_per_pe * (1.0 / self.width_bytes)

    def activation_cycles(self, moved_bytes: Any, pes: Any) -> Any:
        """Cycles that activations take from PE to PE, dealt out to all."""
        return moved_bytes * inverse(self.activation_width_bytes * pes)

    def ring_cycles(self, weight_bytes: Any) -> Any:
        """Cycles that weights take to go round once more."""
        return weight_bytes * inverse(self.ring_width_bytes)

    def transfer_pj(self, node_nm: Any) -> Any:
        """Energy of bringing one byte to one PE."""
        return technology.transfer_energy_pj(node_nm)
