"""Does each use case want a design of its own?"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_cosearch.benchmark.landscapes import Landscape
from tf_cosearch.cost.model import estimate
from tf_cosearch.experiments import (
    Findings,
    Setting,
    experiment,
    places,
    slide,
    trained,
    wins,
)
from tf_cosearch.networks import published
from tf_cosearch.networks.workload import pad
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.exact import best_accelerators

WORKLOADS = ("mobilenet_v2", "resnet18", "ds_cnn", "dlrm")
"""Classification, twice, keywords, and recommendation."""

AREA_MM2 = 20.0

MARGIN = 0.1
"""Chips count as equally good within this share of an energy-delay product; as
the best of a workload is exact, no other can be better."""


@experiment(
    paper="NAHAS, arXiv 2102.08619, observation 3",
    question="Do use cases lead to different designs, and what does one cost "
    "in place of another's?",
    accuracies=("table", "data"),
)
def use_cases_differ(setting: Setting) -> Findings:
    """Searches for three latencies and one energy, and swaps the winners.

    Where networks are trained, segmentation of drawn scenes and made-up spoken
    words are cases, too: a design of another case is the same choices, trained
    for this one. Beside it, the exact best chips of 20 mm2 for published
    networks, by energy-delay product, also swapped. Short: 12 trials a search.
    Long: 40. Where they are trained, 6 and 24.
    """
    short, long = (12, 40) if setting.data is None else (6, 24)
    trials = short if setting.is_short else long
    cases = _cases(setting)
    rows: list[dict[str, Any]] = []
    differing = []
    chosen: list[dict[str, dict[str, Any]]] = []
    for seed in range(setting.seeds):
        winners = {
            name: places.winner(case, seed, trials)
            for name, case in cases.items()
        }
        rows += _swapped(cases, winners, seed)
        chosen.append(_hardware(cases, winners))
        chips = next(iter(cases.values())).space.num_network_parameters
        differing += [
            a[chips:] != b[chips:]
            for a, b in itertools.combinations(winners.values(), 2)
        ]
    factors = _chips()
    rows += [
        _row("chip", name, of, 0, lost=factor)
        for (name, of), factor in factors.items()
    ]
    holds, verdict = _verdict(rows, differing)
    return Findings(
        rows,
        holds,
        f"{verdict}; {trials} trials {places.accuracies(setting)}",
        functools.partial(_draw, rows, list(cases), chosen[0]),
        setting.seeds,
    )


def _verdict(
    rows: Sequence[Mapping[str, Any]], differing: Sequence[np.ndarray]
) -> tuple[bool, str]:
    """Whether most swaps cost something, of winners and of chips, and what.

    Swaps over a budget are counted and decide nothing: that the winner of a
    looser case is over a tighter budget is no finding.

    Args:
        rows: Of the CSV.
        differing: Of each pair of winners, which hardware choices differ.
    """
    swapped = [row for row in rows if row["case"] != row["design_of"]]
    searched = [row for row in swapped if row["kind"] == "search"]
    lost: dict[int, list[float]] = {row["seed"]: [] for row in searched}
    for row in searched:
        if row["within"]:
            lost[row["seed"]].append(row["lost"])
    within = [each for own in lost.values() for each in own]
    is_worse = [wins.mostly(own) for own in lost.values()]
    told = "none is within it"
    if within:
        told = (
            f"{wins.count(within)} of the {len(within)} within it lose "
            f"accuracy, {np.median(within):.2f} points in the median of these "
            f"(most of them do on {wins.count(is_worse)} of {len(is_worse)} "
            "seeds)"
        )
    factors = [row["lost"] for row in swapped if row["kind"] == "chip"]
    beyond = [factor - (1 + MARGIN) for factor in factors]
    choices = [int(each.sum()) for each in differing]
    return (
        wins.mostly(is_worse) and wins.mostly(choices) and wins.mostly(beyond),
        f"in {len(searched) - len(within)} of {len(searched)} swaps the design "
        f"of another case is over budget, {told}; winners differ in "
        f"{np.median(choices):g} of {len(differing[0])} hardware choices; on "
        "the best chip of another workload energy-delay products are "
        f"{np.median(factors):.2f} times the best (median), "
        f"{max(factors):.1f} at most, and more than {1 + MARGIN:g} in "
        f"{wins.count(beyond)} of {len(beyond)} swaps",
    )


def _cases(setting: Setting) -> Mapping[str, Landscape]:
    if setting.data is not None:
        return _trained_cases(setting)
    place = places.latency_and_energy(setting)["latency"]
    unit = 0.012 if setting.table else 0.4
    area, energy = (60, 0.02) if setting.table else (100, 0.6)
    budgets = {
        f"{factor * unit:g} ms": Budgets(
            latency_ms=factor * unit, area_mm2=area
        )
        for factor in (1, 2, 5)
    }
    budgets[f"{energy:g} mJ"] = Budgets(
        energy_mj=energy, latency_ms=5 * unit, area_mm2=area
    )
    return {
        name: dataclasses.replace(place, budgets=asked)
        for name, asked in budgets.items()
    }


def _trained_cases(setting: Setting) -> dict[str, Landscape]:
    """Classification of the data, and two tasks of data that are made up.

    Of random designs a twentieth, a fifth and a half are as fast as the three
    latencies ask for, of the others a fifth.
    """
    area = {"area_mm2": 60}
    sizes = (500, 100) if setting.is_short else (2000, 300)
    whole: dict[str, Any] = {"train_size": None, "validation_size": None}
    kinds = {
        "classification": trained.trainings(setting),
        "segmentation": trained.trainings(
            setting,
            f"scenes:{sizes[0]}",
            task="segmentation",
            epochs=6 if setting.is_short else 30,
            **whole,
        ),
        "keywords": trained.trainings(
            setting,
            f"tones:{sizes[1]}",
            task="keyword_spotting",
            epochs=8 if setting.is_short else 30,
            **whole,
        ),
    }
    places = {
        name: trained.landscape("small", trained.small_space(), how)
        for name, how in kinds.items()
    }
    asked = functools.partial(trained.limit, budgets=Budgets(**area))
    place = places.pop("classification")
    times = [
        asked(place.space, "latency_ms", part) for part in (0.05, 0.2, 0.5)
    ]
    energy = asked(place.space, "energy_mj", 0.05)
    cases: dict[str, Landscape] = {
        f"{1000 * time:g} µs": trained.within(place, latency_ms=time, **area)
        for time in times
    }
    cases[f"{1000 * energy:g} µJ"] = trained.within(
        place, energy_mj=energy, latency_ms=times[-1], **area
    )
    for name, other in places.items():
        time = asked(other.space, "latency_ms", 0.2)
        cases[name] = trained.within(other, latency_ms=time, **area)
    return cases


def _chosen(
    cases: Mapping[str, Landscape], winners: Mapping[str, np.ndarray]
) -> dict[str, dict[str, Any]]:
    """What the winner of each case is, by hyperparameter."""
    return {
        name: cases[name].space.values(genome)
        for name, genome in winners.items()
    }


def _hardware(
    cases: Mapping[str, Landscape], winners: Mapping[str, np.ndarray]
) -> dict[str, dict[str, Any]]:
    """The same of the accelerators alone."""
    space = next(iter(cases.values())).space
    names = [p.name for p in space.parameters[space.num_network_parameters :]]
    return {
        case: {name: values[name] for name in names}
        for case, values in _chosen(cases, winners).items()
    }


def _swapped(
    cases: Mapping[str, Landscape],
    winners: Mapping[str, np.ndarray],
    seed: int,
) -> list[dict[str, Any]]:
    """What each winner is worth in each case."""
    rows = []
    for name, case in cases.items():
        own = case.accuracy(winners[name])
        for of, values in _chosen(cases, winners).items():
            found = case.evaluate(values)
            rows.append(
                _row(
                    "search",
                    name,
                    of,
                    seed,
                    accuracy=found.accuracy,
                    **{k: found.costs[k] for k in _COSTS},
                    within=found.is_feasible,
                    lost=100 * (own - found.accuracy),
                    design=json.dumps(values),
                )
            )
    return rows


_COSTS = ("latency_ms", "energy_mj", "area_mm2")


def _row(
    kind: str, case: str, design_of: str, seed: int, **known: Any
) -> dict[str, Any]:
    """`lost` is in points of accuracy, of chips a factor of the EDP."""
    columns = ("accuracy", *_COSTS, "within", "lost", "design")
    told = {name: known.get(name, "") for name in columns}
    return {
        "kind": kind,
        "case": case,
        "design_of": design_of,
        "seed": seed,
        **told,
    }


def _chips() -> dict[tuple[str, str], float]:
    """EDP of a workload on the best chip of another, relative to its own."""
    layers = {name: published.load(name) for name in WORKLOADS}
    budgets = Budgets(area_mm2=AREA_MM2)
    best = {
        name: best_accelerators(rows, budgets, goal="edp")[0]
        for name, rows in layers.items()
    }
    factors = {}
    for name, rows in layers.items():
        for of, ranked in best.items():
            cost = estimate(pad([rows]), ranked.accelerator)
            product = float(cost.latency_ms[0]) * float(cost.energy_mj[0])
            factors[name, of] = product / best[name].goal
    return factors


def _draw(
    rows: Sequence[Mapping[str, Any]],
    cases: Sequence[str],
    chosen: Mapping[str, Mapping[str, Any]],
    path: pathlib.Path,
) -> None:
    title = "A design in place of another's, and the winners of seed 0"
    with slide.panels(path, title, 3) as (left, middle, right):
        searched = [row for row in rows if row["kind"] == "search"]
        lost = [[_told(searched, case, of) for of in cases] for case in cases]
        slide.matrix(left, cases, cases, lost, "points of accuracy lost")
        factors = {
            (row["case"], row["design_of"]): f"{row['lost']:.2f}"
            for row in rows
            if row["kind"] == "chip"
        }
        told = [[factors[a, b] for b in WORKLOADS] for a in WORKLOADS]
        label = "times the energy-delay product"
        slide.matrix(middle, WORKLOADS, WORKLOADS, told, label)
        names = list(chosen[cases[0]])
        values = [
            [f"{chosen[case][name]:g}" for case in cases] for name in names
        ]
        shown = [name.replace("/", "\n") for name in names]
        slide.table(right, shown, cases, values, "hardware of the winners")


def _told(rows: Sequence[Mapping[str, Any]], case: str, of: str) -> str:
    found = [r for r in rows if r["case"] == case and r["design_of"] == of]
    within = [row["lost"] for row in found if row["within"]]
    if len(within) <= len(found) / 2:
        return "over"
    return f"{np.median(within):.2f}"
