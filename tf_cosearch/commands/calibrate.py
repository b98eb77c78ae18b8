r"""Fits constants of an accelerator to latencies measured on a device.

    cosearch calibrate --measurements=measured.csv \
        --accelerator=my_chip.yaml --output=my_chip_calibrated.yaml
    cosearch calibrate --accelerator=coral_usb --device=coral_usb \
        --measurements=configs/measurements/published_latencies.csv \
        --output=coral_usb.yaml
    cosearch calibrate --measurements=mine.csv --device=usb,pcie \
        --accelerator=usb.yaml,pcie.yaml --output=usb_2.yaml,pcie_2.yaml \
        --constants=activation_width,link,inference_us

The CSV has the columns network (a name, or a .tflite, .keras or .h5 file) and
latency_ms, and if you like input_px and device. The accelerator says what is
known of the hardware. The fewer constants are fitted the better: each must
improve the prediction of networks that are left out of the fit. By default
those are fitted, of what limits hardware, that the rows can tell.

Several devices are one chip behind several hosts: what is on the chip and of
its driver is fitted to the rows of all, what is the host's (link, output,
bandwidth) to its own.

    cosearch calibrate --presets=configs/accelerators

fits all presets of devices to configs/measurements again, first those whose
constants others take; tf_cosearch/cost/calibrate/devices.py says what of each.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from absl import flags

from tf_cosearch.commands import command_line

if TYPE_CHECKING:
    from tf_cosearch.accelerators import Accelerator
    from tf_cosearch.cost.calibrate.calibration import Calibration

FLAGS = flags.FLAGS
flags.DEFINE_list(
    "measurements", None, "CSV with network,latency_ms; or several."
)
flags.DEFINE_list(
    "device",
    None,
    "Which rows to take, by the column device; several with a "
    "comma between them are fitted together.",
)
flags.DEFINE_list(
    "accelerator",
    None,
    "Preset or YAML file to start from, one for each device.",
)
flags.DEFINE_list(
    "constants",
    None,
    "What to fit: activation_width, bus_width, tile_kib, link, output, "
    "bandwidth, inference_us, layer_us, compute_share, memory_share. By "
    "default what the rows can tell of activation_width (of a family without "
    "one compute_share and memory_share), link (without one bandwidth), "
    "inference_us and layer_us.",
)
flags.DEFINE_list(
    "output", None, "Accelerator to write, .yaml, for each device."
)
flags.DEFINE_string(
    "presets",
    None,
    "Folder to write all presets of devices to, fitted again; instead of "
    "everything else.",
)


def main() -> None:
    _check_flags()
    if FLAGS.presets is not None:
        _fit_presets(command_line.output_folder(FLAGS.presets, "--presets"))
        return
    import tf_cosearch as cs
    from tf_cosearch.cost.calibrate import calibration, measurements

    outputs = [
        command_line.output_file(path, ".yaml", ".yml") for path in FLAGS.output
    ]
    if len({path.resolve() for path in outputs}) < len(outputs):
        raise ValueError(
            "--output must name different files. Received: "
            f"{','.join(FLAGS.output)}."
        )
    chosen = FLAGS.device or [None]
    if len(set(chosen)) < len(chosen):
        raise ValueError(
            f"--device must name different ones. Received: {','.join(chosen)}."
        )
    _check_count("accelerator", len(chosen))
    _check_count("output", len(chosen))
    devices = [device or "device" for device in chosen]
    starts = dict(zip(devices, FLAGS.accelerator, strict=True))
    chips = {d: cs.load_accelerator(start) for d, start in starts.items()}
    paths = FLAGS.measurements
    measured = [
        measurements.read_measurements(paths[0], device)
        if len(paths) == 1
        else measurements.read_device(paths, device)
        for device in chosen
    ]
    result = calibration.calibrate(
        dict(zip(devices, measured, strict=True)), chips, FLAGS.constants
    )
    print(result.table())
    names = [pathlib.Path(path).name for path in paths]
    _write(result, starts, dict(zip(devices, outputs, strict=True)), names)


def _fit_presets(folder: pathlib.Path) -> None:
    from tf_cosearch.cost.calibrate import calibration, devices

    made: dict[str, Accelerator] = {}
    # What others take is fitted first.
    for group in sorted(devices.GROUPS, key=lambda group: bool(group.taken)):
        result = calibration.calibrate(
            group.read(), group.take(made), group.constants
        )
        made |= result.accelerators
        outputs = {
            device: folder / f"{preset}.yaml"
            for device, preset in group.presets.items()
        }
        print(result.table())
        _write(result, group.presets, outputs, devices.MEASURED)


def _write(
    result: Calibration,
    starts: Mapping[str, str],
    outputs: Mapping[str, pathlib.Path],
    files: Sequence[str],
) -> None:
    """Writes the accelerator of each device, and how it was made."""
    from tf_cosearch.accelerators import presets

    for device, path in outputs.items():
        source = f"By tools/calibrate.py on {' and '.join(files)}"
        if FLAGS.device or FLAGS.presets:
            source += f", device {device}"
        presets.save_accelerator(
            result.accelerators[device],
            path,
            presets.load_description(starts[device]),
            f"{source}: {result.summary(device)}.",
        )
        print(f"Wrote {path}.")


def _check_flags() -> None:
    """All flags are there, or `--presets` alone."""
    needed = ("measurements", "accelerator", "output")
    given = [
        name for name in (*needed, "device", "constants") if FLAGS[name].present
    ]
    missing = [f"--{name}" for name in needed if name not in given]
    if FLAGS.presets is None and missing:
        raise ValueError(
            f"{', '.join(missing)} must be given, or --presets alone. "
            "Received: neither."
        )
    if FLAGS.presets is not None and given:
        raise ValueError(
            "--presets must stand alone, as it says what is fitted to what. "
            f"Received: --{', --'.join(given)} as well."
        )


def _check_count(flag: str, devices: int) -> None:
    values = FLAGS[flag].value
    if len(values) != devices:
        raise ValueError(
            f"--{flag} must name one for each device. Received: {len(values)} "
            f"for {devices}."
        )
