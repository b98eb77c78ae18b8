"""What a search algorithm is asked to solve, and what it may look at."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tf_cosearch.metrics.values import Values
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.objectives import Reward
from tf_cosearch.search.pricing import Pricer

if TYPE_CHECKING:
    from tf_cosearch.search.space import SearchSpace

Draw = Callable[[], np.ndarray]
"""Draws `[N, P]` candidates."""


class Result(NamedTuple):
    """What became of a trial.

    Attributes:
        genome: `[P]` choice indices.
        metrics: What its design costs and what the trial reported. The
            accuracy of one that was stopped early is that expected of it; one
            that failed has costs alone.
        reward: What the search maximises. One that failed has what its costs
            are worth with an accuracy of 0.
        failure: Why it failed for good; empty if it was completed.
    """

    genome: np.ndarray
    metrics: Mapping[str, float]
    reward: float
    failure: str = ""


class Estimates(NamedTuple):
    """What designs are thought to reach, before any is trained.

    Attributes:
        genomes: `[N, P]`, canonical.
        accuracies: `[N]`, of their networks. They may be off by a scale and an
            offset: what counts is who is more accurate.
        choices: The genes that are left of each parameter of the network, if
            whoever estimated has dropped some.
    """

    genomes: np.ndarray
    accuracies: np.ndarray
    choices: Sequence[Sequence[int]] = ()


class History:
    """The trials of a search, as an algorithm sees them.

    Args:
        pending: Returns the genomes `[P]` of the trials that run just now.
        begun: Returns how many trials have been begun.
    """

    def __init__(
        self,
        pending: Callable[[], list[np.ndarray]],
        begun: Callable[[], int],
    ) -> None:
        self.pending = pending
        self.begun = begun
        self._finished: list[Result] = []
        self._failed: list[np.ndarray] = []

    def add(self, result: Result) -> None:
        """Enters a trial that has ended."""
        if result.failure:
            self._failed.append(result.genome)
        else:
            self._finished.append(result)

    def finished(self) -> list[Result]:
        """The completed trials in the order they ended."""
        return list(self._finished)

    def failed(self) -> list[np.ndarray]:
        """Genomes `[P]` of the trials that failed for good."""
        return list(self._failed)

    def best(self) -> Result | None:
        """The completed trial of highest reward, the first among equals."""
        return max(self._finished, key=lambda it: it.reward, default=None)


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """All that an algorithm may look at.

    Attributes:
        space: What is searched.
        budgets: What a design may cost. No design above is ever trained.
        reward: What a trial is scored by.
        accuracy: Name of the metric that is the accuracy.
        max_trials: Most trials of this search, `None` without a limit.
        seed: Of the search. `suggest` is given its random numbers; what
            outlasts a trial is drawn from `[seed, a number of its own]`.
        prices: What designs cost, exactly, and without a training.
        history: The trials so far.
        hold: Brings `[N, P]` genomes within what is searched: with a side
            that is held fixed, all get its genes; those that the space has
            lost are drawn anew.
        suggested: What was suggested last of which a design has come that will
            be tried: `[P]`, and the `[P]` places where its genes are those of
            the suggestion, and not held, drawn anew or found for its network.
        screened: Draws candidates from a `Draw` until some may be trained:
            from chance and a `Draw` to `[K, P]` canonical genomes that are
            within what is searched, new, and within the budgets, and to what
            they cost. None are left if `K` is 0. What it has let pass is
            trained in the order that it is suggested in.
        estimates: What is thought of some designs, if anything.
    """

    space: SearchSpace
    budgets: Budgets
    reward: Reward
    accuracy: str
    max_trials: int | None
    seed: int
    prices: Pricer
    history: History
    hold: Callable[[Any], np.ndarray]
    suggested: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    screened: Callable[[np.random.Generator, Draw], tuple[np.ndarray, Values]]
    estimates: Estimates | None = None
