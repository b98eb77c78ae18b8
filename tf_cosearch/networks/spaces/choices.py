"""Hyperparameters of KerasTuner as choices: values to take, and when."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tf_cosearch.networks.spaces.network_space import Genes, Parameter

GRID = 33
"""Values of a number that KerasTuner draws from a whole range."""

MOST_VALUES = 1024
"""Values of a number with a step; of more, so many are taken."""


def values_of(entry: Any) -> tuple[Any, ...]:
    """The values that a search chooses among.

    Of a range without a step these are `GRID` values from end to end, as far
    from each other as its sampling says: with `log`, each is the same factor
    above the one before. The default value is always one.

    Args:
        entry: A hyperparameter of KerasTuner.

    Returns:
        Different values in their order.

    Raises:
        TypeError: If it is of a type that is not known.

    Example:
    >>> import keras_tuner
    >>> hp = keras_tuner.HyperParameters()
    >>> hp.Float("rate", 1e-4, 1e-2, sampling="log", default=1e-3)
    0.001
    >>> values_of(hp.space[0])[:2], len(values_of(hp.space[0]))
    ((0.0001, 0.000115478), 33)
    """
    if hasattr(entry, "sampling"):
        values = _numbers(entry)
    elif hasattr(entry, "values"):
        values = list(entry.values)
    else:
        raise TypeError(
            "A hyperparameter must be a Choice, Int, Float, Boolean or Fixed. "
            f"Received: {entry!r}."
        )
    return tuple(dict.fromkeys(values))


def _numbers(entry: Any) -> list[Any]:
    """Those of an Int or a Float."""
    kind = type(entry.min_value)
    if entry.step is not None:
        count = entry._get_n_values()
        places: Any = range(count)
        if count > MOST_VALUES:
            last = MOST_VALUES - 1
            places = [i * (count - 1) // last for i in range(MOST_VALUES)]
        # 0.1 + 0.2 is 0.3, which a user would ask for.
        exact = [entry._get_value_by_index(i) for i in places]
        values = [kind(float(f"{value:.12g}")) for value in exact]
    elif kind is int and entry.max_value - entry.min_value < GRID:
        values = list(range(entry.min_value, entry.max_value + 1))
    else:
        inner = [
            entry._sample_numerical_value(i / (GRID - 1))
            for i in range(1, GRID - 1)
        ]
        inner = [round(x) if kind is int else float(f"{x:.6g}") for x in inner]
        values = [entry.min_value, *inner, entry.max_value]
    if entry.default not in values:
        values = [*values, kind(entry.default)]
    return sorted(values)


MOST_CASES = 4096
"""Combinations of parameters that others depend on to count exactly."""


class _Entry(NamedTuple):
    """A hyperparameter under its conditions.

    Attributes:
        conditions: Places of other parameters, and the genes they must have.
        genes: Those it may have itself; the first one stands for all others.
    """

    conditions: tuple[tuple[int, frozenset[int]], ...]
    genes: tuple[int, ...]


class Choices:
    """Hyperparameters of KerasTuner, some of which depend on others.

    Args:
        entries: Hyperparameters of KerasTuner, those that others depend on
            first. Several of one name are one parameter, of which at most one
            is active.

    Attributes:
        entries: The same.
        parameters: A `Parameter` for each name.
        defaults: The default value of each, by name.

    Raises:
        TypeError: If a hyperparameter is of a type that is not known.
    """

    def __init__(self, entries: Sequence[Any]) -> None:
        self.entries = tuple(entries)
        self.defaults = {e.name: e.default for e in reversed(self.entries)}
        values: dict[str, tuple[Any, ...]] = {}
        for entry in entries:
            before = values.get(entry.name, ())
            values[entry.name] = tuple(
                dict.fromkeys((*before, *values_of(entry)))
            )
        self.parameters = tuple(Parameter(*item) for item in values.items())
        self._place = {p.name: i for i, p in enumerate(self.parameters)}
        self._entries: list[list[_Entry]] = [[] for _ in self.parameters]
        for entry in entries:
            place = self._place[entry.name]
            choices = self.parameters[place].choices
            genes = tuple(choices.index(value) for value in values_of(entry))
            conditions = tuple(map(self._condition, entry.conditions))
            self._entries[place].append(_Entry(conditions, genes))

    def _condition(self, condition: Any) -> tuple[int, frozenset[int]]:
        """Where a condition looks, and what it wants there."""
        place = self._place[condition.name]
        choices = self.parameters[place].choices
        genes = (i for i, v in enumerate(choices) if v in condition.values)
        return place, frozenset(genes)

    def settle(self, genes: Genes) -> tuple[Genes, tuple[bool, ...]]:
        """Genes without what their conditions rule out.

        Args:
            genes: Indices of the choices, one for each parameter.

        Returns:
            Genes that are 0 where no condition holds, and for each whether
            one does.
        """
        settled: list[int] = []
        active: list[bool] = []
        for gene, entries in zip(genes, self._entries, strict=True):
            entry = self._active(entries, settled, active)
            active.append(entry is not None)
            if entry is None:
                settled.append(0)
            else:
                settled.append(gene if gene in entry.genes else entry.genes[0])
        return tuple(settled), tuple(active)

    def values(self, genes: Genes) -> dict[str, Any]:
        """The values of those parameters that are active, by name."""
        settled, active = self.settle(genes)
        return {
            parameter.name: parameter.choices[gene]
            for parameter, gene, is_active in zip(
                self.parameters, settled, active, strict=True
            )
            if is_active
        }

    def genes(self, values: Mapping[str, Any]) -> Genes:
        """The inverse of `values`; 0 of parameters that it does not name."""
        return tuple(
            parameter.choices.index(values[parameter.name])
            if parameter.name in values
            else 0
            for parameter in self.parameters
        )

    def count(self) -> int:
        """Number of different `values`.

        Parameters that others depend on are enumerated; where these have more
        than `MOST_CASES` combinations, it is what it would be at most.

        Example:
        >>> import keras_tuner
        >>> hp = keras_tuner.HyperParameters()
        >>> _ = hp.Choice("kind", ["plain", "wide"])
        >>> condition = {"parent_name": "kind", "parent_values": ["wide"]}
        >>> width = hp.Int("width", 2, 4, **condition)
        >>> Choices(hp.space).count()
        4
        """
        counts = [len(parameter.choices) for parameter in self.parameters]
        parents = sorted(
            {
                place
                for entries in self._entries
                for entry in entries
                for place, _ in entry.conditions
            }
        )
        cases = math.prod(counts[place] for place in parents)
        if cases > MOST_CASES:
            return math.prod(counts)
        found: dict[Genes, int] = {}
        for chosen in itertools.product(*(range(counts[p]) for p in parents)):
            genes = [0] * len(counts)
            for place, gene in zip(parents, chosen, strict=True):
                genes[place] = gene
            settled, active = self.settle(tuple(genes))
            found[settled] = math.prod(
                self._free(place, settled, active)
                for place in range(len(counts))
                if place not in parents
            )
        return sum(found.values())

    def free(self, genes: Genes) -> tuple[bool, ...]:
        """Which parameters have another choice, as others are."""
        settled, active = self.settle(genes)
        return tuple(
            self._free(place, settled, active) > 1
            for place in range(len(genes))
        )

    def probes(
        self, default: Genes, without: Collection[str] = ()
    ) -> Iterator[Genes]:
        """Genes that show every word, and the largest of every number.

        Args:
            default: Genes of what is not looked at.
            without: Names of parameters not to look at.

        Yields:
            Those, then genes that differ in one parameter, and in those that
            it depends on.
        """
        yield default
        for place, entries in enumerate(self._entries):
            name, choices = self.parameters[place]
            is_word = isinstance(choices[0], (str, bool))
            if name in without:
                continue
            for entry in entries:
                for gene in entry.genes if is_word else entry.genes[::-1][:1]:
                    probe = list(default)
                    self._activate(probe, entry)
                    probe[place] = gene
                    yield tuple(probe)

    def _activate(self, genes: list[int], entry: _Entry) -> None:
        """Changes genes so that the conditions of a hyperparameter hold."""
        for place, wanted in entry.conditions:
            if wanted and genes[place] not in wanted:
                genes[place] = min(wanted)
            for parent in self._entries[place]:
                if genes[place] in parent.genes:
                    self._activate(genes, parent)
                    break

    def _free(self, place: int, settled: Genes, active: Sequence[bool]) -> int:
        """Number of genes that a parameter may have in a case."""
        entry = self._active(self._entries[place], settled, active)
        return 1 if entry is None else len(entry.genes)

    @staticmethod
    def _active(
        entries: Sequence[_Entry],
        settled: Sequence[int],
        active: Sequence[bool],
    ) -> _Entry | None:
        """The one of some entries whose conditions hold."""
        for entry in entries:
            if all(
                active[place] and settled[place] in wanted
                for place, wanted in entry.conditions
            ):
                return entry
        return None
