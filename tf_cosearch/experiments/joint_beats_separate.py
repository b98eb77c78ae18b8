"""Is it better to search network and hardware together?"""

from __future__ import annotations

import functools
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_cosearch.benchmark import samplers
from tf_cosearch.benchmark.landscapes import Evaluation, Landscape
from tf_cosearch.experiments import (
    Findings,
    Setting,
    experiment,
    places,
    slide,
    wins,
)

SEARCHED = ("joint", "nested", "phased", "phased_reverse", "network")
SEPARATE = SEARCHED[2:]
"""One side after the other, or one alone; `nested` asks for both at once."""

_HOLDING = ("network", "phased_reverse")


@experiment(
    paper="NAHAS, arXiv 2102.08619, observation 2",
    question="Does one search of both sides beat one side after the other, "
    "or networks alone on the baseline chip, with as many trainings?",
    accuracies=("table", "data"),
)
def joint_beats_separate(setting: Setting) -> Findings:
    """Runs `grey_box` over each scope, with as many trials.

    Short: 16 trials. Long: 60. Where they are trained, 8 and 24. `energy_mj` is
    the least of designs at least as accurate as the best that the same seed
    found on the baseline chip; `trials_needed` are those until the reward is
    that of the best separate search of the seed, infinite if it never is.
    """
    short, long = (16, 60) if setting.data is None else (8, 24)
    trials = short if setting.is_short else long
    rows: list[dict[str, Any]] = []
    for name, landscape in places.latency_and_energy(setting).items():
        for seed in range(setting.seeds):
            runs = {
                kind: _run(landscape, kind, seed, trials) for kind in SEARCHED
            }
            rows += _rows(name, landscape, seed, runs)
    holds, verdict = _verdict(rows)
    return Findings(
        rows,
        holds,
        f"{verdict}; {trials} trials {places.accuracies(setting)}",
        functools.partial(_draw, _medians(rows)),
        setting.seeds,
    )


def _verdict(rows: Sequence[Mapping[str, Any]]) -> tuple[bool, str]:
    """Whether joint is ahead on most seeds of each landscape, and how far."""
    told = []
    holds = True
    for name in dict.fromkeys(row["landscape"] for row in rows):
        own = [row for row in rows if row["landscape"] == name]
        gains = _gains(own, "best_reward", SEPARATE)
        nested = _gains(own, "best_reward", ("nested",))
        volumes = _gains(own, "hypervolume", SEPARATE)
        holds &= wins.mostly(gains)
        told.append(
            f"within the {name} budget {100 * np.median(gains):+.2f} points of "
            f"reward (ahead on {wins.count(gains)} of {len(gains)} seeds) and "
            f"{np.median(volumes):+.3f} of hypervolume (on "
            f"{wins.count(volumes)}), and {100 * np.median(nested):+.2f} "
            f"points from nested (on {wins.count(nested)}), as good as the "
            f"separate ones {_after(own)}"
        )
    ratios = _energy_ratios(rows)
    ratio = f"{np.median(ratios):.2f} times" if ratios else "not"
    seeds = len({row["seed"] for row in rows})
    over, trials = (sum(r[k] for r in rows) for k in ("violations", "trials"))
    verdict = (
        f"joint against the best separate search of a seed, {', '.join(told)}; "
        f"energy of the baseline chip's best network {ratio} that of a joint "
        f"design as accurate ({len(ratios)} of {seeds} seeds have one; theirs "
        f"up to 2); {over} of {trials} trials of all searches over budget"
    )
    return holds and not over, verdict


def _after(rows: Sequence[Mapping[str, Any]]) -> str:
    """After how many trials joint is, in words."""
    needed = [r["trials_needed"] for r in rows if r["searched"] == "joint"]
    count = sum(map(math.isfinite, needed))
    if not count:
        return "never"
    median = np.median(needed)
    when = f"after {median:g} trials" if math.isfinite(median) else "on few"
    return f"{when} (on {count} of {len(needed)} seeds)"


def _gains(
    rows: Sequence[Mapping[str, Any]], measure: str, others: Sequence[str]
) -> list[float]:
    """How far joint is ahead of the best of others, by seed."""
    known = {(row["seed"], row["searched"]): row[measure] for row in rows}
    return [
        known[seed, "joint"] - max(known[seed, kind] for kind in others)
        for seed in dict.fromkeys(row["seed"] for row in rows)
    ]


def _energy_ratios(rows: Sequence[Mapping[str, Any]]) -> list[float]:
    """Energy on the baseline chip over that of joint designs as accurate."""
    return [
        row["energy_mj"] / joint["energy_mj"]
        for row, joint in zip(
            (r for r in rows if r["searched"] == "network"),
            (r for r in rows if r["searched"] == "joint"),
            strict=True,
        )
        if row["landscape"] == "energy" and math.isfinite(joint["energy_mj"])
    ]


def _run(
    landscape: Landscape, kind: str, seed: int, trials: int
) -> list[Evaluation]:
    options: dict[str, Any] = {"searched": kind} if kind != "joint" else {}
    if kind in _HOLDING:
        options["fixed"] = landscape.accelerator
    found = samplers.run(landscape, "grey_box", seed, trials, **options)
    return found.evaluations


def _rows(
    name: str,
    landscape: Landscape,
    seed: int,
    runs: Mapping[str, Sequence[Evaluation]],
) -> list[dict[str, Any]]:
    baseline = max(
        (e.accuracy for e in runs["network"] if e.is_feasible), default=math.inf
    )
    reached = max(_best(runs[kind]) for kind in SEPARATE if kind in runs)
    return [
        {
            "landscape": name,
            "searched": kind,
            "seed": seed,
            "trials": len(run),
            "violations": sum(not e.is_feasible for e in run),
            "best_reward": _best(run),
            "trials_needed": next(
                (
                    count
                    for count, each in enumerate(run, 1)
                    if each.is_feasible and each.reward >= reached
                ),
                math.inf,
            ),
            "hypervolume": landscape.hypervolume(
                np.asarray([landscape.point(e) for e in run if e.is_feasible])
            ),
            "energy_mj": min(
                (
                    e.costs["energy_mj"]
                    for e in run
                    if e.is_feasible and e.accuracy >= baseline
                ),
                default=math.inf,
            ),
        }
        for kind, run in runs.items()
    ]


def _best(run: Sequence[Evaluation]) -> float:
    return max((each.reward for each in run if each.is_feasible), default=0.0)


def _medians(
    rows: Sequence[Mapping[str, Any]],
) -> dict[tuple[str, str], dict[str, float]]:
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["landscape"], row["searched"]), []).append(row)
    return {
        key: {
            measure: float(np.median([row[measure] for row in group]))
            for measure in ("best_reward", "hypervolume")
        }
        for key, group in groups.items()
    }


def _draw(
    medians: Mapping[tuple[str, str], Mapping[str, float]],
    path: pathlib.Path,
) -> None:
    names = list(dict.fromkeys(name for name, _ in medians))
    with slide.panels(path, "What is searched, with as many trials", 2) as axes:
        for each, measure in zip(
            axes, ("best_reward", "hypervolume"), strict=True
        ):
            series = {
                kind: [medians[name, kind][measure] for name in names]
                for kind in SEARCHED
            }
            slide.bars(each, names, series, measure.replace("_", " "))
        lowest = min(m["best_reward"] for m in medians.values())
        axes[0].set_ylim(bottom=lowest - 0.02)
