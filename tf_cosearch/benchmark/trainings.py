"""What networks reach on data: each is trained once, and remembered."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import time
from collections.abc import Mapping
from typing import Any, BinaryIO

from tf_cosearch import configuration, identity, tasks
from tf_cosearch.engines import launch
from tf_cosearch.networks.network import Network
from tf_cosearch.networks.spaces.template import Template
from tf_cosearch.tasks import Task


@dataclasses.dataclass(frozen=True)
class Trainings:
    """How networks are trained, and what those before have reached.

    All have the same seed: a network has one accuracy, whoever proposes it.

    Attributes:
        data: What `datasets.load` takes.
        epochs: Of each training.
        task: What the networks are for.
        train_size: Images to train on at most.
        validation_size: Images to validate on at most.
        seed: Of each training.
        file: Keeps accuracies, a line each, for other searches; None for none.
        per_process: After how many trainings, each of which leaves memory
            behind, the process starts anew by its own command and goes on from
            the file; None for never.

    Raises:
        ValueError: If it would start anew without a file to go on from.
    """

    data: str
    epochs: int
    task: str = "classification"
    train_size: int | None = None
    validation_size: int | None = None
    seed: int = 0
    file: pathlib.Path | None = dataclasses.field(default=None, repr=False)
    per_process: int | None = dataclasses.field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.per_process is None:
            return
        configuration.at_least("per_process", self.per_process, 1)
        if self.file is None:
            raise ValueError(
                "`file` must keep accuracies for a process that starts anew. "
                f"Received: none, with per_process={self.per_process}. Give "
                "one, or leave per_process out."
            )

    @functools.cached_property
    def dataset(self) -> Any:
        """The data, a `Dataset`.

        Raises:
            ValueError: If there are no such data, or none of the task.
            FileNotFoundError: If a file or folder does not exist.
        """
        from tf_cosearch.training import datasets

        load = functools.partial(datasets.load, self.data, task=self._task)
        whole = load()
        sizes = {
            "train_size": (self.train_size, whole.train),
            "validation_size": (self.validation_size, whole.validation),
        }
        fewer: dict[str, Any] = {
            name: size
            for name, (size, (_, y)) in sizes.items()
            if size is not None and size < len(y)
        }
        return load(**fewer) if fewer else whole

    @property
    def _task(self) -> Task:
        return tasks.make(self.task)

    def template(self, content: Mapping[str, Any], name: str) -> Template:
        """The networks that the YAML of a space describes, for these data.

        Args:
            content: Of the YAML, without an accelerator.
            name: Of the space.
        """
        shape, classes = self.dataset.input_shape, self.dataset.classes
        return Template(dict(content), name, shape, classes, self.task)

    @functools.cached_property
    def inputs(self) -> Any:
        """The data as trainings take them."""
        from tf_cosearch.training import inputs

        return inputs.prepare(
            *self.dataset.train,
            input_shape=self.dataset.input_shape,
            classes=self.dataset.classes,
            validation_data=self.dataset.validation,
            task=self._task,
        )

    def accuracy(self, network: Network) -> float:
        """Of the int8 file on validation data; what the task calls so."""
        key = self._key(network)
        if key not in self._known:
            begun = time.process_time()
            self._known[key] = self.measure(network)
            if self.file is not None:
                record = {
                    "network": key,
                    "accuracy": self._known[key],
                    "processor_seconds": round(time.process_time() - begun, 1),
                }
                self.file.parent.mkdir(parents=True, exist_ok=True)
                with self.file.open("a+b") as file:
                    line = json.dumps(record).encode() + b"\n"
                    file.write(b"\n" * _is_cut_short(file) + line)
        return self._known[key]

    def measure(self, network: Network) -> float:
        """Trains a network, whatever is known."""
        from tf_cosearch.training import fit

        if self.per_process is not None and trained() >= self.per_process:
            launch.start_again()
        _TRAINED.append(self._key(network))
        return fit.train(
            network.build,
            self.inputs,
            epochs=self.epochs,
            seed=self.seed,
            task=self._task,
        ).accuracy_int8

    def _key(self, network: Network) -> str:
        """Tells a training from all others."""
        told = json.dumps(network.get_config(), sort_keys=True, default=str)
        text = f"{told} {self} {self._described}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @functools.cached_property
    def _described(self) -> str:
        """The data and what trains on them, whatever they are called."""
        from tf_cosearch.training import fingerprint

        told = fingerprint.describe_splits(
            self.dataset.train,
            self.dataset.validation,
            self.dataset.classes,
            self._task,
        )
        return json.dumps([told, identity.versions()], sort_keys=True)

    @functools.cached_property
    def _known(self) -> dict[str, float]:
        """What there is in the file; a line that was cut short is left out."""
        known: dict[str, float] = {}
        if self.file is not None and self.file.exists():
            for line in self.file.read_text().splitlines():
                with contextlib.suppress(ValueError, KeyError):
                    record = json.loads(line)
                    known[record["network"]] = float(record["accuracy"])
        return known


_TRAINED: list[str] = []


def trained() -> int:
    """How many networks this process has trained."""
    return len(_TRAINED)


def _is_cut_short(file: BinaryIO) -> bool:
    """Whether the last line of a file has no end, as that of a kill."""
    if not file.seek(0, os.SEEK_END):
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"


@dataclasses.dataclass(frozen=True)
class SharedTrainings(Trainings):
    """One training of shared weights, by which all networks are judged.

    Attributes:
        name: Of the space whose networks share.
        content: Of its YAML.
    """

    name: str = ""
    content: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def measure(self, network: Network) -> float:
        """Its int8 accuracy on the shared weights."""
        return float(self._evaluator.accuracy(network))

    @functools.cached_property
    def _evaluator(self) -> Any:
        from tf_cosearch.supernet.evaluation import Evaluator
        from tf_cosearch.supernet.options import SupernetOptions
        from tf_cosearch.supernet.supernet import Supernet

        networks = self.template(self.content, self.name)
        options = SupernetOptions(epochs=self.epochs)
        supernet = Supernet(networks, options, self.seed)
        supernet.train(self.inputs)
        return Evaluator(supernet.weights, self.inputs)
