"""How well figures of networks tell which of them are the accurate ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

TOP = 5
"""How many networks of a ranking would be trained."""

LEVEL = 0.9
"""Of the intervals."""

_RESAMPLINGS = 1000


class Ranking(NamedTuple):
    """How a figure ranks networks.

    Attributes:
        tau: Kendall's, of the figure and the accuracies: the share of pairs
            in the same order less that of pairs in the other, ties apart.
        interval: Where `tau` lies in 90 % of the sets of networks that are
            drawn from these.
        spearman: The correlation of the ranks.
        regret: What is lost by training only those ranked highest: the best
            accuracy of all networks less the best of those.
    """

    tau: float
    interval: tuple[float, float]
    spearman: float
    regret: float


def compare(
    figures: Mapping[str, Sequence[float]],
    accuracies: Sequence[float],
    top: int = TOP,
    seed: int = 0,
) -> dict[str, Ranking]:
    """How each of some figures ranks the same networks.

    Args:
        figures: By name, one for each network; more should be better.
        accuracies: What the networks reached.
        top: How many would be trained, see `Ranking.regret`.
        seed: Of the networks that intervals are drawn by, the same for all
            figures.

    Returns:
        A `Ranking` by name. A figure that is the same for all networks ranks
        nothing: its `tau` is 0.

    Raises:
        ValueError: If there are not more networks than `top`, or all are as
            accurate.

    Example:
    >>> ranking = compare({"macs": [1, 2, 3]}, [0.7, 0.9, 0.8], top=1)["macs"]
    >>> round(ranking.tau, 2), ranking.spearman, round(ranking.regret, 2)
    (0.33, 0.5, 0.1)
    """
    if not 1 <= top < len(accuracies):
        raise ValueError(
            "To rank networks there must be more than would be trained of "
            f"them. Received: {len(accuracies)} networks, of which the first "
            f"{top} would be. Ask for fewer, or train more networks."
        )
    if min(accuracies) == max(accuracies):
        raise ValueError(
            "Networks must differ in accuracy to be ranked. Received: "
            f"{len(accuracies)} networks of {accuracies[0]:.2%}. Train others, "
            "or on harder data."
        )
    count = len(accuracies)
    rng = np.random.default_rng(seed)
    draws = rng.integers(count, size=(_RESAMPLINGS, count))
    return {
        name: Ranking(
            kendall(values, accuracies),
            _interval(values, accuracies, draws),
            _spearman(values, accuracies),
            regret(values, accuracies, top),
        )
        for name, values in figures.items()
    }


def kendall(first: Sequence[float], second: Sequence[float]) -> float:
    """Kendall's tau-b of two figures of networks; 0 if one is constant.

    Reference: Kendall, The Treatment of Ties in Ranking Problems, Biometrika
    1945.
    """
    return _tau(_orders(first), _orders(second))


def regret(
    figures: Sequence[float], accuracies: Sequence[float], top: int = TOP
) -> float:
    """What is lost by training only the networks that are ranked highest.

    Of networks with the same figure the worse ones are taken, as they might
    be, see `ranked`.

    Args:
        figures: One for each network; more should be better.
        accuracies: What the networks reached.
        top: How many are trained.

    Example:
    >>> round(regret([5, 4, 4, 1], [0.7, 0.8, 0.9, 0.6], top=2), 2)
    0.1
    """
    reached = np.asarray(accuracies)
    highest = ranked(figures, accuracies)[:top]
    return float(reached.max() - reached[highest].max())


def ranked(figures: Sequence[float], accuracies: Sequence[float]) -> list[int]:
    """Places of networks in the order of a figure, the highest first.

    Args:
        figures: One for each network.
        accuracies: What the networks reached; of equals the worst is first.

    Example:
    >>> ranked([4, 5, 4], [0.9, 0.7, 0.8])
    [1, 2, 0]
    """
    order = np.lexsort([np.asarray(accuracies), -np.asarray(figures, float)])
    return [int(place) for place in order]


def _spearman(values: Sequence[float], accuracies: Sequence[float]) -> float:
    if min(values) == max(values):
        return 0.0
    return float(stats.spearmanr(values, accuracies).statistic)


def _interval(
    values: Sequence[float], accuracies: Sequence[float], draws: np.ndarray
) -> tuple[float, float]:
    """Quantiles of tau over sets of networks, drawn with replacement."""
    ours, theirs = _orders(values), _orders(accuracies)
    taus = [_tau(ours[np.ix_(d, d)], theirs[np.ix_(d, d)]) for d in draws]
    low, high = np.quantile(taus, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _orders(values: Sequence[float]) -> np.ndarray:
    """For each pair whether the first is more, less or the same."""
    array = np.asarray(values, float)
    return np.sign(array[:, np.newaxis] - array)


def _tau(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Kendall's tau-b of what `_orders` says of two figures.

    scipy's takes ten times as long, and a thousand make an interval.
    """
    untied = np.count_nonzero(ours) * np.count_nonzero(theirs)
    return float((ours * theirs).sum() / untied**0.5) if untied else 0.0
