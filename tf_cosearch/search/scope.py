"""What a search may choose: the whole design, or one side of it at a time."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tf_cosearch import configuration, metrics
from tf_cosearch.search import genomes as genome_arrays
from tf_cosearch.search import pairing
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.objectives import Reward
from tf_cosearch.search.oracle.screening import Screen
from tf_cosearch.search.pricing import Pricer

if TYPE_CHECKING:
    from tf_cosearch.search.space import SearchSpace

SEARCHED = {
    "joint": "network and accelerator together",
    "network": "networks for a fixed accelerator",
    "accelerator": "accelerators for a fixed network",
    "phased": "accelerators first, then networks for the best of them",
    "phased_reverse": "networks first, then accelerators for the best of them",
    "nested": "networks, each with its best accelerator",
}
"""What may be searched; algorithms need not know which."""

PAIRED = 4
"""Networks that are priced on all accelerators at a time."""

ROUGH = 256
"""Networks, and accelerators for each, that a rough look is taken at."""

_START, _CHIPS = 2**32 - 2, 2**32 - 7  # trial numbers nobody reaches


class Scope:
    """Brings what an algorithm suggests into what is searched.

    Args:
        space: The joint space.
        pricer: Says what designs cost.
        budgets: What they may cost.
        reward: Says which accelerator is best for a network.
        searched: One of `SEARCHED`.
        fixed: The side that is not searched, or where a phased search starts:
            a genome, or values by name. What it leaves open is drawn until
            the design meets the budgets.
        max_trials: Length of the search; a phase is half of it.
        seed: What the draw follows from.
        held: What was decided to be held before, genes by a name of the
            decision; new ones are entered, and none is made twice, whatever
            is learned of costs later.

    Raises:
        ValueError: If an argument is not known or possible.
    """

    def __init__(
        self,
        space: SearchSpace,
        pricer: Pricer,
        budgets: Budgets,
        reward: Reward,
        *,
        searched: str,
        fixed: Mapping[str, Any] | np.ndarray | None,
        max_trials: int | None,
        seed: int,
        held: dict[str, list[int]],
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
        self._fixed = genome_arrays.fixed_genes(
            space, {} if fixed is None else fixed
        )
        split = space.num_network_parameters
        self._network = list(range(split))
        self._accelerator = list(range(split, len(space.parameters)))
        if isinstance(fixed, Mapping):
            self._require_held(space, searched)
        self.searched = searched
        self._space, self._pricer = space, pricer
        self._budgets, self._reward = budgets, reward
        self._seed, self._held = seed, held
        self._half = (max_trials or 0) // 2

    def held(self, number: int) -> list[int]:
        """Positions of the genes that trial `number` does not choose."""
        first, second = self._network, self._accelerator
        if self.searched == "phased_reverse":
            first, second = second, first
        sides = {"network": self._accelerator, "accelerator": self._network}
        if self.searched.startswith("phased"):
            return first if number < self._half else second
        return sides.get(self.searched, [])

    def _require_held(self, space: SearchSpace, searched: str) -> None:
        """Refuses values of the side that is searched, at first at least."""
        of_network = searched in ("network", "phased_reverse")
        side = self._network if of_network else self._accelerator
        others = [
            space.parameters[place].name
            for place in side
            if place in self._fixed
        ]
        if others:
            raise ValueError(
                f"`fixed` must be of the side that a {searched} search does "
                f"not choose{' at first' * searched.startswith('phased')}. "
                f"Received: {', '.join(others)}. Leave them out, or start from "
                "them with `initial_designs`."
            )

    def hold(
        self, genomes: Any, number: int, best: np.ndarray | None
    ) -> np.ndarray:
        """Gives designs the genes that a trial does not choose.

        Args:
            genomes: `[N, P]`.
            number: Of the trial.
            best: `[P]` best design so far, which a second phase goes on from.

        Returns:
            `[N, P]`.
        """
        held = self.held(number)
        if not held:
            return np.asarray(genomes)
        genomes = np.array(genomes)
        genomes[:, held] = self._design(number, best)[held]
        return genomes

    def _design(self, number: int, best: np.ndarray | None) -> np.ndarray:
        """`[P]` that the side which is not searched is taken from."""
        is_second = self.searched.startswith("phased") and number >= self._half
        second = f"best of {self._half} trials"
        if is_second and best is not None:
            self._held.setdefault(second, best.tolist())
        if is_second and second in self._held:
            return np.asarray(self._held[second])
        # Other values of a user ask for another decision.
        first = f"start with {sorted(self._fixed.items())}"
        if first not in self._held:
            self._held[first] = self._drawn().tolist()
        return np.asarray(self._held[first])

    def _drawn(self) -> np.ndarray:
        """`[P]` with the values of a user, and drawn ones for the rest."""
        rng = np.random.default_rng([self._seed, _START])
        draws = genome_arrays.complete(self._space, rng, self._fixed, 4 * ROUGH)
        screen = Screen(self._space, self._pricer, self._budgets)
        with self._pricer.reach.afresh():
            feasible = screen.admit(draws, are_given=True)[0]
        start = feasible[0] if len(feasible) else draws[0]
        if self._pricer.reach.is_limited:
            # It says why, if these values build no network.
            self._space.networks(start[None, : len(self._network)])
        return start

    def pair(
        self,
        rng: np.random.Generator,
        genomes: Any,
        tried: Sequence[np.ndarray],
    ) -> np.ndarray:
        """Gives new networks their best accelerators.

        Args:
            rng: Where chance comes from.
            genomes: `[N, P]`; their accelerators are ignored.
            tried: Designs whose networks are not new.

        Returns:
            `[K, P]`, at most `PAIRED`: the first networks that a sample of
            accelerators gets within the budgets, or else closest to them.
        """
        split = len(self._network)
        known = {genome[:split].tobytes() for genome in tried}
        genomes = genome_arrays.check(self._space, genomes)
        networks = np.ascontiguousarray(genomes[:, :split])
        networks = genome_arrays.unseen(networks, known)
        networks = networks[self._pricer.reach.mask(networks)][:ROUGH]
        if not len(networks):
            return genomes[:0]
        chips = self._chips
        sample = rng.permutation(len(chips))[:ROUGH]
        costs = self._pricer.grid(networks, chips[sample])
        violation = self._budgets.violation(costs).min(axis=1)
        order = np.argsort(violation, kind="stable")[:PAIRED]
        return self.best_pairs(networks[order])

    @functools.cached_property
    def _chips(self) -> np.ndarray:
        """The accelerators that are priced, see `pairing.to_price`."""
        rng = np.random.default_rng([self._seed, _CHIPS])
        return pairing.to_price(self._space, rng)

    def best_pairs(self, networks: np.ndarray) -> np.ndarray:
        """Gives networks their best accelerators.

        All are priced, or a sample and what is near its best, see `pairing`.

        Args:
            networks: `[N, S]` genes of networks.

        Returns:
            `[N, P]`: within the budgets first, then by reward, then by the
            product of costs.
        """

        def choose(chips: np.ndarray) -> np.ndarray:
            costs = self._pricer.grid(networks, chips)
            product = sum(
                np.log(metrics.get(name).share(costs[name], 1.0))
                for name in metrics.compared()
            )
            violation = self._budgets.violation(costs)
            reward = self._reward(np.ones_like(product), costs)
            return np.lexsort((product, -reward, violation), axis=-1)[:, 0]

        best = pairing.best(self._space, self._chips, choose)
        return np.concatenate([networks, best], axis=1)
