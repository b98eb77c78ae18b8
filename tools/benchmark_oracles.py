r"""Compares search algorithms, ours and others', without training anything.

    python tools/benchmark_oracles.py --output_dir=runs/oracles
    python tools/benchmark_oracles.py --quick --format=json
    python tools/benchmark_oracles.py --algorithms=grey_box,optuna_tpe \
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

import importlib.util
import itertools
import json
import math
import pathlib
import tempfile
from typing import TYPE_CHECKING, Any

import command_line
from absl import flags

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
flags.DEFINE_enum("format", "table", ["table", "json"], "What to print.")
flags.DEFINE_string("output_dir", None, "Where runs and results are kept.")
flags.DEFINE_string("output", None, "A picture, .png, .svg or .pdf.")

_MEASURES = ("best_reward", "hypervolume")
_CHECKPOINTS = (25, 50, 100, 200, 300)


def main() -> None:
    if FLAGS.output:
        command_line.output_picture(FLAGS.output)
    jobs = plan()
    with tempfile.TemporaryDirectory() as passing:
        folder = command_line.output_folder(FLAGS.output_dir or passing)
        result = _run(jobs, folder)
        text = json.dumps(result, indent=2)
        (folder / "result.json").write_text(text)
    if FLAGS.format == "json":
        print(text)
    else:
        _print_tables(result)
    picture = FLAGS.output
    if not picture and FLAGS.output_dir:
        picture = folder / "benchmark.png"
    if picture:
        _draw(result["landscapes"], pathlib.Path(picture))


def plan() -> list[Job]:
    """The runs that the flags ask for; raises where they ask the impossible."""
    from tf_cosearch import configuration
    from tf_cosearch.benchmark import landscapes, samplers
    from tf_cosearch.benchmark.jobs import Job
    from tf_cosearch.search.scope import SEARCHED

    algorithms = FLAGS.algorithms or samplers.names()
    places = FLAGS.landscapes or list(landscapes.LANDSCAPES)
    seeds, trials = FLAGS.seeds, FLAGS.trials
    if FLAGS.quick:
        seeds, trials = min(seeds, 2), min(trials, 30)
        places = FLAGS.landscapes or places[:2]
    for place in places:
        landscapes.get(place)
    if FLAGS.default and FLAGS.default not in algorithms:
        raise configuration.unknown("--default", FLAGS.default, algorithms)
    for kind in FLAGS.searched:
        if kind not in SEARCHED:
            raise configuration.unknown("--searched", kind, SEARCHED)
    seeds_of, trials_of = _numbers("seeds_of"), _numbers("trials_of")
    jobs = []
    for name in algorithms:
        if name not in samplers.names():
            raise configuration.unknown("algorithm", name, samplers.names())
        kinds = ["joint"] if name in samplers.RIVALS else FLAGS.searched
        few = range(min(seeds, seeds_of.get(name, seeds)))
        most = min(trials, trials_of.get(name, trials))
        for place, kind in itertools.product(places, kinds):
            jobs += [Job(place, name, kind, seed, most) for seed in few]
        if FLAGS.long and name not in samplers.RIVALS:
            jobs.append(Job(places[0], name, "joint", 0, trials, FLAGS.long))
    needed = {
        part for name in algorithms for part in samplers.NEEDS.get(name, ())
    }
    missing = sorted(n for n in needed if not importlib.util.find_spec(n))
    if missing:
        raise ImportError(
            f"{' and '.join(missing)} must be installed to compare with these "
            "algorithms. Received: an environment without. pip install "
            "'tf_cosearch[benchmark]', or name the --algorithms to run."
        )
    return sorted(jobs, key=lambda job: job.seed)


def _numbers(flag: str) -> dict[str, int]:
    """What a flag of NAME:N says of algorithms."""
    from tf_cosearch import configuration
    from tf_cosearch.benchmark import samplers

    found = {}
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
        found[name] = int(count)
    return found


def _run(jobs: list[Job], folder: pathlib.Path) -> dict[str, Any]:
    """Does the runs and sums them up."""
    from rich.console import Console
    from rich.progress import track

    from tf_cosearch.benchmark import jobs as running
    from tf_cosearch.benchmark import summary

    records = running.run_all(
        jobs, folder / "runs.jsonl", FLAGS.workers, FLAGS.minutes
    )
    console = Console(stderr=True)
    done = list(
        track(
            records,
            "Runs",
            total=len(jobs),
            console=console,
            disable=not console.is_terminal,
        )
    )
    found = summary.summarize(done)
    trials = max(job.trials for job in jobs)
    counts = running.checkpoints(trials)
    early = max((c for c in counts if 3 * c <= trials), default=counts[0])
    default = FLAGS.default or default_algorithm()
    return {
        "trials": trials,
        "runs": len(done),
        "runs_asked_for": len(jobs),
        "landscapes": found,
        "early": early,
        "targets": [
            target._asdict()
            for target in summary.targets(found, default, early, trials)
        ],
    }


def default_algorithm() -> str:
    """What a tuner searches with unless told otherwise."""
    import inspect

    import tf_cosearch as cs

    return str(inspect.signature(cs.CoSearchTuner).parameters["oracle"].default)


def _print_tables(result: dict[str, Any]) -> None:
    from tf_cosearch import text

    trials = result["trials"]
    counts = sorted({*(c for c in _CHECKPOINTS if c <= trials), trials})
    for landscape, entries in result["landscapes"].items():
        for measure in _MEASURES:
            header = [f"{landscape}: {measure}", "seeds", *map(str, counts)]
            rows = [[*header, "quartiles", "violations", "s/proposal"]]
            for label, entry in sorted(
                entries.items(), key=lambda item: _last(item[1], measure)
            ):
                if measure not in entry:
                    continue
                at = entry[measure]
                low, high = list(at.values())[-1]["quartiles"]
                rows.append(
                    [
                        label,
                        str(entry["seeds"]),
                        *(_median(at.get(str(count))) for count in counts),
                        f"{low:.4f}-{high:.4f}",
                        str(entry["violations"]),
                        f"{entry['seconds_per_proposal']:.3f}",
                    ]
                )
            print(text.table(rows, "<" + ">" * (len(rows[0]) - 1)))
            print()
    _print_targets(result)
    if result["runs"] < result["runs_asked_for"]:
        print(
            f"{result['runs']} of {result['runs_asked_for']} runs done. The "
            "same command goes on."
        )


def _median(point: Any) -> str:
    return f"{point['median']:.4f}" if point else "-"


def _last(entry: dict[str, Any], measure: str) -> float:
    """Sorts the best first."""
    medians = [value["median"] for value in entry.get(measure, {}).values()]
    return -medians[-1] if medians else 0.0


def _print_targets(result: dict[str, Any]) -> None:
    from tf_cosearch import text

    print(f"early: {result['early']} trials; else {result['trials']}")
    rows = [["target", "landscape", "value", "against", "bound", ""]]
    rows += [
        [
            target["what"],
            target["landscape"],
            f"{target['value']:.4g}",
            target["against"],
            f"{target['bound']:.4g}",
            "passed" if target["passed"] else "MISSED",
        ]
        for target in result["targets"]
    ]
    print(text.table(rows, "<<><><"))


def _draw(found: dict[str, Any], path: pathlib.Path) -> None:
    """Draws medians and quartiles: a row for each landscape."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from tf_cosearch.benchmark import samplers

    labels = list(dict.fromkeys(k for e in found.values() for k in e))
    palette = matplotlib.colormaps["tab10"]
    default = FLAGS.default or default_algorithm()
    styles: dict[str, dict[str, Any]] = {}
    if default in labels:
        labels.remove(default)
        styles[default] = {"color": "black", "linewidth": 2.5}
    for kind, line in ((False, "-"), (True, "--")):
        group = [k for k in labels if (k in samplers.RIVALS) == kind]
        for index, label in enumerate(group):
            color = palette(index % palette.N)
            styles[label] = {"color": color, "linestyle": line}
    figure = Figure(
        figsize=(11, 1.2 + 3 * len(found)), dpi=110, layout="constrained"
    )
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(found), 2, squeeze=False, sharex=True)
    for row, (landscape, entries) in zip(grid, found.items(), strict=True):
        for axes, measure in zip(row, _MEASURES, strict=True):
            bottom = math.inf
            for label, style in styles.items():
                curve = entries.get(label, {}).get(measure)
                if curve:
                    _draw_curve(axes, curve, label, style)
                    begun = min(curve, key=lambda n: abs(int(n) - 50))
                    bottom = min(bottom, curve[begun]["median"])
            # From 50 trials on; before, some have found nothing.
            axes.set_ylim(bottom=bottom)
            axes.set_title(f"{landscape}: {measure}", fontsize=10)
            axes.grid(alpha=0.3)
    for axes in grid[-1]:
        axes.set_xlabel("trials")
    handles, names = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=5)
    figure.savefig(path)


def _draw_curve(axes: Any, curve: Any, label: str, style: Any) -> None:
    """Draws a line of medians in a band of quartiles."""
    counts = [int(count) for count in curve]
    middle = [value["median"] for value in curve.values()]
    low = [value["quartiles"][0] for value in curve.values()]
    high = [value["quartiles"][1] for value in curve.values()]
    axes.plot(counts, middle, label=label, **style)
    axes.fill_between(counts, low, high, alpha=0.12, color=style["color"])


if __name__ == "__main__":
    command_line.run(main)
