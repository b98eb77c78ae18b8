"""Where experiments search: on trained accuracies, or on made-up ones."""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from tf_cosearch.benchmark import landscapes, table_landscapes, toys
from tf_cosearch.benchmark.landscapes import Landscape
from tf_cosearch.experiments import Setting, trained
from tf_cosearch.search.oracle import options

_MADE_UP = {"latency": "tight_latency", "energy": "energy"}


def latency_and_energy(setting: Setting) -> Mapping[str, Landscape]:
    """A landscape with a budget of latency, and one with a budget of energy."""
    if setting.data is not None:
        return trained.latency_and_energy(setting)
    if setting.table is None:
        return {name: landscapes.get(of) for name, of in _MADE_UP.items()}
    known = table_landscapes.of(setting.table)
    return {name: known[f"table_{name}"] for name in _MADE_UP}


def accuracies(setting: Setting) -> str:
    """Whose accuracies these are, for a verdict."""
    if setting.data is not None:
        return trained.told(setting)
    if setting.table is None:
        return "on made-up accuracies"
    return "on NAS-Bench-Macro's accuracies"


def winner(
    place: Landscape, seed: int, trials: int, **others: Any
) -> np.ndarray:
    """The genome of the best design that a search by `grey_box` finds.

    Args:
        place: Where it searches.
        seed: Of the search.
        trials: How many.
        **others: Of the oracle.
    """
    oracle = options.make(
        "grey_box",
        others,
        space=place.space,
        budgets=place.budgets,
        reward=place.reward,
        max_trials=trials,
        seed=seed,
    )
    with tempfile.TemporaryDirectory() as folder:
        toys.place(oracle, pathlib.Path(folder))
        toys.run_trials(
            oracle, trials, lambda _, genome: place.accuracy(genome)
        )
        return oracle.trial_genome(oracle.get_best_trials(1)[0])
