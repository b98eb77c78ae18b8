"""Which trials are clearly losing, from their first epochs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from tf_cosearch import configuration, metrics
from tf_cosearch.search.objectives import Reward


class Curve(NamedTuple):
    """What a trial has reached, epoch by epoch.

    Attributes:
        accuracies: `[E]`, on the validation data after each float epoch.
        costs: What its design costs, by name.
        final: The accuracy that it ended with, or None while it runs.
        stopped: Whether it was stopped early.
    """

    accuracies: Sequence[float]
    costs: Mapping[str, float]
    final: float | None = None
    stopped: bool = False


class Rule(Protocol):
    """Decides by what is better if larger."""

    def __call__(
        self, values: np.ndarray, others: Sequence[tuple[np.ndarray, bool]]
    ) -> bool:
        """Whether a trial loses.

        Args:
            values: `[E]`, of its epochs so far.
            others: The same of trials that went as far, `[E]` each, and
                whether they have ended.
        """


@dataclasses.dataclass(frozen=True)
class MedianStopping:
    """The median rule of Google Vizier.

    A trial loses after an epoch if the best it reached so far is strictly
    below the median of the averages, over their epochs up to the same one, of
    the trials that have ended.

    Attributes:
        startup: Trials that must have ended; our choice, as is `grace`.
        grace: Epochs after which no trial is judged: they are mostly chance.

    Example: the others have 0.4 and 0.6 in the mean.

    >>> rule = MedianStopping(startup=2)
    >>> others = [([0.3, 0.5], True), ([0.5, 0.7], True)]
    >>> rule([0.2, 0.4], others), rule([0.2, 0.5], others)
    (True, False)

    Reference: Golovin et al., Google Vizier: A Service for Black-Box
    Optimization, KDD 2017, section 3.2.2.
    """

    startup: int = 4
    grace: int = 1

    def __post_init__(self) -> None:
        configuration.at_least("startup", self.startup, 1)
        configuration.at_least("grace", self.grace, 0)

    def __call__(
        self, values: np.ndarray, others: Sequence[tuple[np.ndarray, bool]]
    ) -> bool:
        """Whether a trial loses, see `Rule`."""
        averages = [np.mean(each) for each, has_ended in others if has_ended]
        if len(values) <= self.grace or len(averages) < self.startup:
            return False
        return bool(np.max(values) < np.median(averages))


@dataclasses.dataclass(frozen=True)
class SuccessiveHalving:
    """Asynchronous successive halving, as a rule to stop.

    After `first * eta^k` epochs, a trial goes on if it is among the best
    `1 / eta` of those that have got there, running ones included; as long as
    these are fewer than `eta`, it goes on. ASHA pauses the others, and
    resumes them when more trials have got there; here they end.

    Attributes:
        eta: Of so many trials one goes on.
        first: Epochs before the first decision.

    Example:
    >>> rule = SuccessiveHalving(eta=2)
    >>> rule([0.5], [([0.6], False)]), rule([0.7], [([0.6], False)])
    (True, False)

    Reference: Li et al., A System for Massively Parallel Hyperparameter
    Tuning, MLSys 2020, algorithm 2.
    """

    eta: int = 3
    first: int = 1

    def __post_init__(self) -> None:
        configuration.at_least("eta", self.eta, 2)
        configuration.at_least("first", self.first, 1)

    def __call__(
        self, values: np.ndarray, others: Sequence[tuple[np.ndarray, bool]]
    ) -> bool:
        """Whether a trial loses, see `Rule`."""
        rung = self.first
        while rung < len(values):
            rung *= self.eta
        count = len(others) + 1
        if rung != len(values) or count < self.eta:
            return False
        better = sum(each[-1] > values[-1] for each, _ in others)
        return better >= count // self.eta


RULES: dict[str, type[MedianStopping] | type[SuccessiveHalving]] = {
    "median": MedianStopping,
    "halving": SuccessiveHalving,
}
"""Rules by name."""


def get(rule: str | Rule | None) -> Rule | None:
    """Finds a rule by its name.

    Args:
        rule: `median`, `halving`, a rule of one's own, or None.

    Returns:
        The rule.

    Raises:
        ValueError: If the name is unknown.
    """
    if isinstance(rule, str):
        if rule not in RULES:
            raise configuration.unknown("early stopping rule", rule, RULES)
        return RULES[rule]()
    if rule is not None and (not callable(rule) or isinstance(rule, type)):
        raise ValueError(
            "`early_stopping` must be a name, a rule or None. Received: "
            f"{rule!r}. Known names: {', '.join(RULES)}."
        )
    return rule


def is_losing(
    rule: Rule,
    reward: Reward,
    trial: Curve,
    others: Iterable[Curve],
    costs: Sequence[str] | None = None,
) -> bool:
    """Whether to stop a trial.

    Two things must be true. The rule says so, not of accuracies but of
    rewards: costs are known exactly, so the curve of what the search rates is
    known as well. And the trial is dominated as far as it has come: another
    one, of no worse latency, energy and area, was more accurate after as
    many epochs. For the search also looks for a front. Small networks are
    below the median of accuracy by their nature, and some of them are the
    best at what they cost; the first condition alone would stop these.

    Args:
        rule: See `RULES`.
        reward: Of the search.
        trial: The one that runs.
        others: Those before it and beside it.
        costs: What designs are compared by, see `Budgets.compared`.

    Returns:
        Whether it is losing.
    """
    epochs = len(trial.accuracies)
    reached = _reached(others, epochs)
    values = [
        (reward(curve.accuracies[:epochs], curve.costs), _has_ended(curve))
        for curve in reached
    ]
    mine = reward(trial.accuracies, trial.costs)
    return rule(mine, values) and bool(_dominating(trial, reached, costs))


def forecast(
    trial: Curve,
    others: Iterable[Curve],
    costs: Sequence[str] | None = None,
) -> float | None:
    """The accuracy that a stopped trial would have ended with.

    It is what it had, and what trials that were not stopped gained from that
    epoch to their end, in the median, but no more than the best of those that
    dominate it ended with. An algorithm that took the accuracy of a few
    epochs for that of many would learn that networks of this kind are bad,
    and more so the earlier it was stopped.

    Args:
        trial: The one that was stopped.
        others: Those before it and beside it.
        costs: What designs are compared by, see `Budgets.compared`.

    Returns:
        The accuracy, or None if no trial has ended that tells.
    """
    epochs = len(trial.accuracies)
    reached = [
        curve
        for curve in _reached(others, epochs)
        if curve.final is not None and not curve.stopped
    ]
    if not reached:
        return None
    gains = [(c.final or 0.0) - c.accuracies[epochs - 1] for c in reached]
    expected = trial.accuracies[-1] + float(np.median(gains))
    above = _dominating(trial, reached, costs) or reached
    return min(expected, max(curve.final or 0.0 for curve in above))


def _reached(others: Iterable[Curve], epochs: int) -> list[Curve]:
    return [curve for curve in others if len(curve.accuracies) >= epochs]


def _has_ended(curve: Curve) -> bool:
    return curve.final is not None


def _dominating(
    trial: Curve, reached: Sequence[Curve], costs: Sequence[str] | None
) -> list[Curve]:
    epochs = len(trial.accuracies)
    best = max(trial.accuracies)
    compared = metrics.compared() if costs is None else costs
    here = metrics.losses(trial.costs, compared)
    return [
        curve
        for curve in reached
        if np.all(np.less_equal(metrics.losses(curve.costs, compared), here))
        and max(curve.accuracies[:epochs]) > best
    ]
