r"""Compares the cost model with measured devices and with other tools.

    cosearch validate_cost_model --plot=agreement.png
    cosearch validate_cost_model --plot_families=families.png
    cosearch validate_cost_model --assumptions
    cosearch validate_cost_model --format=json

The measurements are those of configs/measurements. Beside what a preset says of
a network stands what it says when it is fitted to the other networks only, and
what the plain baseline says then: a non-negative linear fit on
multiply-accumulates, bytes of activations, bytes of weights from off the chip
and a constant; below stand means of stacks by kind, and by whether their
weights stay on the chip. Layers of ZigZag's template follow, and why we differ,
then other families of accelerators: systolic arrays with SCALE-Sim, Ethos-U
with Vela. With --assumptions the devices are fitted again for other values of
what no vendor publishes, which takes a few minutes.
"""

from __future__ import annotations

import json

from absl import flags

from tf_cosearch.commands import command_line

FLAGS = flags.FLAGS
command_line.define_format("table", "json", "csv")
flags.DEFINE_string(
    "plot", None, "Picture to write, of predicted against measured latencies."
)
flags.DEFINE_string(
    "plot_families",
    None,
    "Picture to write, of families against the tools that speak for them.",
)
flags.DEFINE_bool(
    "assumptions", False, "Print what other assumptions would do, and no more."
)


def main() -> None:
    others = [
        n for n in ("plot", "plot_families", "format") if FLAGS[n].present
    ]
    if FLAGS.assumptions and others:
        raise ValueError(
            "--assumptions must stand alone, as it prints a table and no more. "
            f"Received: --{', --'.join(others)} as well."
        )
    if FLAGS.plot is not None:
        command_line.output_picture(FLAGS.plot, "--plot")
    if FLAGS.plot_families is not None:
        command_line.output_picture(FLAGS.plot_families, "--plot_families")
    from tf_cosearch import text
    from tf_cosearch.cost.calibrate import (
        family_evidence,
        validation,
        validation_table,
    )
    from tf_cosearch.designs import agreement

    if FLAGS.assumptions:
        print(validation_table.assumptions(validation.vary_assumptions()))
        return
    devices = validation.compare_devices()
    zigzag = validation.compare_zigzag()
    rows = validation.rows(devices, zigzag)
    summary = validation.summarize(devices, zigzag)
    compared = family_evidence.compare()
    if FLAGS.plot is not None:
        agreement.plot(rows, FLAGS.plot)
    if FLAGS.plot_families is not None:
        agreement.plot_families(compared, FLAGS.plot_families)
    if FLAGS.format == "json":
        said = [comparison.summary() for comparison in compared]
        print(json.dumps({"rows": rows, **summary, "families": said}, indent=2))
    elif FLAGS.format == "csv":
        print(text.comma_separated(rows), end="")
    else:
        print(validation_table.table(rows, summary))
        print(f"\n{validation_table.families(compared)}")
