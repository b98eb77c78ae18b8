"""Searches to compare algorithms by: real spaces and costs, made-up accuracy.

The cost model and the spaces are those of a search. Only the accuracy is
`synthetic`, so a trial takes milliseconds instead of a training; but for a
`TrainedLandscape`, where it is measured.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from tf_cosearch import accelerators, configuration, metrics
from tf_cosearch.accelerators import presets
from tf_cosearch.benchmark import synthetic
from tf_cosearch.benchmark.trainings import Trainings
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.objectives import WeightedProduct
from tf_cosearch.search.pareto import hypervolume
from tf_cosearch.search.pricing import Pricer
from tf_cosearch.search.space import SearchSpace


class Evaluation(NamedTuple):
    """What a trial of a landscape finds out.

    Attributes:
        accuracy: The synthetic accuracy, or the measured one.
        costs: What the cost model says, by name.
        reward: What a search maximises. Above a budget it shrinks with the
            excess; 0 for a design that cannot be mapped.
        excess: How far each budget is exceeded, relative to it; negative
            within. Infinite for a design that cannot be mapped.
    """

    accuracy: float
    costs: dict[str, float]
    reward: float
    excess: dict[str, float]

    @property
    def is_feasible(self) -> bool:
        """Whether the design meets every budget."""
        return all(value <= 0 for value in self.excess.values())


@dataclasses.dataclass(frozen=True)
class Landscape:
    """One search to run algorithms on.

    Attributes:
        space_name: A space of `configs/spaces`.
        budgets: What a design may cost; at the same time the targets of the
            reward and the reference of the hypervolume.
        objectives: The costs that count for the hypervolume, beside the
            accuracy. Each has a budget.
        floor: The accuracy that counts nothing for the hypervolume.
        array: Rows and columns of PEs of the accelerator that a search of
            networks alone is held to, else the preset `edge_tpu`; as many as
            the budgets allow.
        form: `hard` or `soft`: the reward within the budgets.
        seed: Of the noise.
    """

    space_name: str
    budgets: Budgets
    objectives: tuple[str, ...]
    floor: float
    array: tuple[int, int] = (4, 4)
    form: str = "hard"
    seed: int = 0

    @functools.cached_property
    def space(self) -> SearchSpace:
        """What is searched."""
        return SearchSpace.load(self.space_name)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Changes when anything about the landscape does."""
        text = f"{self} {self.space.fingerprint} {synthetic.fit()}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @functools.cached_property
    def accelerator(self) -> dict[str, Any]:
        """The accelerator to hold, as values of the space."""
        chip = accelerators.to_paths(presets.load_accelerator("edge_tpu"))
        chip["pe_array/rows"], chip["pe_array/columns"] = self.array
        searched = self.space.parameters[self.space.num_network_parameters :]
        return {parameter.name: chip[parameter.name] for parameter in searched}

    @functools.cached_property
    def reward(self) -> WeightedProduct:
        """What is maximised: hard above the budgets, whatever within."""
        return WeightedProduct(self.budgets, form=self.form, q=-1.0)

    @functools.cached_property
    def _pricer(self) -> Pricer:
        return Pricer(self.space, 1)

    def synthetic_accuracy(self, genome: np.ndarray) -> float:
        """The made-up accuracy of a design: of its network alone.

        Args:
            genome: `[P]` choice indices.

        Returns:
            A number from 0 to 1, the same for the same network.
        """
        template = self.space.network_space
        genes = template.canonical(
            tuple(genome[: len(template.parameters)].tolist())
        )
        rows = template.rows(genes)
        accuracy = synthetic.fit().accuracy(
            *synthetic.capacity(rows), self._structure(genes)
        )
        key = np.asarray(genes, np.int16).tobytes()
        return min(max(accuracy + synthetic.noise(key, self.seed), 0.0), 1.0)

    def _structure(self, genes: tuple[int, ...]) -> float:
        """What the choices of a network are worth, beside its capacity."""
        return synthetic.structure(
            self.space.network_space.decode(genes).blocks
        )

    def accuracy(self, genome: np.ndarray) -> float:
        """What a trial of a `[P]` genome would report."""
        return self.synthetic_accuracy(genome)

    def excess(self, values: Mapping[str, Any]) -> dict[str, float]:
        """Asks the cost model, which takes no trial.

        Args:
            values: The value of every parameter of the space.

        Returns:
            How far each budget is exceeded, as in an `Evaluation`.
        """
        costs = self._pricer.of(self.space.genome(values))
        is_mapped = np.isfinite(Budgets().violation(costs))
        return {
            name: float(metrics.get(name).share(costs[name], limit)) - 1
            if is_mapped
            else np.inf
            for name, limit in self.budgets.limits().items()
        }

    def evaluate(self, values: Mapping[str, Any]) -> Evaluation:
        """Runs one trial.

        Args:
            values: The value of every parameter of the space.

        Returns:
            The `Evaluation`.
        """
        genome = self.space.genome(values)
        accuracy = self.accuracy(genome)
        costs, excess = self._pricer.of(genome), self.excess(values)
        is_mapped = np.isfinite(max(excess.values()))
        reward = float(self.reward(accuracy, costs)) if is_mapped else 0.0
        return Evaluation(accuracy, costs, reward, excess)

    def point(self, evaluation: Evaluation) -> list[float]:
        """A feasible design as shares of the box of the hypervolume.

        Args:
            evaluation: Of the design.

        Returns:
            Numbers to minimise, from 0 (perfect) to 1 (the reference): the
            error of the accuracy, then each cost.
        """
        error = (1 - evaluation.accuracy) / (1 - self.floor)
        limits = self.budgets.limits()
        costs = [
            float(metrics.get(name).share(evaluation.costs[name], limits[name]))
            for name in self.objectives
        ]
        return [error, *costs]

    def hypervolume(self, points: Any) -> float:
        """The share of the box that designs dominate.

        Args:
            points: `[N, 1 + objectives]`, as `point` gives them.

        Returns:
            A number from 0 to 1.
        """
        return hypervolume(points, np.ones(1 + len(self.objectives)))


@dataclasses.dataclass(frozen=True)
class RandomLandscape(Landscape):
    """One whose accuracies follow no rule that anybody has thought of.

    Beside the capacity of a network counts what a random neural network makes
    of its choices, see `synthetic.RandomFunction`: interactions of all choices
    with all others, for which no algorithm here has a feature.

    Attributes:
        strength: Standard deviation of that over random networks; of the
            `structure` of the others it is 0.2 at most.
    """

    strength: float = 0.4

    @functools.cached_property
    def _function(self) -> synthetic.RandomFunction:
        counts = [len(p.choices) for p in self.space.network_space.parameters]
        genomes = self.space.sample(np.random.default_rng(0), 256)
        return synthetic.RandomFunction(
            counts, genomes[:, : len(counts)], self.seed
        )

    def _structure(self, genes: tuple[int, ...]) -> float:
        return self.strength * self._function(genes)


_ON_DIGITS = Trainings("digits", epochs=6)


@dataclasses.dataclass(frozen=True)
class TrainedLandscape(Landscape):
    """One whose networks are trained, as those of a search are.

    Attributes:
        trainings: On what, and how.
        content: Of the YAML of a space, instead of that of `space_name`.
    """

    trainings: Trainings = _ON_DIGITS
    content: Mapping[str, Any] | None = None

    @functools.cached_property
    def space(self) -> SearchSpace:
        """All accelerators, and the networks for the data."""
        content = self.content
        if content is None:
            content = configuration.load("spaces", self.space_name)
        return SearchSpace(self.trainings.template(content, self.space_name))

    def accuracy(self, genome: np.ndarray) -> float:
        """Of the int8 file on validation data."""
        return self.trainings.accuracy(self.space.decode(genome).network)


LANDSCAPES: dict[str, Landscape] = {
    "tight_latency": Landscape(
        "evolved",
        Budgets(latency_ms=0.5, area_mm2=100),
        ("latency_ms",),
        0.65,
    ),
    "loose_latency": Landscape(
        "evolved",
        Budgets(latency_ms=3, area_mm2=120),
        ("latency_ms",),
        0.65,
    ),
    "energy": Landscape(
        "mobilenet_v2",
        Budgets(energy_mj=0.3, latency_ms=1),
        ("energy_mj",),
        0.65,
    ),
    "area_bound": Landscape(
        "efficientnet_b0",
        Budgets(area_mm2=25, latency_ms=3),
        ("area_mm2",),
        0.65,
        array=(2, 2),
    ),
    "three_objectives": Landscape(
        "evolved",
        Budgets(latency_ms=1, energy_mj=1.5, area_mm2=100),
        ("latency_ms", "energy_mj"),
        0.65,
        form="soft",
    ),
    "mostly_infeasible": Landscape(
        "evolved",
        Budgets(latency_ms=0.7, energy_mj=0.8, area_mm2=50),
        ("energy_mj",),
        0.65,
        array=(2, 4),
    ),
    "random_function": RandomLandscape(
        "evolved",
        Budgets(latency_ms=0.5, area_mm2=100),
        ("latency_ms",),
        0.65,
    ),
}
"""Synthetic landscapes by name; in `mostly_infeasible`, 90 % of designs are,
and `random_function` is `tight_latency` with another accuracy."""

TRAINED: dict[str, Landscape] = {
    "digits": TrainedLandscape(
        "digits",
        Budgets(latency_ms=0.0007, area_mm2=10),
        ("latency_ms", "area_mm2"),
        0.8,
        form="soft",
    )
}
"""Landscapes that take a training a trial; `make search` is on `digits`."""

TABLED: dict[str, Landscape] = {}
"""Landscapes of a table, which `table_landscapes.take` has read."""

KNOWN = collections.ChainMap(LANDSCAPES, TRAINED, TABLED)
"""All of them."""


def get(name: str) -> Landscape:
    """Finds a landscape by its name.

    Args:
        name: One of `KNOWN`.

    Returns:
        The landscape, the same one every time.

    Raises:
        ValueError: If there is none of that name.

    Example:
    >>> get("tight_latency").budgets
    Budgets(latency_ms=0.5, area_mm2=100.0)
    """
    if name not in KNOWN:
        raise configuration.unknown("landscape", name, KNOWN)
    return KNOWN[name]
