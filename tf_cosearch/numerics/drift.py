"""How far what is seen now is from what was seen before, in one number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

_DEVIATIONS = 3
_DRAWS = 200
_Z = 1.959964  # of a normal distribution: 95 % lie within that on both sides


def stability_index(before: Any, now: Any) -> float:
    """Population stability index of two histograms, less what chance gives.

    It is the sum of `(q - p) log(q / p)` over bins, where p and q are the
    shares of the bin before and now. Two samples of one distribution have some
    of it, too, the more the rarer the bins are: its mean and three standard
    deviations, of samples that are drawn, are taken off. Up to 0.1 is commonly
    taken for no drift, from 0.25 on for one.

    Args:
        before: Counts `[B]`, one in all at least.
        now: Counts `[B]`, of the same bins, one in all at least.

    Reference: Yurdakul, Statistical Properties of Population Stability Index,
    Western Michigan University, 2018, for what chance gives. Its formula is
    for bins of several counts; samples are for any.

    Example:
    >>> round(stability_index([500, 500], [900, 100]), 2)
    0.87
    >>> stability_index([500, 500], [505, 495])
    0.0
    """
    counts = np.asarray(before, float), np.asarray(now, float)
    # Both were drawn from this, if nothing has changed. What neither has seen
    # may be rare: one more of each.
    one = counts[0] + counts[1] + 1
    rng = np.random.default_rng(0)  # the same counts have the same index
    drawn = (
        rng.multinomial(round(each.sum()), one / one.sum(), _DRAWS)
        for each in counts
    )
    chance = _index(*drawn)
    index = float(_index(*counts))
    return max(0.0, index - float(chance.mean() + _DEVIATIONS * chance.std()))


def _index(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """The index of counts `[..., B]`, chance and all."""
    both = before + now
    seen = both > 0
    both = both / both.sum(-1, keepdims=True)
    # One count more, as both together are: what is empty is rare, not
    # impossible, and equal shares stay equal.
    p, q = (
        np.where(seen, (each + both) / (each.sum(-1, keepdims=True) + 1), 1)
        for each in (before, now)
    )
    return np.asarray(((q - p) * np.log(q / p)).sum(-1))


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % interval of a share.

    Args:
        successes: How often it was so.
        trials: Of how many, 1 or more.

    Reference: Wilson, Probable Inference, the Law of Succession, and
    Statistical Inference, JASA 22, 1927.

    Example:
    >>> low, high = wilson(8, 10)
    >>> round(low, 3), round(high, 3)
    (0.49, 0.943)
    """
    share, z2 = successes / trials, _Z**2
    middle = share + z2 / (2 * trials)
    reach = _Z * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    below, above = (
        (middle + sign * reach) / (1 + z2 / trials) for sign in (-1, 1)
    )
    return max(0.0, below), min(1.0, above)
