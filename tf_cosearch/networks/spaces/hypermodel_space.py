"""Networks that a user's own `build(hp)` makes, as KerasTuner knows it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import keras_tuner
import numpy as np
from absl import logging

from tf_cosearch.networks.importers.keras_import import from_keras
from tf_cosearch.networks.spaces.discovery import MOST_PROBES, discover
from tf_cosearch.networks.spaces.network_space import Genes, NetworkSpace
from tf_cosearch.networks.spaces.outline import outline
from tf_cosearch.networks.spaces.reading import (
    Reader,
    Reading,
    digest,
    with_values,
)
from tf_cosearch.networks.workload import Layer, LayerTable

NEW_NETWORKS = 3
"""Networks that a proposal builds to price them, beside those built before.

One of MobileNetV2's size takes 0.2 s of a core in Keras 3, 0.4 s in tf_keras.
"""

_FEWEST_ROWS = 16
_COLUMNS = len(LayerTable._fields)


class HyperModelNetwork:
    """A network that a user's hypermodel builds from chosen values.

    Args:
        hypermodel: What builds it.
        name: What to call it.
        entries: All hyperparameters of the hypermodel.
        values: The chosen value of each that is active, by name.

    Attributes:
        hypermodel: The same.
        name: The same.
        values: The same.
    """

    def __init__(
        self,
        hypermodel: keras_tuner.HyperModel,
        name: str,
        entries: tuple[Any, ...],
        values: Mapping[str, Any],
    ) -> None:
        self.hypermodel = hypermodel
        self.name = name
        self.values = dict(values)
        self._entries = entries

    def hyperparameters(self) -> keras_tuner.HyperParameters:
        """The chosen values, as `hypermodel` takes them."""
        return with_values(self._entries, self.values)

    def build(self) -> Any:
        """A fresh model of the user's Keras, compiled if they compile it."""
        return self.hypermodel.build(self.hyperparameters())

    def layers(self) -> list[Layer]:
        """The rows of its layer table, in execution order."""
        model = outline(self.build).model
        # What is unknown was reported when it was priced.
        return from_keras(model, on_unknown=lambda _: None)

    def get_config(self) -> dict[str, Any]:
        """The values and the architecture, as plain values for JSON.

        It is `None` if a layer of the user's own does not tell.
        """
        try:
            model = json.loads(outline(self.build).model.to_json())
        except Exception as error:  # without `get_config` they raise anything
            logging.warning(
                "The architecture of %s is not written down: %s",
                self.name,
                " ".join(str(error).split())[:200],
            )
            model = None
        return {
            "name": self.name,
            "hyperparameters": self.values,
            "model": model,
        }


class HyperModelSpace(NetworkSpace):
    """The networks of a user's hypermodel.

    Before a search, `build` runs with default values, then with every word
    and the largest of every number, each under the conditions that it needs,
    so that hyperparameters show that others bring in: `MOST_PROBES` times at
    most. Of one that appears later the name is logged, and what uses it is
    no network.

    Values for which `build` raises an error, or makes what cannot be priced or
    trained with the same data, are no network.

    Two of the same architecture that are compiled alike are one, as soon as
    both were built, if all of it is Keras' own: the configuration of a class
    or function of the user's need not say what it was made with. Of genes
    that a build does not read only 0 is left.

    Args:
        hypermodel: A `keras_tuner.HyperModel`, or a function that takes
            hyperparameters and returns a functional or sequential model of
            Keras 3 or tf_keras.
        name: What to call the space; by default what builds it.
        known: Hyperparameters that are known, and need no looking for.
        foreign: Names of hyperparameters that `build` may declare although
            they are of something else, such as an accelerator.

    Raises:
        TypeError: If it is neither.
        ValueError: If the model of the default values cannot be built or
            priced, or has several inputs or outputs.

    Example:
    >>> import keras
    >>> def build(hp):
    ...     units = hp.Int("units", 8, 32, step=8)
    ...     return keras.Sequential(
    ...         [keras.Input((16,)), keras.layers.Dense(units)]
    ...     )
    >>> space = HyperModelSpace(build)
    >>> space.parameters[0]
    Parameter(name='units', choices=(8, 16, 24, 32))
    >>> space.decode((3,)).layers()[0].macs
    512
    """

    new_networks: int | None = NEW_NETWORKS

    def __init__(
        self,
        hypermodel: Any,
        name: str | None = None,
        known: Sequence[Any] = (),
        foreign: Collection[str] = (),
    ) -> None:
        self.hypermodel = as_hypermodel(hypermodel)
        self.name = (
            name or self.hypermodel.name or type(self.hypermodel).__name__
        )
        self._reader = Reader(self.hypermodel, self.name, foreign)
        self._choices, built = discover(self._reader, known)
        self.parameters = self._choices.parameters
        input_shape, output_shape = self._reader.ends
        self.input_shape, self.classes = input_shape, output_shape[-1]
        self._readings: dict[Genes, Reading] = {}
        self._first: dict[str, Genes] = {}
        self._alike: dict[frozenset[str], dict[Genes, Genes]] = {}
        self._reported: set[str] = set()
        kept = [self._keep(genes, reading) for genes, reading in built]
        self._built = list(dict.fromkeys(kept))

    # What building a network shows.

    def _keep(self, genes: Genes, reading: Reading) -> Genes:
        """Remembers a reading; returns the genes that it is kept under."""
        settled, _ = self._choices.settle(genes)
        shown = self._without(settled, reading.used)
        least = shown
        if reading.identity is not None:
            least = self._first.setdefault(reading.identity, shown)
        self._alike.setdefault(reading.used, {})[shown] = least
        self._readings.setdefault(least, reading)
        return least

    def _without(self, genes: Genes, used: frozenset[str]) -> Genes:
        """Genes that are 0 where a build does not look."""
        return tuple(
            gene if parameter.name in used else 0
            for gene, parameter in zip(genes, self.parameters, strict=True)
        )

    def _reading(self, genes: Genes) -> Reading:
        """What building a network shows, which is done once."""
        reading = self._readings.get(self.canonical(genes))
        if reading is None:
            entries = self._choices.entries
            _, reading, now = self._reader.read(
                entries, self._choices.values(genes)
            )
            if late := [entry.name for entry in now[len(entries) :]]:
                self._report_late(late)
                reading = reading._replace(
                    rows=None, reason=f"Uses {', '.join(late)}, not searched."
                )
            if reading.rows is None:
                logging.info(
                    "No network of %s: %s",
                    self._choices.values(genes),
                    reading.reason,
                )
            self._keep(genes, reading)
        return reading

    def _report_late(self, late: Sequence[str]) -> None:
        new = [name for name in late if name not in self._reported]
        self._reported.update(new)
        if new:
            logging.warning(
                "%s uses %s under some values only, and none of %d builds "
                "before the search showed it: networks that use it are left "
                "out. Declare it where every build passes, or in a "
                "conditional_scope, and search in another project_name.",
                self.name,
                ", ".join(new),
                MOST_PROBES,
            )

    # What a search asks.

    def count(self) -> int:
        """Number of different networks, at most."""
        return self._choices.count()

    def canonical(self, genes: Genes) -> Genes:
        """Genes without what conditions rule out and no build has used."""
        settled, _ = self._choices.settle(genes)
        for used, alike in self._alike.items():
            least = alike.get(self._without(settled, used))
            if least is not None:
                return least
        return settled

    def decided(self, genes: Genes) -> tuple[bool, ...]:
        """Which genes make a difference, as far as builds have shown."""
        free = self._choices.free(genes)
        reading = self._readings.get(genes)
        used = None if reading is None else reading.used
        return tuple(
            is_free and (used is None or parameter.name in used)
            for is_free, parameter in zip(free, self.parameters, strict=True)
        )

    def is_network(self, genes: Genes) -> bool:
        """Whether a network of these genes can be built and priced."""
        return self._reading(genes).rows is not None

    def rows(self, genes: Genes) -> np.ndarray:
        """The layers of a network, `[L, F]`, see `workload.to_array`.

        Raises:
            ValueError: If it is none.
        """
        reading = self._reading(genes)
        if reading.rows is None:
            raise ValueError(
                "The hyperparameters of a design must build a network. "
                f"Received: {self._choices.values(genes)}. {reading.reason}"
            )
        return reading.rows

    def decode(self, genes: Genes) -> HyperModelNetwork:
        """The network that genes stand for."""
        return HyperModelNetwork(
            self.hypermodel,
            self.name,
            self._choices.entries,
            self._choices.values(genes),
        )

    def encode(self, network: Any) -> Genes:
        """The genes of one of its own networks.

        Raises:
            ValueError: If the network is not one of `decode`.
        """
        if (
            not isinstance(network, HyperModelNetwork)
            or network.hypermodel is not self.hypermodel
        ):
            raise ValueError(
                f"{getattr(network, 'name', network)} must be a network that "
                f"{self.name} builds. Received: {type(network).__name__}. "
                "Start from values of its hyperparameters, with "
                "`initial_designs`."
            )
        return self.canonical(self._choices.genes(network.values))

    def padded_layers(self, layers: int) -> int:
        """The next of 16, 24, 32, 48, 64, 96, ...

        As it is not known how deep networks are before they are built.
        """
        rows = _FEWEST_ROWS
        while rows < layers:
            rows += rows // 2 if rows & (rows - 1) == 0 else rows // 3
        return rows

    def describe(self) -> list[Any]:
        """Its hyperparameters, and the network of their default values."""
        entries = self._choices.entries
        reading = self._reading(self._choices.genes(self._choices.defaults))
        told = reading.identity
        if told is None and reading.rows is not None:
            told = digest(reading.rows)
        return [[entry.get_config() for entry in entries], told]

    def hyperparameters(self) -> keras_tuner.HyperParameters:
        """The user's own, with their conditions."""
        return with_values(self._choices.entries, {})

    # What is kept with a run.

    def built(self) -> list[Genes]:
        """Canonical genes of what was built to find the hyperparameters."""
        return list(self._built)

    def export_reading(self, genes: Genes) -> dict[str, Any]:
        """What was read of a network, as plain JSON."""
        reading = self._readings[self.canonical(genes)]
        rows = None if reading.rows is None else reading.rows.tolist()
        used = sorted(reading.used)
        return {**reading._asdict(), "rows": rows, "used": used}

    def import_reading(self, genes: Genes, exported: dict[str, Any]) -> None:
        """The inverse of `export_reading`, instead of a build."""
        rows, identity = exported["rows"], exported["identity"]
        if rows is not None:
            rows = np.asarray(rows, np.float32)
            is_table = rows.ndim == 2 and rows.shape[1] == _COLUMNS
            if not (is_table and len(rows) and np.isfinite(rows).all()):
                raise ValueError("Rows must be those of a layer table.")
        used = frozenset(exported["used"])
        known = {parameter.name for parameter in self.parameters}
        if not used <= known or not isinstance(identity, (str, type(None))):
            raise ValueError("A reading must be one of this space.")
        reading = Reading(rows, str(exported["reason"]), identity, used)
        self._keep(genes, reading)


def as_hypermodel(hypermodel: Any) -> keras_tuner.HyperModel:
    """What a user gives as a hypermodel, as one.

    Raises:
        TypeError: If it is neither a hypermodel nor a function.
    """
    if isinstance(hypermodel, keras_tuner.HyperModel):
        return hypermodel
    if not callable(hypermodel) or isinstance(hypermodel, type):
        raise TypeError(
            "`hypermodel` must be a function of hyperparameters that returns "
            f"a model, or a keras_tuner.HyperModel. Received: {hypermodel!r}."
        )
    name = getattr(hypermodel, "__name__", type(hypermodel).__name__)
    made = keras_tuner.HyperModel(name=name)
    made.build = hypermodel
    return made
