"""REINFORCE: a controller learns to emit designs that are rewarded."""

from __future__ import annotations

import copy
import functools
from typing import Any

import numpy as np

from tf_cosearch import configuration
from tf_cosearch.search.algorithms.algorithm import Algorithm
from tf_cosearch.search.algorithms.controller import Controller
from tf_cosearch.search.lineage import Origin
from tf_cosearch.search.problem import Result

SAMPLES = 256
"""Most designs to sample at a time, of which one is tried."""

_WEIGHTS = 2**32 - 3  # a trial number nobody reaches, for initial weights


class Reinforce(Algorithm):
    """Samples from a policy over network and accelerator, which it trains.

    One controller emits the decisions about the network and then those about
    the accelerator. Per batch of `m` finished trials it takes one step along

        1/m sum_k grad log P(design_k) * (R_k - b)

    with the baseline `b` an exponential moving average of the rewards, plus a
    bonus for the policy's entropy. A trial that failed has the reward of an
    accuracy of 0.

    Designs over budget and designs tried before are dropped from the samples,
    as NAHAS drops what its simulator cannot map, but before they cost
    anything. To learn from those as well, wrap the algorithm in `two_level`.

    The papers train tens of thousands of designs in batches of 20 with a
    learning rate of 0.00035; the defaults here are for searches of a hundred.

    Args:
        batch_size: Finished trials that the controller learns from at a time.
        learning_rate: Of Adam.
        baseline_decay: Share of the baseline that a new reward leaves.
        entropy_weight: Of the entropy, summed over the genes.
        units: Size of the controller's hidden state.

    Raises:
        ValueError: If an argument is out of its range.

    Reference: Zhou et al., Rethinking Co-design of Neural Architectures and
    Hardware Accelerators, arXiv 2102.08619 (NAHAS); Zoph & Le, Neural
    Architecture Search with Reinforcement Learning, ICLR 2017, section 3.2;
    Williams, Machine Learning 8, 1992, equation 11.
    """

    def __init__(
        self,
        *,
        batch_size: int = 5,
        learning_rate: float = 0.03,
        baseline_decay: float = 0.95,
        entropy_weight: float = 1e-5,
        units: int = 32,
    ) -> None:
        self.batch_size = configuration.at_least("batch_size", batch_size, 1)
        self.units = configuration.at_least("units", units, 1)
        self.learning_rate = inside("learning_rate", learning_rate, 1.0)
        self.baseline_decay = inside("baseline_decay", baseline_decay, 1.0)
        self.entropy_weight = inside("entropy_weight", entropy_weight)
        self._explorer: Controller | None = None  # has learnt from costs, too
        self._batch: list[Result] = []
        self._baseline: float | None = None

    def suggest(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Samples genomes from the policy, `n` or `SAMPLES` of them."""
        policy = self._explorer or self._controller
        return policy.sample(rng, min(n, SAMPLES))

    def origin(self, genome: np.ndarray) -> Origin:
        """Always of the policy."""
        return Origin("sampled from the policy")

    def observe(self, result: Result) -> None:
        """Learns from every batch of trials."""
        self._explorer = None
        self._batch.append(result)
        if len(self._batch) == self.batch_size:
            genomes = np.stack([result.genome for result in self._batch])
            rewards = np.array([result.reward for result in self._batch])
            self._batch.clear()
            self.learn(self._controller, genomes, self._advantages(rewards))

    def explore(self, genomes: np.ndarray, rewards: np.ndarray) -> None:
        """Learns from hardware alone, until the next trial has ended.

        Args:
            genomes: `[N, P]` designs that were priced.
            rewards: `[N]` what they are worth by their costs.
        """
        if self._explorer is None:
            self._explorer = copy.deepcopy(self._controller)
        self.learn(self._explorer, genomes, rewards - rewards.mean())

    def learn(
        self,
        controller: Controller,
        genomes: np.ndarray,
        advantages: np.ndarray,
    ) -> None:
        """Improves a controller by one batch.

        Args:
            controller: What learns.
            genomes: `[N, P]` designs.
            advantages: `[N]` by how much each was better than expected.
        """
        controller.ascend(
            controller.gradient(
                genomes,
                self.problem.space.decided(genomes),
                advantages,
                self.entropy_weight,
            )
        )

    @functools.cached_property
    def _controller(self) -> Controller:
        rng = np.random.default_rng([self.problem.seed, _WEIGHTS])
        counts = self.problem.space.choice_counts
        return Controller(rng, counts, self.units, self.learning_rate)

    def _advantages(self, rewards: np.ndarray) -> np.ndarray:
        """Rewards `[N]` less the moving average of those before."""
        baseline = self._baseline
        if baseline is None:
            baseline = float(rewards.mean())
        self._baseline = baseline
        for reward in rewards.tolist():
            self._baseline += (1 - self.baseline_decay) * (
                reward - self._baseline
            )
        return rewards - baseline


def inside(name: str, value: Any, most: float = np.inf) -> float:
    """A number argument from 0 to `most`, checked."""
    checked = configuration.number(value, f"`{name}`")
    if not 0 <= checked <= most:
        limit = f"from 0 to {most:g}" if np.isfinite(most) else "at least 0"
        raise ValueError(f"`{name}` must be {limit}. Received: {value}.")
    return checked
