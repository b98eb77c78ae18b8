"""Made-up clicks whose probabilities are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_VECTOR = 4  # numbers that tell rows of a table apart
_BASE = -1.5  # of the logit: about a quarter of all are clicks
_DENSE, _PAIRS = 0.7, 1.2  # how far either part moves the logit


class ClickLog(NamedTuple):
    """Examples of clicks.

    Attributes:
        dense: Dense features, float32 `[N, D]`, of mean 0 and deviation 1.
        categorical: Numbers of rows, int32 `[N, T]`, a column a table.
        clicks: 1 where there was a click, else 0, int32 `[N]`.
        probabilities: Of a click, float64 `[N]`: what no model can beat.
    """

    dense: np.ndarray
    categorical: np.ndarray
    clicks: np.ndarray
    probabilities: np.ndarray

    @property
    def columns(self) -> np.ndarray:
        """Dense and categorical features side by side, float32 `[N, D + T]`."""
        parts = self.dense, self.categorical.astype(np.float32)
        return np.concatenate(parts, 1)

    def least_normalised_entropy(self) -> float:
        """What a model is expected to have that knows the probabilities."""
        p = np.clip(self.probabilities, 1e-12, 1 - 1e-12)
        entropies = -p * np.log(p) - (1 - p) * np.log1p(-p)
        mean = p.mean()
        base = -mean * np.log(mean) - (1 - mean) * np.log1p(-mean)
        return float(entropies.mean() / base)


def draw(
    examples: int, tables: Sequence[int], features: int = 4, seed: int = 0
) -> ClickLog:
    """Draws examples of a truth of the form that a DLRM has.

    Each row of a table has a vector of 4 numbers, and so have the dense
    features, by a matrix. A logit is a sum of the products of all pairs of
    vectors, of weighted dense features, and a constant. Low numbers of rows
    are frequent: `k` comes about as often as `1 / (k + 1)`.

    Args:
        examples: How many.
        tables: Rows of each table.
        features: Dense features.
        seed: Of the truth, and of the examples; more examples of a seed begin
            with other ones, but have the same truth.

    Returns:
        The `ClickLog`.

    Example:
    >>> log = draw(1000, (50, 20))
    >>> log.dense.shape, log.categorical.max(0).tolist()
    ((1000, 4), [49, 19])
    """
    truth, rng = (np.random.default_rng((seed, part)) for part in range(2))
    weights = truth.normal(size=features) / np.sqrt(features)
    to_vector = truth.normal(size=(features, _VECTOR)) / np.sqrt(features)
    rows = [truth.normal(size=(count, _VECTOR)) for count in tables]
    dense = rng.normal(size=(examples, features))
    numbers = [
        np.minimum(np.floor((count + 1) ** rng.random(examples)), count).astype(
            np.int32
        )
        - 1
        for count in tables
    ]
    vectors = np.stack(
        [
            dense @ to_vector,
            *(table[n] for table, n in zip(rows, numbers, strict=True)),
        ],
        1,
    )
    # Of all pairs: the square of the sum less the sum of the squares.
    pairs = (vectors.sum(1) ** 2).sum(-1) - (vectors**2).sum((1, 2))
    count = len(tables) * (len(tables) + 1) / 2
    pairs = pairs / 2 / np.sqrt(count * _VECTOR)
    logits = _BASE + _DENSE * (dense @ weights) + _PAIRS * pairs
    probabilities = 1 / (1 + np.exp(-logits))
    return ClickLog(
        dense.astype(np.float32),
        np.stack(numbers, 1),
        (rng.random(examples) < probabilities).astype(np.int32),
        probabilities,
    )
