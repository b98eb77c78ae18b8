r"""Fits constants of an accelerator to latencies measured on a device.

    python tools/calibrate.py --measurements=measured.csv \
        --accelerator=my_chip.yaml --output=my_chip_calibrated.yaml
    python tools/calibrate.py --accelerator=coral_usb --device=coral_usb \
        --measurements=configs/measurements/published_latencies.csv \
        --output=coral_usb.yaml
    python tools/calibrate.py --measurements=mine.csv --device=usb,pcie \
        --accelerator=usb.yaml,pcie.yaml --output=usb_2.yaml,pcie_2.yaml \
        --constants=activation_width,link,inference_us

The CSV has the columns network (a name, or a .tflite, .keras or .h5 file) and
latency_ms, and if you like input_px and device. The accelerator says what is
known of the hardware. The fewer constants are fitted the better: each must
improve the prediction of networks that are left out of the fit.

Several devices are one chip behind several hosts: what is on the chip
(activation_width, ring_width, tile_kib) and of its driver (layer_us,
inference_us) is fitted to the rows of all, what is the host's (link, output,
bandwidth) to its own.
"""

from __future__ import annotations

import pathlib
from typing import Any

import command_line
from absl import flags

FLAGS = flags.FLAGS
flags.DEFINE_list(
    "measurements",
    None,
    "CSV with network,latency_ms; or several.",
    required=True,
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
    required=True,
)
flags.DEFINE_list(
    "constants",
    None,
    "What to fit: memory_share, compute_share, bandwidth, inference_us, "
    "layer_us. By default memory_share, and bandwidth if the weights of some "
    "network do not fit on the chip. Or, of one device or of several together, "
    "activation_width, ring_width, tile_kib, layer_us, link, output, "
    "bandwidth, inference_us; of several link and inference_us by default.",
)
flags.DEFINE_list(
    "output",
    None,
    "Accelerator to write, .yaml, for each device.",
    required=True,
)


def main() -> None:
    import tf_cosearch as cs
    from tf_cosearch import configuration
    from tf_cosearch.accelerators import presets
    from tf_cosearch.cost.calibrate import (
        calibration,
        joint,
        measurements,
    )

    outputs = [
        command_line.output_file(path, ".yaml", ".yml") for path in FLAGS.output
    ]
    devices = FLAGS.device or [None]
    _check_count("accelerator", len(devices))
    _check_count("output", len(devices))
    chips = [cs.load_accelerator(name) for name in FLAGS.accelerator]
    paths = FLAGS.measurements
    measured = [
        measurements.read_measurements(paths[0], device)
        if len(paths) == 1
        else measurements.read_device(paths, device)
        for device in devices
    ]
    constants = FLAGS.constants
    known = calibration.CONSTANTS | joint.CONSTANTS
    for name in constants or ():
        if name not in known:
            raise configuration.unknown("constant", name, known)
    is_joint = constants and set(constants) - set(calibration.CONSTANTS)
    result: Any
    if len(devices) > 1 or (
        is_joint and set(constants) <= set(joint.CONSTANTS)
    ):
        names = [device or "device" for device in devices]
        result = joint.calibrate_jointly(
            dict(zip(names, measured, strict=True)),
            dict(zip(names, chips, strict=True)),
            constants or ("link", "inference_us"),
        )
        made = [result.accelerators[name] for name in names]
        summaries = [result.summary(name) for name in names]
    else:
        result = calibration.calibrate(measured[0], chips[0], constants)
        made, summaries = [result.accelerator], [result.summary()]
    for start, device, chip, summary, output in zip(
        FLAGS.accelerator, devices, made, summaries, outputs, strict=True
    ):
        presets.save_accelerator(
            chip,
            output,
            presets.load_description(start),
            _source(device, summary),
        )
    print(result.table())
    for output in outputs:
        print(f"Wrote {output}.")


def _check_count(flag: str, devices: int) -> None:
    values = FLAGS[flag].value
    if len(values) != devices:
        raise ValueError(
            f"--{flag} must name one for each device. Received: {len(values)} "
            f"for {devices}."
        )


def _source(device: str | None, summary: str) -> str:
    """How a file was made."""
    files = [pathlib.Path(path).name for path in FLAGS.measurements]
    call = f"tools/calibrate.py on {' and '.join(files)}"
    if device is not None:
        call += f", device {device}"
    return f"By {call}: {summary}."


if __name__ == "__main__":
    command_line.run(main)
