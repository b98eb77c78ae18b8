"""Hyperparameters of a training, beside the networks of another space."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import numpy as np

from tf_cosearch.networks.spaces.hypermodel_space import HyperModelSpace
from tf_cosearch.networks.spaces.network_space import Genes, NetworkSpace


class TrainingSpace(HyperModelSpace):
    """Networks of a space that a user's hypermodel trains in its own ways.

    Genes of the network come first, then those of its training, such as a
    learning rate. Costs do not depend on these, so that nothing is built to be
    priced.

    Args:
        networks: What the hypermodel builds, for example of a `Template`.
        hypermodel: Builds and trains it, and may have more hyperparameters.
        foreign: As for `HyperModelSpace`.

    Attributes:
        keeps_networks: Whether all that was built to look for hyperparameters
            has the layers that `networks` says. If not, a `HyperModelSpace`
            is what is needed.
    """

    new_networks = None

    def __init__(
        self,
        networks: NetworkSpace,
        hypermodel: Any,
        foreign: Collection[str] = (),
    ) -> None:
        self._networks = networks
        self._split = len(networks.parameters)
        known = networks.hyperparameters().space
        super().__init__(hypermodel, networks.name, known, foreign)
        self.keeps_networks = all(
            np.array_equal(reading.rows, self.rows(genes))
            for genes, reading in self._readings.items()
            if reading.rows is not None
        )

    def count(self) -> int:
        """Number of different networks and trainings, at most."""
        trainings = [len(p.choices) for p in self.parameters[self._split :]]
        return self._networks.count() * math.prod(trainings)

    def canonical(self, genes: Genes) -> Genes:
        """The first genes of the same network and the same training."""
        settled, _ = self._choices.settle(genes)
        network = self._networks.canonical(settled[: self._split])
        return network + settled[self._split :]

    def decided(self, genes: Genes) -> tuple[bool, ...]:
        """Which genes make a difference."""
        network = self._networks.decided(genes[: self._split])
        return network + self._choices.free(genes)[self._split :]

    def is_network(self, genes: Genes) -> bool:
        """Always, as the networks are described."""
        return True

    def rows(self, genes: Genes) -> np.ndarray:
        """The layers of a network, `[L, F]`, see `workload.to_array`."""
        return self._networks.rows(self.canonical(genes)[: self._split])

    def encode(self, network: Any) -> Genes:
        """The genes of a network, with the default training.

        Raises:
            ValueError: If the space does not hold the network.
        """
        genes = self._networks.encode(network)
        default = self._choices.genes(self._choices.defaults)
        return self.canonical((*genes, *default[self._split :]))

    def padded_layers(self, layers: int) -> int:
        """Those of the networks."""
        return self._networks.padded_layers(layers)

    def describe(self) -> list[Any]:
        """Its networks, and the hyperparameters of their training."""
        return [self._networks.describe(), *super().describe()]
