"""The link from one chip of a pipeline to the next."""

from __future__ import annotations

import math
import numbers
from typing import Any, NamedTuple

from tf_cosearch.accelerators.family import Accelerator


class Link(NamedTuple):
    """What tensors cross from chip to chip.

    A tensor is sent, stored, and received: each takes `bandwidth_gbs` of the
    time of its chip, and nothing overlaps with it, as of a host's link. All of
    that takes `byte_pj` for each byte.

    Example:
    >>> link = Link(bandwidth_gbs=0.5, byte_pj=160)
    >>> link.ms(1e6), link.mj(1e6)
    (2.0, 0.16)
    """

    bandwidth_gbs: float
    byte_pj: float = 0.0

    @classmethod
    def of(
        cls,
        accelerator: Accelerator,
        bandwidth_gbs: float | None = None,
        byte_pj: float | None = None,
    ) -> Link:
        """What images come by: the host's link or, without one, the DRAM.

        A byte goes out and comes in again, so it takes the energy of both.

        Args:
            accelerator: An `Accelerator` of numbers.
            bandwidth_gbs: Instead of its bandwidth.
            byte_pj: Instead of that energy.

        Example:
        >>> from tf_cosearch.accelerators.presets import load_accelerator
        >>> Link.of(load_accelerator("coral_usb"))
        Link(bandwidth_gbs=0.464, byte_pj=160.0)
        """
        host, dram = accelerator.host_link, accelerator.dram
        if host.is_there():
            link = cls(float(host.input_gbs), 2 * float(host.byte_pj))
        else:
            link = cls(float(dram.bandwidth_gbs), 2 * float(dram.byte_pj))
        return cls(
            link.bandwidth_gbs if bandwidth_gbs is None else bandwidth_gbs,
            link.byte_pj if byte_pj is None else byte_pj,
        )

    def ms(self, crossing_bytes: Any) -> Any:
        """Milliseconds that a chip takes to send or receive so much."""
        return crossing_bytes / (self.bandwidth_gbs * 1e6)

    def mj(self, crossing_bytes: Any) -> Any:
        """Millijoules of so much that crosses."""
        return crossing_bytes * self.byte_pj / 1e9

    def check(self) -> None:
        """Checks that it can carry something.

        Raises:
            ValueError: If it has no bandwidth, or no possible energy.
        """
        gbs, pj = self
        if not _is_number(gbs) or not 0 < gbs < math.inf:
            raise ValueError(
                "A link must have a finite bandwidth above 0 GB/s. Received: "
                f"bandwidth_gbs={gbs!r}. Give what chips send "
                "to each other at, or Link.of(accelerator)."
            )
        if not _is_number(pj) or not 0 <= pj < math.inf:
            raise ValueError(
                "A link must have an energy a byte of 0 pJ or more. Received: "
                f"byte_pj={pj!r}."
            )


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
