"""What several searches have reached, side by side."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tf_cosearch import metrics, text
from tf_cosearch.designs.report import accuracy_of, read_trials
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.pareto import hypervolume

COMPLETED = "COMPLETED"


class Reached(NamedTuple):
    """What a search has reached within budgets.

    Attributes:
        trials: Designs that it trained; those of an earlier search, which it
            was started with, are not counted, but are within the rest.
        feasible: How many of these are within the budgets.
        accuracy: The best accuracy of those, of int8 files or of a table; NaN
            if there is none.
        front: Share of the box of `reached` that its designs dominate.
        minutes: What the trainings took together.
    """

    trials: int
    feasible: int
    accuracy: float
    front: float
    minutes: float

    def described(self) -> dict[str, float | None]:
        """By name; what there is not is `None`, as JSON has no NaN."""
        return {
            name: None if math.isnan(value) else value
            for name, value in self._asdict().items()
        }


def reached(
    trials: Iterable[Mapping[str, Any]], budgets: Budgets, floor: float = 0.0
) -> Reached:
    """Sums up the trials of a search.

    The box lies between `floor` and an accuracy of 1, and between nothing and
    the budget of each cost that has one. A design dominates what is both less
    accurate and more expensive.

    Args:
        trials: What `report.read_trials` returned.
        budgets: At least one.
        floor: The accuracy that counts nothing.

    Example:
    A design of half the box's accuracy that takes half of the time.

    >>> trial = {"accuracy_int8": 0.9, "latency_ms": 1.0, "seconds": "60"}
    >>> reached([trial], Budgets(latency_ms=2), floor=0.8)
    Reached(trials=1, feasible=1, accuracy=0.9, front=0.25, minutes=1.0)
    """
    limits = budgets.limits()
    if not limits:
        raise ValueError(
            "Searches must be compared within budgets. Received: none. Give "
            "those that the designs are for."
        )
    if not 0 <= floor < 1:
        raise ValueError(
            "The accuracy that counts nothing must be from 0 to below 1. "
            f"Received: {floor}."
        )
    accuracies, points = [], []
    known = list(trials)
    for trial in known:
        shares = [
            float(metrics.get(name).share(trial[name], limit))
            for name, limit in limits.items()
        ]
        if max(shares) <= 1 and not budgets.excess(_accuracies(trial)):
            accuracy = trial[accuracy_of(trial)]
            accuracies.append(accuracy)
            points.append([(1 - accuracy) / (1 - floor), *shares])
    trained = [t for t in known if t.get("status", COMPLETED) == COMPLETED]
    seconds = [float(trial.get("seconds") or 0) for trial in trained]
    return Reached(
        trials=len(trained),
        feasible=len(points),
        accuracy=max(accuracies, default=math.nan),
        front=round(hypervolume(points, np.ones(1 + len(limits))), 12),
        minutes=math.fsum(seconds) / 60,
    )


def _accuracies(trial: Mapping[str, Any]) -> dict[str, float]:
    """What a trial has measured, as far as it has."""
    return {
        name: trial[name] for name in metrics.accuracies() if trial.get(name)
    }


def compare(
    searches: Mapping[str, Sequence[pathlib.Path]],
    budgets: Budgets,
    floor: float = 0.0,
) -> dict[str, list[Reached]]:
    """What searches have reached, each by its `trials.csv`.

    Args:
        searches: Folders by name; several of a name are repetitions.
        budgets: As of `reached`.
        floor: As of `reached`.

    Returns:
        For each name what each of its folders has reached.

    Raises:
        FileNotFoundError: If a folder has no trials.
        ValueError: If it is not a search's, or lacks a cost with a budget.
    """
    return {
        name: [
            reached(_trials(folder, budgets), budgets, floor)
            for folder in repeated
        ]
        for name, repeated in searches.items()
    }


def _trials(folder: pathlib.Path, budgets: Budgets) -> list[dict[str, Any]]:
    """The trials of a search, which have a value of each cost."""
    trials = read_trials(folder / "trials.csv")
    for cost in budgets.limits(measured=True):
        if any(cost not in trial for trial in trials):
            raise ValueError(
                "Searches that are compared must have a value of each cost "
                f"with a budget. Received: {folder}, without {cost} of some "
                "trials. Leave the budget out."
            )
    return trials


def table(compared: Mapping[str, Sequence[Reached]]) -> str:
    """A line a name: the mean of its searches, and the least and the most."""
    rows = [
        ("search", "runs", "trained", "within budgets", "best int8", "front")
    ]
    for name, runs in compared.items():
        accuracies = [run.accuracy for run in runs]
        rows.append(
            (
                name,
                str(len(runs)),
                _spread([run.trials for run in runs], "{:.3g}"),
                _spread([run.feasible for run in runs], "{:.3g}"),
                "none"
                if all(map(math.isnan, accuracies))
                else _spread(accuracies, "{:.2%}"),
                _spread([run.front for run in runs], "{:.3f}"),
            )
        )
    return text.table(rows, "<>>>>>")


def _spread(values: Sequence[float], form: str) -> str:
    """Mean, and what the values lie between if there are several."""
    known = [value for value in values if not math.isnan(value)]
    mean = form.format(math.fsum(known) / len(known))
    if len(values) == 1:
        return mean
    ends = f"{form.format(min(known))} to {form.format(max(known))}"
    missing = len(values) - len(known)
    return f"{mean} ({ends}{f', {missing} none' if missing else ''})"


def folders(named: Iterable[str]) -> dict[str, list[pathlib.Path]]:
    """Reads `name=folder` pairs; a name may come again.

    Raises:
        ValueError: If one is something else.

    Example:
    >>> sorted(folders(["both=runs/1", "both=runs/2"]))
    ['both']
    """
    found: dict[str, list[pathlib.Path]] = {}
    for pair in named:
        name, equals, folder = pair.partition("=")
        if not (name and equals and folder):
            raise ValueError(
                "A search must be name=folder, such as random=runs/digits. "
                f"Received: {pair!r}."
            )
        found.setdefault(name, []).append(pathlib.Path(folder))
    return found
