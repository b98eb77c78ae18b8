"""Constrained Bayesian optimisation."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
from scipy import special

from tf_cosearch import configuration
from tf_cosearch.search.algorithms.algorithm import Algorithm
from tf_cosearch.search.genomes import mutate
from tf_cosearch.search.lineage import DRAWN, Origin
from tf_cosearch.search.surrogates import (
    WORK,
    Encoder,
    Surrogate,
    expected_improvement,
    log_costs,
)

ACQUISITIONS = {
    "confidence_bound": "what a design may reach, mean + exploration * std",
    "expected_improvement": "by how much it may exceed the best so far",
}
"""What a candidate is worth."""

PARENTS = 5
"""Best designs that candidates are looked for around."""


class ConstrainedBayesian(Algorithm):
    """Trains what a Gaussian process finds most promising.

    A trial is chosen as in the paper's outer loop: candidates are drawn, those
    beyond a known constraint are rejected (the cost model prices them), and
    the best by an acquisition is tried, weighed by the probability that it
    meets the constraints known only by trying.

    The paper nests two loops, hardware outside and the mapping of every layer
    inside, each a search of its own. Here the inner one is no search: the cost
    model tries every mapping of a layer, so what the outer loop observes is
    exact. `searched="nested"` puts one more exact loop inside, the best
    accelerator of every network; what is left to learn is the network.

    Unlike the paper's, half of the candidates are neighbours of the best
    designs: in spaces of networks, random ones seldom improve on those. The
    kernel has a smooth part beside the linear one, and the logarithms of the
    exact costs are features.

    Args:
        warm_up: Trials that are drawn at random first.
        kernel: One of `surrogates.KERNELS`; `linear` is the paper's.
        acquisition: One of `ACQUISITIONS`.
        exploration: Weight of the uncertainty, lambda in the paper.

    Raises:
        ValueError: If an argument is unknown or out of its range.

    Reference: Shi et al., Learned Hardware/Software Co-Design of Neural
    Accelerators, arXiv 2010.02075: nested constrained optimisation, 5 warm-up
    trials of hardware, confidence bound with lambda 1.
    """

    is_quick = False

    def __init__(
        self,
        *,
        warm_up: int = 5,
        kernel: str = "linear+matern",
        acquisition: str = "confidence_bound",
        exploration: float | None = None,
    ) -> None:
        self.warm_up = configuration.at_least("warm_up", warm_up, 1)
        if acquisition not in ACQUISITIONS:
            raise configuration.unknown(
                "acquisition", acquisition, ACQUISITIONS
            )
        self.acquisition = acquisition
        if exploration is not None and acquisition != "confidence_bound":
            raise ValueError(
                "`exploration` must be for the acquisition confidence_bound. "
                f"Received: {exploration!r} for {acquisition}. Leave it out."
            )
        self.exploration = configuration.number(
            1.0 if exploration is None else exploration, "`exploration`"
        )
        if self.exploration < 0:
            raise ValueError(
                "`exploration` must not be negative. Received: "
                f"{exploration!r}. 0 trusts the mean, 1 is the paper's."
            )
        self._reward_model = Surrogate(kernel)
        self._feasibility_model = Surrogate(kernel)

    @functools.cached_property
    def _encode(self) -> Encoder:
        return Encoder(self.problem.space.parameters)

    def suggest(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Suggests `[N, P]` candidates, that of the best acquisition first."""
        history = self.problem.history
        if len(history.finished()) < self.warm_up:
            return self.problem.space.sample(rng, n)
        genomes, costs = self.problem.screened(
            rng, lambda: self._candidates(rng, n)
        )
        if not len(genomes):
            return genomes
        features = np.concatenate(
            [self._encode(genomes), self._log_costs(costs)], axis=1
        )
        value = self._acquire(features) * self._probability(features)
        return genomes[np.argsort(-value, kind="stable")]

    def origin(self, genome: np.ndarray) -> Origin:
        """Drawn, or near one of the best as far as it is."""
        if len(self.problem.history.finished()) < self.warm_up:
            return Origin(DRAWN)
        return Origin("of the highest acquisition")

    def _candidates(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draws `[n, P]` genomes, half of them beside the best designs."""
        space = self.problem.space
        ranked = sorted(
            self.problem.history.finished(), key=lambda done: -done.reward
        )
        best = np.stack([done.genome for done in ranked[:PARENTS]])
        parents = best[rng.integers(len(best), size=n // 2)]
        mutations = rng.integers(1, 3, n // 2, endpoint=True)
        near = mutate(space, rng, parents, mutations)
        far = space.sample(rng, n - len(near))
        return np.concatenate([far, near])

    def _features(self, genomes: list[np.ndarray]) -> np.ndarray:
        """Features `[N, F]` of designs that were handed out."""
        costs = self._log_costs(self.problem.prices.of_all(genomes))
        return np.concatenate([self._encode(np.stack(genomes)), costs], axis=1)

    def _log_costs(self, costs: Mapping[str, np.ndarray]) -> np.ndarray:
        return log_costs(costs, (*self.problem.budgets.compared(), *WORK))

    def _acquire(self, features: np.ndarray) -> np.ndarray:
        """What `[N]` candidates are worth if they can run, not negative."""
        done = self.problem.history.finished()
        rewards = np.asarray([finished.reward for finished in done])
        model = self._reward_model.fit(
            self._features([finished.genome for finished in done]), rewards
        )
        pending = self.problem.history.pending()
        if pending:
            model.believe(self._features(pending))
        mean, std = model.predict(features)
        if self.acquisition == "confidence_bound":
            bound = mean + self.exploration * std
            # A probability is a weight only of what is not negative.
            return bound - bound.min()
        return expected_improvement(mean, std, rewards.max())

    def _probability(self, features: np.ndarray) -> np.ndarray:
        """How likely `[N]` candidates run, by those that did and did not.

        A Gaussian process on labels of 1 and -1, as in the paper.
        """
        history = self.problem.history
        good = [finished.genome for finished in history.finished()]
        bad = history.failed()
        if not bad:
            return np.ones(len(features))
        # In turns: hyperparameters are fitted to the first, which must be of
        # both kinds, and stay the same when only the commoner kind grows.
        turns = [*range(len(good)), *range(len(bad))]
        order = np.argsort(turns, kind="stable")
        labels = np.repeat([1.0, -1.0], [len(good), len(bad)])
        model = self._feasibility_model.fit(
            self._features(good + bad)[order], labels[order]
        )
        mean, std = model.predict(features)
        return special.ndtr(mean / np.maximum(std, 1e-6))
