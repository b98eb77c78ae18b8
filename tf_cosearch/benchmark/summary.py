"""What the runs of a benchmark say together."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tf_cosearch.benchmark import samplers
from tf_cosearch.benchmark.jobs import Job

MEASURES = ("best_reward", "hypervolume")
AFTER = "seconds_per_proposal_after"
LONGEST_PROPOSAL_SECONDS = 1.0

_KINDS = (("joint", "nested"), ("phased", "phased_reverse"), ("network",))


def summarize(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Medians and quartiles over seeds.

    Args:
        records: What `jobs.execute` gave.

    Returns:
        For each landscape and algorithm: the number of `seeds`; for each of
        `MEASURES`, by number of trials, `median` and `quartiles`; the
        `violations` of all seeds; the median of `seconds_per_proposal`, and
        of `seconds_per_proposal_after` some number of trials where timed.
    """
    groups: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
    for record in records:
        job = Job(*record["job"])
        of_landscape = groups.setdefault(job.landscape, {})
        of_landscape.setdefault(job.label, []).append(record)
    return {
        landscape: {
            label: _summarize_algorithm(runs)
            for label, runs in of_landscape.items()
        }
        for landscape, of_landscape in groups.items()
    }


def _summarize_algorithm(records: Sequence[Mapping[str, Any]]) -> Any:
    curves = [r for r in records if not Job(*r["job"]).finished]
    entry: dict[str, Any] = {"seeds": len(curves)}
    for measure in MEASURES if curves else ():
        values = np.asarray([record[measure] for record in curves])
        quartiles = np.percentile(values, [25, 50, 75], axis=0).T
        entry[measure] = {
            str(count): {"median": middle, "quartiles": [low, high]}
            for count, (low, middle, high) in zip(
                curves[0]["counts"], quartiles.tolist(), strict=True
            )
        }
    if curves:
        entry["violations"] = sum(record["violations"] for record in curves)
        entry["seconds_per_proposal"] = _median_seconds(curves)
    if long := [r for r in records if Job(*r["job"]).finished]:
        after = str(Job(*long[0]["job"]).finished)
        entry[AFTER] = {after: _median_seconds(long)}
    return entry


def _median_seconds(records: Sequence[Mapping[str, Any]]) -> float:
    return float(np.median([r["seconds_per_proposal"] for r in records]))


class Target(NamedTuple):
    """Something aimed at.

    Attributes:
        landscape: Where.
        what: Which number of which algorithm.
        value: That number, in the median.
        against: What it is held against.
        bound: The number of that.
        passed: Whether the target is reached.
    """

    landscape: str
    what: str
    value: float
    against: str
    bound: float
    passed: bool


def targets(
    landscapes: Mapping[str, Any], default: str, early: int, late: int
) -> list[Target]:
    """What was aimed at, and whether it is reached.

    Args:
        landscapes: What `summarize` gave.
        default: The algorithm to hold against the rivals.
        early: Trials that it gets.
        late: Trials that the rivals get.

    Returns:
        The targets that the runs can decide.
    """
    aims: list[Target] = []
    for name, entries in landscapes.items():
        curves = {k: v for k, v in entries.items() if MEASURES[0] in v}
        for measure in MEASURES:
            first = {k: _at(v, measure, early) for k, v in curves.items()}
            last = {k: _at(v, measure, late) for k, v in curves.items()}
            aims += _against_rivals(name, measure, default, first, last)
            aims += _in_order(name, measure, default, last)
        aims += _limits(name, entries)
    return aims


class Needed(NamedTuple):
    """After how many trials an algorithm is where the best rival ends.

    Attributes:
        landscape: Where.
        measure: In which of `MEASURES`, in the median.
        trials: How many; `None` if it never is.
        rival: The best one.
        bound: Its median after `of` trials.
        of: All its trials.
    """

    landscape: str
    measure: str
    trials: int | None
    rival: str
    bound: float
    of: int


def needed(landscapes: Mapping[str, Any], default: str) -> list[Needed]:
    """Trials after which the default is where the best rival ends.

    Args:
        landscapes: What `summarize` gave.
        default: The algorithm to hold against the rivals.

    Returns:
        One for each landscape and measure that the runs can decide.
    """
    told = []
    for name, entries in landscapes.items():
        for measure in MEASURES:
            ends = {
                label: list(entry[measure].items())[-1]
                for label, entry in entries.items()
                if measure in entry and label in samplers.RIVALS
            }
            if not ends or measure not in entries.get(default, {}):
                continue
            rival = max(ends, key=lambda label: ends[label][1]["median"])
            bound = float(ends[rival][1]["median"])
            enough = (
                int(count)
                for count, at in entries[default][measure].items()
                if at["median"] >= bound
            )
            trials, of = next(enough, None), int(ends[rival][0])
            told.append(Needed(name, measure, trials, rival, bound, of))
    return told


def _at(entry: Mapping[str, Any], measure: str, count: int) -> float:
    """The median after so many trials, or after the last."""
    reached = [text for text in entry[measure] if int(text) <= count]
    return float(entry[measure][max(reached, key=int)]["median"])


def _against_rivals(
    landscape: str,
    measure: str,
    default: str,
    first: Mapping[str, float],
    last: Mapping[str, float],
) -> list[Target]:
    """The default early is no worse than the best rival late."""
    rivals = [label for label in last if label in samplers.RIVALS]
    if not rivals or default not in first:
        return []
    best = max(rivals, key=lambda label: last[label])
    value, bound = first[default], last[best]
    what = f"{measure} of {default}, early"
    passed = value >= bound
    return [Target(landscape, what, value, best, bound, passed)]


def _in_order(
    landscape: str, measure: str, default: str, last: Mapping[str, float]
) -> list[Target]:
    """Joint or nested beats phased beats fixed, at equal trials."""
    best = []
    for kinds in _KINDS:
        labels = [Job("", default, kind, 0, 0).label for kind in kinds]
        labels = [label for label in labels if label in last]
        if labels:
            best.append(max(labels, key=lambda label: last[label]))
    return [
        Target(
            landscape,
            f"{measure} of {better}",
            last[better],
            worse,
            last[worse],
            last[better] > last[worse],
        )
        for better, worse in itertools.pairwise(best)
    ]


def _limits(landscape: str, entries: Mapping[str, Any]) -> list[Target]:
    """Ours train nothing infeasible and propose within a second."""
    aims = []
    for label, entry in entries.items():
        if label in samplers.RIVALS:
            continue
        limited: list[tuple[str, float, float]] = []
        if "violations" in entry:
            limited.append(("violations", entry["violations"], 0))
        for after, seconds in entry.get(AFTER, {}).items():
            limit = LONGEST_PROPOSAL_SECONDS
            limited.append((f"seconds after {after} trials", seconds, limit))
        aims += [
            Target(
                landscape,
                f"{what} of {label}",
                value,
                "limit",
                most,
                value <= most,
            )
            for what, value, most in limited
        ]
    return aims
