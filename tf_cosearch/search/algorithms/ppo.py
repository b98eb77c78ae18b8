"""Proximal policy optimization: the controller of NAHAS."""

from __future__ import annotations

from typing import Any

import numpy as np

from tf_cosearch import configuration
from tf_cosearch.search.algorithms.controller import Controller
from tf_cosearch.search.algorithms.reinforce import Reinforce, inside


class PPO(Reinforce):
    """Learns several times from each batch of trials, but never too much.

    As `reinforce`, but a batch is used for several steps up the clipped
    surrogate, with advantages `A` of mean 0 and deviation 1,

        L = E[min(r A, clip(r, 1 - epsilon, 1 + epsilon) A)]

    where `r` is the design's probability relative to that before the batch:
    a design that has become likelier, or less likely, by more than `epsilon`
    no longer moves the policy further.

    Args:
        clip: The `epsilon` of the surrogate.
        epochs: Steps per batch.
        learning_rate: Of Adam, for each of these steps.
        **kwargs: Further arguments of `Reinforce` but `baseline_decay`:
            advantages of mean 0 have no baseline.

    Raises:
        ValueError: If an argument is out of its range.

    Reference: Schulman et al., Proximal Policy Optimization Algorithms, arXiv
    1707.06347, equation 7 with epsilon 0.2 (section 6.1) and, for the bonus,
    equation 9 without its value function; Zhou et al., arXiv 2102.08619.
    """

    def __init__(
        self,
        *,
        clip: float = 0.2,
        epochs: int = 4,
        learning_rate: float = 0.01,
        **kwargs: Any,
    ) -> None:
        if "baseline_decay" in kwargs:
            raise ValueError(
                "Options of ppo must make a difference. Received: "
                "`baseline_decay`, where advantages have the mean 0 anyway. "
                "Leave it out."
            )
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.clip = inside("clip", clip, 1.0)
        self.epochs = configuration.at_least("epochs", epochs, 1)

    def learn(
        self,
        controller: Controller,
        genomes: np.ndarray,
        advantages: np.ndarray,
    ) -> None:
        """Improves a controller by several steps on one batch."""
        genes = self.problem.space.decided(genomes)
        advantages = advantages - advantages.mean()
        advantages = advantages / (advantages.std() + 1e-8)
        before = controller.log_probability(genomes, genes)
        for _ in range(self.epochs):
            ratio = np.exp(controller.log_probability(genomes, genes) - before)
            controller.ascend(
                controller.gradient(
                    genomes,
                    genes,
                    surrogate_slope(ratio, advantages, self.clip),
                    self.entropy_weight,
                )
            )


def surrogate_slope(
    ratio: np.ndarray, advantages: np.ndarray, clip: float
) -> np.ndarray:
    """How the clipped surrogate changes with the logarithm of the ratio.

    Args:
        ratio: `[N]` probabilities relative to those before.
        advantages: `[N]`.
        clip: The `epsilon` of equation 7.

    Returns:
        `[N]`: ratio times advantage, as long as the ratio has not left
        `1 - epsilon` to `1 + epsilon` on the advantage's side; then 0.

    Example: what is good and likely enough does not become likelier.

    >>> surrogate_slope(np.array([1.0, 1.3, 1.3]), np.array([1, 1, -1]), 0.2)
    array([ 1. ,  0. , -1.3])
    """
    beyond = np.where(advantages > 0, ratio > 1 + clip, ratio < 1 - clip)
    return np.where(beyond, 0.0, ratio * advantages)
