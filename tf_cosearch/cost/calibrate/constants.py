"""What of an accelerator can be fitted to measured latencies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tf_cosearch import accelerators, configuration
from tf_cosearch.accelerators import Accelerator, families


class Constant(NamedTuple):
    """What can be fitted.

    Attributes:
        paths: Parameters of an accelerator that have its value.
        low: The least that is looked for, more than 0.
        high: The most.
        is_shared: Whether it is of the chip or its driver, or of each host.
        is_added: Whether it is time that is added, so that less is faster.
        plausible: The least that hardware has: what is fitted below stands
            for something else.
    """

    paths: tuple[str, ...]
    low: float
    high: float
    is_shared: bool = True
    is_added: bool = False
    plausible: float = 0

    def ideal(self) -> float:
        """The value of a machine that is not limited by it."""
        return self.low if self.is_added else self.high

    def ideal_paths(self) -> dict[str, float]:
        """The parameters of such a machine."""
        return dict.fromkeys(self.paths, self.ideal())


CONSTANTS = {
    "activation_width": Constant(
        ("interconnect/activation_width_bytes",), 0.1, 256
    ),
    "bus_width": Constant(
        ("interconnect/width_bytes", "interconnect/ring_width_bytes"), 1, 256
    ),
    "tile_kib": Constant(("pe_memory/tile_kib",), 16, 2048),
    "link": Constant(
        ("host_link/input_gbs", "host_link/output_gbs", "dram/bandwidth_gbs"),
        *(0.05, 8),
        is_shared=False,
    ),
    "output": Constant(("host_link/output_gbs",), 0.01, 8, is_shared=False),
    "bandwidth": Constant(("dram/bandwidth_gbs",), 0.05, 100, is_shared=False),
    "inference_us": Constant(
        ("runtime/inference_us",), 0.1, 5000, is_added=True
    ),
    "layer_us": Constant(("runtime/layer_us",), 0.01, 50, is_added=True),
    "compute_share": Constant(
        ("runtime/compute_share",), 1e-3, 1, plausible=0.05
    ),
    "memory_share": Constant(
        ("runtime/memory_share",), 1e-4, 1, plausible=0.05
    ),
}
"""What can be fitted, by short names. A `link` is that to the host where the
chip has no DRAM: images, answers and streamed weights cross it alike. A later
constant counts where two have a parameter in common."""

SHARES = ("compute_share", "memory_share")
"""What compiled code achieves of peaks: they stand for what is not known, and
are fitted by default where a family has nothing that limits it otherwise."""


def check(
    chips: Mapping[str, Accelerator], constants: Sequence[str]
) -> tuple[str, ...]:
    """Checks that constants are of components that accelerators have.

    Args:
        chips: Accelerators by device.
        constants: Names of `CONSTANTS`.

    Returns:
        The names, in the order of `CONSTANTS`.

    Raises:
        ValueError: If there are none, or one is given twice, unknown or of
            another family.
    """
    for name in constants:
        if name not in CONSTANTS:
            raise configuration.unknown("constant", name, CONSTANTS)
    if not constants:
        raise ValueError(
            "`constants` must name what to fit. Received: none. Known: "
            f"{', '.join(CONSTANTS)}."
        )
    if len(set(constants)) < len(constants):
        raise ValueError(
            "`constants` must name each once. Received: "
            f"{', '.join(constants)}."
        )
    for device, chip in chips.items():
        there = _of_family(chip)
        missing = [name for name in constants if name not in there]
        if missing:
            raise ValueError(
                "Constants must be of components that the accelerator has. "
                f"Received: {', '.join(missing)} for {device}, of the family "
                f"{families.name_of(chip)}. It has {', '.join(there)}."
            )
    return tuple(name for name in CONSTANTS if name in constants)


def plausible(chips: Mapping[str, Accelerator]) -> list[str]:
    """Constants that may be what limits devices.

    Args:
        chips: Accelerators by device.

    Returns:
        Names of `CONSTANTS`: the link where all have one, else the bandwidth
        of the DRAM; the path of activations, or of a family without one its
        `SHARES`; starts of layers and inferences.
    """
    there = [set(_of_family(chip)) for chip in chips.values()]
    has_link = all(chip.host_link.is_there() for chip in chips.values())
    has_path = all("activation_width" in names for names in there)
    wanted = {
        "link" if has_link else "bandwidth",
        *(["activation_width"] if has_path else SHARES),
        "inference_us",
        "layer_us",
    }
    wanted = wanted.intersection(*there)
    return [name for name in CONSTANTS if name in wanted]


def remark(name: str, value: float) -> str:
    """A line on a value that no hardware would have, else empty.

    Example:
    >>> remark("memory_share", 0.5)
    ''
    >>> remark("memory_share", 0.004)
    'memory_share 0.004 is not plausible: something else than share of the ports
    is slow, and costs of other accelerators will be wrong. Give the accelerator
    a host_link, or fit --constants=link,activation_width.'
    """
    constant = CONSTANTS[name]
    if value >= constant.plausible:
        return ""
    unit = accelerators.parameters()[constant.paths[0]].unit
    return (
        f"{name} {value:g} is not plausible: something else than {unit} is "
        "slow, and costs of other accelerators will be wrong. Give the "
        "accelerator a host_link, or fit --constants=link,activation_width."
    )


def _of_family(chip: Accelerator) -> list[str]:
    """Names of the constants that an accelerator has."""
    held = accelerators.parameters(families.name_of(chip))
    return [
        name
        for name, constant in CONSTANTS.items()
        if all(path in held for path in constant.paths)
    ]
