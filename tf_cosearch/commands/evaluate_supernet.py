r"""Says how well a supernet ranks networks, against an earlier search of them.

    cosearch evaluate_supernet --supernet=runs/supernet \
        --trained=runs/digits --output=ranking.png

The networks that the search trained are measured on the supernet. Its ranking
is compared with that of the trained int8 files: by Kendall's tau, by Spearman's
correlation, and by what would be lost if only the --top networks of the
supernet were trained. Beside it stands what multiply-accumulates and
parameters alone give. Space and data are those of both.

--quantization_gap=N makes an int8 file of N of the networks, with the weights
of the supernet, and says how far its accuracies are from those of the files.
"""

from __future__ import annotations

import json
import pathlib
import sys
from collections.abc import Callable

from absl import flags

from tf_cosearch.commands import command_line

FLAGS = flags.FLAGS
flags.DEFINE_string("supernet", None, "Folder of a supernet.", required=True)
flags.DEFINE_string(
    "trained",
    None,
    "Folder, or trials.csv, of a search that trained networks of the space on "
    "the same data.",
    required=True,
)
flags.DEFINE_string("space", "digits", "Name or YAML file of the space.")
flags.DEFINE_string(
    "accelerator", None, "What the search fixed the hardware to, if it did."
)
command_line.define_task()
command_line.define_data()
command_line.define_image_size()
flags.DEFINE_integer(
    "top", 5, "How many networks would be trained.", lower_bound=1
)
flags.DEFINE_integer(
    "quantization_gap",
    0,
    "Of how many networks to make an int8 file; 0 is of none.",
    lower_bound=0,
)
flags.DEFINE_string("output", None, "Picture to write, .png, .svg or .pdf.")
command_line.define_format("text", "json")


def main() -> None:
    import tf_cosearch as cs
    from tf_cosearch.supernet import (
        ranking_picture,
        ranking_report,
        trained_networks,
    )
    from tf_cosearch.supernet.evaluation import Evaluator
    from tf_cosearch.supernet.supernet import Supernet
    from tf_cosearch.training import fingerprint, inputs

    if FLAGS.output is not None:
        command_line.output_picture(FLAGS.output)
    task = command_line.task_of_space()
    data = command_line.load_data_of_networks(task)
    space = cs.SearchSpace.load(
        FLAGS.space, data.input_shape, data.classes, FLAGS.accelerator, task
    )
    described = fingerprint.describe_splits(
        data.train, data.validation, data.classes, task
    )
    trained = trained_networks.read(FLAGS.trained, space, described)
    supernet = Supernet.load(FLAGS.supernet, space.network_space, described)
    prepared = inputs.prepare(
        *data.train,
        input_shape=data.input_shape,
        classes=data.classes,
        validation_data=data.validation,
        task=task,
    )
    result = ranking_report.report(
        Evaluator(supernet.weights, prepared),
        trained,
        FLAGS.top,
        files=FLAGS.quantization_gap,
        on_network=_progress(len(trained), "networks measured"),
        on_file=_progress(FLAGS.quantization_gap, "int8 files measured"),
    )
    if FLAGS.format == "json":
        print(json.dumps(result, indent=2))
    else:
        print(ranking_report.table(result))
    if FLAGS.output is not None:
        data_name = pathlib.Path(FLAGS.data.rpartition(":")[2]).name
        ranking_picture.plot(
            result,
            FLAGS.output,
            f"Networks of {pathlib.Path(FLAGS.space).stem} on {data_name}",
        )


def _progress(most: int, words: str) -> Callable[[int], None]:
    """Tells how far it is; the result alone goes to standard output."""
    from tf_cosearch.supernet.progress import Clock

    clock: Clock | None = None

    def tell(done: int) -> None:
        nonlocal clock
        clock = clock or Clock(most, done)  # from the first on
        if left := clock.left(done):
            print(f"{done}/{most} {words}{left}", file=sys.stderr)

    return tell
