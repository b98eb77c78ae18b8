"""Progressive shrinking: between trainings a space loses its poor choices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tf_cosearch.networks.network import Network
from tf_cosearch.networks.spaces.network_space import NetworkSpace
from tf_cosearch.search.algorithms import shrinking
from tf_cosearch.search.space import SearchSpace
from tf_cosearch.supernet.evaluation import Evaluator
from tf_cosearch.supernet.options import SupernetOptions

COMPLETIONS = 20
"""Networks by which a choice is judged. On `digits` each takes half as long as
a step of 64 images, and a stage of 17 choices as long as 9 epochs. With the 100
of the paper it would be 45."""

TUNING_SHARE = 0.15
"""Of the epochs, how many weights are tuned for after each stage."""

TUNING_RATE = 0.1
"""Of the learning rate, where that tuning starts."""

_DRAWS = 2**32 - 3  # a step nobody reaches


class Phase(NamedTuple):
    """Epochs between two stages of shrinking.

    Attributes:
        start: The first.
        end: The one after the last.
        learning_rate: Where it starts; it falls to 0 within the phase.
    """

    start: int
    end: int
    learning_rate: float


def phases(options: SupernetOptions) -> list[Phase]:
    """The training of all choices, and a tuning after each stage.

    Example:
    >>> phases(SupernetOptions(epochs=40, learning_rate=1, shrink_stages=1))
    [Phase(start=0, end=40, learning_rate=1.0), \
Phase(start=40, end=46, learning_rate=0.1)]
    """
    found = [Phase(0, options.epochs, options.learning_rate)]
    tuning = max(1, round(TUNING_SHARE * options.epochs))
    rate = TUNING_RATE * options.learning_rate
    for _ in range(options.shrink_stages):
        end = found[-1].end
        found.append(Phase(end, end + tuning, rate))
    return found


class ProgressiveShrinking:
    """What is left of a space, and how it came to that.

    A stage takes the last fifth of the layers that have not shrunk yet, and
    goes through their choices, the last position first. Each choice is judged
    by random networks that have it, and that are alike otherwise; the better
    half of the choices stays.

    In the paper, networks count by accuracy and by how near their latency is
    to that of one target. Shared weights serve all budgets and accelerators.
    So here they count by how much more accurate they are than what as many
    operations lead to, see `beyond_size`: neither the large nor the small
    choices leave as such. Another difference: the paper chooses one operator
    of each layer there, and keeps all of its widths.

    Args:
        networks: The space.
        options: How often it shrinks, and how much of it stays.
        seed: What random networks are drawn by.

    Raises:
        ValueError: If it has too few layers for so many stages.

    Reference: Luo et al., HSCoNAS, DATE 2021, arXiv 2103.08325.
    """

    def __init__(
        self, networks: NetworkSpace, options: SupernetOptions, seed: int
    ) -> None:
        self._networks, self._options, self._seed = networks, options, seed
        self._space = SearchSpace(networks)
        self._shrunk = shrinking.ShrunkSpace(self._space)
        stages = options.shrink_stages
        if stages and not shrinking.stage_positions(self._space, stages - 1):
            raise ValueError(
                "Each stage of shrinking must have layers left to shrink. "
                f"Received: {stages} for `shrink_stages`, and "
                f"{len(shrinking.layers(self._space))} layers with choices in "
                f"{networks.name}. Use fewer stages."
            )

    @property
    def choices(self) -> list[list[int]]:
        """The genes that are left of each parameter of the networks."""
        split = self._space.num_network_parameters
        return [left.tolist() for left in self._shrunk.choices[:split]]

    @property
    def remarks(self) -> list[str]:
        """A line on each stage."""
        return [*self._shrunk.remarks]

    def is_due(self, epoch: int) -> bool:
        """Whether there is to be a stage before an epoch."""
        starts = [phase.start for phase in phases(self._options)[1:]]
        return epoch in starts[len(self.remarks) :]

    def shrink(self, evaluator: Evaluator) -> None:
        """Shrinks the space by one stage.

        Args:
            evaluator: Of the weights, trained on what is left.
        """
        stage = len(self.remarks)
        known: dict[tuple[int, ...], tuple[float, int]] = {}

        def quality(genomes: np.ndarray) -> np.ndarray:
            split = self._space.num_network_parameters
            rows = [tuple(row) for row in genomes[:, :split].tolist()]
            for genes in rows:
                if genes not in known:
                    network: Network = self._networks.decode(genes)
                    accuracy = evaluator.rough_accuracy(network)
                    known[genes] = accuracy, network.macs
            accuracies, macs = np.transpose([known[genes] for genes in rows])
            return beyond_size(accuracies, macs)

        self._shrunk.shrink(
            np.random.default_rng([self._seed, _DRAWS, stage]),
            shrinking.stage_positions(self._space, stage),
            self._options.shrink_keep,
            quality,
            COMPLETIONS,
        )

    def state(self) -> dict[str, Any]:
        """What it has come to, as plain values."""
        return {"choices": self.choices, "remarks": self.remarks}

    def restore(
        self, choices: Sequence[Sequence[int]], remarks: Sequence[str]
    ) -> None:
        """The inverse of `state`."""
        self._shrunk = shrinking.ShrunkSpace(self._space, choices)
        self._shrunk.remarks = [*remarks]


def beyond_size(accuracies: np.ndarray, macs: np.ndarray) -> np.ndarray:
    """Accuracies less what networks of as many operations have in the mean.

    Args:
        accuracies: `[N]`.
        macs: `[N]`.

    Returns:
        `[N]`, the distances to a parabola over the logarithms of the
        operations, which is as near to the accuracies as it can be.

    Example: the last two have as many operations; one is better by 0.2.

    >>> beyond_size(np.array([0.2, 0.5, 0.5, 0.7]), np.array([1, 2, 4, 4]))
    array([ 0. ,  0. , -0.1,  0.1])
    """
    size = np.log(np.maximum(macs, 1))
    size = (size - size.mean()) / max(size.std(), 1e-12)
    powers = np.stack([np.ones_like(size), size, size**2], axis=1)
    solution = np.linalg.lstsq(powers, accuracies, rcond=None)[0]
    # Rounding errors must not tell choices apart that are the same.
    distances: np.ndarray = np.round(accuracies - powers @ solution, 12) + 0.0
    return distances
