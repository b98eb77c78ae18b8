r"""Draws memory and open files of a search over its trials.

    cosearch measure_memory --output_dir=runs/memory --trials=1000
    cosearch measure_memory --output_dir=runs/memory_training \
        --training --trials=60 --trials_per_process=20

The trials of the first do nothing, so what grows is the search's; those of the
second train small networks on digits. Leaves memory.json and memory.png.
"""

from __future__ import annotations

import json

from absl import flags

from tf_cosearch.commands import command_line

FLAGS = flags.FLAGS
flags.DEFINE_string("output_dir", None, "A new folder.", required=True)
flags.DEFINE_integer("trials", 1000, "How many.", lower_bound=2)
flags.DEFINE_bool("training", False, "Train networks, instead of nothing.")
flags.DEFINE_string("oracle", "grey_box", "Who proposes.")
flags.DEFINE_integer(
    "trials_per_process", 0, "See cosearch search.", lower_bound=0
)


def main() -> None:
    from tf_cosearch.benchmark import memory
    from tf_cosearch.engines import launch

    folder = command_line.output_folder(FLAGS.output_dir)
    if (folder / memory.LOG).exists() and not launch.starts():
        raise ValueError(
            f"--output_dir must be new. Received: {folder}, which has a "
            f"{memory.LOG}. Choose another folder."
        )
    figures = memory.measure(
        folder,
        FLAGS.oracle,
        FLAGS.trials,
        FLAGS.training,
        FLAGS.trials_per_process or None,
    )
    print(json.dumps(figures))
