r"""Estimates latency, energy and area of a network on an accelerator.

    cosearch estimate --network=mobilenet_v2 --accelerator=edge_tpu
    cosearch estimate --model=my.tflite --accelerator=my_chip.yaml \
        --format=json
    cosearch estimate --layers=layers.csv --accelerator=edge_tpu_v1 \
        --format=csv
    cosearch estimate --network=mobilenet_edgetpu --roofline=roofline.png
    cosearch estimate --model=my.tflite --evaluator=litert_cpu
    cosearch estimate --network=inception_v4 --accelerator=coral_usb \
        --chips=4 --stages=stages.png

The network is a published one by name, a YAML file, a TFLite or Keras model, or
a table of layers with H,W,Cin,Cout,Kh,Kw,stride,groups,OH,OW. The JSON has
the totals and, as `layers`, every layer, what limits it and what to change;
the CSV has the totals, or with --layers or --per_layer a row a layer. Each
names as `uncosted` the operations of a model that cannot be counted.

With --chips it is cut over as many chips in a pipeline, and over fewer, each
where the slowest stage is fastest; the CSV has a row a stage.
"""

from __future__ import annotations

import json
import pathlib
from typing import TYPE_CHECKING, Any

from absl import flags

from tf_cosearch.commands import command_line

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
flags.DEFINE_string(
    "accelerator",
    "edge_tpu",
    "Preset or YAML file; with --chips also one for each chip: A,B,C.",
)
command_line.define_format("table", "json", "csv")
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
flags.DEFINE_integer(
    "chips", None, "Chips of a pipeline to cut the network for.", lower_bound=1
)
command_line.define_positive(
    "link_gbs",
    "Bandwidth from chip to chip. Defaults to that of the first one's link to "
    "the host or, without one, of its DRAM.",
)
flags.DEFINE_float(
    "link_pj",
    None,
    "Energy of a byte from chip to chip; the default as of --link_gbs.",
    lower_bound=0,
)
flags.DEFINE_string("stages", None, "Picture of the pipeline to write.")
command_line.define_evaluator()
_OF_ONE_CHIP = (
    *("per_layer", "mappings", "objective", "batch_size", "roofline"),
    *("evaluator", "evaluator_option"),
)
_OF_PIPELINES = ("link_gbs", "link_pj", "stages")
flags.mark_flags_as_mutual_exclusive(
    ["model", "network", "layers"], required=True
)


def main() -> None:
    import tf_cosearch as cs
    from tf_cosearch import text
    from tf_cosearch.cost import kernels
    from tf_cosearch.cost.explain import complexity, summary
    from tf_cosearch.designs import cost_table, evaluations, roofline
    from tf_cosearch.evaluators.evaluator import BuiltDesign

    _check_flags()
    if FLAGS.chips is not None:
        _pipeline()
        return
    if FLAGS.roofline is not None:
        command_line.output_picture(FLAGS.roofline, "--roofline")
    accelerator = cs.load_accelerator(FLAGS.accelerator)
    evaluator = _evaluator()
    layers, reading = _network()
    with kernels.untraced():
        costs = summary.summarize(
            layers, accelerator, FLAGS.objective, FLAGS.batch_size
        )
    result = {"accelerator": FLAGS.accelerator, **reading, **costs}
    if evaluator is not None:
        path = pathlib.Path(FLAGS.model)
        design = BuiltDesign(layers, accelerator, path.absolute())
        evaluation = evaluator(design)
        result["measured"] = evaluations.plain(evaluation, result)
    if FLAGS.roofline is not None or FLAGS.format == "json":
        points = complexity.roofline(layers, accelerator)
        result = complexity.with_roofline(result, points)
        if FLAGS.roofline is not None:
            roofline.plot(points, FLAGS.roofline, _title(result))
    if FLAGS.format == "json":
        print(json.dumps(result, indent=2))
    elif FLAGS.format == "csv":
        by_layer = FLAGS.per_layer or FLAGS.layers is not None
        rows = cost_table.rows(result, by_layer)
        print(text.comma_separated(rows), end="")
    else:
        print(cost_table.table(result, FLAGS.per_layer, FLAGS.mappings))
    if evaluator is not None and FLAGS.format == "table":
        print(evaluations.told(FLAGS.evaluator, result["measured"]))


def _check_flags() -> None:
    """Refuses flags of one chip for several, and the reverse."""
    is_one = FLAGS.chips is None
    for name in _OF_PIPELINES if is_one else _OF_ONE_CHIP:
        if FLAGS[name].value != FLAGS[name].default:
            raise ValueError(
                f"--{name} must be given {'with' if is_one else 'without'} "
                f"--chips. Received: --{name}={FLAGS[name].value}. Leave it "
                f"out{', or say how many --chips' if is_one else ''}."
            )


def _pipeline() -> None:
    """Prints what the network costs over 1 to --chips chips."""
    import tf_cosearch as cs
    from tf_cosearch import text
    from tf_cosearch.cost import pipeline
    from tf_cosearch.designs import pipeline_picture, pipeline_table

    if FLAGS.stages is not None:
        command_line.output_picture(FLAGS.stages, "--stages")
    names = FLAGS.accelerator.split(",")
    if len(names) not in (1, FLAGS.chips):
        raise ValueError(
            "--accelerator must be one, or one for each chip. Received: "
            f"{len(names)} for --chips={FLAGS.chips}. Give {FLAGS.chips}, "
            "separated by commas."
        )
    if len(names) == 1:
        names *= FLAGS.chips
    known = {name: cs.load_accelerator(name) for name in dict.fromkeys(names)}
    chips = [known[name] for name in names]
    link = cs.Link.of(chips[0], FLAGS.link_gbs, FLAGS.link_pj)
    layers, reading = _network()
    pipelines = pipeline.partitions(layers, chips, link)
    short = [pathlib.Path(name).stem for name in names]
    if FLAGS.stages is not None:
        title = f"{_name()} over {len(chips)} chips"
        pipeline_picture.plot(pipelines, short, FLAGS.stages, title)
    if FLAGS.format == "json":
        result = {
            **reading,
            "link": link._asdict(),
            "pipelines": [pipeline_table.plain(p, names) for p in pipelines],
        }
        print(json.dumps(result, indent=2))
    elif FLAGS.format == "csv":
        uncosted = {"uncosted": ";".join(reading["uncosted"])}
        rows = pipeline_table.rows(pipelines, names)
        print(text.comma_separated([row | uncosted for row in rows]), end="")
    else:
        print(pipeline_table.table(pipelines, short))
        if reading["uncosted"]:
            told = ", ".join(reading["uncosted"])
            print(f"not counted, but for the data it moves: {told}")


def _evaluator() -> cs.Evaluator | None:
    """Who measures the file; None if that is left to the cost model."""
    if FLAGS.evaluator == "analytic":
        command_line.make_evaluator()  # which has no options
        return None
    if not str(FLAGS.model).endswith(".tflite"):
        raise ValueError(
            "--evaluator must be asked about a file. Received: "
            f"{FLAGS.evaluator} for {FLAGS.model or 'no --model'}. Give a "
            ".tflite as --model."
        )
    if FLAGS.format == "csv":
        raise ValueError(
            "--evaluator must be printed as a table or JSON. Received: "
            "--format=csv. Use --format=json."
        )
    return command_line.make_evaluator()


def _title(result: dict[str, Any]) -> str:
    accelerator = pathlib.Path(FLAGS.accelerator).stem
    return f"{_name()} on {accelerator}: {result['latency_ms']:.3g} ms"


def _name() -> str:
    """What to call the network in a picture."""
    path = pathlib.Path(FLAGS.network or FLAGS.model or FLAGS.layers)
    # A name may have a dot: squeezenet_v1.1.
    return path.stem if path.exists() else path.name


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
            chosen, *others = model.signatures
            stated |= {"signature": chosen, "other_signatures": others}
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
