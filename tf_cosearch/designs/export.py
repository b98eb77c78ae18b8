"""A design: the trained network and its accelerator, and both on disk."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any, TypedDict

from tf_cosearch import accelerators, configuration, files, identity, metrics
from tf_cosearch.accelerators import (
    Accelerator,
    families,
    pipelines,
    presets,
)
from tf_cosearch.accelerators.pipelines import Chips
from tf_cosearch.designs import evaluations, report
from tf_cosearch.networks.network import Network
from tf_cosearch.networks.saved_network import SavedNetwork
from tf_cosearch.training import evaluate, inputs

MODEL = "model.tflite"
FLOAT_WEIGHTS = "float.weights.h5"
QAT_WEIGHTS = "qat.weights.h5"
ACCELERATOR = "accelerator.yaml"
DESCRIPTION = "design.json"


class Description(TypedDict):
    """What of `design.json` a design is read from."""

    trial_id: str
    seed: int
    hyperparameters: dict[str, int | float | str | bool]
    costs: dict[str, float]
    accuracies: dict[str, float]
    family: str
    accelerator: dict[str, float]
    chips: int | str
    network: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Design:
    """A trained joint design.

    Attributes:
        network: A `Network`, or one of a user's own model.
        accelerator: What it runs on, an `Accelerator` of numbers.
        hyperparameters: The choices it stands for, by parameter.
        metrics: Accuracies and costs by name.
        folder: Where `model.tflite` and the weights of the trial are.
        trial_id: The trial it was trained in.
        seed: Seed of the search.
        chips: How many of the accelerator are in a pipeline, or which chips,
            see `accelerators.pipelines`.
    """

    network: Any
    accelerator: Accelerator
    hyperparameters: Mapping[str, Any]
    metrics: Mapping[str, float]
    folder: pathlib.Path
    trial_id: str
    seed: int
    chips: Chips = 1

    def export(
        self,
        folder: str | os.PathLike[str],
        test_data: Any = None,
    ) -> dict[str, Any]:
        """Writes the design: `model.tflite`, `accelerator.yaml`, and more.

        `design.json` says what the design is, costs and reaches;
        `float.weights.h5` and `qat.weights.h5` let it be trained on. A design
        whose accuracy is of a table has neither weights nor a model.

        Args:
            folder: Where to; made if it is not there. Files of an earlier
                export are replaced.
            test_data: Data kept aside until now, a pair (images, labels) or a
                batched `tf.data.Dataset`: its accuracy is added as
                `accuracy_int8_test`.

        Returns:
            What `design.json` holds.

        Raises:
            FileNotFoundError: If files of the trial are gone.
            ValueError: If the test data do not fit the network, or it was not
                trained.
        """
        if test_data is not None and not self.is_trained:
            raise ValueError(
                "`test_data` must be for a trained design. Received: it with "
                "one whose accuracy is of a table. Leave it out."
            )
        is_template = isinstance(self.network, Network)
        is_pair = isinstance(test_data, (tuple, list))
        x, y, *weights = test_data if is_pair else (test_data, None)
        if test_data is not None and is_template:
            shape, classes = self.network.input_shape, self.network.classes
            task = self.network.task
            inputs.check(x, y, shape, classes, "test data", task)
        folder = configuration.path("folder", folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name in self._files():
            source = self.folder / name
            if not source.is_file():
                raise FileNotFoundError(
                    f"The files of trial {self.trial_id} must exist. "
                    f"Received: no {source}. Run the trial again."
                )
            if source.resolve() != (folder / name).resolve():
                files.write_bytes(folder / name, source.read_bytes())
        self.save_accelerator(folder)
        description = self.describe()
        if test_data is not None and is_template:
            batches = inputs.batches(x, y, classes=classes, task=task)
            answers = evaluate.answers(
                folder / MODEL, batches.as_numpy_iterator()
            )
            description["accuracies"]["accuracy_int8_test"] = task.score(
                answers, classes
            )["accuracy"]
        elif test_data is not None:
            from tf_cosearch.training import fit

            # By the metrics that it is compiled with.
            data = (x, y, *weights)
            measured = fit.measure(self.network, folder / MODEL, data)
            description["accuracies"]["accuracy_int8_test"] = measured[
                "accuracy_int8"
            ]
        write_description(folder, description)
        return description

    def save_accelerator(self, folder: pathlib.Path) -> None:
        """Writes the `accelerator.yaml` of a folder, a preset to load."""
        several = f", {self.chips} in a pipeline"
        if isinstance(self.chips, str):
            several = f", {pipelines.OWN} in a pipeline of {self.chips}"
        presets.save_accelerator(
            self.accelerator,
            folder / ACCELERATOR,
            f"Found together with {self.network.name} by tf_cosearch"
            + (several if self.chips != 1 else "")
            + ".",
        )

    @property
    def is_trained(self) -> bool:
        """Whether there is a file; with a table of accuracies there is none."""
        return report.accuracy_of(self.metrics) == "accuracy_int8"

    def _files(self) -> tuple[str, ...]:
        """What there must be: after training there is no aware model."""
        if not self.is_trained:
            return ()
        is_aware = "accuracy_qat" in self.metrics
        return (MODEL, FLOAT_WEIGHTS, *[QAT_WEIGHTS] * is_aware)

    def describe(self) -> dict[str, Any]:
        """Everything about the design but its weights, as plain values."""
        layers = self.network.layers()
        accuracies = [*metrics.accuracies(), "accuracy_int8_test"]
        costs = [
            name
            for name in metrics.names()
            if name in self.metrics and name not in accuracies
        ]
        measured = evaluations.describe(self.metrics, self.folder)
        return {
            "trial_id": self.trial_id,
            "seed": self.seed,
            "hyperparameters": dict(self.hyperparameters),
            "costs": {name: self.metrics[name] for name in costs},
            "units": {name: metrics.get(name).unit for name in costs},
            **({"measured": measured} if measured else {}),
            "accuracies": {
                name: self.metrics[name]
                for name in accuracies
                if name in self.metrics
            },
            "macs": sum(layer.macs for layer in layers),
            "params": sum(layer.params for layer in layers),
            "bits": {
                layer.name: {
                    **({"weights": layer.weight_bits} if layer.params else {}),
                    "activations": layer.activation_bits,
                }
                for layer in layers
            },
            "peak_tops": sum(
                accelerators.peak_tops(chip)
                for chip in pipelines.of(self.chips, self.accelerator)
            ),
            "chips": self.chips,
            "family": families.name_of(self.accelerator),
            "accelerator": {
                name: float(value)
                for name, value in accelerators.to_paths(
                    self.accelerator
                ).items()
            },
            "network": self.network.get_config(),
            "versions": identity.versions(),
        }


def write_description(
    folder: pathlib.Path, description: Mapping[str, Any]
) -> None:
    """Writes the `design.json` of a folder, see `Design.describe`."""
    told = json.dumps(description, indent=2)
    files.write_text(folder / DESCRIPTION, f"{told}\n")


_DAMAGE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


def load_design(folder: str | os.PathLike[str]) -> Design:
    """Reads a design that `Design.export` wrote, from its `design.json`.

    Args:
        folder: Where it lies.

    Returns:
        The `Design`.

    Raises:
        FileNotFoundError: If there is no design.
        ValueError: If a file of it is damaged.
    """
    folder = pathlib.Path(folder)
    path = folder / DESCRIPTION
    if not path.is_file():
        raise FileNotFoundError(
            f"A design must have a {DESCRIPTION}. Received: {folder}, which "
            "has none. Give the `design` folder of a finished search."
        )
    try:
        content, wrong = files.read_json(path, Description)
        if content is None:
            raise ValueError(wrong)
        known = {**content["costs"], **content["accuracies"]}
        needed = {*metrics.compared(), report.accuracy_of(known)}
        lacking = needed - known.keys()
        if lacking:
            raise ValueError(f"no {', '.join(sorted(lacking))}")
        family = presets.family_in(content, str(path))
        return Design(
            network=_network(content["network"]),
            accelerator=accelerators.from_paths(
                {
                    name: presets.check_value(name, value, str(path), family)
                    for name, value in content["accelerator"].items()
                },
                family,
            ),
            hyperparameters=content["hyperparameters"],
            metrics=known,
            folder=folder,
            trial_id=content["trial_id"],
            seed=configuration.at_least("seed", content["seed"], 0),
            chips=pipelines.check(content["chips"]),
        )
    except _DAMAGE as error:
        raise ValueError(
            f"{path} must be a design of this program. Received: "
            f"{type(error).__name__}: {error}. Export the design again."
        ) from None


def _network(config: Mapping[str, Any]) -> Any:
    """A template's network, or one of a user's own model."""
    if "model" in config:
        return SavedNetwork(config)
    return Network.from_config(config)
