r"""Asks what papers found of this system: a CSV, a picture and a verdict each.

    cosearch reproduce --list
    cosearch reproduce --experiment=codesign_edp --output_dir=runs/papers
    cosearch reproduce --experiment=joint_beats_separate --form=long \
        --accuracy_table=nas-bench-macro_cifar10.json --output_dir=runs/papers

Without --experiment all are done, in their short forms within 15 minutes of a
core. tf_cosearch/experiments/README.md has their figures, and those of long
forms where it says so.
"""

from __future__ import annotations

import pathlib
from typing import Any

from absl import flags

from tf_cosearch.commands import command_line

FLAGS = flags.FLAGS
flags.DEFINE_bool("list", False, "Say which experiments there are.")
flags.DEFINE_multi_string(
    "experiment", [], "Which to do; may be repeated; all if left out."
)
flags.DEFINE_enum("form", "short", ["short", "long"], "How long it may take.")
flags.DEFINE_integer(
    "seeds",
    None,
    "Repetitions of what is random; 2 of a short form, 10 of a long one.",
    lower_bound=1,
)
flags.DEFINE_string(
    "accuracy_table",
    None,
    "NAS-Bench-Macro's table; accuracies are made up where it is left out.",
)
flags.DEFINE_string(
    "data",
    None,
    "Data to train on, as of cosearch search: `digits`, `idx:FOLDER`, "
    "`npz:FILE`. Accuracies are those of trainings then.",
)
flags.DEFINE_string("output_dir", "runs/papers", "Where the files go.")

_TRAININGS_PER_PROCESS = 50


def main() -> None:
    from tf_cosearch import experiments, text
    from tf_cosearch.benchmark import table_landscapes, trainings
    from tf_cosearch.engines import launch
    from tf_cosearch.experiments import trained

    if FLAGS.list:
        known = [experiments.get(name) for name in experiments.names()]
        rows = [["experiment", "paper", "question"]]
        rows += [[e.name, e.paper, e.question] for e in known]
        print(text.table(rows, "<<<"))
        return
    chosen = FLAGS.experiment or experiments.names()
    for name in chosen:
        experiments.get(name)  # before any of them begins
    _require_taken(experiments)
    if FLAGS.accuracy_table:
        table_landscapes.take(FLAGS.accuracy_table)
    is_short = FLAGS.form == "short"
    setting = experiments.Setting(
        is_short,
        FLAGS.seeds or (2 if is_short else 10),
        FLAGS.accuracy_table and pathlib.Path(FLAGS.accuracy_table),
        FLAGS.data,
        pathlib.Path(FLAGS.output_dir),
        _TRAININGS_PER_PROCESS,
    )
    if FLAGS.data:
        trained.require(setting)
    folder = command_line.output_folder(FLAGS.output_dir)
    for name in chosen:
        verdict = experiments.reproduce(name, setting, folder)
        # Before it started anew it told what needs no training now.
        if not launch.starts() or trainings.trained():
            print(verdict, flush=True)
    print(f"CSVs and pictures are in {folder}.")


def _require_taken(experiments: Any) -> None:
    """Refuses accuracies that an experiment which is named would not use."""
    given = {"table": "accuracy_table", "data": "data"}
    named = [flag for flag in given.values() if FLAGS[flag].value]
    if len(named) == 2:
        raise ValueError(
            "Accuracies must be of a table or of trainings. Received: "
            "--accuracy_table and --data. Leave one out."
        )
    for kind, flag in given.items():
        taking = experiments.taking(kind)
        if flag in named and (others := {*FLAGS.experiment} - {*taking}):
            raise ValueError(
                f"--{flag} must be for {', '.join(taking)}. Received: it with "
                f"{', '.join(sorted(others))}. Leave it out."
            )
