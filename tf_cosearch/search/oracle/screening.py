"""Finds designs within the budgets, without training any of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tf_cosearch.metrics.values import Values
from tf_cosearch.search import genomes as genome_arrays
from tf_cosearch.search.budgets import MISSING, TRAINING, Budgets
from tf_cosearch.search.pricing import Pricer

if TYPE_CHECKING:
    from tf_cosearch.search.space import SearchSpace

CLOSEST = 64
"""Designs that a screen remembers to look around."""

WIDER_ROUNDS = 8
"""Times that a screen looks elsewhere before it gives up."""


class Screen:
    """Lets new designs within the budgets pass, and knows where else to look.

    Args:
        space: What the genomes belong to.
        pricer: Says what they cost.
        budgets: What designs must meet.
        tried: Canonical genomes that do not pass again.

    Attributes:
        is_exhausted: Whether it has looked everywhere that it would.
    """

    def __init__(
        self,
        space: SearchSpace,
        pricer: Pricer,
        budgets: Budgets,
        tried: Sequence[np.ndarray] = (),
    ) -> None:
        self._space = space
        self._pricer = pricer
        self._budgets = budgets
        self._seen = {genome.tobytes() for genome in tried}
        empty = np.zeros((0, len(space.parameters)), np.int64)
        self._tried = np.stack(tried) if len(tried) else empty
        self._closest = empty
        self._violation = np.zeros(0)
        self._costs: list[Values] = []
        self._passed: dict[bytes, int] = {}
        self._last: tuple[np.ndarray, Values] = empty, Values({})
        self.is_exhausted = False

    def admit(
        self, proposals: np.ndarray, are_given: bool = False
    ) -> tuple[np.ndarray, Values]:
        """Prices designs that this screen has not seen.

        Args:
            proposals: `[N, P]` choice indices, in any state.
            are_given: See `Pricer.within_reach`.

        Returns:
            The `[K, P]` new ones within the budgets in their order, canonical,
            and their costs, `[K]` numbers by name. Of several chips, too, those
            that may be within them, see `Pricer.forecast`.

        Raises:
            ValueError: If a genome is not inside the space.
        """
        genomes = genome_arrays.check(self._space, proposals)
        genomes = genome_arrays.unseen(genomes, self._seen)
        # What an algorithm has not used itself of its reach is used here.
        self._pricer.reach.refill()
        genomes = self._pricer.within_reach(genomes, are_given)
        genomes = genome_arrays.unseen(genomes, self._seen)
        if not len(genomes):
            return genomes, Values({})
        self._seen.update(genome.tobytes() for genome in genomes)
        costs, at_best = self._pricer.forecast(genomes)
        self._costs.append(at_best)
        violation = self._budgets.violation(at_best)
        self._keep_closest(genomes, violation)
        feasible = violation == 0
        passed = genomes[feasible]
        self._passed = {genome.tobytes(): i for i, genome in enumerate(passed)}
        self._last = passed, costs.at(feasible)
        return self._last

    def passed(self, proposals: np.ndarray) -> tuple[np.ndarray, Values] | None:
        """Designs that `admit` has just let pass, and their costs, again.

        Args:
            proposals: `[N, P]` choice indices.

        Returns:
            What `admit` returned, in the order of the proposals; None if they
            are others.
        """
        if not self._passed:
            return None
        keys = [genome.tobytes() for genome in np.asarray(proposals)]
        if not (keys and self._passed.keys() >= set(keys)):
            return None
        rows = [self._passed[key] for key in keys]
        genomes, costs = self._last
        return genomes[rows], costs.at(rows)

    def _keep_closest(self, genomes: np.ndarray, violation: np.ndarray) -> None:
        candidates = np.concatenate([self._closest, genomes])
        violations = np.append(self._violation, violation)
        order = np.argsort(violations, kind="stable")[:CLOSEST]
        self._closest, self._violation = candidates[order], violations[order]

    def wider(
        self,
        rng: np.random.Generator,
        n: int,
        designs: np.ndarray | None = None,
    ) -> Iterator[np.ndarray]:
        """Proposes, round after round, where else to look.

        All of a small space, until all were within reach. Otherwise random
        designs beside neighbours of those tried and of those closest to the
        budgets, which descends into a feasible region that chance alone would
        hardly hit.

        Args:
            rng: Where chance comes from.
            n: How many to propose in a round.
            designs: All designs, if the space is small.

        Yields:
            `[n, P]` genomes.
        """
        if designs is not None:
            designs = rng.permutation(designs)
            yield designs
            split = self._space.num_network_parameters
            while not self._pricer.reach.holds(designs[:, :split]):
                yield designs
            self.is_exhausted = True
            return
        for _ in range(WIDER_ROUNDS):
            parents = np.concatenate([self._tried, self._closest])
            near = n // 2 if len(parents) else 0
            chosen = rng.integers(max(len(parents), 1), size=near)
            yield np.concatenate(
                [
                    genome_arrays.mutate(self._space, rng, parents[chosen]),
                    self._space.sample(rng, n - near),
                ]
            )
        self.is_exhausted = True

    def explain(self) -> str:
        """Says why nothing passed, see `Budgets.explain`."""
        return self._budgets.explain(
            {
                name: np.concatenate([costs[name] for costs in self._costs])
                for name in (*self._budgets.compared(), *MISSING, TRAINING)
                if name in self._costs[0]
            }
        )
