r"""Compares search algorithms, ours and others', without training anything.

    cosearch benchmark_oracles --output_dir=runs/oracles
    cosearch benchmark_oracles --quick --format=json
    cosearch benchmark_oracles --algorithms=grey_box,optuna_tpe \
        --searched=joint,nested,phased,network

Every algorithm searches every landscape (`tf_cosearch/benchmark`) once a seed:
rivals and the default ten seeds, our others three; rivals 300 trials, ours 100.
Flags say otherwise. That takes about an hour.

A run that is done is kept in `--output_dir`, and the same command goes on where
it was interrupted; after a change of an algorithm, use another folder. Runs go
seed by seed, so whatever is done can be compared.

`best_reward` and `hypervolume` count designs within the budgets only. A
proposal's seconds are without the evaluation, which stands for training. An
algorithm writes its trials to disk: TMPDIR says where.
"""

from __future__ import annotations

import json
import tempfile
from typing import TYPE_CHECKING

from absl import flags

from tf_cosearch.commands import command_line

if TYPE_CHECKING:
    from tf_cosearch.benchmark.jobs import Job

_OTHERS = (
    *("constrained_bayesian", "nsga2", "ppo", "random"),
    *("regularized_evolution", "reinforce", "two_level"),
)
_SLOW = ("keras_tuner_bayesian", "optuna_gp")

FLAGS = flags.FLAGS
flags.DEFINE_bool("quick", False, "A minute: 2 landscapes, 2 seeds, 30 trials.")
flags.DEFINE_list("algorithms", [], "Which to run; all by default.")
flags.DEFINE_list("landscapes", [], "On what to run them; all by default.")
flags.DEFINE_string(
    "accuracy_table",
    None,
    "JSON file of NAS-Bench-Macro's accuracies: compares on these, not on "
    "made-up ones, within budgets of latency, of energy, and of three costs.",
)
flags.DEFINE_integer("seeds", 10, "Runs of each.", lower_bound=1)
flags.DEFINE_list(
    "seeds_of",
    [f"{name}:3" for name in _OTHERS],
    "NAME:N: algorithms that get fewer; `--seeds_of=` is none.",
)
flags.DEFINE_integer("trials", 300, "Trials of a run.", lower_bound=3)
flags.DEFINE_list(
    "trials_of",
    [f"{name}:100" for name in ("grey_box", *_OTHERS, *_SLOW)],
    "NAME:N: algorithms that get fewer; `--trials_of=` is none.",
)
flags.DEFINE_list(
    "searched",
    ["joint"],
    "What ours search: joint, nested, phased, phased_reverse, network, "
    "accelerator.",
)
flags.DEFINE_string(
    "default", None, "Which of ours to hold against the others."
)
flags.DEFINE_integer(
    "long", 0, "Time proposals of ours after so many trials, too.", 0
)
flags.DEFINE_integer("workers", 2, "Processes; 0 is this one.", lower_bound=0)
command_line.define_positive("minutes", "After which no further run begins.")
command_line.define_format("table", "json")
flags.DEFINE_string("output_dir", None, "Where runs and results are kept.")
flags.DEFINE_string("output", None, "A picture, .png, .svg or .pdf.")


def main() -> None:
    from tf_cosearch.benchmark import comparison, comparison_table, curves

    if FLAGS.output:
        command_line.output_picture(FLAGS.output)
    jobs = _plan()
    default = FLAGS.default or comparison.default_algorithm()
    with tempfile.TemporaryDirectory() as passing:
        folder = command_line.output_folder(FLAGS.output_dir or passing)
        result = comparison.compare(
            jobs,
            folder,
            default,
            workers=FLAGS.workers,
            minutes=FLAGS.minutes,
            table=FLAGS.accuracy_table,
        )
    if FLAGS.format == "json":
        print(json.dumps(result, indent=2))
    else:
        print(comparison_table.tables(result))
    picture = FLAGS.output
    if not picture and FLAGS.output_dir:
        picture = folder / "benchmark.png"
    if picture:
        curves.plot(result["landscapes"], picture, default)


def _plan() -> list[Job]:
    from tf_cosearch import configuration
    from tf_cosearch.benchmark import (
        comparison,
        landscapes,
        samplers,
        table_landscapes,
    )

    algorithms = FLAGS.algorithms or samplers.names()
    if FLAGS.default and FLAGS.default not in algorithms:
        raise configuration.unknown("--default", FLAGS.default, algorithms)
    places = FLAGS.landscapes or list(landscapes.LANDSCAPES)
    if FLAGS.accuracy_table:
        known = table_landscapes.take(FLAGS.accuracy_table)
        for name in FLAGS.landscapes:
            if name not in known:
                what = "landscape of --accuracy_table"
                raise configuration.unknown(what, name, known)
        places = FLAGS.landscapes or known
    if FLAGS.quick and not FLAGS.landscapes:
        places = places[:2]
    return comparison.plan(
        algorithms,
        places,
        FLAGS.searched,
        seeds=min(FLAGS.seeds, 2) if FLAGS.quick else FLAGS.seeds,
        trials=min(FLAGS.trials, 30) if FLAGS.quick else FLAGS.trials,
        seeds_of=_numbers("seeds_of"),
        trials_of=_numbers("trials_of"),
        finished=FLAGS.long,
    )


def _numbers(flag: str) -> dict[str, int]:
    """What a flag of NAME:N says of algorithms."""
    from tf_cosearch import configuration
    from tf_cosearch.benchmark import samplers

    counts = {}
    for text in FLAGS[flag].value:
        name, _, count = text.partition(":")
        if name not in samplers.names():
            what = f"algorithm in --{flag}"
            raise configuration.unknown(what, name, samplers.names())
        if not count.isdecimal() or not int(count):
            raise ValueError(
                f"--{flag} must be NAME:N with a positive number. Received: "
                f"{text}. For example random:3."
            )
        counts[name] = int(count)
    return counts
