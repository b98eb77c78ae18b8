"""Which networks share a training step: one at random, or a sandwich.

Those that a controller chooses are in `one_shot`.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tf_cosearch.networks.network import Network
from tf_cosearch.networks.spaces.network_space import Genes
from tf_cosearch.networks.spaces.template import Template

CLIMBS = 3
"""Starts of the search for the largest and the smallest network."""

BETWEEN = 2
"""Random networks in a sandwich."""


class Paths(abc.ABC):
    """Draws the networks that share a step.

    Args:
        networks: The space.
        choices: The choices that are left of each parameter; all by default.

    Attributes:
        distils: Whether the first teaches the others.
    """

    distils = False

    def __init__(
        self, networks: Template, choices: Sequence[Sequence[int]] | None = None
    ) -> None:
        self._networks = networks
        self.choices = choices or [
            range(len(parameter.choices)) for parameter in networks.parameters
        ]

    @abc.abstractmethod
    def draw(self, rng: np.random.Generator) -> list[Network]:
        """The networks of a step."""

    def learn(self) -> None:
        """Told that the step of those is done."""
        return

    def state(self) -> dict[str, Any]:
        """What has been learnt, to go on from, as plain values and arrays."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state`."""
        del state

    def result(self) -> dict[str, Any]:
        """What is kept of it once the training has ended."""
        return {}

    def random(self, rng: np.random.Generator) -> Network:
        """A network, each choice as likely as the others."""
        return self.network(self._genes(rng))

    def _genes(self, rng: np.random.Generator) -> Genes:
        return tuple(
            left[int(rng.integers(len(left)))] for left in self.choices
        )

    def network(self, genes: Genes) -> Network:
        """The network of some genes."""
        return self._networks.decode(self._networks.canonical(genes))


class Uniform(Paths):
    """One network a step, each choice as likely as the others.

    Reference: Guo et al., Single Path One-Shot, arXiv 1904.00420, which
    HSCoNAS trains by.
    """

    def draw(self, rng: np.random.Generator) -> list[Network]:
        """The network of a step."""
        return [self.random(rng)]


class Sandwich(Paths):
    """The largest network, the smallest, and two at random.

    The largest learns from the labels, the others from its answers. So what
    the smallest and the largest hold is trained in every step.

    Reference: Yu and Huang, Universally Slimmable Networks, ICCV 2019; Yu et
    al., BigNAS, arXiv 2003.11142.
    """

    distils = True

    def __init__(
        self, networks: Template, choices: Sequence[Sequence[int]] | None = None
    ) -> None:
        super().__init__(networks, choices)
        self._ends = [self._extreme(sign) for sign in (1, -1)]

    def draw(self, rng: np.random.Generator) -> list[Network]:
        """The networks of a step, the largest first."""
        return [*self._ends, *(self.random(rng) for _ in range(BETWEEN))]

    def _extreme(self, sign: int) -> Network:
        """Climbs, gene by gene, to the most or the fewest operations."""
        rng = np.random.default_rng(0)
        ends = []
        for _ in range(CLIMBS):
            genes = [*self._genes(rng)]
            best = self.network(tuple(genes))
            for place in 2 * [*range(len(genes))]:
                for gene in self.choices[place]:
                    before, after = genes[:place], genes[place + 1 :]
                    other = self.network((*before, gene, *after))
                    if sign * other.macs > sign * best.macs:
                        best, genes[place] = other, gene
            ends.append(best)
        return max(ends, key=lambda network: sign * network.macs)


PATHS: dict[str, Callable[..., Paths]] = {
    "uniform": Uniform,
    "sandwich": Sandwich,
}

CONTROLLERS = ("reinforce", "ppo")
"""Algorithms of a search that may draw paths, see `OneShot`."""
