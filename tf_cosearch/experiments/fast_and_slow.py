"""What does hardware that is explored by price, before trainings, bring?"""

from __future__ import annotations

import functools
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_cosearch.accelerators.chip_link import Link
from tf_cosearch.accelerators.presets import load_accelerator
from tf_cosearch.benchmark import samplers
from tf_cosearch.benchmark.landscapes import Evaluation, Landscape
from tf_cosearch.cost.pipeline import Pipeline, partitions
from tf_cosearch.experiments import (
    Findings,
    Setting,
    experiment,
    places,
    slide,
    wins,
)
from tf_cosearch.networks import published
from tf_cosearch.search.pricing import Pricer

THEIRS = [35.24, 54.05]
"""Throughput and energy efficiency, in percent."""

SLACK = 0.001
"""Designs count as equally accurate within it, which is less than the noise of
a training."""

ALGORITHMS = ("two_level", "grey_box")

CHIPS = 4


@experiment(
    paper="Jiang et al., arXiv 1907.04650",
    question="How much throughput, energy efficiency and search time does "
    "exploring the hardware bring against networks for fixed hardware?",
    accuracies=("table",),
)
def fast_and_slow(setting: Setting) -> Findings:
    """Searches both sides, and networks for the baseline chip.

    With `two_level`, their algorithm, and with `grey_box`, which the verdict
    is of.

    Gains are of the fastest and of the most frugal design that is as accurate
    as the best on fixed hardware. Search time counts trainings: how many
    random designs without a fast level have to be trained, for a reward as
    good, by the mean of 4,096. Beside it one network over 1 to 4 `coral_usb`:
    ResNet-18, in the long form Inception-V4. Short: 24 trials. Long: 100.
    """
    trials = 24 if setting.is_short else 100
    place = places.latency_and_energy(setting)["latency"]
    rewards = _random_rewards(place)
    rows: list[dict[str, Any]] = []
    for algorithm in ALGORITHMS:
        for seed in range(setting.seeds):
            run = functools.partial(_run, place, algorithm, seed, trials)
            fixed = run(searched="network", fixed=place.accelerator)
            gains = _gains(fixed, run(), rewards)
            rows.append({"algorithm": algorithm, "seed": seed, **gains})
    network = "resnet18" if setting.is_short else "inception_v4"
    pipelines = _pipelines(network)
    rate = [pipe.throughput_fps for pipe in pipelines]
    medians = {name: _medians(rows, name) for name in ALGORITHMS}
    ahead = _ahead(rows)
    ours, theirs = medians["grey_box"], medians["two_level"]
    rows = [
        {**row, **{f"fps_{n + 1}_chips": fps for n, fps in enumerate(rate)}}
        for row in rows
    ]
    return Findings(
        rows,
        wins.mostly(ahead),
        f"all gained on {wins.count(ahead)} of {len(ahead)} seeds: as accurate "
        f"as on fixed hardware, throughput {ours[0]:+.0f} % "
        f"(two_level {theirs[0]:+.0f}, published +35), energy efficiency "
        f"{ours[1]:+.0f} % (two_level {theirs[1]:+.0f}, published +54), "
        f"{_least(rows)}{ours[2]:.0f} times fewer trainings than at random "
        f"without a fast level (two_level {theirs[2]:.0f}; published 136 times "
        "less time); "
        f"{network} on {len(rate)} chips {rate[-1] / rate[0]:.2f} times as "
        f"fast as on one, utilization {pipelines[-1].utilization:.0%}; "
        f"{trials} trials {places.accuracies(setting)}",
        functools.partial(_draw, medians, network, rate),
        setting.seeds,
    )


def _medians(rows: Sequence[Mapping[str, Any]], algorithm: str) -> list[float]:
    own = [row for row in rows if row["algorithm"] == algorithm]
    names = ("throughput_gain", "energy_gain", "fewer_trainings")
    return [float(np.median([row[name] for row in own])) for name in names]


def _ahead(rows: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Whether throughput, efficiency and search time are gained, by seed."""
    return [
        row["throughput_gain"] > 0
        and row["energy_gain"] > 0
        and row["fewer_trainings"] > 1
        for row in rows
        if row["algorithm"] == "grey_box"
    ]


def _least(rows: Sequence[Mapping[str, Any]]) -> str:
    """Whether random designs were too few to have one as good."""
    own = [row for row in rows if row["algorithm"] == "grey_box"]
    is_bound = any(not row["as_good_at_random"] for row in own)
    return "at least " if is_bound else ""


def _run(
    place: Landscape, algorithm: str, seed: int, trials: int, **options: Any
) -> list[Evaluation]:
    run = samplers.run(place, algorithm, seed, trials, **options)
    return [each for each in run.evaluations if each.is_feasible]


def _random_rewards(place: Landscape) -> np.ndarray:
    """Rewards of random designs, 0 beyond the budgets."""
    genomes = place.space.sample(np.random.default_rng(0), 4096)
    costs = Pricer(place.space, 2048)(genomes)
    within = place.budgets.is_feasible(costs)
    rewards = np.zeros(len(genomes))
    for row in np.flatnonzero(within):
        rewards[row] = place.accuracy(genomes[row])  # as the form is hard
    return rewards


def _gains(
    fixed: Sequence[Evaluation],
    joint: Sequence[Evaluation],
    rewards: Sequence[float] | np.ndarray,
) -> dict[str, Any]:
    if not fixed or not joint:
        raise RuntimeError(
            "Searches must find designs within the budgets to be compared. "
            f"Received: {len(fixed)} on fixed hardware and {len(joint)} "
            "jointly. Use --form=long, or other seeds."
        )
    best = max(fixed, key=lambda each: each.accuracy)
    equal = [e for e in joint if e.accuracy >= best.accuracy - SLACK]
    least = {
        name: min((e.costs[name] for e in equal), default=math.nan)
        for name in ("latency_ms", "energy_mj")
    }
    reached = max(each.reward for each in joint)
    as_good = int((np.asarray(rewards) >= reached).sum())
    needed = len(rewards) / max(as_good, 1)  # or more, if none is
    return {
        "accuracy_on_fixed": best.accuracy,
        "accuracy_joint": max(each.accuracy for each in joint),
        "throughput_gain": _percent(
            best.costs["latency_ms"], least["latency_ms"]
        ),
        "energy_gain": _percent(best.costs["energy_mj"], least["energy_mj"]),
        "fewer_trainings": needed / len(joint),
        "as_good_at_random": as_good,
    }


def _percent(before: float, after: float) -> float:
    """How much more a second or a joule brings; 0 if nothing is as good."""
    return 0.0 if math.isnan(after) else 100 * (before / after - 1)


def _pipelines(network: str) -> list[Pipeline]:
    chip = load_accelerator("coral_usb")
    layers = published.load(network)
    return partitions(layers, [chip] * CHIPS, Link.of(chip))


def _draw(
    medians: Mapping[str, Sequence[float]],
    network: str,
    rate: Sequence[float],
    path: pathlib.Path,
) -> None:
    title = "Hardware explored before trainings, and pipelines of chips"
    with slide.panels(path, title, 2) as (left, right):
        series = {name: known[:2] for name, known in medians.items()}
        series |= {"published": THEIRS[:2]}
        groups = ["throughput", "energy efficiency"]
        slide.bars(left, groups, series, "percent gained, as accurate")
        chips = [str(n + 1) for n in range(len(rate))]
        slide.bars(right, chips, {network: rate}, "images a second")
        right.set_xlabel(f"coral_usb chips that run {network}")
