"""The joint search space: genomes, KerasTuner values and candidates."""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras_tuner
import numpy as np

from tf_cosearch import accelerators, configuration
from tf_cosearch.accelerators import (
    Accelerator,
    families,
    pipelines,
    presets,
)
from tf_cosearch.accelerators.pipelines import Chips
from tf_cosearch.identity import CLASS
from tf_cosearch.networks.spaces.network_space import NetworkSpace, declare
from tf_cosearch.networks.spaces.template import Template, choose_task
from tf_cosearch.networks.workload import LayerTable, pad
from tf_cosearch.search.hardware import CHIPS, as_chosen, read_choices
from tf_cosearch.tasks import Task

MOST_ACCELERATORS = 100_000
"""Accelerators up to which all of them can be priced."""


class Candidate(NamedTuple):
    """One joint design.

    Attributes:
        genome: `[P]` indices of its choices.
        network: What runs: a `Network`, or a `HyperModelNetwork`.
        accelerator: What it runs on, an `Accelerator` of numbers.
        chips: How many of them in a pipeline, or which, see `pipelines`.
    """

    genome: np.ndarray
    network: Any
    accelerator: Accelerator
    chips: Chips = 1


class SearchSpace:
    """All joint designs of a network and an accelerator.

    A design is a genome: `[P]` integers, each the index of a choice of one
    parameter, network first. Genes that make no difference (the kernel of a
    block that the chosen depth leaves out) are 0 in a canonical genome, so
    that one design has one genome.

    Args:
        networks: A `Template`, or a `HyperModelSpace`.
        accelerator: Choices or a fixed value for each parameter of the
            accelerator, by path; those left out have the choices of their
            component. As `chips` how many there are of it in a pipeline, or
            which others beside it, see `pipelines`.

    Attributes:
        network_space: The networks.
        parameters: The `P` choices, a tuple of `Parameter`.
        choice_counts: `[P]` number of choices of each.
        fixed: What is not searched of the accelerator, by path.

    Raises:
        ValueError: If a path is not known, a value not possible, or a name
            of both sides.

    Example:
    >>> space = SearchSpace.load("mobilenet_v2")
    >>> space.num_networks == 3 * (3 * 2) ** 16
    True
    """

    def __init__(
        self,
        networks: NetworkSpace,
        accelerator: Mapping[str, Any] | None = None,
    ) -> None:
        self.network_space = networks
        self.family, hardware, self.fixed = read_choices(
            accelerator or {}, f"space {networks.name}"
        )
        self.parameters = (*networks.parameters, *hardware)
        names = [parameter.name for parameter in self.parameters]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(
                f"Hyperparameters of {networks.name} must have other names "
                "than parameters of the accelerator. Received: "
                f"{', '.join(sorted(twice))}."
            )
        self.choice_counts = np.asarray(
            [len(p.choices) for p in self.parameters], np.int64
        )
        self._split = len(networks.parameters)

    @classmethod
    def load(
        cls,
        name_or_path: str | pathlib.Path,
        input_shape: Sequence[int] | None = None,
        classes: int | None = None,
        accelerator: str | pathlib.Path | Mapping[str, Any] | None = None,
        task: Any = None,
    ) -> SearchSpace:
        """Loads a space by its name in `configs/spaces` or from a YAML file.

        Args:
            name_or_path: For example `evolved` or `my_space.yaml`.
            input_shape: Height, width and channels instead of the file's.
            classes: Number of classes instead of the file's.
            accelerator: A preset (name or file) to fix the hardware to, or
                choices and fixed values by path, for example
                `{"pe_array/rows": [2, 4], "process/node_nm": 32}`. They
                replace what the file says under `accelerator`; all of it if
                they name another `family`.
            task: What networks are for instead of the file's: a name of
                `tasks.names()`, a mapping of `name` and options, or a `Task`.

        Returns:
            The `SearchSpace`.

        Raises:
            ValueError: If a name, a key or a value is not known or possible.
            FileNotFoundError: If the path does not exist.
        """
        content = configuration.load("spaces", name_or_path)
        where = str(name_or_path)
        settings = content.pop("accelerator", None) or {}
        family = presets.family_in(settings, f"{where}, accelerator")
        known = ["family", CHIPS, *accelerators.parameters(family)]
        configuration.check_keys(settings, f"{where}, accelerator", known)
        chosen = _accelerator_choices(accelerator)
        if isinstance(accelerator, Mapping):
            if chosen.get("family", family) == family:
                chosen = {**settings, **chosen}
        elif accelerator is None:
            chosen = settings
        template = Template(content, where, input_shape, classes, task)
        return cls(template, chosen)

    @classmethod
    def from_hypermodel(
        cls,
        hypermodel: Any,
        accelerator: str | pathlib.Path | Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> SearchSpace:
        """The networks of a user's own model, and accelerators.

        Args:
            hypermodel: A function that takes KerasTuner's hyperparameters and
                returns a model, or a `keras_tuner.HyperModel`. It is called
                here to see which there are, see `HyperModelSpace`.
            accelerator: As for `load`; by default what each component offers.
            name: What to call the space.

        Returns:
            The `SearchSpace`.

        Raises:
            TypeError: If `hypermodel` is neither.
            ValueError: If its model cannot be built or priced, or a name or a
                value of the accelerator is not known or possible.
        """
        from tf_cosearch.networks.spaces.hypermodel_space import (
            HyperModelSpace,
        )

        networks = HyperModelSpace(hypermodel, name)
        return cls(networks, _accelerator_choices(accelerator))

    def with_task(self, task: Any) -> SearchSpace:
        """This space with networks that are for another task.

        Args:
            task: As for `load`.

        Raises:
            ValueError: If there is no such task, its networks put out other
                numbers, or they are a user's own models.
        """
        networks = self.network_space
        if not isinstance(networks, Template):
            raise ValueError(
                "`task` must be given with a space of blocks. Received: "
                f"{task!r} for {networks.name}, whose models have an end, a "
                "loss and metrics of their own."
            )
        if choose_task(networks.task, task) == networks.task:
            return self
        other = copy.copy(self)
        other.network_space = networks.with_task(task)
        return other

    def with_hypermodel(self, hypermodel: Any) -> SearchSpace:
        """This space with what a hypermodel over it chooses besides.

        Args:
            hypermodel: A `CoSearchHyperModel` of this space, for example one
                whose `build` or `fit` has a learning rate of its own. If it
                changes the networks, each is built to be priced.

        Returns:
            A `SearchSpace` with all hyperparameters.

        Raises:
            ValueError: If the model of the default values cannot be built or
                priced.
        """
        from tf_cosearch.networks.spaces.hypermodel_space import (
            HyperModelSpace,
        )
        from tf_cosearch.networks.spaces.training_space import TrainingSpace

        base = self.network_space
        hardware = {
            parameter.name: list(parameter.choices)
            for parameter in self.parameters[self._split :]
        }
        training = TrainingSpace(base, hypermodel, hardware)
        networks: HyperModelSpace = training
        if not training.keeps_networks:
            known = base.hyperparameters().space
            networks = HyperModelSpace(hypermodel, base.name, known, hardware)
        chosen = {"family": self.family, **self.fixed, **hardware}
        return SearchSpace(networks, chosen)

    @property
    def name(self) -> str:
        """What the networks are called."""
        return self.network_space.name

    @property
    def task(self) -> Task | None:
        """What the networks are for; None of a user's own models."""
        return self.network_space.task

    @property
    def num_network_parameters(self) -> int:
        """Number of parameters of the network, which come first."""
        return self._split

    @property
    def new_networks(self) -> int | None:
        """See `NetworkSpace.new_networks`."""
        return self.network_space.new_networks

    @property
    def num_networks(self) -> int:
        """Number of different networks."""
        return self.network_space.count()

    @property
    def num_accelerators(self) -> int:
        """Number of different accelerators."""
        return math.prod(int(n) for n in self.choice_counts[self._split :])

    @property
    def size(self) -> int:
        """Number of different joint designs."""
        return self.num_networks * self.num_accelerators

    @property
    def fingerprint(self) -> str:
        """Changes when anything about the space does."""
        content = [
            self.network_space.describe(),
            [[p.name, list(p.choices)] for p in self.parameters],
            self.family,
            self.fixed,
        ]
        text = json.dumps(content, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def canonical(self, genomes: np.ndarray) -> np.ndarray:
        """Sets genes that make no difference to 0.

        Args:
            genomes: `[N, P]` indices.

        Returns:
            A new `[N, P]` array.
        """
        genomes = np.array(genomes, np.int64, ndmin=2)
        split = self._split
        for row in genomes:
            genes = tuple(row[:split].tolist())
            row[:split] = self.network_space.canonical(genes)
        return genomes

    def decided(self, genomes: np.ndarray) -> np.ndarray:
        """Which genes make a difference.

        Args:
            genomes: `[N, P]` canonical genomes.

        Returns:
            `[N, P]` booleans: whether the design would be another one with
            some other choice there.
        """
        found = np.empty(genomes.shape, bool)
        found[:] = self.choice_counts > 1
        split = self._split
        for row, genes in zip(found, genomes[:, :split].tolist(), strict=True):
            row[:split] = self.network_space.decided(tuple(genes))
        return found

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Draws genomes, every gene uniformly.

        Args:
            rng: Where randomness comes from.
            count: How many.

        Returns:
            `[count, P]` canonical genomes; some may be equal.
        """
        shape = (count, len(self.parameters))
        return self.canonical(rng.integers(0, self.choice_counts, shape))

    def all_accelerators(self) -> np.ndarray:
        """The genes of every accelerator.

        Returns:
            `[H, A]` choice indices of the `A` parameters of the accelerator.

        Raises:
            ValueError: If there are more than `MOST_ACCELERATORS`.
        """
        if self.num_accelerators > MOST_ACCELERATORS:
            raise ValueError(
                "To price all accelerators there must be at most "
                f"{MOST_ACCELERATORS:,}. Received: {self.num_accelerators:,} "
                f"in space {self.name}. Leave choices out."
            )
        counts = self.choice_counts[self._split :].tolist()
        genes = list(itertools.product(*map(range, counts)))
        return np.asarray(genes, np.int64)

    def networks(self, genomes: np.ndarray) -> list[np.ndarray]:
        """The layers of networks.

        Args:
            genomes: `[N, S]` canonical genes of the networks.

        Returns:
            Their layers in execution order, see `workload.to_array`.
        """
        return [
            self.network_space.rows(tuple(genes))
            for genes in np.asarray(genomes).tolist()
        ]

    def accelerators(self, genomes: np.ndarray) -> Accelerator:
        """Accelerators as the cost model takes them.

        Args:
            genomes: `[N, A]` genes of the accelerators.

        Returns:
            An `Accelerator` of `[N]` float32 arrays.
        """
        values: dict[str, Any] = {
            path: np.full(len(genomes), value, np.float32)
            for path, value in self.fixed.items()
        }
        searched = self.parameters[self._split :]
        for parameter, genes in zip(searched, genomes.T, strict=True):
            if parameter.name != CHIPS:
                choices = np.asarray(parameter.choices, np.float32)
                values[parameter.name] = choices[genes]
        return accelerators.from_paths(values, self.family)

    def chips(self, genomes: np.ndarray) -> dict[str, np.ndarray]:
        """How many of each chip designs have in a pipeline.

        Args:
            genomes: `[N, A]` genes of the accelerators.

        Returns:
            `[N]` numbers by name: `own`, the accelerator that is searched, of
            which there is 1 unless the space says more, and presets.
        """
        if not self._pipelines:
            return {pipelines.OWN: np.ones(len(genomes), np.int64)}
        listed = [pipelines.names(each) for each in self._pipelines]
        names = dict.fromkeys([pipelines.OWN, *itertools.chain(*listed)])
        return {
            name: np.asarray([each.count(name) for each in listed])[
                genomes[:, -1]
            ]
            for name in names
        }

    @property
    def most_chips(self) -> int:
        """The most that a design has."""
        return max(
            (len(pipelines.names(each)) for each in self._pipelines), default=1
        )

    @property
    def _pipelines(self) -> Sequence[Chips]:
        """What the last gene of an accelerator chooses from, if it is that."""
        for last in self.parameters[self._split :][-1:]:
            if last.name == CHIPS:
                return last.choices
        return ()

    def batch(self, genomes: np.ndarray) -> tuple[LayerTable, Accelerator]:
        """What the cost model needs of many designs.

        Args:
            genomes: `[N, P]` canonical genomes.

        Returns:
            A `LayerTable` of `[N, L]` and an `Accelerator` of `[N]` arrays.
        """
        genomes = np.asarray(genomes)
        split = self._split
        # Pairs of networks and accelerators repeat the networks.
        row_of: dict[tuple[int, ...], int] = {}
        index = [
            row_of.setdefault(tuple(genes), len(row_of))
            for genes in genomes[:, :split].tolist()
        ]
        rows = [self.network_space.rows(network) for network in row_of]
        deepest = max(map(len, rows))
        table = pad(rows, self.network_space.padded_layers(deepest))
        if len(row_of) < len(genomes):
            table = LayerTable(*(f[index] for f in table.columns()))
        chips = self.accelerators(genomes[:, split:])
        return table, chips

    def decode(self, genome: np.ndarray) -> Candidate:
        """The design that a genome stands for.

        Args:
            genome: `[P]` indices.

        Returns:
            The `Candidate`.
        """
        genome = self.canonical(genome)[0]
        values = self.values(genome)
        hardware = {
            p.name: values[p.name] for p in self.parameters[self._split :]
        }
        chips = pipelines.plain(hardware.pop(CHIPS, 1))
        return Candidate(
            genome,
            self.network_space.decode(tuple(genome[: self._split].tolist())),
            accelerators.from_paths({**self.fixed, **hardware}, self.family),
            chips,
        )

    def values(self, genome: np.ndarray) -> dict[str, Any]:
        """The chosen value of every parameter by name.

        Args:
            genome: `[P]` indices.

        Returns:
            Plain Python values, as KerasTuner wants them.
        """
        return {
            parameter.name: parameter.choices[gene]
            for parameter, gene in zip(self.parameters, genome, strict=True)
        }

    def genome(self, values: Mapping[str, Any]) -> np.ndarray:
        """The genome of chosen values, the inverse of `values`.

        Args:
            values: A value for every parameter; others are ignored. Inactive
                ones may be missing.

        Returns:
            The `[P]` canonical genome.

        Raises:
            ValueError: If a value is none of the choices.
        """
        genes = []
        for parameter in self.parameters:
            value = values.get(parameter.name, parameter.choices[0])
            value = as_chosen(*parameter, value)
            if value not in parameter.choices:
                raise ValueError(
                    f"{parameter.name} must be one of "
                    f"{', '.join(map(str, parameter.choices))}. Received: "
                    f"{value!r}."
                )
            genes.append(parameter.choices.index(value))
        return self.canonical(np.asarray(genes))[0]

    def encode(self, network: Any) -> dict[str, Any]:
        """The values of a network, for example to start a search from.

        Args:
            network: For example a published one; image size and number of
                classes may differ.

        Returns:
            A value for every parameter of the network, none for the
            accelerator: an initial design for an oracle.

        Raises:
            ValueError: If the space does not hold the network.

        Example:
        >>> space = SearchSpace.load("mobilenet_v2")
        >>> from tf_cosearch.networks.spaces.template import load_network
        >>> network = load_network("mobilenet_v2")
        >>> space.encode(network)["stage2/block1/expansion"]
        6
        """
        genes = self.network_space.encode(network)
        return {
            parameter.name: parameter.choices[gene]
            for parameter, gene in zip(self.parameters, genes, strict=False)
        }

    def encode_accelerator(self, accelerator: Accelerator) -> dict[str, Any]:
        """The values of an accelerator, for example to hold a search to.

        Args:
            accelerator: An `Accelerator` of numbers.

        Returns:
            A value for every parameter of the accelerator that is searched.

        Raises:
            ValueError: If it is of another family, or a value that is fixed in
                the space is another one.

        Example:
        >>> space = SearchSpace.load("digits")
        >>> space.encode_accelerator(accelerators.default())["pe_array/rows"]
        4
        """
        searched = {parameter.name for parameter in self.parameters}
        family = families.name_of(accelerator)
        if family != self.family:
            raise ValueError(
                f"An accelerator must be of the space's family, {self.family}. "
                f"Received: one of {family}."
            )
        fixed = accelerators.to_paths(
            accelerators.from_paths(self.fixed, family)
        )
        values = accelerators.to_paths(accelerator)
        for path, value in values.items():
            if path not in searched and value != fixed[path]:
                raise ValueError(
                    "An accelerator must be one of the space. Received: one "
                    f"whose {path} is {value}, where all of the space "
                    f"have {fixed[path]}. Add it to the space, or fix the "
                    "hardware of the space to that accelerator."
                )
        return {path: values[path] for path in values if path in searched}

    def hyperparameters(self) -> keras_tuner.HyperParameters:
        """The space for KerasTuner.

        One `Choice` a parameter, but of a user's own model its own.
        """
        space = self.network_space.hyperparameters()
        for parameter in self.parameters[self._split :]:
            declare(space, parameter)
        return space

    def summary(self) -> str:
        """The size of the space in words."""
        return (
            f"{self.name}: {_count(self.num_networks)} networks x "
            f"{_count(self.num_accelerators)} accelerators = "
            f"{_count(self.size)} designs, {len(self.parameters)} parameters"
        )


def _accelerator_choices(
    accelerator: str | pathlib.Path | Mapping[str, Any] | None,
) -> Mapping[str, Any]:
    """Choices by path; those of a preset are all fixed."""
    if accelerator is None or isinstance(accelerator, Mapping):
        return accelerator or {}
    chip = presets.load_accelerator(accelerator)
    return {"family": families.name_of(chip), **accelerators.to_paths(chip)}


def _plain(task: Task) -> Any:
    """A task as `identity.differences` names one."""
    config = json.loads(json.dumps(task.get_config()))
    return {CLASS: config.pop("name"), **config}


def _count(number: int) -> str:
    return f"{number:,}" if number < 1e6 else f"{number:.3g}"


def describe(space: SearchSpace) -> dict[str, Any]:
    """What tells a space from others: what `Identity.space` holds."""
    task = space.task
    return {
        "parameters": {p.name: list(p.choices) for p in space.parameters},
        "family": space.family,
        "fixed": dict(space.fixed),
        **({} if task is None else {"task": _plain(task)}),
        "fingerprint": space.fingerprint,
    }
