"""What a tracker is: something that is told of every trial that ended."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple


class TrialRecord(NamedTuple):
    """A trial that has ended.

    Attributes:
        search: The search, by the name of its folder and its own mark, as
            there may be others of that name: `digits-3f2a91c0`.
        trial_id: Number of the trial, as in trials.csv.
        hyperparameters: Their values by path, `stage1/kernel_size` for one.
        choices: All that each could have been, of those that are choices.
        metrics: What was measured, by name, as far as it is finite.
        score: The reward, of which more is better; None if it failed.
        failure: Why it failed; None if it did not.
    """

    search: str
    trial_id: str
    hyperparameters: Mapping[str, Any]
    choices: Mapping[str, Sequence[Any]]
    metrics: Mapping[str, float]
    score: float | None
    failure: str | None


Listener = Callable[[TrialRecord], None]
"""Told of a trial."""


class Tracker:
    """Something outside that keeps the trials of searches.

    A search that goes on, or is exported again, tells it of trials that it may
    have: those it does not keep twice.

    Args:
        where: Where it keeps them, in its own words; empty for its default.
    """

    def __init__(self, where: str = "") -> None:
        self.where = where

    def trial(self, record: TrialRecord) -> None:
        """Keeps a trial.

        Args:
            record: The trial.

        Raises:
            Exception: Any, which costs the tracker the trial, and not the
                search.
        """
        raise NotImplementedError

    def __call__(self, record: TrialRecord) -> None:
        """Keeps a trial, so that a tracker can be told of it as a function."""
        self.trial(record)


def package(name: str, extra: str) -> Any:
    """Imports the package of a tracker.

    Raises:
        ImportError: If it is not installed; says how to.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"The tracker needs the package {name}. Received: a Python without "
            f"it ({error}). Run: pip install 'tf_cosearch[{extra}]'"
        ) from None
