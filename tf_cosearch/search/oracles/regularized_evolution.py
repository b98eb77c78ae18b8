"""Regularized (ageing) evolution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tf_cosearch import configuration
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.genomes import mutate
from tf_cosearch.search.oracles.base import CoSearchOracle, Finished

if TYPE_CHECKING:
    from tf_cosearch.search.space import SearchSpace


class RegularizedEvolutionOracle(CoSearchOracle):
    """Mutates the best of a random sample of the youngest designs.

    The paper's algorithm, with a screen between mutation and training: a
    child that was tried before or exceeds a budget is mutated anew from the
    same parent, which costs no training. As any gene may mutate, a child may
    keep the network of its parent and change the accelerator, or the reverse.

    Unlike the paper's, a child may change in several genes. The best designs
    exhaust their budgets, and there a gain in one gene has to be paid for by
    another in the same step.

    Args:
        space: What is searched.
        budgets: What a design may cost.
        population_size: How many of the youngest designs can be parents; as
            many random designs come first. Defaults to a quarter of the
            trials, at least 4 and at most 50.
        sample_size: How many of them, drawn with replacement, compete to be
            the parent. Defaults to half of the population, at least 4.
        mutations: Most genes that a child changes; one to as many are equally
            likely.
        **kwargs: Further arguments of `CoSearchOracle`.

    Raises:
        ValueError: If an argument is out of its range.

    Reference: Real et al., Regularized Evolution for Image Classifier
    Architecture Search, AAAI 2019, arXiv 1802.01548, algorithm 1.
    """

    def __init__(
        self,
        space: SearchSpace,
        budgets: Budgets | None = None,
        *,
        population_size: int | None = None,
        sample_size: int | None = None,
        mutations: int = 3,
        **kwargs: Any,
    ) -> None:
        super().__init__(space, budgets, **kwargs)
        if population_size is None:
            population_size = max(4, min(50, (self.max_trials or 200) // 4))
        self.population_size = configuration.at_least(
            "population_size", population_size, 1
        )
        if sample_size is None:
            sample_size = max(4, self.population_size // 2)
        self.sample_size = configuration.at_least("sample_size", sample_size, 1)
        self.mutations = configuration.at_least("mutations", mutations, 1)

    def suggest(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Suggests `[n, P]` children of one parent."""
        population = self.finished()[-self.population_size :]
        if len(population) < self.population_size:
            return self.space.sample(rng, n)
        sample = rng.integers(len(population), size=self.sample_size)
        parent = max((population[index] for index in sample), key=_reward)
        parents = np.repeat(parent.genome[None], n, axis=0)
        mutations = rng.integers(1, self.mutations, n, endpoint=True)
        return mutate(self.space, rng, parents, mutations)


def _reward(design: Finished) -> float:
    return design.reward
