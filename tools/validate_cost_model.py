r"""Compares the cost model with measured devices and with ZigZag.

    python tools/validate_cost_model.py --plot=agreement.png
    python tools/validate_cost_model.py --format=json

The measurements are those of configs/measurements. Beside what a preset says of
a network stands what it says when it is fitted to the other networks only, and
what the plain baseline says then: a non-negative linear fit on
multiply-accumulates, bytes of activations, bytes of weights from off the chip
and a constant. Layers of ZigZag's template follow, and why we differ.
"""

from __future__ import annotations

import csv
import json
import sys
from typing import Any

import command_line
from absl import flags

FLAGS = flags.FLAGS
flags.DEFINE_enum("format", "table", ["table", "json", "csv"], "What to print.")
flags.DEFINE_string(
    "plot", None, "Picture to write, of predicted against measured latencies."
)

KINDS = ("ours", "left_out", "baseline")


def main() -> None:
    if FLAGS.plot is not None:
        endings = (".png", ".svg", ".pdf")
        command_line.output_file(FLAGS.plot, *endings, flag="--plot")
    from tf_cosearch.cost.calibrate import validation
    from tf_cosearch.designs import agreement

    devices = validation.compare_devices()
    zigzag = validation.compare_zigzag()
    rows = validation.rows(devices, zigzag)
    summary = validation.summarize(devices, zigzag)
    if FLAGS.plot is not None:
        agreement.plot(rows, FLAGS.plot)
    if FLAGS.format == "json":
        print(json.dumps({"rows": rows, **summary}, indent=2))
    elif FLAGS.format == "csv":
        writer = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    else:
        _print_table(rows, summary)


def _print_table(rows: list[dict[str, Any]], summary: dict[str, Any]) -> None:
    from tf_cosearch.cost.calibrate import validation

    names = [kind.replace("_", " ") for kind in KINDS]
    header = ["", "measured", *(c for name in names for c in (name, "error"))]
    cells = [[*header, "why"]]
    for machine in dict.fromkeys(row["machine"] for row in rows):
        group = [row for row in rows if row["machine"] == machine]
        cells.append([f"{machine}, {group[0]['unit']}", *[""] * 8])
        cells += map(_cells, group)
        if machine in summary["devices"]:
            cells.append(_mean_cells(summary["devices"][machine]))
    command_line.print_table(cells, "<>>>>>>><")
    order, zigzag = summary["order"], summary["zigzag"]
    kinds = ", ".join(
        f"{name} {'yes' if order[kind] else 'no'}"
        for name, kind in zip(names, KINDS, strict=True)
    )
    device, slower, faster = validation.TRAP
    errors = ", ".join(
        "{} {mean:.1%} ({median:.1%})".format(
            name, **summary["devices"]["all"][kind]
        )
        for name, kind in zip(names, KINDS, strict=True)
    )
    print(
        f"\nall devices, mean (median) absolute error: {errors}"
        f"\n{device}: {slower} is slower than {faster}: {kinds}"
        f"\nZigZag: median absolute error {zigzag['median_error']:.1%}, "
        f"Kendall tau {zigzag['kendall_tau']:.2f}"
    )
    for reason, count in zigzag["reasons"].items():
        print(f"{count} layers: {reason}. {validation.REASONS.get(reason, '')}")


def _cells(row: dict[str, Any]) -> list[str]:
    """A row in words."""
    number = "{:,.0f}" if row["unit"] == "cycles" else "{:.3g}"
    cells = [f"  {row['workload']}", number.format(row["reference"])]
    for kind in KINDS:
        if row[kind] is None:
            cells += ["", ""]
        else:
            error = f"{row[f'{kind}_error']:+.1%}"
            cells += [number.format(row[kind]), error]
    return [*cells, row["reason"] or ""]


def _mean_cells(errors: dict[str, dict[str, float]]) -> list[str]:
    cells = ["  mean absolute error", ""]
    for kind in KINDS:
        cells += ["", f"{errors[kind]['mean']:.1%}"]
    return [*cells, ""]


if __name__ == "__main__":
    command_line.run(main)
