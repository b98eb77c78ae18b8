"""Progressive shrinking: keeps the choices whose subspaces score best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tf_cosearch.search.genomes import check

if TYPE_CHECKING:
    from tf_cosearch.search.space import SearchSpace

COMPLETIONS = 100
"""Designs by which the subspace of a choice is judged, as in the paper."""

RIDGE = 1.0
"""Penalty of the accuracy estimate; a choice seen once counts half."""


class ShrunkSpace:
    """A space of which some choices have been dropped.

    Args:
        space: The whole space.
        choices: The genes that are left at the first positions, if not all.

    Attributes:
        choices: `[P]` arrays of the genes that are left at each position.
        remarks: A line on each stage of shrinking.

    Reference: Luo et al., HSCoNAS, DATE 2021, arXiv 2103.08325.
    """

    def __init__(
        self, space: SearchSpace, choices: Sequence[Sequence[int]] = ()
    ) -> None:
        self._space = space
        self.choices = [np.arange(count) for count in space.choice_counts]
        self.choices[: len(choices)] = map(np.asarray, choices)
        self.remarks: list[str] = []

    def restrict(
        self, rng: np.random.Generator, genomes: np.ndarray
    ) -> np.ndarray:
        """Draws the genes anew that have been dropped: `[N, P]` genomes."""
        genomes = np.array(genomes, np.int64)
        for position, left in enumerate(self.choices):
            if len(left) < self._space.choice_counts[position]:
                gene = genomes[:, position]
                drawn = left[rng.integers(len(left), size=len(gene))]
                genomes[:, position] = np.where(
                    np.isin(gene, left), gene, drawn
                )
        return genomes

    def shrink(
        self,
        rng: np.random.Generator,
        positions: Sequence[int],
        keep: float,
        quality: Callable[[np.ndarray], np.ndarray],
        completions: int = COMPLETIONS,
    ) -> None:
        """Drops choices, the last position first.

        Args:
            rng: Where chance comes from.
            positions: The positions to shrink.
            keep: The share of the choices to keep of each, at least one.
            quality: F of `[N, P]` canonical genomes, `[N]`; NaN where it
                cannot be said.
            completions: Designs by which each choice is judged.
        """
        before = [len(left) for left in self.choices]
        for position in sorted(positions, reverse=True):
            left = self.choices[position]
            if len(left) == 1:
                continue
            genomes = self._completions(rng, position, completions)
            scores = quality(genomes).reshape(len(left), completions)
            known = np.isfinite(scores)
            totals = np.where(known, scores, 0).sum(axis=1)
            counts = known.sum(axis=1)
            mean = np.full(len(left), -np.inf)
            mean[counts > 0] = totals[counts > 0] / counts[counts > 0]
            best = np.argsort(-mean, kind="stable")
            room = max(1, round(keep * len(left)))
            self.choices[position] = np.sort(left[best[:room]])
        self.remarks.append(self._remark(before))

    def _completions(
        self, rng: np.random.Generator, position: int, count: int
    ) -> np.ndarray:
        """Random designs of each choice, the others alike: `[C * N, P]`."""
        drawn = np.stack(
            [
                left[rng.integers(len(left), size=count)]
                for left in self.choices
            ],
            axis=1,
        )
        genomes = np.tile(drawn, (len(self.choices[position]), 1))
        genomes[:, position] = np.repeat(self.choices[position], count)
        return check(self._space, genomes)

    def _remark(self, before: Sequence[int]) -> str:
        names = [parameter.name for parameter in self._space.parameters]
        changes = [
            (name, count, len(left))
            for name, count, left in zip(
                names, before, self.choices, strict=True
            )
            if len(left) < count
        ]
        factor = sum(np.log10(count / left) for _, count, left in changes)
        drops = ", ".join(f"{name} {a} to {b}" for name, a, b in changes)
        return (
            f"Space shrunk to 1/{10**factor:.3g}: "
            f"{drops or 'nothing left to drop'}"
        )


def layers(space: SearchSpace) -> list[list[int]]:
    """Positions of the genes of each layer of the network, the first first.

    Genes are of one layer if their names differ only after the last slash.
    """
    positions: dict[str, list[int]] = {}
    split = space.num_network_parameters
    for position, parameter in enumerate(space.parameters[:split]):
        layer = parameter.name.rpartition("/")[0]
        positions.setdefault(layer, []).append(position)
    return list(positions.values())


def stage_positions(space: SearchSpace, stage: int) -> list[int]:
    """Positions that a stage shrinks: a fifth of the layers, the last first.

    Args:
        space: The whole space.
        stage: How many there have been before.
    """
    left = layers(space)
    size = max(1, len(left) // 5)
    end = max(0, len(left) - stage * size)
    return [p for layer in left[max(0, end - size) : end] for p in layer]


def ridge(
    choice_counts: np.ndarray, genomes: np.ndarray, accuracy: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """Fits an accuracy that every choice adds its part to.

    Args:
        choice_counts: `[P]` choices of each gene.
        genomes: `[N, P]` designs that were trained.
        accuracy: `[N]`, theirs.

    Returns:
        From `[K, P]` genomes to `[K]` estimates.

    Example: the second gene decides, and the estimate knows half of it.

    >>> genomes = np.array([[0, 0], [0, 1]])
    >>> ridge(np.array([2, 2]), genomes, np.array([0.4, 0.6]))(genomes)
    array([0.45, 0.55])
    """
    offsets = np.cumsum(choice_counts) - choice_counts

    def one_hot(genomes: np.ndarray) -> np.ndarray:
        features = np.zeros((len(genomes), int(sum(choice_counts))))
        np.put_along_axis(features, genomes + offsets, 1, axis=1)
        return features

    features, mean = one_hot(genomes), accuracy.mean()
    centre = features.mean(axis=0)
    features -= centre
    kernel = features @ features.T + RIDGE * np.eye(len(genomes))
    weights = features.T @ np.linalg.solve(kernel, accuracy - mean)
    return lambda designs: mean + (one_hot(designs) - centre) @ weights
