"""The devices that are measured, their presets, and what is fitted of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tf_cosearch import accelerators, configuration
from tf_cosearch.accelerators import Accelerator
from tf_cosearch.accelerators.presets import load_accelerator
from tf_cosearch.cost.calibrate.constants import CONSTANTS
from tf_cosearch.cost.calibrate.measurements import Measurement, read_device

MEASURED = ("published_latencies.csv", "edge_tpu_latencies.csv")
"""Files of `configs/measurements` that have latencies of devices."""


class Group(NamedTuple):
    """Devices that are fitted together.

    Attributes:
        presets: The preset of each device.
        constants: What is fitted, names of `constants.CONSTANTS`.
        taken: Parameters that are as they were fitted to `coral_pcie_float`.
    """

    presets: dict[str, str]
    constants: tuple[str, ...]
    taken: tuple[str, ...] = ()

    def read(self) -> dict[str, list[Measurement]]:
        """What was measured on each device."""
        paths = [configuration.shipped("measurements", n) for n in MEASURED]
        return {device: read_device(paths, device) for device in self.presets}

    def load(self) -> dict[str, Accelerator]:
        """The accelerator of each device, as its preset has it."""
        return {d: load_accelerator(name) for d, name in self.presets.items()}

    def take(self, made: Mapping[str, Accelerator]) -> dict[str, Accelerator]:
        """As `load`, with what was just fitted of the other device."""
        values = {
            path: accelerators.to_paths(made[_BUS])[path] for path in self.taken
        }
        return {
            device: accelerators.replace(chip, values)
            for device, chip in self.load().items()
        }


_BUS = "coral_pcie_float"
_WIDTH, _RING = CONSTANTS["bus_width"].paths

GROUPS = (
    Group(
        {"coral_usb": "coral_usb", "coral_dev": "coral_dev"},
        ("activation_width", "link", "inference_us"),
        (_WIDTH, _RING),
    ),
    Group({"coral_pcie": "coral_pcie"}, ("link",), (_RING,)),
    Group(
        {_BUS: "coral_pcie_float"},
        ("bus_width", "link", "output", "inference_us"),
    ),
    Group({"pixel4": "pixel4_edge_tpu"}, ("activation_width",)),
    Group({"pixel6": "pixel6_edge_tpu"}, ("inference_us",)),
)
"""What `make presets` fits, and `tools/validate_cost_model.py` judges."""

DEVICES = {
    device: preset
    for group in GROUPS
    for device, preset in group.presets.items()
}
"""Presets of all devices."""
