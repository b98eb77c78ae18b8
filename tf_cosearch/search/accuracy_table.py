"""Accuracies that somebody else trained, instead of trainings.

A table is a JSON file. Ours says what the networks of a space choose, in the
order of `parameters`, and what each of their trainings reached, as shares of 1:

    {"parameters": ["stage1/block1/operator", "stage1/block2/operator"],
     "networks": [{"choices": [0, 1], "accuracies": [0.91, 0.92, 0.9]}, ...]}

With `"task": "segmentation"` they are of that task, and else of the one that
the description of the space says.

NAS-Bench-Macro's own file is read as well: accuracies in percent by the digits
of a network, with its multiply-accumulates and parameters, which must be those
that the space has for it:

    {"01201201": {"test_acc": [91.2, 91.0, 91.3],
                  "flops": 47327744, "params": 890666, ...}, ...}

Every network of the space must be there. A trial takes as many of a network's
trainings as it has executions, drawn without putting back by the seed of the
trial: one, which is noisy like a training of its own, unless told, and as many
as there are for their mean.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from tf_cosearch import configuration, schema, text
from tf_cosearch.identity import CLASS
from tf_cosearch.networks.spaces.template import Template
from tf_cosearch.networks.workload import LayerTable

if TYPE_CHECKING:
    import pathlib

    from tf_cosearch.search.space import SearchSpace

ACCURACY = "accuracy_table"
"""What the accuracy of a table is called in a trial."""

Genes = tuple[int, ...]


class _Entry(TypedDict):
    choices: list[Any]
    accuracies: list[float]


class _OfSpace(TypedDict):
    parameters: list[str]
    networks: list[_Entry]


class _Table(_OfSpace, total=False):
    task: str


class _Trained(TypedDict):
    test_acc: list[float]


class _MacroEntry(_Trained, total=False):
    flops: int
    params: int


class AccuracyTable:
    """What trainings of all networks of a space have reached.

    Args:
        path: A JSON file of one of the formats above.
        space: Whose networks they are.

    Attributes:
        trainings: How many there are of each network, at least.
        digest: Tells the accuracies from others.

    Raises:
        FileNotFoundError: If there is no such file.
        TypeError: If it is no path.
        ValueError: If it is damaged, of another space, lacks a network, or an
            accuracy is out of its range.
    """

    def __init__(
        self, path: str | os.PathLike[str], space: SearchSpace
    ) -> None:
        self._path = configuration.path("accuracy_table", path)
        self._space = space
        if getattr(space.network_space, "hypermodel", None) is not None:
            raise ValueError(
                "`accuracy_table` must be of a space's networks. Received: a "
                "model of your own beside it. Give the space that the table is "
                "of."
            )
        content = _read(self._path)
        try:
            self._require_task(content.get("task"))
            own = self._own if "networks" in content else self._macro
            self._known = self._by_network(own(content))
        except ValueError as error:
            raise ValueError(
                f"{self._path} must be a table of accuracies of the space "
                f"{space.name}, see `search/accuracy_table.py`. {error}"
            ) from None
        self.trainings = min(map(len, self._known.values()))
        text = json.dumps(sorted(self._known.items()))
        self.digest = hashlib.sha256(text.encode()).hexdigest()[:16]

    @classmethod
    def of(
        cls, given: str | os.PathLike[str] | AccuracyTable, space: SearchSpace
    ) -> AccuracyTable:
        """The table of a space that is in a file, or one that was read.

        Raises:
            ValueError: If it was read for another space, or cannot be read.
        """
        if not isinstance(given, AccuracyTable):
            return cls(given, space)
        if given._space is not space:
            raise ValueError(
                "`accuracy_table` must be of the space that is searched. "
                f"Received: one of {given._space.name}. Read it for this one."
            )
        return given

    def accuracies(self, genome: np.ndarray) -> tuple[float, ...]:
        """What each training of the network of a design has reached.

        Args:
            genome: `[P]` canonical choice indices, or the network's alone.

        Returns:
            Shares of 1.
        """
        genes = genome[: self._space.num_network_parameters].tolist()
        return self._known[tuple(genes)]

    def drawn(self, genome: np.ndarray, seed: int, count: int) -> list[float]:
        """What some of its trainings have reached.

        Args:
            genome: The same.
            seed: Makes the draw repeatable.
            count: How many, at most `trainings`; none is drawn twice.

        Returns:
            Shares of 1.
        """
        known = self.accuracies(genome)
        order = np.random.default_rng(seed).permutation(len(known))
        return [known[i] for i in order[:count]]

    def conditions(self, executions: int) -> dict[str, dict[str, Any]]:
        """`data` and `training` of the `Identity` of a search with it."""
        return {
            "data": {ACCURACY: self.digest},
            "training": {
                CLASS: type(self).__name__,
                "executions_per_trial": executions,
            },
        }

    def _by_network(
        self, entries: Iterator[tuple[Genes, list[float]]]
    ) -> dict[Genes, tuple[float, ...]]:
        networks = self._space.network_space
        known: dict[Genes, tuple[float, ...]] = {}
        for genes, shares in entries:
            if not shares:
                raise ValueError(
                    "Each network must have an accuracy. Received: none of "
                    f"{self._told(genes)}."
                )
            first = known.setdefault(networks.canonical(genes), tuple(shares))
            if first != tuple(shares):
                raise ValueError(
                    "A network must have the same accuracies wherever it "
                    f"stands. Received: {first} and {tuple(shares)} of "
                    f"{self._told(genes)}."
                )
        lacking = networks.count() - len(known)
        if lacking:
            raise ValueError(
                "It must have all networks of the space. Received: it lacks "
                f"{lacking:,} of {networks.count():,}, for example "
                f"{self._told(self._missing(known))}."
            )
        return known

    def _missing(self, known: Mapping[Genes, Any]) -> Genes:
        """A network that a table lacks."""
        parameters = self._parameters
        genomes = itertools.product(
            *(range(len(p.choices)) for p in parameters)
        )
        canonical = map(self._space.network_space.canonical, genomes)
        return next(genes for genes in canonical if genes not in known)

    @property
    def _parameters(self) -> Sequence[Any]:
        return self._space.parameters[: self._space.num_network_parameters]

    def _told(self, genes: Genes) -> list[Any]:
        pairs = zip(self._parameters, genes, strict=True)
        return [parameter.choices[gene] for parameter, gene in pairs]

    def _require_task(self, told: Any) -> None:
        """Refuses what was trained for something else."""
        networks = self._space.network_space
        if not isinstance(networks, Template):
            return
        described, task = networks.described_task, networks.task
        if told != task.name and (told is not None or task != described):
            of = f"of {told!r}" if told else "without `task`"
            raise ValueError(
                f"Its `task` must be {task.name!r}, which the networks are "
                f"for. Received: a table {of}, and a space whose description "
                f"says {described.name!r}. Only what was trained for it can "
                "tell how good they are."
            )

    def _own(self, content: Any) -> Iterator[tuple[Genes, list[float]]]:
        schema.check(content, _Table)
        names = [parameter.name for parameter in self._parameters]
        if content["parameters"] != names:
            raise ValueError(
                f"Its parameters must be {_short(names)}. Received: "
                f"{_short(content['parameters'])}."
            )
        for entry in content["networks"]:
            yield (
                self._genes(entry["choices"]),
                _checked(entry["accuracies"], 1, entry["choices"]),
            )

    def _genes(self, choices: Sequence[Any]) -> Genes:
        if len(choices) != len(self._parameters):
            raise ValueError(
                f"A network must have {len(self._parameters)} choices. "
                f"Received: {_short(choices)}."
            )
        genes = []
        for parameter, choice in zip(self._parameters, choices, strict=True):
            if choice not in parameter.choices:
                raise ValueError(
                    f"{parameter.name} must be one of "
                    f"{', '.join(map(str, parameter.choices))}. Received: "
                    f"{choice!r}."
                )
            genes.append(parameter.choices.index(choice))
        return tuple(genes)

    def _macro(self, content: Any) -> Iterator[tuple[Genes, list[float]]]:
        schema.check(content, dict[str, _MacroEntry])
        for parameter in self._parameters:
            if parameter.name.rpartition("/")[2] != "operator":
                raise ValueError(
                    "NAS-Bench-Macro's format must be of networks that choose "
                    f"operators alone. Received: {parameter.name}, which the "
                    "space chooses, too. Write the table in our format."
                )
        known = [
            {str(operator): gene for gene, operator in enumerate(p.choices)}
            for p in self._parameters
        ]
        for digits, entry in content.items():
            if len(digits) != len(known) or not all(
                digit in some for digit, some in zip(digits, known, strict=True)
            ):
                raise ValueError(
                    "Its keys must be a digit for each of the "
                    f"{len(known)} choices of a network, the operator. "
                    f"Received: {_short(digits)}. NAS-Bench-Macro's is of the "
                    "space nas_bench_macro."
                )
            pairs = zip(digits, known, strict=True)
            genes = tuple(some[digit] for digit, some in pairs)
            self._require_size(genes, digits, entry)
            yield genes, _checked(entry["test_acc"], 100, digits)
        best = max(max(e["test_acc"], default=0) for e in content.values())
        if best <= 1:
            raise ValueError(
                "test_acc must be in percent. Received: "
                f"{best} as the largest, as if it were shares of 1."
            )

    def _require_size(
        self, genes: Genes, digits: str, entry: Mapping[str, Any]
    ) -> None:
        """Refuses a network of another size than that of the space."""
        rows = self._space.network_space.rows(genes).astype(np.float64)
        table = LayerTable(*rows.T)
        weights = table.operand_elements()
        biases = table.use_bias * table.out_c
        sizes = {
            "flops": table.macs().sum(),
            # Batch norms, which all but the classifier have, are one bias a
            # channel here, as they are folded; there they have a factor, too.
            "params": weights.sum() + biases.sum() + biases[:-1].sum(),
        }
        for name, size in sizes.items():
            if name in entry and entry[name] != round(size):
                raise ValueError(
                    f"{name} of {digits} must be {size:,.0f}, as the space has "
                    f"it. Received: {entry[name]:,}."
                )


def _read(path: pathlib.Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(
            f"A table of accuracies must exist. Received: {path}. "
            "NAS-Bench-Macro's is at github.com/xiusu/NAS-Bench-Macro."
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = text.line(error, 200)
        raise ValueError(f"{path} must be JSON. Received: {reason}.") from None
    if not isinstance(content, dict) or not content:
        raise ValueError(
            f"{path} must hold an object of networks. Received: "
            f"{_short(content)}."
        )
    return content


def _checked(values: list[float], most: int, network: Any) -> list[float]:
    """Accuracies as shares of 1."""
    for value in values:
        if not 0 <= value <= most:  # nor NaN, which Python's JSON has
            raise ValueError(
                f"Accuracies must be from 0 to {most}. Received: {value} of "
                f"{_short(network)}."
            )
    return [value / most for value in values]


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
