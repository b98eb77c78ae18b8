"""What a search asks of the networks' side of its space."""

from __future__ import annotations

import abc
from typing import Any, NamedTuple

import keras_tuner
import numpy as np

from tf_cosearch.tasks import Task

Genes = tuple[int, ...]
"""Indices of the choices, one for each parameter."""


class Parameter(NamedTuple):
    """A choice of the search.

    Attributes:
        name: Its path, for example `stage2/kernel_size`.
        choices: The values to choose from.
    """

    name: str
    choices: tuple[Any, ...]


class NetworkSpace(abc.ABC):
    """Networks that a search may choose from, each told by its genes.

    A `Template` is one that YAML describes, a `HyperModelSpace` one of what a
    user's `build(hp)` makes. A search need not know which.

    Attributes:
        name: What to call it.
        parameters: The choices, a tuple of `Parameter`.
        input_shape: Of what goes into each network, without the batch.
        classes: Numbers that each puts out.
        task: What they are for; None of models that say it themselves.
        new_networks: How many a proposal may read that no proposal before has
            read. `None` is any number, where reading one costs next to
            nothing; else readings
            are kept, see `search.reach`.
    """

    name: str
    parameters: tuple[Parameter, ...]
    input_shape: tuple[int, ...]
    classes: int
    task: Task | None = None
    new_networks: int | None = None

    def is_network(self, genes: Genes) -> bool:
        """Whether genes stand for a network; may have to build it."""
        return True

    @abc.abstractmethod
    def count(self) -> int:
        """Number of different networks, as far as that is known."""

    @abc.abstractmethod
    def canonical(self, genes: Genes) -> Genes:
        """The first genes that are known to stand for the same network."""

    @abc.abstractmethod
    def decided(self, genes: Genes) -> tuple[bool, ...]:
        """Which of some canonical genes make a difference."""

    @abc.abstractmethod
    def decode(self, genes: Genes) -> Any:
        """The network, which has `layers()`, `build` and `get_config()`."""

    @abc.abstractmethod
    def encode(self, network: Any) -> Genes:
        """The inverse of `decode`.

        Raises:
            ValueError: If the space does not hold the network.
        """

    @abc.abstractmethod
    def rows(self, genes: Genes) -> np.ndarray:
        """The layers of a network, `[L, F]`, see `workload.to_array`."""

    @abc.abstractmethod
    def padded_layers(self, layers: int) -> int:
        """Rows to pad networks of at most so many layers to.

        There should be few different numbers: for each, the cost model is
        compiled once.
        """

    @abc.abstractmethod
    def describe(self) -> Any:
        """All that tells one space from another beside the choices."""

    def built(self) -> list[Genes]:
        """Canonical genes of the networks that are known from the start."""
        return []

    def export_reading(self, genes: Genes) -> dict[str, Any]:
        """What was read of a network, as plain JSON, to be kept with a run."""
        raise NotImplementedError

    def import_reading(self, genes: Genes, exported: dict[str, Any]) -> None:
        """The inverse of `export_reading`.

        Raises:
            ValueError, TypeError, KeyError: If it is no reading.
        """
        raise NotImplementedError

    def hyperparameters(self) -> keras_tuner.HyperParameters:
        """The choices for KerasTuner: one `Choice` a parameter."""
        space = keras_tuner.HyperParameters()
        for parameter in self.parameters:
            declare(space, parameter)
        return space


def declare(space: keras_tuner.HyperParameters, parameter: Parameter) -> None:
    """Adds a parameter to KerasTuner's as a `Choice`."""
    choices = list(parameter.choices)
    # KerasTuner wants all of one type: 0.5 and 1 are both floats.
    if len({type(choice) for choice in choices}) > 1:
        choices = [float(choice) for choice in choices]
    is_ordered = not isinstance(choices[0], str)
    space.Choice(parameter.name, choices, ordered=is_ordered)
