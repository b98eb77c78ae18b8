"""Which accelerator suits a network best, of all that a space has."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from absl import logging

from tf_cosearch.search import genomes as genome_arrays
from tf_cosearch.search.space import MOST_ACCELERATORS

if TYPE_CHECKING:
    from tf_cosearch.search.space import SearchSpace

SAMPLED = 16_384
"""Accelerators to price where there are too many to price all."""


def to_price(space: SearchSpace, rng: np.random.Generator) -> np.ndarray:
    """All accelerators, or a sample of them, which is logged.

    Args:
        space: Whose.
        rng: Draws the sample.

    Returns:
        `[H, A]` genes, each accelerator once.
    """
    if is_exhaustible(space):
        return space.all_accelerators()
    counts = _counts(space)
    logging.warning(
        "The space has %s accelerators, too many to price all of them for a "
        "network: %s random ones are, and then neighbours of the best.",
        f"{math.prod(counts):,}",
        f"{SAMPLED:,}",
    )
    return genome_arrays.unseen(rng.integers(0, counts, (SAMPLED, len(counts))))


def is_exhaustible(space: SearchSpace) -> bool:
    """Whether there are few enough accelerators to price all."""
    return math.prod(_counts(space)) <= MOST_ACCELERATORS


def best(
    space: SearchSpace,
    accelerators: np.ndarray,
    choose: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """The best accelerator for each of some networks.

    If it was chosen from a sample, accelerators that differ in one gene are
    considered as well, until no one is better.

    Args:
        space: What is searched.
        accelerators: What `to_price` returned.
        choose: Tells which of `[H, A]` accelerators is best for each network,
            `[N]` indices.

    Returns:
        `[N, A]` genes.
    """
    chosen = accelerators[choose(accelerators)]
    if is_exhaustible(space):
        return chosen
    while True:
        near = genome_arrays.unseen(
            np.concatenate([chosen, *_near(space, chosen)])
        )
        better = near[choose(near)]
        if (better == chosen).all():
            return chosen
        chosen = better


def _near(space: SearchSpace, accelerators: np.ndarray) -> Iterator[np.ndarray]:
    """Those with another choice of one gene, `[H, A]` a choice."""
    for gene, count in enumerate(_counts(space)):
        for choice in range(count):
            changed = accelerators.copy()
            changed[:, gene] = choice
            yield changed


def _counts(space: SearchSpace) -> list[int]:
    """Choices of each parameter of the accelerator."""
    counts: list[int] = space.choice_counts.tolist()
    return counts[space.num_network_parameters :]
