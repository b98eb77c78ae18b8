"""Which hyperparameters a user's hypermodel has, found by building networks."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import keras_tuner

from tf_cosearch.networks.spaces.choices import Choices
from tf_cosearch.networks.spaces.network_space import Genes
from tf_cosearch.networks.spaces.reading import Reader, Reading, with_values

MOST_PROBES = 64
"""Builds that look for hyperparameters before a search begins."""


def discover(
    reader: Reader, known: Sequence[Any] = ()
) -> tuple[Choices, list[tuple[Genes, Reading]]]:
    """Builds networks until no further hyperparameter shows.

    First with default values, then with every word and the largest of every
    number, each under the conditions that it needs.

    Args:
        reader: Of the hypermodel.
        known: Hyperparameters that bring in no others.

    Returns:
        The choices of all hyperparameters, and what was built.

    Raises:
        ValueError: If the network of the default values cannot be built,
            priced and trained.
    """
    declared = keras_tuner.HyperParameters()
    declared.merge(list(known))
    reader.hypermodel.declare_hyperparameters(declared)
    entries = reader.own(declared)
    names = {entry.name for entry in known}
    built: list[tuple[dict[str, Any], Reading]] = []
    probe: dict[str, Any] | None = {}
    while probe is not None and len(built) < MOST_PROBES:
        values, reading, entries = reader.read(entries, probe)
        if not built and reading.rows is None:
            raise ValueError(
                "The model of the default hyperparameters must be one "
                f"that can be priced and trained. Received: {reader.name}, "
                f"of which {reading.reason}"
            )
        if not built and reader.trains_itself:
            entries = _declared_by_fit(reader, entries)
        built.append((values, reading))
        choices = Choices(entries)
        probe = _next_probe(choices, names, [values for values, _ in built])
    return choices, [(choices.genes(v), reading) for v, reading in built]


def _declared_by_fit(reader: Reader, entries: Sequence[Any]) -> list[Any]:
    """Adds what `fit` declares before it begins to train.

    It is called with a stand-in for the model, which ends it.
    """
    hp = with_values(entries, {})
    fit = reader.hypermodel.fit
    needed = [
        parameter.name
        for parameter in inspect.signature(fit).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind
        in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]
    stand_ins = {name: StandIn() for name in needed[2:]}
    with contextlib.suppress(Exception):
        fit(hp, StandIn(), **stand_ins)
    return reader.own(hp)


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
    done = {
        choices.settle(choices.genes({**choices.defaults, **values}))[0]
        for values in built
    }
    for probe in choices.probes(choices.genes(choices.defaults), known):
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
