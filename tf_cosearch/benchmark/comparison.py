"""Which runs compare search algorithms, and what they come to together."""

from __future__ import annotations

import importlib.util
import inspect
import itertools
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.progress import track

from tf_cosearch import configuration, files
from tf_cosearch.benchmark import jobs as runs
from tf_cosearch.benchmark import landscapes as places
from tf_cosearch.benchmark import samplers, summary
from tf_cosearch.benchmark.jobs import Job
from tf_cosearch.search.scope import SEARCHED
from tf_cosearch.tuner import CoSearchTuner

RUNS = "runs.jsonl"
RESULT = "result.json"


def plan(
    algorithms: Sequence[str],
    landscapes: Sequence[str],
    searched: Sequence[str] = ("joint",),
    *,
    seeds: int,
    trials: int,
    seeds_of: Mapping[str, int],
    trials_of: Mapping[str, int],
    finished: int = 0,
) -> list[Job]:
    """The runs of every algorithm on every landscape, seed by seed.

    Args:
        algorithms: Of `samplers.names()`.
        landscapes: Of `landscapes.KNOWN`.
        searched: Of `scope.SEARCHED`: what ours search. Rivals search
            everything.
        seeds: Runs of each.
        trials: Of each run.
        seeds_of: Seeds of algorithms that get fewer, by name.
        trials_of: Trials of algorithms that get fewer, by name.
        finished: After how many trials proposals of ours are timed, too; 0
            for not at all.

    Returns:
        The runs; those of the first seed come first, so that whatever is done
        can be compared.

    Raises:
        ValueError: If a name is unknown.
        ImportError: If an algorithm needs what is not installed.
    """
    for landscape in landscapes:
        places.get(landscape)
    for kind in searched:
        if kind not in SEARCHED:
            raise configuration.unknown("scope of a search", kind, SEARCHED)
    jobs = []
    for name in algorithms:
        if name not in samplers.names():
            raise configuration.unknown("algorithm", name, samplers.names())
        is_ours = name not in samplers.RIVALS
        own_seeds = range(min(seeds, seeds_of.get(name, seeds)))
        length = min(trials, trials_of.get(name, trials))
        for landscape, kind in itertools.product(
            landscapes, searched if is_ours else ["joint"]
        ):
            jobs += [
                Job(landscape, name, kind, seed, length) for seed in own_seeds
            ]
        if finished and is_ours:
            jobs.append(Job(landscapes[0], name, "joint", 0, trials, finished))
    _require_modules(algorithms)
    return sorted(jobs, key=lambda job: job.seed)


def _require_modules(algorithms: Sequence[str]) -> None:
    needed = {
        part for name in algorithms for part in samplers.NEEDS.get(name, ())
    }
    missing = sorted(n for n in needed if not importlib.util.find_spec(n))
    if missing:
        raise ImportError(
            f"{' and '.join(missing)} must be installed to compare with these "
            "algorithms. Received: an environment without. pip install "
            "'tf_cosearch[benchmark]', or name the algorithms to run."
        )


def default_algorithm() -> str:
    """What a tuner searches with unless told otherwise."""
    return str(inspect.signature(CoSearchTuner).parameters["oracle"].default)


def compare(
    jobs: Sequence[Job],
    folder: pathlib.Path,
    default: str,
    *,
    workers: int = 0,
    minutes: float | None = None,
    table: str | None = None,
) -> dict[str, Any]:
    """Does the runs that a folder does not hold yet, and sums all of them up.

    Args:
        jobs: What `plan` gave.
        folder: Where `runs.jsonl` and `result.json` lie.
        default: The algorithm to hold against the others.
        workers: Processes; 0 is this one.
        minutes: After which no further run begins.
        table: Of the landscapes, if they are of one.

    Returns:
        What `result.json` holds: `trials` of the longest run, `runs` that are
        done and `runs_asked_for`, `landscapes` as `summary.summarize` gives
        them, the `targets` of the default after `early` trials, and what
        it `needed` to be where the best rival ends.
    """
    console = Console(stderr=True)
    records = list(
        track(
            runs.run_all(jobs, folder / RUNS, workers, minutes, table),
            "Runs",
            total=len(jobs),
            console=console,
            disable=not console.is_terminal,
        )
    )
    by_landscape = summary.summarize(records)
    trials = max(job.trials for job in jobs)
    counts = runs.checkpoints(trials)
    early = max((c for c in counts if 3 * c <= trials), default=counts[0])
    targets = summary.targets(by_landscape, default, early, trials)
    needed = summary.needed(by_landscape, default)
    result = {
        "trials": trials,
        "runs": len(records),
        "runs_asked_for": len(jobs),
        "landscapes": by_landscape,
        "early": early,
        "targets": [target._asdict() for target in targets],
        "needed": [each._asdict() for each in needed],
    }
    files.write_text(folder / RESULT, json.dumps(result, indent=2))
    return result
