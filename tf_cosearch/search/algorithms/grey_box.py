"""Grey-box Bayesian optimisation: accuracy is learned, costs are known."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tf_cosearch import configuration, metrics
from tf_cosearch.search import genomes as genome_arrays
from tf_cosearch.search import pairing
from tf_cosearch.search.algorithms.algorithm import Algorithm
from tf_cosearch.search.lineage import Lineage, Origin, gave
from tf_cosearch.search.pareto import non_dominated
from tf_cosearch.search.shortlist import ESTIMATED, Shortlist
from tf_cosearch.search.surrogates import (
    Encoder,
    Surrogate,
    SurrogateOfTwo,
    expected_improvement,
    log_costs,
)

ROUNDS = 3
"""Times that networks are considered, each time around the best so far."""

TOP = 16
"""Networks that a round looks around."""

FINALISTS = 4
"""Networks that are paired with all accelerators, see `pairing`."""

STRETCH = 8
"""Finished trials after which the accelerators to consider are renewed.

Between, what layers cost on them is kept.
"""

LEARNED = 384
"""Estimates that are learned from at most, see `GreyBox`."""

SUGGESTED = 64
"""Pairs to suggest, of which one is tried."""

# Trial numbers nobody reaches.
_SHORTLIST, _NEAR, _SAMPLE = 2**32 - 3, 2**32 - 5, 2**32 - 6
_LEARNED = 2**32 - 8

Gain = Callable[[np.ndarray, Mapping[str, np.ndarray]], np.ndarray]
"""Rates `[N, S]` networks, whose costs are `[N, H]`: `[N, H]`."""


class GreyBox(Algorithm):
    """Learns what must be trained to be known, and prices all the rest.

    The accuracy `A` of a design depends on its network alone, and costs a
    training; its costs `c` follow from network and accelerator, and cost
    nothing. So a Gaussian process learns `A` from the finished trials, and
    each proposal is the best of more than 100,000 pairs of a network and an
    accelerator whose costs are exact. Trials take turns in what is best:

    - The expected improvement of the reward `r = f(c) A + t(c)` over the best
      one `r*`; a weighted product has no term `t`, a sum the factor 1:

          E[max(r - r*, 0)] = f(c) E[max(A - (r* - t(c)) / f(c), 0)]

    - The expected growth of the hypervolume. With known costs it is the
      improvement over the best accuracy `a*(q)` within limits `q`, for all
      limits at once:

          integral over q >= c of E[max(A - a*(q), 0)] dq

      taken over random limits within the budgets.

    The networks of the finalists are paired with all accelerators there are,
    or with a sample and what is near its best if there are too many.
    What is running counts as finished with the accuracy that is expected of
    it, what failed with the lowest seen.

    Where designs were estimated, for example by a supernet, the best of them
    take the place of those that spread. Then the estimate is one more thing
    that the accuracy is learned from, as far as it proves to say something of
    it. So that all networks have one, estimates are learned as well.

    Args:
        objectives: The metrics of the front, beside accuracy. Defaults to
            those that have a budget, or else to latency, energy and area.
        front_share: Share of the trials that are for the front.
        warm_up: Trials that spread over the space before. Defaults to
            4 of 16 trials to 25, 8 of 100: `0.8 sqrt(max_trials)`, rounded up,
            but 3 at least and 8 at most.
        networks: How many to consider in each of `ROUNDS` rounds.
        accelerators: How many to consider for each of them.
        limits: How many to integrate over.

    Raises:
        ValueError: If an argument is out of its range.

    Reference: Jones et al., Efficient Global Optimization of Expensive
    Black-Box Functions, J. Global Optimization 1998, equation 15; Emmerich et
    al., Hypervolume-based expected improvement, CEC 2011; Astudillo and
    Frazier, Thinking inside the box, WSC 2021.
    """

    is_quick = False
    uses_estimates = True

    def __init__(
        self,
        *,
        objectives: Sequence[str] | None = None,
        front_share: float = 0.5,
        warm_up: int | None = None,
        networks: int = 192,
        accelerators: int = 192,
        limits: int = 128,
    ) -> None:
        self._objectives = tuple(
            metrics.known_before(name, "objective").name
            for name in objectives or ()
        )
        self.front_share = configuration.number(front_share, "`front_share`")
        if not 0 <= self.front_share <= 1:
            raise ValueError(
                f"`front_share` must be from 0 to 1. Received: {front_share}."
            )
        if warm_up is not None:
            configuration.at_least("warm_up", warm_up, 2)
        self._warm_up = warm_up
        self.networks = configuration.at_least("networks", networks, 1)
        self.accelerators = configuration.at_least(
            "accelerators", accelerators, 1
        )
        self.limits = configuration.at_least("limits", limits, 1)
        self._pool: tuple[int, np.ndarray] | None = None
        self._lineage = Lineage()

    @property
    def objectives(self) -> tuple[str, ...]:
        """The metrics of the front."""
        limited = tuple(self.problem.budgets.limits())
        return self._objectives or limited or tuple(metrics.compared())

    @property
    def warm_up(self) -> int:
        """Trials that spread; measured to be best at 12, 25 and 100."""
        trials = self.problem.max_trials
        if self._warm_up is not None or trials is None:
            return self._warm_up or 8
        return min(max(math.ceil(0.8 * math.sqrt(trials)), 3), 8)

    @functools.cached_property
    def _model(self) -> Surrogate | SurrogateOfTwo:
        is_told = self.problem.estimates is not None
        return SurrogateOfTwo() if is_told else Surrogate()

    @functools.cached_property
    def _encode(self) -> Encoder:
        return Encoder(self.problem.space.parameters[self._network])

    @functools.cached_property
    def _shortlist_of_estimates(self) -> Algorithm | None:
        is_told = self.problem.estimates is not None
        return Shortlist().on(self.problem) if is_told else None

    @functools.cached_property
    def _estimate(self) -> Surrogate | None:
        """Learns estimates, so that all networks have one, of unit variance."""
        estimates = self.problem.estimates
        if estimates is None:
            return None
        rng = np.random.default_rng([self.problem.seed, _LEARNED])
        rows = rng.permutation(len(estimates.genomes))[:LEARNED]
        genomes, values = estimates.genomes[rows], estimates.accuracies[rows]
        networks = np.ascontiguousarray(genomes[:, self._network])
        features = self._sized(networks, self.problem.prices(genomes))
        spread = values.std() or 1.0
        return Surrogate().fit(features, (values - values.mean()) / spread)

    @property
    def _is_warming_up(self) -> bool:
        return len(self.problem.history.finished()) < self.warm_up

    @property
    def _network(self) -> slice:
        return slice(self.problem.space.num_network_parameters)

    @property
    def _accelerator(self) -> slice:
        return slice(self.problem.space.num_network_parameters, None)

    def suggest(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Suggests `[N, P]` pairs, a network each."""
        self._lineage = Lineage()
        if self._shortlist_of_estimates and self._is_warming_up:
            return self._shortlist_of_estimates.suggest(rng, min(n, SUGGESTED))
        gain = self._gain(rng)
        accelerators = self._candidate_accelerators()
        networks = self._candidate_networks(rng)
        pairs: dict[bytes, tuple[float, np.ndarray]] = {}
        for round_ in range(ROUNDS):
            within = self.problem.prices.reach.mask(networks, ROUNDS - round_)
            self._rate(pairs, gain, networks[within], accelerators)
            if pairs:
                networks = self._around(rng, _best_first(pairs)[:TOP])
        if not pairs:
            return np.zeros((0, len(self.problem.space.parameters)), np.int64)
        if len(accelerators) > 1:  # else that one is held
            finalists = _best_first(pairs)[:FINALISTS, self._network]
            rate = functools.partial(self._rate, pairs, gain, finalists)
            pairing.best(self.problem.space, self._to_price, rate)
        return _best_first(pairs)[: min(n, SUGGESTED)]

    def origin(self, genome: np.ndarray) -> Origin:
        """Of which trials its network was made, if of any."""
        if self._is_warming_up:
            told = self._shortlist_of_estimates is not None
            return Origin(ESTIMATED if told else "spreads over the space")
        network = np.ascontiguousarray(genome[self._network])
        return self._lineage.origin(network, "chosen of networks at random")

    def _rate(
        self,
        pairs: dict[bytes, tuple[float, np.ndarray]],
        gain: Gain,
        networks: np.ndarray,
        accelerators: np.ndarray,
    ) -> np.ndarray:
        """Keeps the best accelerator of each network, and says which it is."""
        if not len(networks):
            return np.zeros(0, np.int64)
        costs = self.problem.prices.grid(networks, accelerators)
        violation = self.problem.budgets.violation(costs)
        gains = np.where(violation > 0, -violation, gain(networks, costs))
        best = gains.argmax(axis=1)
        for row, network in enumerate(networks):
            value = float(gains[row, best[row]])
            known = pairs.get(network.tobytes())
            if known is None or value > known[0]:
                pair = np.concatenate([network, accelerators[best[row]]])
                pairs[network.tobytes()] = (value, pair)
        return best

    # What a pair is worth.

    def _gain(self, rng: np.random.Generator) -> Gain:
        """What this trial is for."""
        if self._is_warming_up:
            return self._distance
        self._learn()
        number, share = self.problem.history.begun(), self.front_share
        if int((number + 1) * share) == int(number * share):
            return self._reward_gain
        return functools.partial(self._front_gain, self._random_limits(rng))

    def _learn(self) -> None:
        """Fits the accuracies of networks that are known or expected."""
        finished, failed = (
            self.problem.history.finished(),
            self.problem.history.failed(),
        )
        pending = self.problem.history.pending()
        genomes = [trial.genome for trial in finished]
        values = [trial.metrics[self.problem.accuracy] for trial in finished]
        self._model.fit(self._features(genomes), values)
        if failed:
            lowest = np.full(len(failed), min(values))
            self._model.believe(self._features(failed), lowest)
        if pending:
            self._model.believe(self._features(pending))
        genomes = [*genomes, *failed, *pending]
        self._accuracies = self._model.values
        self._costs = self.problem.prices.of_all(genomes)

    def _features(self, genomes: Sequence[np.ndarray]) -> np.ndarray:
        """What the accuracy of designs is learned from, `[N, F]`."""
        networks = np.asarray(genomes)[:, self._network]
        return self._encoded(networks, self.problem.prices.of_all(genomes))

    def _encoded(
        self, networks: np.ndarray, costs: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        """What is known of networks, `[N, F]`; an estimate comes last."""
        features = self._sized(networks, costs)
        if self._estimate is None:
            return features
        return np.column_stack([features, self._estimate.predict(features)[0]])

    def _sized(
        self, networks: np.ndarray, costs: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        """Genes of networks beside their sizes, `[N, F]`.

        As logarithms, both sides have about the same weight.
        """
        sizes = log_costs(costs, SIZES)
        return np.concatenate([self._encode(networks), sizes], axis=1)

    def _features_of_grid(
        self, networks: np.ndarray, costs: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        first = {
            name: costs[name][:, 0]
            for name in (*metrics.compared(), *SIZES)
            if name in costs
        }
        return self._encoded(networks, first)

    def _distance(
        self, networks: np.ndarray, costs: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        """How far networks are from those tried; cheaper pairs first."""
        cheap = self._cheapness(costs)
        tried = [
            t.genome for t in self.problem.history.finished()
        ] + self.problem.history.pending()
        tried += self.problem.history.failed()
        if not tried:
            return cheap
        here = self._features_of_grid(networks, costs)
        there = self._features(tried)
        scale = np.std(np.concatenate([here, there]), axis=0) + 1e-9
        gaps = (here[:, None] - there) / scale
        return np.sqrt((gaps**2).sum(axis=2).min(axis=1))[:, None] + cheap

    def _reward_gain(
        self, networks: np.ndarray, costs: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        """Expected improvement of the reward, `[N, H]`."""
        mean, std = self._model.predict(self._features_of_grid(networks, costs))
        best = self.problem.reward(self._accuracies, self._costs)
        ok = self.problem.budgets.is_feasible(self._costs)
        highest = best[ok].max() if ok.any() else best.min()
        factor, term = self.problem.reward.parts(costs)
        gain = expected_improvement(
            factor * mean[:, None] + term, factor * std[:, None], highest
        )
        return gain * (1 + self._cheapness(costs))

    def _cheapness(self, costs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Next to nothing; decides between equals, `[N, H]`."""
        shares = [
            metrics.get(name).share(costs[name], 1.0)
            for name in self.objectives
        ]
        product = np.prod(shares, axis=0)
        return np.asarray(1e-6 / (1 + product))

    def _random_limits(self, rng: np.random.Generator) -> np.ndarray:
        """`[Q, K]` limits on the losses of objectives, within the budgets.

        From 0, or from the best seen of what should be more.
        """
        seen = metrics.losses(self._costs, self.objectives)
        budgets = self.problem.budgets.limits()
        most = np.asarray(
            [
                metrics.get(name).loss(budgets[name])
                if name in budgets
                else losses.max()
                for name, losses in zip(self.objectives, seen, strict=True)
            ]
        )
        least = np.minimum([min(each.min(), 0.0) for each in seen], most)
        return least + rng.random((self.limits, len(most))) * (most - least)

    def _front_gain(
        self,
        limits: np.ndarray,
        networks: np.ndarray,
        costs: Mapping[str, np.ndarray],
    ) -> np.ndarray:
        """Expected growth of the hypervolume, `[N, H]`."""
        known = np.stack(metrics.losses(self._costs, self.objectives), -1)
        within = (known[:, None] <= limits).all(axis=-1)
        floor = self._accuracies.min()
        values = np.where(within, self._accuracies[:, None], floor)
        mean, std = self._model.predict(self._features_of_grid(networks, costs))
        gain = expected_improvement(
            mean[:, None], std[:, None], values.max(axis=0)
        )
        gain = gain.astype(np.float32)
        priced = np.asarray(metrics.losses(costs, self.objectives), np.float32)
        columns = limits.T.astype(np.float32)
        result = np.empty(priced[0].shape)
        for row in range(len(networks)):
            meets = priced[0][row, :, None] <= columns[0]
            for cost, column in zip(priced[1:], columns[1:], strict=True):
                meets &= cost[row, :, None] <= column
            result[row] = meets.astype(np.float32) @ gain[row]
        return result / len(limits)

    # What is considered.

    def _candidate_networks(self, rng: np.random.Generator) -> np.ndarray:
        """Random ones, relatives of the best and of the front, and known ones.

        Of those that would have to be built, only the first are within reach.
        """
        finished = self.problem.history.finished()
        fresh = self.problem.space.sample(rng, self.networks)
        built = self.problem.prices.reach.known()
        built = np.pad(built, ((0, 0), (0, fresh.shape[1] - built.shape[1])))
        if len(finished) < self.warm_up:
            fresh = np.concatenate([fresh, built])
            return self._part(fresh, self._network)
        order = sorted(finished, key=lambda trial: -trial.reward)[:TOP]
        best = [trial.genome for trial in order]
        parents = np.concatenate([best, self._front()])
        half = self.networks // 2
        mothers, fathers = parents[rng.integers(len(parents), size=(2, half))]
        mixed = np.where(rng.random(mothers.shape) < 0.5, mothers, fathers)
        count = rng.integers(0, 3, half, endpoint=True)
        fresh[:half] = genome_arrays.mutate(
            self.problem.space, rng, mixed, count
        )
        fresh = self._held(np.concatenate([fresh, built]), self._network)
        genes = (each[:, self._network] for each in (mixed, mothers, fathers))
        of_mother, of_father = gave(fresh[:half], *genes)
        self._lineage.add(
            fresh[:half],
            np.where(of_mother[:, None], mothers, fathers),
            np.where(of_father[:, None], fathers, mothers),
        )
        return genome_arrays.unseen(fresh)

    def _around(self, rng: np.random.Generator, best: np.ndarray) -> np.ndarray:
        """Neighbours of networks, `[N, S]`."""
        parents = best[rng.integers(len(best), size=self.networks)]
        count = rng.integers(1, 2, len(parents), endpoint=True)
        children = genome_arrays.mutate(self.problem.space, rng, parents, count)
        children = self._held(children, self._network)
        self._lineage.pass_on(children, parents[:, self._network])
        return genome_arrays.unseen(children)

    def _candidate_accelerators(self) -> np.ndarray:
        """The short list, those of the front, and their neighbours.

        They follow from the first trials that finished, a whole number of
        stretches of them.
        """
        whole = len(self.problem.history.finished()) // STRETCH * STRETCH
        if self._pool is None or self._pool[0] != whole:
            front = self._front(whole)
            pool = self._shortlist
            if len(front):
                rng = np.random.default_rng([self.problem.seed, _NEAR, whole])
                near = rng.permutation(front)[:TOP]
                parents = np.repeat(near, 2, axis=0)
                close = genome_arrays.mutate(self.problem.space, rng, parents)
                pool = np.concatenate([near, close, pool])
            self._pool = whole, pool
        chosen = self._part(self._pool[1], self._accelerator)
        return chosen[: self.accelerators]

    def _front(self, count: int | None = None) -> np.ndarray:
        """`[N, P]` designs that none of the first finished ones beats."""
        finished = self.problem.history.finished()[:count]
        compared = self.problem.budgets.compared()
        genomes = np.asarray([trial.genome for trial in finished], np.int64)
        if not len(finished):
            return genomes
        points = np.asarray(
            [
                [
                    -trial.metrics[self.problem.accuracy],
                    *metrics.losses(trial.metrics, compared),
                ]
                for trial in finished
            ]
        )
        return genomes[non_dominated(points)]

    @functools.cached_property
    def _to_price(self) -> np.ndarray:
        rng = np.random.default_rng([self.problem.seed, _SAMPLE])
        return pairing.to_price(self.problem.space, rng)

    @functools.cached_property
    def _shortlist(self) -> np.ndarray:
        """`[H, P]` accelerators that suit some networks and some tastes."""
        rng = np.random.default_rng([self.problem.seed, _SHORTLIST])
        designs = self.problem.space.sample(rng, self.accelerators)
        everything = self._to_price
        networks = self.problem.space.sample(rng, 16)[:, self._network]
        reach = self.problem.prices.reach
        with reach.afresh():
            within = networks[reach.mask(networks)]
            networks = within if len(within) else reach.known()
        costs = self.problem.prices.grid(networks, everything)
        names = metrics.compared()
        # Of what should be more, half is twice as bad, as of a budget.
        shares = [metrics.get(name).share(costs[name], 1.0) for name in names]
        logs = np.log(np.clip(shares, 1e-30, 1e30))
        penalty = 10 * np.minimum(self.problem.budgets.violation(costs), 1e3)
        picked = [
            (np.tensordot(taste, logs, 1) + penalty).argmin(axis=1)
            for taste in rng.dirichlet([0.5] * len(names), 16)
        ]
        rows = np.unique(picked)[: len(designs)]
        designs[: len(rows), self._accelerator] = everything[rows]
        return designs

    def _part(self, genomes: np.ndarray, side: slice) -> np.ndarray:
        """One side of designs within what is searched, each once."""
        return genome_arrays.unseen(self._held(genomes, side))

    def _held(self, genomes: np.ndarray, side: slice) -> np.ndarray:
        genomes = genome_arrays.check(
            self.problem.space, self.problem.hold(genomes)
        )
        return np.ascontiguousarray(genomes[:, side])


SIZES = ("macs", "params")
"""Costs that follow from the network alone."""


def _best_first(pairs: Mapping[bytes, tuple[float, np.ndarray]]) -> np.ndarray:
    ordered = sorted(pairs.values(), key=lambda item: -item[0])
    return np.stack([pair for _, pair in ordered])
