r"""Compares the cost model with measured devices and with other tools.

    python tools/validate_cost_model.py --plot=agreement.png
    python tools/validate_cost_model.py --format=json

The measurements are those of configs/measurements. Beside what a preset says of
a network stands what it says when it is fitted to the other networks only, and
what the plain baseline says then: a non-negative linear fit on
multiply-accumulates, bytes of activations, bytes of weights from off the chip
and a constant. Layers of ZigZag's template follow, and why we differ, then
other families of accelerators: systolic arrays with SCALE-Sim, Ethos-U with
Vela.
"""

from __future__ import annotations

import json

import command_line
from absl import flags

FLAGS = flags.FLAGS
command_line.define_format("table", "json", "csv")
flags.DEFINE_string(
    "plot", None, "Picture to write, of predicted against measured latencies."
)


def main() -> None:
    if FLAGS.plot is not None:
        command_line.output_picture(FLAGS.plot, "--plot")
    from tf_cosearch import text
    from tf_cosearch.cost.calibrate import (
        family_evidence,
        validation,
        validation_table,
    )
    from tf_cosearch.designs import agreement

    devices = validation.compare_devices()
    zigzag = validation.compare_zigzag()
    rows = validation.rows(devices, zigzag)
    summary = validation.summarize(devices, zigzag)
    compared = family_evidence.compare()
    if FLAGS.plot is not None:
        agreement.plot(rows, FLAGS.plot)
    if FLAGS.format == "json":
        said = [comparison.summary() for comparison in compared]
        print(json.dumps({"rows": rows, **summary, "families": said}, indent=2))
    elif FLAGS.format == "csv":
        print(text.comma_separated(rows), end="")
    else:
        print(validation_table.table(rows, summary))
        print(f"\n{text.table(family_evidence.table(compared), '<<>>>>>')}")


if __name__ == "__main__":
    command_line.run(main)
