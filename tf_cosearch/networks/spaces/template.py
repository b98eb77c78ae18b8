"""Reads networks and search spaces of networks: `configs/{networks,spaces}`.

A template is a list of stages. Wherever a stage says a list instead of one
value, there is a choice: a template without lists is one network.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import itertools
import math
import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tf_cosearch import configuration, tasks
from tf_cosearch.networks import blocks
from tf_cosearch.networks.network import BlockSpec, Network
from tf_cosearch.networks.spaces.network_space import NetworkSpace
from tf_cosearch.networks.spaces.row_memory import RowMemory, rows_of_end
from tf_cosearch.networks.spaces.stage import Stage
from tf_cosearch.networks.stage_values import (
    STAGE_KEYS,
    check_classes,
    check_value,
    image_shape,
)

Shape = tuple[int, int, int]
"""Height, width and channels."""

_OF_CLASSIFIER = ("dropout", "classifier_bits")
_OF_LAST_BLOCK = ("weight_bits", "activation_bits")


class Template(NetworkSpace):
    """All networks that a description allows.

    Args:
        content: Keys `input_shape`, `classes`, `stem`, `stages`, `head`, and
            `defaults` for what all stages share.
        where: What it comes from, for messages.
        input_shape: Height, width and channels of the image, instead of the
            description's.
        classes: Number of classes, instead of the description's.
        task: What the networks are for, instead of the description's.

    Attributes:
        parameters: The choices, a tuple of `Parameter`.

    Raises:
        ValueError: If a key or a value is not known or possible.
    """

    KEYS = (
        "description",
        "input_shape",
        "classes",
        "task",
        "defaults",
        "stem",
        "stages",
        "head",
    )

    input_shape: Shape
    task: tasks.Task
    described_task: tasks.Task

    def __init__(
        self,
        content: Mapping[str, Any],
        where: str,
        input_shape: Sequence[int] | None = None,
        classes: int | None = None,
        task: Any = None,
    ) -> None:
        configuration.check_keys(content, where, self.KEYS, ["stem", "stages"])
        # A name may have a dot, as in `mobilenet_edgetpu_dm1.5`.
        self.name = re.sub(r"\.ya?ml$", "", pathlib.Path(where).name)
        self.input_shape = image_shape(
            content.get("input_shape") if input_shape is None else input_shape,
            where,
        )
        self.described_task = task_of(content)
        self.task = choose_task(self.described_task, task)
        self.classes = check_classes(
            content.get("classes") if classes is None else classes,
            self.task,
            where,
        )
        head = content.get("head") or {}
        configuration.check_keys(
            head,
            f"{where}, head",
            ["filters", "activation", *_OF_CLASSIFIER, *_OF_LAST_BLOCK],
        )
        self.dropout = check_value("dropout", head.get("dropout", 0), where)
        self.classifier_bits = check_value(
            "classifier_bits", head.get("classifier_bits", 8), f"{where}, head"
        )
        self.stages = self._read_stages(content, head, where)
        self._check_stages(where)
        widths = {self.input_shape[-1]}
        for stage in self.stages:
            stage.check_blocks(widths, where)
            widths = stage.widths()
        self.parameters = tuple(
            itertools.chain.from_iterable(s.parameters for s in self.stages)
        )
        ends = list(
            itertools.accumulate(len(s.parameters) for s in self.stages)
        )
        self._slices = [
            slice(end - len(stage.parameters), end)
            for stage, end in zip(self.stages, ends, strict=True)
        ]

    def _check_stages(self, where: str) -> None:
        """Refuses stages that the task cannot do with."""
        told = {
            stage.name: {
                key: choices for key, (choices, _) in stage.keys.items()
            }
            for stage in self.stages
        }
        self.task.check_stages(told, where)

    def with_task(self, task: Any) -> Template:
        """The same networks but for their ends.

        Args:
            task: As for `choose_task`.

        Raises:
            ValueError: If there is no such task, or its networks put out other
                numbers.
        """
        other = copy.copy(self)
        other.task = choose_task(self.task, task)
        check_classes(self.classes, other.task, self.name)
        other._check_stages(self.name)
        for name in ("_most_layers", "_memory"):
            vars(other).pop(name, None)
        return other

    @staticmethod
    def _read_stages(
        content: Mapping[str, Any], head: Mapping[str, Any], where: str
    ) -> list[Stage]:
        described = content["stages"]
        if not isinstance(described, list) or not described:
            raise ValueError(
                f"stages in {where} must be a list of stages. Received: "
                f"{described!r}."
            )
        defaults = content.get("defaults") or {}
        known = {key for b in blocks.names() for key in blocks.options(b)}
        configuration.check_keys(
            defaults,
            f"{where}, defaults",
            ["block", "per", *STAGE_KEYS, *known],
        )
        configuration.check_keys(
            content["stem"], f"{where}, stem", content["stem"] or ()
        )
        stem = {"block": "conv_bn", **content["stem"]}
        stages = [Stage("stem", stem, where)]
        for index, keys in enumerate(described):
            name = f"stage{index + 1}"
            configuration.check_keys(keys, f"{where}, {name}", keys)
            stages.append(Stage(name, _with_defaults(defaults, keys), where))
        for key in _OF_LAST_BLOCK if head.get("filters") is None else ():
            if key in head:
                raise ValueError(
                    f"{key} in {where}, head must be of a convolution. "
                    "Received: a head without filters. Set filters, or "
                    "classifier_bits for the layer after it."
                )
        if head.get("filters") is not None:
            last = {k: v for k, v in head.items() if k not in _OF_CLASSIFIER}
            last |= {"block": "conv_bn", "kernel_size": 1}
            stages.append(Stage("head", last, where))
        return stages

    def count(self) -> int:
        """Number of different networks."""
        return math.prod(stage.count() for stage in self.stages)

    def canonical(self, genes: tuple[int, ...]) -> tuple[int, ...]:
        """The first genes that stand for the same network.

        Args:
            genes: Indices of the choices, one for each parameter.

        Returns:
            Genes that are equal for equal networks, see `Stage.canonical`.
        """
        found: list[int] = []
        for stage, part in zip(self.stages, self._slices, strict=True):
            found.extend(stage.canonical(genes[part]))
        return tuple(found)

    def decided(self, genes: tuple[int, ...]) -> tuple[bool, ...]:
        """Which genes make a difference.

        Args:
            genes: Canonical indices of the choices, one for each parameter.

        Returns:
            For each whether it does, see `Stage.decided`.
        """
        found: list[bool] = []
        for stage, part in zip(self.stages, self._slices, strict=True):
            found.extend(stage.decided(genes[part]))
        return tuple(found)

    def decode(self, genes: tuple[int, ...]) -> Network:
        """The network that genes stand for.

        Args:
            genes: Indices of the choices, one for each parameter.

        Returns:
            The `Network`.
        """
        specs: list[BlockSpec] = []
        for stage, part in zip(self.stages, self._slices, strict=True):
            specs.extend(stage.decode(genes[part]))
        return self.network(specs)

    def network(self, specs: Iterable[BlockSpec]) -> Network:
        """A network of these blocks, that the head of the task ends."""
        return Network(
            self.name,
            self.input_shape,
            self.classes,
            tuple(specs),
            self.dropout,
            self.classifier_bits,
            self.task,
        )

    def encode(self, network: Network) -> tuple[int, ...]:
        """The genes of a network, for example of a published one.

        Args:
            network: A network with as many stages.

        Returns:
            Indices of the choices, one for each parameter.

        Raises:
            ValueError: If the space does not hold a network of these layers.
        """
        runs: dict[str, list[BlockSpec]] = {}
        for spec in network.blocks:
            runs.setdefault(spec.path.partition("/")[0], []).append(spec)
        genes: list[int] = []
        for stage in self.stages:
            found = stage.encode(runs.get(stage.name, ()))
            if found is None:
                raise ValueError(
                    f"{network.name} must be one of the networks of the space "
                    f"{self.name}. Received: a network whose {stage.name} the "
                    "space does not offer. Add what it needs to the space."
                )
            genes.extend(found)
        decoded = self.decode(tuple(genes))
        wanted = dataclasses.replace(
            network,
            input_shape=self.input_shape,
            classes=self.classes,
            task=self.task,
        )
        for ours, theirs in itertools.zip_longest(
            decoded.layers(), wanted.layers()
        ):
            if ours != theirs:
                raise ValueError(
                    f"{network.name} must be one of the networks of the space "
                    f"{self.name}. Received: {theirs}, where the space has "
                    f"{ours}."
                )
        return tuple(genes)

    def describe(self) -> list[Any]:
        """Everything that tells one template from another, as plain values."""
        return [
            self.input_shape,
            self.classes,
            self.dropout,
            self.classifier_bits,
            self.task.get_config(),
            [[stage.name, stage.keys] for stage in self.stages],
        ]

    def blocks(self) -> Iterator[tuple[BlockSpec | None, list[Shape]]]:
        """All blocks of all networks, each with all shapes that it may read.

        What ends a network, a block of `None`, reads what the stages put out,
        the last one last: all that this one may, and of the others, if the
        task reads them, one of each size, that of most channels.
        """
        shapes = {self.input_shape}
        ends: list[set[Shape]] = []
        for stage in self.stages:
            outputs: set[Shape] = set()
            for index in range(max(stage.depths())):
                inner = shapes
                shapes = set()
                for spec, shape in itertools.product(
                    stage.blocks_at(index), sorted(inner)
                ):
                    if index and shape[-1] != spec.filters:
                        continue
                    yield spec, [shape]
                    shapes.add(
                        (
                            -(-shape[0] // spec.stride),
                            -(-shape[1] // spec.stride),
                            spec.filters,
                        )
                    )
                if index + 1 in stage.depths():
                    outputs |= shapes
            shapes = outputs
            ends.append(shapes)
        before = ends[:-1] if self.task.reads_stages else []
        widest = [
            {shape[:2]: shape for shape in sorted(each)}.values()
            for each in before
        ]
        for shapes_of_stages in itertools.product(*widest, sorted(shapes)):
            yield None, [*shapes_of_stages]

    def padded_layers(self, layers: int) -> int:
        """Rows that the deepest network can have."""
        return self._most_layers

    @functools.cached_property
    def _most_layers(self) -> int:
        most = sum(stage.max_layers() for stage in self.stages)
        most += max(
            len(rows_of_end(self.network(()), shapes)[0])
            for spec, shapes in self.blocks()
            if spec is None
        )
        widths = {
            width
            for stage in self.stages
            for width in stage.keys.get("activation_bits", ((8,), False))[0]
        }
        # Each block, and what ends a network, may convert what it reads.
        blocks = sum(max(stage.depths()) for stage in self.stages)
        return most + (blocks + 1) * (widths - {8} != set())

    def rows(self, genes: tuple[int, ...]) -> np.ndarray:
        """`to_array(decode(genes).layers())`, remembering stages and blocks.

        Args:
            genes: Indices of the choices, one for each parameter.

        Returns:
            A `[L, F]` float32 array, see `workload.to_array`.
        """
        return self._memory.rows([genes[part] for part in self._slices])

    @functools.cached_property
    def _memory(self) -> RowMemory:
        return RowMemory(self.stages, self.network(()))


def task_of(content: Mapping[str, Any], given: Any = None) -> tasks.Task:
    """What the networks of a description are for.

    Args:
        content: The description, with a key `task` or classification without.
        given: What to take instead, as of `choose_task`.

    Example:
    >>> task_of({}).name, task_of({"task": "classification"}).name
    ('classification', 'classification')
    """
    described = tasks.make(content.get("task", "classification"))
    return choose_task(described, given)


def choose_task(described: tasks.Task, given: Any = None) -> tasks.Task:
    """A task, or what is given in place of it.

    Args:
        described: The task, with its options.
        given: What `tasks.make` takes, or None. A name that is the task's own
            leaves its options.

    Example:
    >>> narrow = tasks.make({"name": "segmentation", "width": 16})
    >>> choose_task(narrow, "segmentation").width
    16
    >>> choose_task(narrow, {"name": "segmentation"}).width
    32
    """
    if given is None or given == described.name:
        return described
    return tasks.make(given)


def task_of_space(
    name_or_path: str | pathlib.Path, given: Any = None
) -> tasks.Task:
    """What the networks of a space are for, before it is loaded.

    Args:
        name_or_path: As for `SearchSpace.load`.
        given: As for `task_of`.

    Raises:
        ValueError: If there is no such space, or no such task.
        FileNotFoundError: If the path does not exist.
    """
    return task_of(configuration.load("spaces", name_or_path), given)


def _with_defaults(
    defaults: Mapping[str, Any], keys: Mapping[str, Any]
) -> dict[str, Any]:
    """Adds the defaults that the blocks of a stage can use."""
    merged = {**defaults, **keys}
    types = merged.get("block", [])
    types = types if isinstance(types, list) else [types]
    usable = {"block", "per", *STAGE_KEYS, *keys}
    for block in types:
        usable |= set(blocks.options(block))
    return {key: value for key, value in merged.items() if key in usable}


def load_network(
    name_or_path: str | pathlib.Path,
    input_shape: Sequence[int] | None = None,
    classes: int | None = None,
    task: Any = None,
) -> Network:
    """Loads a network by its name in `configs/networks` or from a YAML file.

    Args:
        name_or_path: For example `mobilenet_v2` or `my_network.yaml`.
        input_shape: Height, width and channels instead of the file's.
        classes: Number of classes instead of the file's.
        task: What it is for instead of the file's: a name, a mapping of
            `name` and options, or a `Task`.

    Returns:
        The `Network`.

    Raises:
        ValueError: If it is not known, or leaves something to choose.
        FileNotFoundError: If the path does not exist.

    Example:
    >>> load_network("mobilenet_v2").macs
    300774272
    """
    content = configuration.load("networks", name_or_path)
    template = Template(content, str(name_or_path), input_shape, classes, task)
    if template.parameters:
        raise ValueError(
            f"{name_or_path} must describe one network. Received a choice of "
            f"{template.parameters[0].name}. Load it as a search space."
        )
    return template.decode(())
