r"""Estimates latency, energy and area of a network on an accelerator.

    python tools/estimate.py --network=mobilenet_v2 --accelerator=edge_tpu
    python tools/estimate.py --model=my.tflite --accelerator=my_chip.yaml \
        --format=json
    python tools/estimate.py --layers=layers.csv --accelerator=edge_tpu_v1 \
        --format=csv
    python tools/estimate.py --network=mobilenet_edgetpu --roofline=roofline.png

The network is a published one by name, a YAML file, a TFLite or Keras model, or
a table of layers with H,W,Cin,Cout,Kh,Kw,stride,groups,OH,OW. The JSON has
the totals and, as `layers`, every layer, what limits it and what to change;
the CSV has the totals, or with --layers or --per_layer a row a layer. Each
names as `uncosted` the operations of a model that cannot be counted.
"""

from __future__ import annotations

import csv
import json
import pathlib
import sys
from typing import TYPE_CHECKING, Any

import command_line
from absl import flags

if TYPE_CHECKING:
    import tf_cosearch as cs

FLAGS = flags.FLAGS
flags.DEFINE_string("model", None, "A .tflite, .keras or .h5 file.")
flags.DEFINE_string(
    "signature", None, "Which signature of a .tflite file that has several."
)
flags.DEFINE_string("network", None, "Name or YAML file of a network.")
flags.DEFINE_integer(
    "input_px",
    None,
    "Rows and columns of the image: of --network instead of the published "
    "ones, of --model where the file leaves them open.",
    lower_bound=1,
)
flags.DEFINE_string(
    "layers", None, "CSV with H,W,Cin,Cout,Kh,Kw,stride,groups,OH,OW."
)
flags.DEFINE_string("accelerator", "edge_tpu", "Preset or YAML file.")
flags.DEFINE_enum("format", "table", ["table", "json", "csv"], "What to print.")
flags.DEFINE_bool("per_layer", False, "Print every layer.")
flags.DEFINE_bool("mappings", False, "Print how every layer is mapped.")
flags.DEFINE_enum(
    "objective",
    "latency",
    ["latency", "energy", "energy_delay"],
    "What mappings are chosen by.",
)
flags.DEFINE_integer(
    "batch_size", 1, "Images worked on together.", lower_bound=1
)
flags.DEFINE_string(
    "roofline", None, "Picture to write, with every layer on the roofline."
)
flags.mark_flags_as_mutual_exclusive(
    ["model", "network", "layers"], required=True
)

TABLE_WIDTH = 100
"""Columns of a terminal that the table of layers fits in."""


def main() -> None:
    import tf_cosearch as cs
    from tf_cosearch.cost.explain import summary

    if FLAGS.roofline is not None:
        endings = (".png", ".svg", ".pdf")
        command_line.output_file(FLAGS.roofline, *endings, flag="--roofline")
    accelerator = cs.load_accelerator(FLAGS.accelerator)
    layers, stated = _network()
    result = {
        "accelerator": FLAGS.accelerator,
        **stated,
        **summary.summarize(
            layers, accelerator, FLAGS.objective, FLAGS.batch_size
        ),
    }
    if FLAGS.roofline is not None or FLAGS.format == "json":
        _add_roofline(result, layers, accelerator)
    if FLAGS.format == "json":
        print(json.dumps(result, indent=2))
    elif FLAGS.format == "csv":
        _print_csv(result)
    else:
        _print_table(result)


def _add_roofline(
    result: dict[str, Any], layers: list[cs.Layer], accelerator: cs.Accelerator
) -> None:
    from tf_cosearch.cost.explain import complexity
    from tf_cosearch.designs import roofline

    points = complexity.roofline(layers, accelerator)
    for row, point in zip(result["layers"], points["layers"], strict=True):
        row |= point
    result |= {k: v for k, v in points.items() if k != "layers"}
    if FLAGS.roofline is not None:
        path = pathlib.Path(FLAGS.network or FLAGS.model or FLAGS.layers)
        # A name may have a dot: squeezenet_v1.1.
        name = path.stem if path.exists() else path.name
        roofline.plot(
            points,
            FLAGS.roofline,
            f"{name} on "
            f"{pathlib.Path(FLAGS.accelerator).stem}: "
            f"{result['latency_ms']:.3g} ms",
        )


def _network() -> tuple[list[cs.Layer], dict[str, Any]]:
    """The layers, and what is to be said of how they were read."""
    from tf_cosearch.networks import published
    from tf_cosearch.networks.importers import layers_csv, model_files

    if FLAGS.signature is not None and FLAGS.model is None:
        raise ValueError(
            "--signature is for --model. Received: --signature="
            f"{FLAGS.signature}. Leave it out."
        )
    if FLAGS.model is not None:
        model = model_files.load_model(
            FLAGS.model, FLAGS.input_px, FLAGS.signature
        )
        stated: dict[str, Any] = {"uncosted": model.uncosted}
        if len(model.signatures) > 1:
            read, *others = model.signatures
            stated |= {"signature": read, "other_signatures": others}
        return model.layers, stated
    if FLAGS.network is not None:
        if model_files.is_model_file(FLAGS.network):
            raise ValueError(
                "--network must be the name of a network. Received: "
                f"{FLAGS.network}, a model file. Use --model={FLAGS.network}."
            )
        layers = published.load(FLAGS.network, FLAGS.input_px)
        return layers, {"uncosted": []}
    if FLAGS.input_px is not None:
        raise ValueError(
            "--input_px is for --network and --model. Received: --input_px="
            f"{FLAGS.input_px} with a table of layers. Leave it out."
        )
    return layers_csv.read_layers_csv(FLAGS.layers), {"uncosted": []}


def _print_csv(result: dict[str, Any]) -> None:
    totals = {
        k: v for k, v in result.items() if not isinstance(v, (dict, list))
    }
    by_layer = FLAGS.per_layer or FLAGS.layers is not None
    rows = result["layers"] if by_layer else [totals]
    uncosted = ";".join(result["uncosted"])
    rows = [{**_flat(row), "uncosted": uncosted} for row in rows]
    writer = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """A row without nested values: parts become columns of their own."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            flat |= {f"{name}/{part}": number for part, number in value.items()}
        elif name != "changes":
            flat[name] = value
    return flat


def _print_table(result: dict[str, Any]) -> None:
    from tf_cosearch.designs.report import quantity

    if FLAGS.per_layer:
        _print_layers(result["layers"])
    if FLAGS.mappings:
        for row in result["layers"]:
            print(f"{row['name']}: {row['mapping']}")
        print()
    if result["unfit"]:
        print(f"Does not fit this accelerator: {result['unfit']}.")
    energy = ", ".join(
        f"{name} {part / result['energy_mj']:.0%}"
        for name, part in result["energy_parts_mj"].items()
    )
    print(
        f"{result['accelerator']}: {result['peak_tops']:.3g} TOPS peak, "
        f"{quantity('area_mm2', result['area_mm2'])}\n"
        f"network: {len(result['layers'])} layers, "
        f"{_count(result['macs'])} MACs, "
        f"{_count(result['params'])} parameters\n"
        f"latency {quantity('latency_ms', result['latency_ms'])}, "
        f"utilization {result['utilization']:.1%}\n"
        f"energy {quantity('energy_mj', result['energy_mj'])} ({energy})\n"
        f"off-chip traffic {result['dram_bytes'] / 1e3:.4g} kB an inference, "
        f"{result['weight_residency']:.0%} of the weights stay on chip"
    )
    if "signature" in result:
        print(
            f"signature {result['signature']}; --signature chooses "
            f"{' or '.join(result['other_signatures'])} instead"
        )
    if result["uncosted"]:
        print(
            "not counted, but for the data it moves: "
            f"{', '.join(result['uncosted'])}"
        )


def _print_layers(layers: list[dict[str, Any]]) -> None:
    time_scale, time = _column_unit(layers, "latency_ms")
    energy_scale, energy = _column_unit(layers, "energy_mj")
    header = ("operation", "MACs", "params", "cycles", time, energy, "util.")
    rows = [(*header, "bound by")] + [
        (
            row["op"],
            _count(row["macs"], 3).replace(" ", ""),
            _count(row["params"], 3).replace(" ", ""),
            _count(row["cycles"], 3).replace(" ", ""),
            f"{row['latency_ms'] * time_scale:.3g}",
            f"{row['energy_mj'] * energy_scale:.3g}",
            f"{row['utilization']:.1%}",
            row["bound"],
        )
        for row in layers
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    room = TABLE_WIDTH - sum(widths) - len(widths)
    names = ["layer", *(_end(row["name"], room) for row in layers)]
    room = max(map(len, names))
    for name, (op, *numbers, bound) in zip(names, rows, strict=True):
        cells = [name.ljust(room), op.ljust(widths[0])]
        cells += map(str.rjust, numbers, widths[1:-1])
        print(*cells, bound)
    print()


def _column_unit(layers: list[dict[str, Any]], name: str) -> tuple[float, str]:
    from tf_cosearch.designs.report import unit

    return unit(name, max(row[name] for row in layers))


def _end(name: str, width: int) -> str:
    """The end of a long name, which tells it from its siblings."""
    return name if len(name) <= width else f"…{name[1 - width :]}"


def _count(number: float, digits: int = 4) -> str:
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= factor:
            return f"{number / factor:.{digits}g} {prefix}"
    return f"{number:.{digits}g}"


if __name__ == "__main__":
    command_line.run(main)
