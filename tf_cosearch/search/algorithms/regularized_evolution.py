"""Regularized (ageing) evolution."""

from __future__ import annotations

import functools

import numpy as np
from absl import logging

from tf_cosearch import configuration
from tf_cosearch.search.algorithms import shrinking
from tf_cosearch.search.algorithms.algorithm import Algorithm
from tf_cosearch.search.genomes import crossover, mutate
from tf_cosearch.search.lineage import DRAWN, Origin, of_brood
from tf_cosearch.search.problem import Problem, Result

_SHRINK = 2**32 - 3  # a trial number nobody reaches


class RegularizedEvolution(Algorithm):
    """Mutates the best of a random sample of the youngest designs.

    The paper's algorithm, with a screen between mutation and training: a
    child that was tried before or exceeds a budget is mutated anew from the
    same parent, which costs no training. As any gene may mutate, a child may
    keep the network of its parent and change the accelerator, or the reverse.

    Unlike the paper's, a child may change in several genes. The best designs
    exhaust their budgets, and there a gain in one gene has to be paid for by
    another in the same step.

    HSCoNAS's two additions are options. With crossover, a child may have two
    parents. With shrinking, the search narrows: whenever another population
    has been trained, the last fifth of the layers not shrunk yet keep the
    choices of which random designs score best, by their exact costs and an
    estimated accuracy. The paper takes that from a trained supernet; here it
    is a ridge regression on the trials so far, which is rougher.

    Args:
        population_size: How many of the youngest designs can be parents; as
            many random designs come first. Defaults to a quarter of the
            trials, at least 4 and at most 50.
        sample_size: How many of them, drawn with replacement, compete to be
            the parent. Defaults to half of the population, at least 4.
        mutations: Most genes that a child changes; one to as many are equally
            likely.
        crossover_probability: Share of the children with two parents.
        shrink_stages: How many times the space shrinks; the paper's is 2.
        shrink_keep: Share of the choices that are kept, at least one; 0.5 by
            default. The paper keeps one operator of five; estimates are
            rougher here.

    Raises:
        ValueError: If an argument is out of its range.

    Reference: Real et al., Regularized Evolution for Image Classifier
    Architecture Search, AAAI 2019, arXiv 1802.01548, algorithm 1; Luo et al.,
    HSCoNAS, DATE 2021, arXiv 2103.08325.
    """

    def __init__(
        self,
        *,
        population_size: int | None = None,
        sample_size: int | None = None,
        mutations: int = 3,
        crossover_probability: float = 0.0,
        shrink_stages: int = 0,
        shrink_keep: float | None = None,
    ) -> None:
        if population_size is not None:
            configuration.at_least("population_size", population_size, 1)
        if sample_size is not None:
            configuration.at_least("sample_size", sample_size, 1)
        self._population_size, self._sample_size = population_size, sample_size
        self.mutations = configuration.at_least("mutations", mutations, 1)
        self.crossover_probability = configuration.share(
            "crossover_probability", crossover_probability
        )
        self.shrink_stages = configuration.at_least(
            "shrink_stages", shrink_stages, 0
        )
        if shrink_keep is not None and not self.shrink_stages:
            raise ValueError(
                "`shrink_keep` must be for a space that shrinks. Received: "
                f"{shrink_keep!r} and no `shrink_stages`. Set them, too."
            )
        self.shrink_keep = configuration.share(
            "shrink_keep", 0.5 if shrink_keep is None else shrink_keep
        )

    @property
    def population_size(self) -> int:
        """How many of the youngest designs can be parents."""
        trials = self.problem.max_trials or 200
        return self._population_size or max(4, min(50, trials // 4))

    @property
    def sample_size(self) -> int:
        """How many of them compete to be the parent."""
        return self._sample_size or max(4, self.population_size // 2)

    def on(self, problem: Problem) -> Algorithm:
        """See `Algorithm.on`.

        Raises:
            ValueError: If the space is to shrink, and networks have to be
                built to be priced.
        """
        if self.shrink_stages and problem.space.new_networks is not None:
            raise ValueError(
                "`shrink_stages` must be 0 for a model of your own, as each "
                "stage prices thousands of networks, which have to be built. "
                f"Received: {self.shrink_stages}. Leave it out."
            )
        return super().on(problem)

    def suggest(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Suggests `[n, P]` children of one parent, or of it and another."""
        population = self.problem.history.finished()[-self.population_size :]
        self._brood: tuple[np.ndarray, ...] = ()
        if len(population) < self.population_size:
            return self.problem.space.sample(rng, n)
        parent = self._tournament(rng, population)
        first = second = children = np.repeat(parent.genome[None], n, axis=0)
        if self.crossover_probability:
            other = self._tournament(rng, population).genome
            second = np.broadcast_to(other, children.shape)
            children = crossover(
                rng, children, second, self.crossover_probability
            )
        crossed = children
        mutations = rng.integers(1, self.mutations, n, endpoint=True)
        children = mutate(self.problem.space, rng, children, mutations)
        self._shrink()
        children = self._shrunk.restrict(rng, children)
        self._brood = children, crossed, first, second
        return children

    def origin(self, genome: np.ndarray) -> Origin:
        """Drawn, or a child of one or two of the population."""
        if not self._brood:
            return Origin(DRAWN)
        return of_brood(self.problem, genome, *self._brood)

    def _tournament(
        self, rng: np.random.Generator, population: list[Result]
    ) -> Result:
        sample = rng.integers(len(population), size=self.sample_size)
        return max((population[index] for index in sample), key=_reward)

    # Shrinking follows from the seed and from what finished first.

    @functools.cached_property
    def _shrunk(self) -> shrinking.ShrunkSpace:
        return shrinking.ShrunkSpace(self.problem.space)

    @property
    def remarks(self) -> list[str]:  # type: ignore[override]
        """How the space shrank, a line a stage."""
        self._shrink()
        return list(self._shrunk.remarks)

    def _shrink(self) -> None:
        done = self.problem.history.finished()
        due = min(self.shrink_stages, len(done) // self.population_size)
        while len(self._shrunk.remarks) < due:
            stage = len(self._shrunk.remarks)
            self._shrink_once(stage, done[: (stage + 1) * self.population_size])
            logging.info("%s.", self._shrunk.remarks[-1])

    def _shrink_once(self, stage: int, done: list[Result]) -> None:
        problem = self.problem
        split = problem.space.num_network_parameters
        accuracy = shrinking.ridge(
            np.asarray(problem.space.choice_counts[:split]),
            np.stack([design.genome[:split] for design in done]),
            np.array([d.metrics[problem.accuracy] for d in done]),
        )

        def quality(genomes: np.ndarray) -> np.ndarray:
            costs = problem.prices(genomes)
            rewards = problem.reward(accuracy(genomes[:, :split]), costs)
            mapped = np.isfinite(problem.budgets.violation(costs))
            return np.where(mapped, rewards, np.nan)

        self._shrunk.shrink(
            np.random.default_rng([problem.seed, _SHRINK, stage]),
            shrinking.stage_positions(problem.space, stage),
            self.shrink_keep,
            quality,
        )


def _reward(design: Result) -> float:
    return design.reward
