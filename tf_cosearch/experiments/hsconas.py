"""Do channel factors and a shrinking space help an evolution?"""

from __future__ import annotations

import copy
import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_cosearch import configuration
from tf_cosearch.benchmark import landscapes, samplers, table_landscapes
from tf_cosearch.benchmark.landscapes import Landscape, TrainedLandscape
from tf_cosearch.benchmark.table_landscapes import TableLandscape
from tf_cosearch.benchmark.trainings import SharedTrainings
from tf_cosearch.experiments import (
    Findings,
    Setting,
    experiment,
    places,
    slide,
    trained,
    wins,
)
from tf_cosearch.networks.spaces.template import Template
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.objectives import AbsoluteDeviation
from tf_cosearch.search.space import SearchSpace

STAGES = 2

_MADE_UP_ONES = "on made-up accuracies"

FACTORS = tuple(n / 10 for n in range(1, 11))

TARGET_MS = 0.035
"""What networks of one factor and of ten may take: a quarter of the former are
faster, most of the latter."""


class _Evolved(Landscape):
    """What they maximise, `accuracy + beta |latency / target - 1|`."""

    @functools.cached_property
    def reward(self) -> Any:
        """Aimed at the budget of latency."""
        return AbsoluteDeviation(self.budgets)


@dataclasses.dataclass(frozen=True)
class _OnTable(_Evolved, TableLandscape):
    pass


@dataclasses.dataclass(frozen=True)
class _MadeUp(_Evolved):
    pass


@dataclasses.dataclass(frozen=True)
class _Scaled(_Evolved):
    """Their space, all networks of some channel factors.

    Attributes:
        factors: Which.
    """

    factors: tuple[float, ...] = ()

    @functools.cached_property
    def space(self) -> SearchSpace:
        """Their networks, at 96 pixels, on the baseline chip."""
        content = configuration.load("spaces", self.space_name)
        content["defaults"]["expansion"] = list(self.factors)
        networks = Template(content, self.space_name, (96, 96, 3))
        return SearchSpace(networks, _baseline())


@dataclasses.dataclass(frozen=True)
class _Shared(_Evolved, TrainedLandscape):
    """Their space on the baseline chip, judged by a supernet."""

    @functools.cached_property
    def space(self) -> SearchSpace:
        """The networks of its description."""
        networks = self.trainings.template(self.content or {}, self.space_name)
        return SearchSpace(networks, _baseline())


def _baseline() -> dict[str, Any]:
    space = SearchSpace.load("digits", accelerator="edge_tpu")
    return {"family": space.family, **space.fixed}


@experiment(
    paper="HSCoNAS, arXiv 2103.08325",
    question="Do channel factors bring networks closer to a latency, and does "
    "an evolution find more in a space that shrinks?",
    accuracies=("table", "data"),
)
def hsconas(setting: Setting) -> Findings:
    """Runs `regularized_evolution` with and without either.

    The space shrinks twice, by estimates of the trials so far. Channels are
    those of the space `hsconas` on `edge_tpu`, with made-up accuracies: all
    ten factors, against 1 alone; `gap` is the mean of |latency / target - 1|
    of the ten designs of highest reward. With data, all accuracies are those
    of networks of that space, made small for small images, on the shared
    weights of a supernet. Short: 60 trials. Long: 200.
    """
    trials = 60 if setting.is_short else 200
    whose, of_factors = places.accuracies(setting), _MADE_UP_ONES
    whole: Landscape
    if setting.data is None:
        whole, one, ten = _place(setting), _scaled((1.0,)), _scaled(FACTORS)
    else:
        whole, one = _shared(setting)
        ten = whole
        told = trained.told(setting, whole.trainings.epochs)
        whose = of_factors = f"on a supernet {told}"
    kinds: dict[str, tuple[Landscape, dict[str, Any]]] = {
        "whole space": (whole, {}),
        "shrinking": (whole, {"shrink_stages": STAGES}),
        "factor 1": (one, {}),
        "ten factors": (ten, {}),
    }
    rows = [
        {"searched": kind, "seed": seed, **_measured(place, seed, trials, how)}
        for kind, (place, how) in kinds.items()
        for seed in range(setting.seeds)
    ]
    holds, verdict = _verdict(rows, whose, of_factors)
    return Findings(
        rows,
        holds,
        f"{verdict}; {trials} trials",
        functools.partial(_draw, rows, list(kinds)),
        setting.seeds,
    )


def _verdict(
    rows: Sequence[Mapping[str, Any]],
    whose: str,
    of_factors: str = _MADE_UP_ONES,
) -> tuple[bool, str]:
    """Whether both help on most seeds, and by how much in the median.

    Args:
        rows: Of the CSV.
        whose: What the accuracies of the two spaces are.
        of_factors: What those of channel factors are.
    """
    gains = _gains(rows, "reward", "shrinking", "whole space")
    scaled = _gains(rows, "reward", "ten factors", "factor 1")
    nearer = _gains(rows, "gap", "factor 1", "ten factors")
    one, ten = (_median(rows, k)["gap"] for k in ("factor 1", "ten factors"))
    return (
        wins.mostly(gains) and wins.mostly(nearer),
        f"shrinking {100 * np.median(gains):+.2f} points of F {whose} (ahead "
        f"on {wins.count(gains)} of {len(gains)} seeds); with ten channel "
        f"factors the best are {ten:.1%} from the target, with one {one:.1%} "
        f"(ten are nearer on {wins.count(nearer)}), and F "
        f"{100 * np.median(scaled):+.2f} points {of_factors} (ahead "
        f"on {wins.count(scaled)})",
    )


def _gains(
    rows: Sequence[Mapping[str, Any]], measure: str, kind: str, other: str
) -> list[float]:
    """How much more one kind has than another, by seed."""
    known = {(row["searched"], row["seed"]): row[measure] for row in rows}
    return [
        known[kind, seed] - known[other, seed]
        for seed in dict.fromkeys(row["seed"] for row in rows)
    ]


def _place(setting: Setting) -> Landscape:
    if setting.table is None:
        place = landscapes.get("tight_latency")
        return _MadeUp(
            place.space_name, place.budgets, place.objectives, place.floor
        )
    place = table_landscapes.of(setting.table)["table_latency"]
    return _OnTable(
        place.space_name,
        place.budgets,
        place.objectives,
        place.floor,
        table=str(setting.table),
    )


def _scaled(factors: tuple[float, ...]) -> Landscape:
    budgets = Budgets(latency_ms=TARGET_MS)
    return _Scaled("hsconas", budgets, ("latency_ms",), 0.5, factors=factors)


def _shared(setting: Setting) -> tuple[_Shared, _Shared]:
    """Networks of all channel factors and of one, on the same weights."""
    whole = _of_factors(setting, FACTORS)
    how = trained.trainings(setting)
    shared = SharedTrainings(
        **{
            field.name: getattr(how, field.name)
            for field in dataclasses.fields(how)
        }
        | {"epochs": 5 * how.epochs},
        name="hsconas",
        content=whole,
    )
    ten = _Shared(
        "hsconas", Budgets(), (), 0.5, trainings=shared, content=whole
    )
    one = dataclasses.replace(ten, content=_of_factors(setting, (1.0,)))
    target = Budgets(latency_ms=trained.limit(one.space, "latency_ms", 0.25))
    return (
        dataclasses.replace(ten, budgets=target),
        dataclasses.replace(one, budgets=target),
    )


def _of_factors(setting: Setting, factors: Sequence[float]) -> dict[str, Any]:
    """Their space, of three stages of two narrow layers in the short form."""
    content = copy.deepcopy(configuration.load("spaces", "hsconas"))
    content["defaults"]["expansion"] = list(factors)
    if setting.is_short:
        content["stages"] = [
            {**stage, "filters": stage["filters"] // 4, "repeats": 2}
            for stage in content["stages"][:3]
        ]
        content["head"]["filters"] = 256
    return content


def _measured(
    place: Landscape, seed: int, trials: int, options: Mapping[str, Any]
) -> dict[str, float]:
    run = samplers.run(place, "regularized_evolution", seed, trials, **options)
    target = place.budgets.limits()["latency_ms"]
    best = sorted(run.evaluations, key=lambda each: -each.reward)[:10]
    gaps = [abs(each.costs["latency_ms"] / target - 1) for each in best]
    return {
        "reward": best[0].reward,
        "accuracy": best[0].accuracy,
        "latency_ms": best[0].costs["latency_ms"],
        "gap": float(np.mean(gaps)),
    }


def _median(rows: Sequence[Mapping[str, Any]], kind: str) -> dict[str, float]:
    own = [row for row in rows if row["searched"] == kind]
    names = ("reward", "gap")
    return {n: float(np.median([row[n] for row in own])) for n in names}


def _draw(
    rows: Sequence[Mapping[str, Any]], kinds: Sequence[str], path: pathlib.Path
) -> None:
    title = "An evolution with and without what HSCoNAS adds"
    with slide.panels(path, title, 2) as axes:
        for each, pair, name, label in (
            (axes[0], kinds[:2], "reward", "F of the best design"),
            (axes[1], kinds[2:], "gap", "distance from the target latency"),
        ):
            numbers = [_median(rows, kind)[name] for kind in pair]
            slide.bars(each, pair, {name: numbers}, label)
            low = min(numbers) - 0.02 if name == "reward" else 0
            each.set_ylim(bottom=low)
