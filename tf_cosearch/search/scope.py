"""What a search may choose: the whole design, or one side of it at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tf_cosearch import configuration
from tf_cosearch.search import genomes as genome_arrays
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.objectives import Reward
from tf_cosearch.search.pareto import COSTS
from tf_cosearch.search.pricing import Pricer

if TYPE_CHECKING:
    from tf_cosearch.search.space import SearchSpace

SEARCHED = {
    "joint": "network and accelerator together",
    "network": "networks for a fixed accelerator",
    "accelerator": "accelerators for a fixed network",
    "phased": "accelerators first, then networks for the best of them",
    "phased_reverse": "networks first, then accelerators for the best of them",
    "nested": "networks, each with its exact best accelerator",
}
"""What may be searched; algorithms need not know which."""

PAIRED = 4
"""Networks that are priced on all accelerators at a time."""

ROUGH = 256
"""Networks, and accelerators, that a look ahead of that is taken at."""


class Scope:
    """Brings what an algorithm suggests into what is searched.

    A held side of a design keeps its genes whatever is suggested for them.

    Args:
        space: The joint space.
        searched: One of `SEARCHED`.
        fixed: The side that is not searched, or where a phased search starts:
            a genome, or values by name. What it leaves open is drawn by
            `CoSearchOracle`.
        max_trials: Length of the search; a phase is half of it.

    Raises:
        ValueError: If an argument is not known or possible.
    """

    def __init__(
        self,
        space: SearchSpace,
        searched: str,
        fixed: Mapping[str, Any] | np.ndarray | None,
        max_trials: int | None,
    ) -> None:
        if searched not in SEARCHED:
            raise configuration.unknown("scope of a search", searched, SEARCHED)
        if max_trials is None and searched.startswith("phased"):
            raise ValueError(
                "A phased search must have `max_trials`, half for each phase. "
                "Received: None. Set it."
            )
        if fixed is not None and searched in ("joint", "nested"):
            raise ValueError(
                f"A {searched} search must not hold a side fixed. Received: "
                "`fixed`. Search 'network', 'accelerator' or 'phased' with "
                "it, or start from it with `initial_designs`."
            )
        self.searched = searched
        self.fixed = genome_arrays.fixed_genes(
            space, {} if fixed is None else fixed
        )
        self._space = space
        split = space.num_network_parameters
        self._network = range(split)
        self._accelerator = range(split, len(space.parameters))
        self._first_phase = (max_trials or 0) // 2

    def held(self, number: int) -> range:
        """Positions of the genes that a trial does not choose.

        Args:
            number: Of the trial.
        """
        first = number < self._first_phase
        sides = {
            "network": self._accelerator,
            "accelerator": self._network,
            "phased": self._network if first else self._accelerator,
            "phased_reverse": self._accelerator if first else self._network,
        }
        return sides.get(self.searched, range(0))

    def in_second_phase(self, number: int) -> bool:
        """Whether a trial goes on from the best of the first phase."""
        phased = self.searched.startswith("phased")
        return phased and number >= self._first_phase

    def hold(
        self, genomes: np.ndarray, number: int, design: np.ndarray
    ) -> np.ndarray:
        """Gives `[N, P]` genomes the held genes of a design `[P]`."""
        held = list(self.held(number))
        genomes = np.array(genomes, np.int64)
        genomes[:, held] = design[held]
        return genomes


def pair(
    space: SearchSpace,
    pricer: Pricer,
    budgets: Budgets,
    reward: Reward,
    networks: np.ndarray,
) -> np.ndarray:
    """Gives networks their best accelerators, by pricing all there are.

    Args:
        space: What the networks belong to.
        pricer: Says what designs cost.
        budgets: What the pairs should meet.
        reward: Ranks accelerators within the budgets, with the network's
            accuracy left out; among equals, the least product of latency,
            energy and area is best.
        networks: `[N, S]` genes of the networks.

    Returns:
        `[N, P]` genomes. Where no accelerator meets the budgets, the network
        has the one that comes closest.
    """
    accelerators = space.all_accelerators()
    costs = pricer.grid(networks, accelerators)
    violation = budgets.violation(costs)
    product = sum(np.log(costs[name]) for name in COSTS)
    order = np.lexsort((product, -reward(1.0, costs), violation))
    best = accelerators[order[:, 0]]
    return np.concatenate([networks, best], axis=1)


def promising(
    space: SearchSpace,
    pricer: Pricer,
    budgets: Budgets,
    rng: np.random.Generator,
    networks: np.ndarray,
) -> np.ndarray:
    """Sorts networks by how close a sample of accelerators gets them.

    Args:
        space: What the networks belong to.
        pricer: Says what designs cost.
        budgets: What a network should meet.
        rng: Where chance comes from.
        networks: `[N, S]` genes, the best first; those beyond `ROUGH` are
            left out.

    Returns:
        `[K, S]` genes; those that meet the budgets come first, in their
        order.
    """
    networks = networks[:ROUGH]
    accelerators = space.all_accelerators()
    some = rng.integers(len(accelerators), size=min(ROUGH, len(accelerators)))
    costs = pricer.grid(networks, accelerators[some])
    violation = budgets.violation(costs).min(axis=1)
    return networks[np.argsort(violation, kind="stable")]
