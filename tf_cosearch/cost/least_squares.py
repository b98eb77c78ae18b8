"""Least squares with coefficients that cannot be negative."""

from __future__ import annotations

import itertools

import numpy as np


def non_negative(
    terms: np.ndarray, targets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Fits targets by sums of terms, exactly, by trying which terms to use.

    Args:
        terms: `[N, K]` terms, of few columns.
        targets: `[N, G]` targets, `G` fits at a time.

    Returns:
        Coefficients of `[K, G]`, none negative, and the sum of squared errors
        of each fit, `[G]`. Among fits equally good it is the one of fewest
        terms.

    Example:
    >>> terms = np.array([[1.0, 1.0], [1.0, 2.0], [1.0, 3.0]])
    >>> targets = np.array([[3.0, 5.0], [5.0, 3.0], [7.0, 1.0]])
    >>> coefficients, errors = non_negative(terms, targets)
    >>> coefficients.round(6)  # 1 + 2 x, and a constant for what falls
    array([[1., 3.],
           [2., 0.]])
    >>> errors.round(6)
    array([0., 8.])
    """
    columns = range(terms.shape[1])
    best = np.zeros((len(columns), targets.shape[1]))
    least = (targets**2).sum(0)
    for size in columns:
        for used in itertools.combinations(columns, size + 1):
            found = np.linalg.pinv(terms[:, used]) @ targets
            errors = ((terms[:, used] @ found - targets) ** 2).sum(0)
            better = (found >= 0).all(0) & (errors < least - 1e-12)
            coefficients = np.zeros_like(best)
            coefficients[list(used)] = found
            best = np.where(better, coefficients, best)
            least = np.where(better, errors, least)
    return best, least
