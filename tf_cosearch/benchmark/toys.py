"""A toy search space, and trials that take no time."""

from __future__ import annotations

import itertools
import math
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras_tuner
import numpy as np
from keras_tuner.engine.base_tuner import BaseTuner

from tf_cosearch.search import objectives
from tf_cosearch.search.oracle.oracle import CoSearchOracle
from tf_cosearch.search.space import MOST_ACCELERATORS


class ToyParameter(NamedTuple):
    """A parameter of a `ToySpace`."""

    name: str
    choices: tuple[int, ...]


class ToyCost(NamedTuple):
    """What `toy_estimate` returns, `[N]` each."""

    latency_ms: np.ndarray
    energy_mj: np.ndarray
    area_mm2: np.ndarray
    utilization: np.ndarray


class ToySpace:
    """A search space without networks, for tests of oracles.

    Args:
        counts: Choices of each parameter. With `has_inactive`, the last one
            makes no difference while the first is 0.
        has_inactive: Whether there is such a parameter.

    Attributes:
        parameters: The `P` parameters.
        choice_counts: `[P]` choices of each.
        num_network_parameters: How many of them stand for the network: the
            first half.
        fixed: What all designs have; nothing.
        task: Of what accuracy is; of none.
        size: Number of different designs.
        new_networks: Networks that a proposal may read anew: any number.
    """

    new_networks: int | None = None

    def __init__(
        self, counts: Sequence[int], has_inactive: bool = False
    ) -> None:
        self.parameters = tuple(
            ToyParameter(f"gene{i}/units", tuple(range(10, 10 + count)))
            for i, count in enumerate(counts)
        )
        self.choice_counts = np.asarray(counts, np.int64)
        self.num_network_parameters = len(counts) // 2
        self.family = "edge_tpu"
        self.fixed: dict[str, float] = {}
        self.task = None
        self.size = math.prod(counts)
        self._has_inactive = has_inactive
        if has_inactive:
            off = self.size // counts[0]
            self.size += off // counts[-1] - off

    @property
    def fingerprint(self) -> str:
        """Tells spaces apart."""
        return f"{self.choice_counts.tolist()} {self._has_inactive}"

    def canonical(self, genomes: np.ndarray) -> np.ndarray:
        """Sets the inactive gene of `[N, P]` genomes to 0."""
        genomes = np.array(genomes, np.int64, ndmin=2)
        if self._has_inactive:
            genomes[genomes[:, 0] == 0, -1] = 0
        return genomes

    def decided(self, genomes: np.ndarray) -> np.ndarray:
        """Which genes of `[N, P]` genomes make a difference."""
        decided = np.empty(genomes.shape, bool)
        decided[:] = self.choice_counts > 1
        if self._has_inactive:
            decided[genomes[:, 0] == 0, -1] = False
        return decided

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Draws `[count, P]` genomes."""
        shape = (count, len(self.parameters))
        return self.canonical(rng.integers(0, self.choice_counts, shape))

    def all_accelerators(self) -> np.ndarray:
        """The genes of every accelerator, if they are not too many."""
        counts = self.choice_counts[self.num_network_parameters :].tolist()
        if math.prod(counts) > MOST_ACCELERATORS:
            raise ValueError("There are too many accelerators.")
        return np.asarray(list(itertools.product(*map(range, counts))))

    def batch(self, genomes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The genomes as shares of their largest value, and the weights."""
        largest = np.maximum(self.choice_counts - 1, 1)
        return genomes / largest, np.arange(1, 1 + largest.size)

    def values(self, genome: np.ndarray) -> dict[str, int]:
        """The chosen value of every parameter."""
        pairs = zip(self.parameters, genome, strict=True)
        return {p.name: p.choices[gene] for p, gene in pairs}

    def genome(self, values: Any) -> np.ndarray:
        """The inverse of `values`."""
        genes = [p.choices.index(values[p.name]) for p in self.parameters]
        return self.canonical(np.asarray(genes))[0]

    def hyperparameters(self) -> keras_tuner.HyperParameters:
        """One `Choice` for each parameter."""
        space = keras_tuner.HyperParameters()
        for parameter in self.parameters:
            space.Choice(parameter.name, list(parameter.choices))
        return space


def toy_estimate(shares: np.ndarray, weights: np.ndarray) -> ToyCost:
    """Larger genes are faster, and take more area; equal ones use it best."""
    size = shares @ weights / weights.sum()
    return ToyCost(
        latency_ms=2 - size,
        energy_mj=1 + shares.mean(axis=1),
        area_mm2=1 + 9 * size**2,
        utilization=1 - 2 * shares.std(axis=1),
    )


def run_trials(
    oracle: CoSearchOracle,
    count: int,
    accuracy: Callable[[int, np.ndarray], float] | None = None,
) -> list[list[int]]:
    """Runs trials of an oracle as a KerasTuner tuner would.

    Args:
        oracle: In a project folder, see `place`.
        count: Most trials to run.
        accuracy: Gives the accuracy of a trial's number and `[P]` genome, or
            raises to let it fail. Larger genes are better by default.

    Returns:
        The genomes proposed; fewer than `count` if the oracle stopped.
    """
    proposed: list[list[int]] = []
    while len(proposed) < count:
        trial = oracle.create_trial("tuner0")
        if trial.status != "RUNNING":
            break
        genome = oracle.trial_genome(trial)
        proposed.append(genome.tolist())
        try:
            value = (
                accuracy(int(trial.trial_id), genome)
                if accuracy
                else float(genome.sum() / oracle.space.choice_counts.sum())
            )
            names = objectives.names(oracle.objective)
            oracle.update_trial(trial.trial_id, dict.fromkeys(names, value))
            trial.status = "COMPLETED"
        except ArithmeticError as error:
            trial.status = "INVALID"
            trial.message = f"{type(error).__name__}: {error}"
        oracle.end_trial(trial)
    return proposed


def place(oracle: CoSearchOracle, folder: pathlib.Path) -> CoSearchOracle:
    """Gives an oracle its project folder and returns it."""
    BaseTuner(oracle=oracle, directory=str(folder), project_name="project")
    oracle.verbose = 0
    return oracle
