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
)

SEARCHED = ("joint", "nested", "phased", "phased_reverse", "network")
SEPARATE = SEARCHED[2:]

_HOLDING = ("network", "phased_reverse")


@experiment(
    paper="NAHAS, arXiv 2102.08619, observation 2",
    question="Does one search of both sides beat one side after the other, "
    "or networks alone on the baseline chip, with as many trainings?",
)
def joint_beats_separate(setting: Setting) -> Findings:
    """Runs `grey_box` over each scope, with as many trials.

    Short: 16 trials. Long: 60. `energy_mj` is the least of designs at least
    as accurate as the best that the same seed found on the baseline chip.
    """
    trials = 16 if setting.is_short else 60
    rows: list[dict[str, Any]] = []
    for name, landscape in places.latency_and_energy(setting).items():
        for seed in range(setting.seeds):
            runs = {
                kind: _run(landscape, kind, seed, trials) for kind in SEARCHED
            }
            rows += _rows(name, landscape, seed, runs)
    medians = _medians(rows)
    names = list(dict.fromkeys(row["landscape"] for row in rows))
    gains = [
        medians[name, "joint"]["best_reward"]
        - max(medians[name, kind]["best_reward"] for kind in SEPARATE)
        for name in names
    ]
    volumes = [
        medians[name, "joint"]["hypervolume"]
        / max(medians[name, kind]["hypervolume"] for kind in SEPARATE)
        for name in names
    ]
    ratios = [
        row["energy_mj"] / joint["energy_mj"]
        for row, joint in zip(
            (r for r in rows if r["searched"] == "network"),
            (r for r in rows if r["searched"] == "joint"),
            strict=True,
        )
        if row["landscape"] == "energy" and math.isfinite(joint["energy_mj"])
    ]
    told = ", ".join(
        f"{100 * gain:+.2f} points of reward and {volume:.2f} times the "
        f"hypervolume within the {name} budget"
        for name, gain, volume in zip(names, gains, volumes, strict=True)
    )
    ratio = f"{np.median(ratios):.2f} times" if ratios else "not"
    return Findings(
        rows,
        min(gains) >= 0,
        f"joint against the best separate search {told}; energy of the "
        f"baseline chip's best network {ratio} that of a joint design as "
        f"accurate ({len(ratios)} of {setting.seeds} seeds have one; theirs up "
        f"to 2); no trial over budget; {trials} trials "
        f"{places.accuracies(setting)}",
        functools.partial(_draw, medians, names),
        setting.seeds,
    )


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
    return [
        {
            "landscape": name,
            "searched": kind,
            "seed": seed,
            "trials": len(run),
            "violations": sum(not e.is_feasible for e in run),
            "best_reward": max(
                (e.reward for e in run if e.is_feasible), default=0.0
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
    names: Sequence[str],
    path: pathlib.Path,
) -> None:
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
