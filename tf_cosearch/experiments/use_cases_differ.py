"""Does each use case want a design of its own?"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import pathlib
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_cosearch.benchmark import toys
from tf_cosearch.benchmark.landscapes import Landscape
from tf_cosearch.cost.model import estimate
from tf_cosearch.experiments import (
    Findings,
    Setting,
    experiment,
    places,
    slide,
    wins,
)
from tf_cosearch.networks import published
from tf_cosearch.networks.workload import pad
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.exact import best_accelerators
from tf_cosearch.search.oracle import options

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
)
def use_cases_differ(setting: Setting) -> Findings:
    """Searches for three latencies and one energy, and swaps the winners.

    Beside it, the exact best chips of 20 mm2 for published networks, by
    energy-delay product, also swapped. Short: 12 trials a search. Long: 40.
    """
    trials = 12 if setting.is_short else 40
    cases = _cases(setting)
    rows: list[dict[str, Any]] = []
    differing = []
    for seed in range(setting.seeds):
        winners = {
            name: _winner(case, seed, trials) for name, case in cases.items()
        }
        rows += _swapped(cases, winners, seed)
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
        functools.partial(_draw, rows, list(cases)),
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


def _cases(setting: Setting) -> dict[str, Landscape]:
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


def _winner(case: Landscape, seed: int, trials: int) -> np.ndarray:
    """The genome of the best design that a search finds."""
    oracle = options.make(
        "grey_box",
        {},
        space=case.space,
        budgets=case.budgets,
        reward=case.reward,
        max_trials=trials,
        seed=seed,
    )
    with tempfile.TemporaryDirectory() as folder:
        toys.place(oracle, pathlib.Path(folder))
        toys.run_trials(oracle, trials, lambda _, genome: case.accuracy(genome))
        return oracle.trial_genome(oracle.get_best_trials(1)[0])


def _swapped(
    cases: Mapping[str, Landscape],
    winners: Mapping[str, np.ndarray],
    seed: int,
) -> list[dict[str, Any]]:
    """What each winner is worth in each case."""
    rows = []
    for name, case in cases.items():
        own = case.accuracy(winners[name])
        for of, genome in winners.items():
            found = case.evaluate(case.space.values(genome))
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
                )
            )
    return rows


_COSTS = ("latency_ms", "energy_mj", "area_mm2")


def _row(
    kind: str, case: str, design_of: str, seed: int, **known: Any
) -> dict[str, Any]:
    """`lost` is in points of accuracy, of chips a factor of the EDP."""
    columns = ("accuracy", *_COSTS, "within", "lost")
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
    rows: Sequence[Mapping[str, Any]], cases: Sequence[str], path: pathlib.Path
) -> None:
    title = "A design in place of another's"
    with slide.panels(path, title, 2) as (left, right):
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
        slide.matrix(right, WORKLOADS, WORKLOADS, told, label)


def _told(rows: Sequence[Mapping[str, Any]], case: str, of: str) -> str:
    found = [r for r in rows if r["case"] == case and r["design_of"] == of]
    within = [row["lost"] for row in found if row["within"]]
    if len(within) <= len(found) / 2:
        return "over"
    return f"{np.median(within):.2f}"
