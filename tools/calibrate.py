r"""Fits constants of an accelerator to latencies measured on a device.

    python tools/calibrate.py --measurements=measured.csv \
        --accelerator=my_chip.yaml --output=my_chip_calibrated.yaml
    python tools/calibrate.py --accelerator=coral_usb --device=coral_usb \
        --measurements=configs/measurements/published_latencies.csv \
        --output=coral_usb.yaml

The CSV has the columns network (a name, or a .tflite, .keras or .h5 file) and
latency_ms, and if you like input_px and device. The accelerator says what is
known of the hardware. The fewer constants are fitted the better: each must
improve the prediction of networks that are left out of the fit.
"""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

import command_line
from absl import flags

if TYPE_CHECKING:
    from tf_cosearch.cost.calibrate.calibration import Calibration

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "measurements", None, "CSV with network,latency_ms.", required=True
)
flags.DEFINE_string("device", None, "Which rows to take, by the column device.")
flags.DEFINE_string(
    "accelerator", None, "Preset or YAML file to start from.", required=True
)
flags.DEFINE_list(
    "constants",
    None,
    "What to fit: memory_share, compute_share, bandwidth, inference_us, "
    "layer_us. By default memory_share, and bandwidth if the weights of some "
    "network do not fit on the chip.",
)
flags.DEFINE_string(
    "output", None, "Accelerator to write, .yaml.", required=True
)


def main() -> None:
    import tf_cosearch as cs
    from tf_cosearch.accelerators import presets
    from tf_cosearch.cost.calibrate import calibration, measurements

    output = command_line.output_file(FLAGS.output, ".yaml", ".yml")
    accelerator = cs.load_accelerator(FLAGS.accelerator)
    measured = measurements.read_measurements(FLAGS.measurements, FLAGS.device)
    result = calibration.calibrate(measured, accelerator, FLAGS.constants)
    description = presets.load_description(FLAGS.accelerator)
    presets.save_accelerator(
        result.accelerator, output, description, _source(result)
    )
    print(result.table())
    print(f"Wrote {output}.")


def _source(result: Calibration) -> str:
    """How the file was made."""
    call = f"tools/calibrate.py on {pathlib.Path(FLAGS.measurements).name}"
    if FLAGS.device is not None:
        call += f", device {FLAGS.device}"
    return f"By {call}: {result.summary()}."


if __name__ == "__main__":
    command_line.run(main)
