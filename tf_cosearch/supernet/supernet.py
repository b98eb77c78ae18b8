"""A supernet: the weights that all networks of a space share."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import numpy as np

from tf_cosearch import configuration
from tf_cosearch.networks.spaces.network_space import NetworkSpace
from tf_cosearch.supernet import paths as paths_lib
from tf_cosearch.supernet import training
from tf_cosearch.supernet.optimizer import Adam
from tf_cosearch.supernet.reading import Sharing
from tf_cosearch.supernet.weights import SharedWeights
from tf_cosearch.training import checkpoint
from tf_cosearch.training.inputs import Inputs

FILE = "supernet.json"
_PHASE = "supernet"

OnEpoch = Callable[[int, float], None]
"""Told how many epochs there have been, and the loss of the last."""


@dataclasses.dataclass(frozen=True)
class SupernetOptions:
    """How weights are shared and trained.

    Attributes:
        epochs: Of the training.
        learning_rate: Where Adam starts; it falls to 0 along a cosine.
        paths: Which networks share a step, of `paths.PATHS`.
        apart: Settings of a block that nothing is shared over, see `Sharing`.
        norms_apart: Whether each width has normalisations of its own.
    """

    epochs: int = 60
    learning_rate: float = 2e-3
    paths: str = "uniform"
    apart: tuple[str, ...] = ("block",)
    norms_apart: bool = False

    @property
    def sharing(self) -> Sharing:
        """What networks share."""
        return Sharing(self.apart, self.norms_apart)


class Supernet:
    """Weights that all networks of a space share, and their training.

    Args:
        networks: The space, a `Template`.
        options: How they are shared and trained.
        seed: Of initial values and of everything drawn.

    Attributes:
        weights: The shared weights.
        epochs: How many there have been.
        losses: The mean loss of each.
    """

    def __init__(
        self,
        networks: NetworkSpace,
        options: SupernetOptions | None = None,
        seed: int = 0,
    ) -> None:
        self.networks = networks
        self.options = options or SupernetOptions()
        self.seed = configuration.at_least("seed", seed, 0)
        self.weights = SharedWeights(networks, self.options.sharing, seed)
        self._optimizer = Adam(self.weights)
        self.losses: list[float] = []
        self.seconds = 0.0

    @property
    def epochs(self) -> int:
        """How many epochs there have been."""
        return len(self.losses)

    def train(
        self,
        data: Inputs,
        checkpoints: checkpoint.Checkpoints | None = None,
        on_epoch: OnEpoch = lambda epochs, loss: None,
    ) -> None:
        """Trains, from where the training was.

        Args:
            data: What `inputs.prepare` returned.
            checkpoints: Where it is saved.
            on_epoch: Called after each epoch.

        Raises:
            FloatingPointError: If the loss becomes NaN or infinite.
        """
        options = self.options
        paths = paths_lib.get(options.paths)(self.networks)
        steps = options.epochs * data.steps
        batches = iter(data.train(self.seed, self.epochs))
        for epoch in range(self.epochs, options.epochs):
            losses = []
            start = time.monotonic()
            for step in range(epoch * data.steps, (epoch + 1) * data.steps):
                rng = np.random.default_rng([self.seed, step])
                losses.append(
                    training.train_step(
                        self.weights,
                        self._optimizer,
                        paths,
                        paths.draw(rng),
                        next(batches)[:2],
                        training.cosine(options.learning_rate, step, steps),
                        step,
                    )
                )
            self.losses.append(float(np.mean(losses)))
            self.seconds += time.monotonic() - start
            if not np.isfinite(self.losses[-1]):
                raise FloatingPointError(
                    "The loss of shared weights must be finite. Received: "
                    f"{self.losses[-1]} in epoch {self.epochs}. Lower the "
                    "learning rate."
                )
            on_epoch(self.epochs, self.losses[-1])
