"""What papers found, asked of this system: one file an experiment.

An experiment is a function of a `Setting`, found by scan:

    @experiment(paper="Shi et al., arXiv 2010.02075", question="Does ...?")
    def codesign_edp(setting):
        ...
        return Findings(rows, holds, verdict, draw)

With `accuracies=("table", "data")` it takes those of a table, and those of
trainings of its own, where a setting has one.

Its `rows` become NAME.csv, what it draws NAME.png, and its verdict one line:
whether what the paper says holds here, by how much, on how many seeds. The
short form takes a minute or two of a core; figures of it, and of long forms
where it says so, are in `README.md` beside this file.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pathlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from tf_cosearch import configuration, files, text


@dataclasses.dataclass(frozen=True)
class Setting:
    """How an experiment is done.

    Attributes:
        is_short: Whether it is the short form.
        seeds: Repetitions of what is random.
        table: A table of NAS-Bench-Macro's accuracies; without one, they are
            made up, and the verdict says so.
        data: What `datasets.load` takes: networks are trained on it.
        folder: Where their accuracies are kept, for other experiments.
        trainings_per_process: After how many trainings the process starts anew,
            by its own command, as each leaves memory behind; None for never.
    """

    is_short: bool = True
    seeds: int = 2
    table: pathlib.Path | None = None
    data: str | None = None
    folder: pathlib.Path | None = None
    trainings_per_process: int | None = None


class Findings(NamedTuple):
    """What an experiment found.

    Attributes:
        rows: Of its CSV: values by column, all with the same columns.
        holds: Whether what the paper says holds here.
        verdict: By how much, in words, as the end of a sentence.
        draw: Draws it to a file, a picture for a slide.
        seeds: How many it is of; 0 where nothing is random.
    """

    rows: Sequence[Mapping[str, Any]]
    holds: bool
    verdict: str
    draw: Callable[[pathlib.Path], None]
    seeds: int = 0


class Experiment(NamedTuple):
    """A question of a paper, and how it is asked here.

    Attributes:
        name: The name of its function.
        paper: Whose question it is.
        question: What is asked.
        function: Asks it.
        accuracies: What of a setting it takes accuracies from, `table` and
            `data`, beside making them up.
    """

    name: str
    paper: str
    question: str
    function: Callable[[Setting], Findings]
    accuracies: tuple[str, ...] = ()

    def line(self, found: Findings) -> str:
        """The verdict."""
        holds = "holds" if found.holds else "does NOT hold"
        seeds = f"{found.seeds} seed{'s' * (found.seeds != 1)}"
        how = seeds if found.seeds else "nothing random"
        return f"{self.name} {holds} ({how}): {found.verdict}"


_EXPERIMENTS: dict[str, Experiment] = {}


def experiment(
    *, paper: str, question: str, accuracies: Sequence[str] = ()
) -> Callable[[Callable[[Setting], Findings]], Callable[[Setting], Findings]]:
    """Registers an experiment under the name of its function.

    Args:
        paper: Whose question it is.
        question: What is asked.
        accuracies: See `Experiment`.

    Returns:
        A decorator, which returns the function as it is.

    Raises:
        ValueError: If another function has the name.
        TypeError: If it is no function of a setting alone.
    """

    def register(
        function: Callable[[Setting], Findings],
    ) -> Callable[[Setting], Findings]:
        name = function.__name__
        other = _EXPERIMENTS.get(name)
        if other and other.function.__module__ != function.__module__:
            raise ValueError(
                f"Experiment {name!r} is already registered by "
                f"{other.function.__module__}. Choose another function name."
            )
        if list(inspect.signature(function).parameters) != ["setting"]:
            raise TypeError(
                "An experiment must be a function of `setting`. Received: "
                f"{name}{inspect.signature(function)}."
            )
        _EXPERIMENTS[name] = Experiment(
            name, paper, question, function, tuple(accuracies)
        )
        return function

    return register


def names() -> list[str]:
    """Sorted names of all experiments."""
    return sorted(_EXPERIMENTS)


def get(name: str) -> Experiment:
    """Finds an experiment by its name.

    Raises:
        ValueError: If there is none; names a close one.
    """
    if name not in _EXPERIMENTS:
        raise configuration.unknown("experiment", name, _EXPERIMENTS)
    return _EXPERIMENTS[name]


def taking(accuracies: str) -> list[str]:
    """Sorted names of those that take accuracies from a `table` or `data`."""
    return [name for name in names() if accuracies in get(name).accuracies]


def reproduce(name: str, setting: Setting, folder: pathlib.Path) -> str:
    """Does an experiment and leaves its CSV, picture and verdict.

    Args:
        name: One of `names()`.
        setting: How.
        folder: Where `NAME.csv`, `NAME.png` and `NAME.txt` go.

    Returns:
        The verdict.

    Raises:
        ValueError: If there is no experiment of that name.
    """
    asked = get(name)
    # What it is not declared to take it does not get: nothing is trained that
    # nobody asked for.
    takes = asked.accuracies
    setting = dataclasses.replace(
        setting,
        table=setting.table if "table" in takes else None,
        data=setting.data if "data" in takes else None,
    )
    found = asked.function(setting)
    csv = text.comma_separated(found.rows)
    files.write_text(folder / f"{name}.csv", csv)
    found.draw(folder / f"{name}.png")
    line = asked.line(found)
    files.write_text(folder / f"{name}.txt", f"{line}\n")
    return line


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
