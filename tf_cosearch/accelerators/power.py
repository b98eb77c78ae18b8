"""Power that flows as long as an inference lasts, whatever is computed."""

from __future__ import annotations

from typing import Any, NamedTuple

PARTS = ("dram", "host_link", "clock", "leakage")
"""What takes it, in the order of the fields of `IdlePower`."""


class IdlePower(NamedTuple):
    """Power by what takes it, each in milliwatts.

    Attributes:
        dram_mw: The memory off the chip, standing by.
        host_link_mw: The link to the host, kept up.
        clock_mw: Clocking registers, of energy a cycle times clock.
        leakage_mw: Transistors of the chip.
    """

    dram_mw: Any
    host_link_mw: Any
    clock_mw: Any
    leakage_mw: Any

    def total_mw(self) -> Any:
        """All of it."""
        on_chip = self.clock_mw + self.leakage_mw
        return on_chip + (self.dram_mw + self.host_link_mw)


def idle_power(machine: Any) -> IdlePower:
    """What accelerators take while they wait.

    Args:
        machine: An `Accelerator` of numbers, arrays or tensors.

    Returns:
        The `IdlePower`, in the shape of the accelerators' fields.

    Example:
    16,384 multipliers, four to a sum, clock 5 bytes of registers each.

    >>> from tf_cosearch import accelerators
    >>> chip = accelerators.from_paths({"process/clocked_share": 1})
    >>> chip.register_bytes() / chip.macs_per_cycle()
    5.0
    >>> round(float(idle_power(chip).clock_mw))  # 81,920 bytes x 0.8 GHz
    2924
    """
    process = machine.process
    clock_pj = process.clock_pj(machine.register_bytes())
    return IdlePower(
        machine.dram.idle_mw,
        machine.host_link.power_mw(),
        clock_pj * process.clock_ghz,
        machine.leakage_mw(),
    )


def idle_mw(machine: Any) -> Any:
    """The sum of `idle_power`."""
    return idle_power(machine).total_mw()
