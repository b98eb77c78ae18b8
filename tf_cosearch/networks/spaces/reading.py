"""What building a network of a user's hypermodel shows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import keras_tuner
import numpy as np
from absl import logging

from tf_cosearch.networks.importers.keras_import import from_keras
from tf_cosearch.networks.spaces.outline import outline
from tf_cosearch.networks.workload import to_array


class Reading(NamedTuple):
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


class Reader:
    """Builds networks of a hypermodel, without weights, and reads them.

    Args:
        hypermodel: What builds them.
        name: What to call it.
        foreign: Names of hyperparameters that are of something else.

    Attributes:
        hypermodel: The same.
        name: The same.
        trains_itself: Whether its `fit` is the user's.
        ends: The shapes of input and output that all networks must have,
            without the batch; empty until one was read.
    """

    def __init__(
        self,
        hypermodel: keras_tuner.HyperModel,
        name: str,
        foreign: Collection[str] = (),
    ) -> None:
        self.hypermodel = hypermodel
        self.name = name
        fit = getattr(hypermodel.fit, "__func__", hypermodel.fit)
        self.trains_itself = fit is not keras_tuner.HyperModel.fit
        self.ends: list[tuple[Any, ...]] = []
        # Each thread has one, and a chief proposes in threads of its own.
        self._dtype_policy = keras.config.dtype_policy()
        self._foreign = frozenset(foreign)
        self._reported: set[str] = set()

    def own(self, hp: keras_tuner.HyperParameters) -> list[Any]:
        """The hyperparameters that are of the network or its training."""
        return [entry for entry in hp.space if entry.name not in self._foreign]

    def read(
        self, entries: Sequence[Any], values: Mapping[str, Any]
    ) -> tuple[dict[str, Any], Reading, list[Any]]:
        """Builds a network and reads it.

        Args:
            entries: Hyperparameters that are known.
            values: Those chosen; others have their defaults.

        Returns:
            All values it was built with, what was read, and the
            hyperparameters known now.
        """
        hp = with_values(entries, values)
        hp.values = used = _Used(hp.values)
        rows, identity, reason = None, None, ""
        try:
            model, sets_weights = outline(lambda: self._build(hp))
            rows = self._rows_of(model)
            if not (sets_weights or self.trains_itself):
                identity = _identity(model, rows)
        except Exception as error:
            rows, reason = None, f"`build` says {type(error).__name__}: {error}"
        chosen = dict(dict.items(used))
        names = frozenset(chosen) - self._foreign
        if not self.trains_itself:
            names &= used.names
        return chosen, Reading(rows, reason, identity, names), self.own(hp)

    def _build(self, hp: keras_tuner.HyperParameters) -> Any:
        keras.config.set_dtype_policy(self._dtype_policy)  # for an `outline`
        return self.hypermodel.build(hp)

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
        self.ends = self.ends or ends
        if ends != self.ends:
            raise ValueError(
                "All models must have inputs and outputs of one shape. "
                f"Received: {ends[0]} and {ends[1]}, where that of the default "
                f"values has {self.ends[0]} and {self.ends[1]}."
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


def with_values(
    entries: Sequence[Any], values: Mapping[str, Any]
) -> keras_tuner.HyperParameters:
    """Hyperparameters with some values; others have their defaults."""
    hp = keras_tuner.HyperParameters()
    hp.values = dict(values)
    hp.merge(list(entries), overwrite=False)
    return hp


def _noting(look_up: Callable[..., Any]) -> Callable[..., Any]:
    def noting(values: _Used, *key: Any) -> Any:
        values.names.update(key[:1] or dict.keys(values))
        return look_up(values, *key)

    return noting


class _Used(dict[str, Any]):
    """Values of hyperparameters that note which of them are looked up."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.names: set[str] = set()

    __getitem__: Any = _noting(dict.__getitem__)
    get: Any = _noting(dict.get)
    # These look up all.
    __iter__: Any = _noting(dict.__iter__)
    keys: Any = _noting(dict.keys)
    items: Any = _noting(dict.items)
    values: Any = _noting(dict.values)


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
    return digest(rows, text)


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


def digest(rows: np.ndarray, text: str = "") -> str:
    """Tells layers, and a text on their training, from others."""
    return hashlib.sha256(rows.tobytes() + text.encode()).hexdigest()[:24]
