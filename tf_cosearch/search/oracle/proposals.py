"""Finds the design of the next trial: new, and within scope and budgets."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from absl import logging

from tf_cosearch.metrics.values import Values
from tf_cosearch.search.algorithms.shrinking import ShrunkSpace
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.genomes import all_designs, check, complete
from tf_cosearch.search.oracle.screening import Screen
from tf_cosearch.search.pricing import Pricer
from tf_cosearch.search.problem import Draw
from tf_cosearch.search.scope import Scope

if TYPE_CHECKING:
    from tf_cosearch.search.space import SearchSpace

SUGGESTIONS = 3
"""Times that an algorithm is asked before the screen looks elsewhere."""

FINALISTS = 128
"""Designs that an evaluator is asked about before each trial, at most."""

_CHECK = 2**32 - 1  # a trial number nobody reaches


class Proposals:
    """Brings what is suggested through scope and screen, trial by trial.

    Args:
        space: What is searched.
        prices: What designs cost.
        budgets: What a design may cost.
        scope: What may be chosen.
        seed: Of the search.
        batch: Most candidates to price at once.
        number: Returns how many trials this search has begun itself.
        best: Returns the `[P]` best design so far, if there is one.
        initial: Designs to try first, as genes by their position; what they
            leave open is drawn until the design meets the budgets.
        networks: Genes of the networks to try after those, by name.
        shrunk: What is left of the space, which is all by default. Others are
            proposed only if they were given.
        inside: `[N, P]` designs that are known to be of what is left.

    Attributes:
        how: In words how the last one was found, if no algorithm suggested it.
        asked: About how many designs an evaluator was asked for it.
    """

    def __init__(
        self,
        space: SearchSpace,
        prices: Pricer,
        budgets: Budgets,
        scope: Scope,
        *,
        seed: int,
        batch: int,
        number: Callable[[], int],
        best: Callable[[], np.ndarray | None],
        initial: Sequence[Mapping[int, int]] = (),
        networks: Mapping[str, Sequence[int]] | None = None,
        shrunk: ShrunkSpace | None = None,
        inside: Iterable[np.ndarray] = (),
    ) -> None:
        self._space, self._prices, self._budgets = space, prices, budgets
        self._scope, self._seed, self._batch = scope, seed, batch
        self._number, self._best = number, best
        self._initial, self._networks = initial, networks or {}
        self._shrunk, self._rng = shrunk, np.random.default_rng(seed)
        self._known_inside = {self._genes(genome) for genome in inside}
        self._inside = {*self._known_inside}
        self._tried: list[np.ndarray] = []
        self._brought: tuple[np.ndarray, np.ndarray] | None = None
        self._screen = Screen(space, prices, budgets)
        self.how: str | None = None
        self.asked = 0

    def propose(
        self,
        rng: np.random.Generator,
        tried: list[np.ndarray],
        suggest: Callable[[np.random.Generator, int], np.ndarray],
    ) -> np.ndarray | None:
        """Finds the design of a trial.

        Args:
            rng: Where chance comes from.
            tried: Canonical genomes that are not new.
            suggest: Of the algorithm.

        Returns:
            A `[P]` canonical genome; None if nothing is left, or found. None
            that an evaluator finds to be over the budgets.
        """
        self._tried, self._rng, self.how = tried, rng, None
        self._brought = None
        self._inside = {*self._known_inside}
        self._screen = Screen(self._space, self._prices, self._budgets, tried)
        self.asked, unanswered = 0, None
        for genomes, costs in self._rounds(rng, suggest):
            row, without_answer = self._as_asked(genomes, costs)
            if row is not None:
                if not self._prices.correction.names:  # else corrected
                    self._prices.remember(genomes[[row]], costs.at([row]))
                found: np.ndarray = genomes[row]
                return found
            if unanswered is None and without_answer is not None:
                unanswered = genomes[without_answer]
            if self.asked >= FINALISTS:
                break
        return unanswered

    def _rounds(
        self,
        rng: np.random.Generator,
        suggest: Callable[[np.random.Generator, int], np.ndarray],
    ) -> Iterator[tuple[np.ndarray, Values]]:
        """What passes the screen, round after round while something does."""
        found = self._first(rng, self._given(rng), are_given=True)
        draw = functools.partial(suggest, rng, self._batch)
        if not len(found[0]):
            self.how = None
            found = self.screened(rng, draw)
        while len(found[0]):
            yield found
            self.how = None
            found = self.screened(rng, draw)

    def _as_asked(
        self, genomes: np.ndarray, costs: Values
    ) -> tuple[int | None, int | None]:
        """The first within the budgets, if an evaluator says so by now.

        It is asked first about those that are predicted to be.

        Returns:
            Which that is, and the first about which it has no answer, if there
            are such: a trial tells why.
        """
        if self._prices.ask is None:
            return 0, None
        unanswered = None
        is_over = ~self._budgets.is_feasible(costs)
        for row in np.argsort(is_over, kind="stable"):
            if self.asked >= FINALISTS:
                break
            self.asked += 1
            values = self._prices.ask(genomes[row])
            if values is None:
                unanswered = row if unanswered is None else unanswered
            elif self._budgets.is_feasible(values):
                return int(row), unanswered
        return None, unanswered

    def hold(self, genomes: np.ndarray) -> np.ndarray:
        """See `Problem.hold`."""
        return self._hold(self._left(self._rng, genomes))

    def suggested(self, genome: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Problem.suggested`."""
        split = self._space.num_network_parameters
        chosen = np.ones(len(genome), bool)
        chosen[self._scope.held(self._number())] = False
        # Accelerators are found for networks, whoever suggests them.
        is_nested = self._scope.searched == "nested"
        chosen[split if is_nested else len(genome) :] = False
        if self._brought is None:
            return genome, chosen
        proposals, within = self._brought
        key = slice(0, split) if is_nested else slice(None)
        within = check(self._space, within)[:, key]
        rows = np.flatnonzero((within == genome[key]).all(axis=1))
        if not rows.size:
            return genome, chosen
        proposal = proposals[rows[0]]
        return proposal, chosen & (proposal == genome)

    def _hold(self, genomes: np.ndarray) -> np.ndarray:
        return self._scope.hold(genomes, self._number(), self._best())

    def screened(
        self, rng: np.random.Generator, draw: Draw
    ) -> tuple[np.ndarray, Values]:
        """See `Problem.screened`.

        If nothing that is drawn passes, the screen looks elsewhere.
        """
        if self._screen.is_exhausted:
            return self._first(rng, ())
        drawn = (draw() for _ in range(SUGGESTIONS))
        elsewhere = self._elsewhere(rng)
        return self._first(rng, itertools.chain(drawn, elsewhere))

    def _elsewhere(self, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Where the screen looks if no suggestion passes."""
        self.how = "found by the screen, as nothing suggested passed it"
        yield from self._screen.wider(rng, self._batch, self.designs)

    def check_feasible(
        self, budgets: Budgets, targets: Budgets | None = None
    ) -> None:
        """Makes sure that some design meets budgets.

        Args:
            budgets: The budgets.
            targets: What a reward aims at, if that is something else.

        Raises:
            ValueError: If none does, or meets the targets, see
                `Budgets.explain`.
        """
        with self._prices.reach.afresh():
            self._check_feasible(budgets)
        if targets is None or (
            targets.limits().items() <= budgets.limits().items()
        ):
            return
        try:
            self.check_feasible(targets)
        except ValueError as error:
            raise ValueError(
                "Targets of the reward must be within reach, as budgets. "
                f"{error}"
            ) from None

    def _check_feasible(self, budgets: Budgets) -> None:
        rng = np.random.default_rng([self._seed, _CHECK])
        screen = Screen(self._space, self._prices, budgets)
        largest = np.asarray(self._space.choice_counts) - 1
        first = [np.stack([np.zeros_like(largest), largest])]
        first += [
            complete(self._space, rng, genes, self._batch)
            for genes in self._initial
        ]
        wider = screen.wider(rng, self._batch, self.designs)
        for proposals in itertools.chain(first, wider):
            proposals = self._left(rng, proposals)
            if len(screen.admit(self._hold(proposals))[0]):
                return
        raise ValueError(screen.explain())

    def _left(
        self, rng: np.random.Generator, genomes: np.ndarray
    ) -> np.ndarray:
        """Draws the genes anew that a space has lost.

        A network that is inside stays as it is: its canonical genes may be
        among the lost ones, if it can be written with others as well.
        """
        if self._shrunk is None:
            return genomes
        genomes = check(self._space, genomes)
        drawn = check(self._space, self._shrunk.restrict(rng, genomes))
        stay = [self._genes(genome) in self._inside for genome in genomes]
        left = np.where(np.c_[stay], genomes, drawn)
        self._inside.update(map(self._genes, left))
        return left

    def _genes(self, genome: np.ndarray) -> bytes:
        """Of the network alone: no space loses accelerators."""
        return genome[: self._space.num_network_parameters].tobytes()

    @functools.cached_property
    def designs(self) -> np.ndarray | None:
        """`[size, P]` all designs of a small space; None of a large one."""
        return all_designs(self._space)

    def _first(
        self,
        rng: np.random.Generator,
        rounds: Iterable[np.ndarray],
        are_given: bool = False,
    ) -> tuple[np.ndarray, Values]:
        """What passes of the first round of which something does."""
        genomes = np.zeros((0, len(self._space.parameters)), np.int64)
        costs = Values({})
        for proposals in rounds:
            genomes, costs = self._admit(rng, proposals, are_given)
            if len(genomes):
                break
        return genomes, costs

    def _admit(
        self,
        rng: np.random.Generator,
        proposals: np.ndarray,
        are_given: bool = False,
    ) -> tuple[np.ndarray, Values]:
        passed = self._screen.passed(proposals)
        if passed is not None:
            return passed
        suggested = np.asarray(proposals)
        if not are_given:
            proposals = self._left(rng, proposals)
        if self._scope.searched == "nested":
            self._brought = suggested, np.asarray(proposals)
            proposals = self._scope.pair(rng, proposals, self._tried)
        else:
            proposals = self._hold(proposals)
            self._brought = suggested, proposals
        return self._screen.admit(proposals, are_given)

    def _given(self, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """What the search was asked to try first."""
        number = self._number()
        for genes in self._initial[number:][:1]:
            self.how = "given to be tried first"
            yield complete(self._space, rng, genes, self._batch)
        if self._networks and 0 not in self._scope.held(number):
            self.how = "a published network on its best accelerator"
            yield from self._starts[:, None]

    @functools.cached_property
    def _starts(self) -> np.ndarray:
        """`[S, P]` designs of the networks to start from."""
        networks = np.asarray(list(self._networks.values()))
        designs = self._scope.best_pairs(networks)
        held = check(self._space, self._hold(designs))
        _, at_best = self._prices.forecast(held)
        within = self._budgets.is_feasible(at_best)
        for name, fits in zip(self._networks, within, strict=True):
            if not fits:
                logging.warning(
                    "%s meets the budgets on no accelerator that may be "
                    "chosen, or cannot be trained in the memory that there "
                    "is; the search does not start from it.",
                    name,
                )
        return designs[within]
