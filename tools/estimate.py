"""Estimates latency, energy and area of a network on an accelerator.

python tools/estimate.py --network=mobilenet_v2 --accelerator=edge_tpu
python tools/estimate.py --model=my.tflite --accelerator=my_chip.yaml \
        --format=json
python tools/estimate.py --layers=layers.csv --accelerator=edge_tpu_v1 \
        --format=csv
"""

import csv
import json
import pathlib
import sys
from typing import Any

import command_line
from absl import flags

import tf_cosearch as cs
from tf_cosearch.cost import summary
from tf_cosearch.networks import keras_files, layers_csv

FLAGS = flags.FLAGS
flags.DEFINE_string("model", None, "A .tflite, .keras or .h5 file.")
flags.DEFINE_string("network", None, "Name or YAML file of a network.")
flags.DEFINE_string(
    "layers", None, "CSV with H,W,Cin,Cout,Kh,Kw,stride,groups,OH,OW."
)
flags.DEFINE_string("accelerator", "edge_tpu", "Preset or YAML file.")
flags.DEFINE_enum("format", "table", ["table", "json", "csv"], "What to print.")
flags.DEFINE_bool("per_layer", False, "Print every layer.")
flags.mark_flags_as_mutual_exclusive(
    ["model", "network", "layers"], required=True
)

COLUMNS = (
    "name",
    "op",
    "macs",
    "params",
    "cycles",
    "latency_ms",
    "energy_mj",
    "utilization",
    "bound",
)


def _layers() -> list[cs.Layer]:
    if FLAGS.network:
        return cs.load_network(FLAGS.network).layers()
    if FLAGS.layers:
        return layers_csv.read_layers_csv(FLAGS.layers)
    suffix = pathlib.Path(FLAGS.model).suffix
    if suffix == ".tflite":
        return cs.from_tflite(FLAGS.model)
    if suffix in (".keras", ".h5"):
        return cs.from_keras(keras_files.load_keras(FLAGS.model))
    raise ValueError(
        f"--model must end in .tflite, .keras or .h5. Received: {FLAGS.model}."
    )


def _print_csv(result: dict[str, Any]) -> None:
    totals = {
        k: v for k, v in result.items() if not isinstance(v, (dict, list))
    }
    rows = result["layers"] if FLAGS.per_layer or FLAGS.layers else [totals]
    writer = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def _print_table(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    width = None if sys.stdout.isatty() else 160
    console = Console(highlight=False, width=width)
    if FLAGS.per_layer:
        table = Table()
        for column in COLUMNS:
            is_text = column in ("name", "op", "bound")
            table.add_column(column, justify="left" if is_text else "right")
        for row in result["layers"]:
            table.add_row(*(_text(row[column]) for column in COLUMNS))
        console.print(table)
    energy = ", ".join(
        f"{name} {100 * part / result['energy_mj']:.0f} %"
        for name, part in result["energy_parts_mj"].items()
    )
    console.print(
        f"{result['accelerator']}: {result['peak_tops']:.3g} TOPS peak, "
        f"{result['area_mm2']:.4g} mm2\n"
        f"network: {len(result['layers'])} layers, "
        f"{result['macs'] / 1e6:,.1f} M MACs, "
        f"{result['params'] / 1e6:,.2f} M parameters\n"
        f"latency {result['latency_ms']:.4g} ms, utilization "
        f"{result['utilization']:.1%}\n"
        f"energy {result['energy_mj']:.4g} mJ ({energy})\n"
        f"off-chip traffic {result['dram_bytes'] / 1e6:.4g} MB an inference, "
        f"{result['weight_residency']:.0%} of the weights stay on chip"
    )


def _text(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main() -> None:
    accelerator = cs.load_accelerator(FLAGS.accelerator)
    result = {
        "accelerator": FLAGS.accelerator,
        **summary.summarize(_layers(), accelerator),
    }
    if FLAGS.format == "json":
        print(json.dumps(result, indent=2))
    elif FLAGS.format == "csv":
        _print_csv(result)
    else:
        _print_table(result)


if __name__ == "__main__":
    command_line.run(main)
