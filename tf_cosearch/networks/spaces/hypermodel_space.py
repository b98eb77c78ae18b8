"""Networks that a user's own `build(hp)` makes, as KerasTuner knows it."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import keras_tuner
import numpy as np
from absl import logging

from tf_cosearch.networks.importers.keras_import import from_keras
from tf_cosearch.networks.spaces.choices import Choices
from tf_cosearch.networks.spaces.network_space import (
    Genes,
    NetworkSpace,
)
from tf_cosearch.networks.spaces.outline import outline
from tf_cosearch.networks.workload import Layer, LayerTable, to_array

NEW_NETWORKS = 3
"""Networks that a proposal builds to price them, beside those built before.

One of MobileNetV2's size takes 0.2 s of a core in Keras 3, 0.4 s in tf_keras.
"""

MOST_PROBES = 64
"""Builds that look for hyperparameters before a search begins."""

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
        return _with_values(self._entries, self.values)

    def build(self) -> Any:
        """A fresh model of the user's Keras, compiled if they compile it."""
        return self.hypermodel.build(self.hyperparameters())

    def layers(self) -> list[Layer]:
        """The rows of its layer table, in execution order."""
        return from_keras(outline(self.build).model, on_unknown=_ignore)

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


class _Reading(NamedTuple):
    """What building a network has shown.

    Attributes:
        rows: Its layers, `[L, F]`; `None` if it is no network.
        reason: Why it is none.
        identity: Equal for equal networks that are trained alike; `None` if
            that cannot be told.
        used: Names of the hyperparameters it depends on.
    """

    rows: np.ndarray | None
    reason: str
    identity: str | None
    used: frozenset[str]


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
        fit = getattr(self.hypermodel.fit, "__func__", self.hypermodel.fit)
        self._trains_itself = fit is not keras_tuner.HyperModel.fit
        self._foreign = frozenset(foreign)
        self._built: dict[Genes, None] = {}
        self._readings: dict[Genes, _Reading] = {}
        self._first: dict[str, Genes] = {}
        self._alike: dict[frozenset[str], dict[Genes, Genes]] = {}
        self._reported: set[str] = set()
        self._ends: list[tuple[Any, ...]] = []
        self._discover(known)
        self.input_shape = self._ends[0]
        self.classes = self._ends[1][-1]

    # What hyperparameters there are.

    def _discover(self, known: Sequence[Any]) -> None:
        declared = keras_tuner.HyperParameters()
        declared.merge(list(known))
        self.hypermodel.declare_hyperparameters(declared)
        entries = self._own(declared)
        names = {entry.name for entry in known}
        built: list[tuple[dict[str, Any], _Reading]] = []
        probe: dict[str, Any] | None = {}
        while probe is not None and len(built) < MOST_PROBES:
            values, reading, entries = self._read(entries, probe)
            if not built and reading.rows is None:
                raise ValueError(
                    "The model of the default hyperparameters must be one "
                    f"that can be priced and trained. Received: {self.name}, "
                    f"of which {reading.reason}"
                )
            if not built and self._trains_itself:
                entries = self._declared_by_fit(entries)
            built.append((values, reading))
            choices = Choices(entries)
            done = [values for values, _ in built]
            probe = _next_probe(choices, names, done)
        self._choices, self.parameters = choices, choices.parameters
        kept = [self._keep(choices.genes(v), reading) for v, reading in built]
        self._built = dict.fromkeys(kept)

    def _own(self, hp: keras_tuner.HyperParameters) -> list[Any]:
        """The hyperparameters that are of the network or its training."""
        return [entry for entry in hp.space if entry.name not in self._foreign]

    def _declared_by_fit(self, entries: Sequence[Any]) -> list[Any]:
        """Adds what `fit` declares before it begins to train.

        It is called with a stand-in for the model, which ends it.
        """
        hp = _with_values(entries, {})
        needed = [
            parameter.name
            for parameter in inspect.signature(
                self.hypermodel.fit
            ).parameters.values()
            if parameter.default is parameter.empty
            and parameter.kind
            in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        ]
        stand_ins = {name: StandIn() for name in needed[2:]}
        with contextlib.suppress(Exception):
            self.hypermodel.fit(hp, StandIn(), **stand_ins)
        return self._own(hp)

    # What building a network shows.

    def _read(
        self, entries: Sequence[Any], values: Mapping[str, Any]
    ) -> tuple[dict[str, Any], _Reading, list[Any]]:
        """Builds a network and reads it.

        Args:
            entries: Hyperparameters that are known.
            values: Those chosen; others have their defaults.

        Returns:
            All values it was built with, what was read, and the
            hyperparameters known now.
        """
        hp = _with_values(entries, values)
        hp.values = used = _Used(hp.values)
        rows, identity, reason = None, None, ""
        try:
            model, sets_weights = outline(lambda: self.hypermodel.build(hp))
            rows = self._rows_of(model)
            if not (sets_weights or self._trains_itself):
                identity = _identity(model, rows)
        except Exception as error:
            rows, reason = None, f"`build` says {type(error).__name__}: {error}"
        chosen = dict(dict.items(used))
        names = frozenset(chosen) - self._foreign
        if not self._trains_itself:
            names &= used.names
        return (
            chosen,
            _Reading(rows, reason, identity, names),
            self._own(hp),
        )

    def _rows_of(self, model: Any) -> np.ndarray:
        """The layers of a model, if a search can do with it."""
        rows = to_array(from_keras(model, on_unknown=self._report))
        if len(model.inputs) != 1 or len(model.outputs) != 1:
            raise ValueError(
                "A model must have one input and one output. Received: "
                f"{len(model.inputs)} and {len(model.outputs)}."
            )
        ends = [
            tuple(tensor.shape[1:])
            for tensor in (*model.inputs, *model.outputs)
        ]
        self._ends = self._ends or ends
        if ends != self._ends:
            raise ValueError(
                "All models must have inputs and outputs of one shape. "
                f"Received: {ends[0]} and {ends[1]}, where that of the default "
                f"values has {self._ends[0]} and {self._ends[1]}."
            )
        return rows

    def _report(self, kind: str) -> None:
        """Says once of an operation that it is not counted."""
        if kind not in self._reported:
            self._reported.add(kind)
            logging.warning(
                "%s has an operation that the cost model does not know, %s: "
                "it is priced as the data that it moves. Use layers of Keras "
                "in its place, if it computes much.",
                self.name,
                kind,
            )

    def _keep(self, genes: Genes, reading: _Reading) -> Genes:
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

    def _reading(self, genes: Genes) -> _Reading:
        """What building a network shows, which is done once."""
        reading = self._readings.get(self.canonical(genes))
        if reading is None:
            entries = self._choices.entries
            _, reading, now = self._read(entries, self._choices.values(genes))
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
        default = {entry.name: entry.default for entry in reversed(entries)}
        reading = self._reading(self._choices.genes(default))
        told = reading.identity
        if told is None and reading.rows is not None:
            told = _hash(reading.rows)
        return [[entry.get_config() for entry in entries], told]

    def hyperparameters(self) -> keras_tuner.HyperParameters:
        """The user's own, with their conditions."""
        return _with_values(self._choices.entries, {})

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
        reading = _Reading(rows, str(exported["reason"]), identity, used)
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


def _next_probe(
    choices: Choices, known: Collection[str], built: Sequence[Mapping[str, Any]]
) -> dict[str, Any] | None:
    """Values to build next, so that more hyperparameters may show.

    Args:
        choices: Of the hyperparameters so far.
        known: Names of those that bring in no others.
        built: Values that were built; others had their defaults.

    Returns:
        Values, or `None` if there is nothing left to look for.
    """
    default = {entry.name: entry.default for entry in reversed(choices.entries)}
    done = {
        choices.settle(choices.genes({**default, **values}))[0]
        for values in built
    }
    for probe in choices.probes(choices.genes(default), known):
        genes, _ = choices.settle(probe)
        if genes not in done:
            return choices.values(genes)
    return None


class StandIn:
    """Stands for a model, or data, until somebody wants to train with it.

    Args:
        name: What it was an attribute as; one of a method that trains raises
            an error if it is called.
    """

    def __init__(self, name: str = "") -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # it is no iterator, for example
            raise AttributeError(name)
        return StandIn(name)

    def __getitem__(self, part: Any) -> Any:
        if isinstance(part, int):  # else it would be iterated without end
            raise IndexError(part)
        return StandIn()

    def __call__(self, *_: Any, **__: Any) -> Any:
        """Goes on, unless somebody wants to train."""
        # What is passed to them has been chosen by now.
        if self._name in ("fit", "train_on_batch", "train_step"):
            raise RuntimeError("There is nothing to train here.")
        return StandIn()


class _Used(dict[str, Any]):
    """Values of hyperparameters that note which of them are looked up."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.names.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        """Notes one."""
        self.names.add(name)
        return super().get(name, default)

    def __iter__(self) -> Iterator[str]:
        self.names.update(dict.keys(self))
        return super().__iter__()

    def keys(self) -> Any:
        """Notes all."""
        self.names.update(dict.keys(self))
        return super().keys()

    def items(self) -> Any:
        """Notes all."""
        self.names.update(dict.keys(self))
        return super().items()

    def values(self) -> Any:
        """Notes all."""
        self.names.update(dict.keys(self))
        return super().values()

    def copy(self) -> Any:
        """Notes all."""
        self.names.update(dict.keys(self))
        return super().copy()


def _with_values(
    entries: Sequence[Any], values: Mapping[str, Any]
) -> keras_tuner.HyperParameters:
    hp = keras_tuner.HyperParameters()
    hp.values = dict(values)
    hp.merge(list(entries), overwrite=False)
    return hp


def _ignore(kind: str) -> None:
    """Says nothing of an operation that was reported before."""


_OF_KERAS = ("keras", "tf_keras", "tensorflow")


def _identity(model: Any, rows: np.ndarray) -> str | None:
    """What is equal for equal models; `None` if configurations do not tell.

    Those of classes and functions of the user's own need not say all of them,
    be they layers, losses, schedules or the model itself.
    """
    layers = list(model._flatten_layers())
    functions = [getattr(layer, "activation", None) for layer in layers]
    parts = [*map(type, layers), *filter(callable, functions)]
    if not all(
        _is_of_keras(getattr(part, "__module__", type(part).__module__))
        for part in parts
    ):
        return None
    is_compiled = getattr(model, "compiled", getattr(model, "_is_compiled", 0))
    try:
        compiled = model.get_compile_config() if is_compiled else None
        content = [json.loads(model.to_json()), compiled]
        text = json.dumps(content, sort_keys=True)
    except Exception:  # objects without `get_config` raise what they like
        return None
    if is_compiled and compiled is None:
        return None
    if '"function"' in text or "ambda" in text or not _says_all(content):
        return None
    return _hash(rows, text)


def _says_all(content: Any) -> bool:
    """Whether a configuration is of nothing but objects of Keras."""
    if isinstance(content, Mapping):
        module = content.get("module") if "class_name" in content else None
        is_of_user = module is not None and not _is_of_keras(str(module))
        is_of_user |= bool(content.get("registered_name"))
        return not is_of_user and all(map(_says_all, content.values()))
    return not isinstance(content, (list, tuple)) or all(
        map(_says_all, content)
    )


def _is_of_keras(module: str) -> bool:
    return module.partition(".")[0] in _OF_KERAS


def _hash(rows: np.ndarray, text: str = "") -> str:
    return hashlib.sha256(rows.tobytes() + text.encode()).hexdigest()[:24]
