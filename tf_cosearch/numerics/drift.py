"""How far what is seen now is from what was seen before, in one number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

_DEVIATIONS = 3
_Z = 1.959964  # of a normal distribution: 95 % lie within that on both sides


def stability_index(before: Any, now: Any) -> float:
    """Population stability index of two histograms, less what chance gives.

    It is the sum of `(q - p) log(q / p)` over bins, where p and q are the
    shares of the bin before and now. Two samples of n and m from one
    distribution of B bins have `(B - 1) (1 / n + 1 / m)` in the mean, with a
    standard deviation of `sqrt(2 (B - 1)) (1 / n + 1 / m)`; the mean and three
    of these are taken off. Up to 0.1 is commonly taken for no drift, from 0.25
    on for one.

    Args:
        before: Counts `[B]`, one in all at least.
        now: Counts `[B]`, of the same bins.

    Reference: Yurdakul, Statistical Properties of Population Stability Index,
    Western Michigan University, 2018, for its moments.

    Example:
    >>> round(stability_index([500, 500], [900, 100]), 2)
    0.87
    >>> stability_index([500, 500], [505, 495])
    0.0
    """
    counts = np.asarray(before, float), np.asarray(now, float)
    # Half a count more in each bin: an empty one is rare, not impossible.
    p, q = ((each + 0.5) / (each + 0.5).sum() for each in counts)
    seen = (counts[0] + counts[1]) > 0
    index = float(((q - p) * np.log(q / p)).sum())
    freedom = float(seen.sum() - 1)
    chance = freedom + _DEVIATIONS * math.sqrt(2 * freedom)
    chance *= sum(1 / float(each.sum()) for each in counts)
    return max(0.0, index - chance)


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
