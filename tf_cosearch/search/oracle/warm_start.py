"""What an earlier search found out, for one that need not train it again."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from absl import logging
from keras_tuner.engine.trial import TrialStatus

from tf_cosearch import configuration, files
from tf_cosearch.identity import Identity
from tf_cosearch.search import space as space_lib
from tf_cosearch.search.genomes import conditional, of_values
from tf_cosearch.search.hardware import as_chosen
from tf_cosearch.search.oracle.known_trials import (
    KNOWN,
    KnownDesign,
    files_of,
)
from tf_cosearch.search.oracle.state import SearchState
from tf_cosearch.search.oracle.trial_files import read_trials

if TYPE_CHECKING:
    from tf_cosearch.search.space import SearchSpace

STATE = "oracle.json"
RULE = (
    "An earlier search must be of the same space, data and training, or "
    "accuracies cannot be compared"
)
"""What must hold of it."""

_STATUSES = (KNOWN, *(v for k, v in vars(TrialStatus).items() if k.isupper()))


class EarlierSearch(NamedTuple):
    """What is left of an earlier search.

    Attributes:
        source: Its folder or file.
        identity: What its trials have in common, `None` if it does not say.
        designs: Those that it finished.
    """

    source: pathlib.Path
    identity: Identity | None
    designs: list[KnownDesign]

    def require_comparable(self, now: Identity) -> None:
        """Makes sure that its accuracies may stand beside those of a run.

        Its costs may not: they are of that run, whoever measured here.

        Args:
            now: Identity of the run.

        Raises:
            AnotherRunError: If it is of other data, or another training.
        """
        if self.identity is None or self.identity.training is None:
            logging.warning(
                "%s does not say which data and training its accuracies "
                "are of; they are taken to be the same as here.",
                self.source,
            )
        if self.identity is not None:
            before = dataclasses.replace(self.identity, evaluator=None)
            now.require_same(before, RULE, self.source, "no warm start")


def require_outside(
    path: str | os.PathLike[str], project: str | os.PathLike[str]
) -> None:
    """Makes sure that overwriting a project leaves a warm start alone.

    Args:
        path: What to start from.
        project: What is deleted.

    Raises:
        ValueError: If the one is part of the other.
    """
    if os.path.realpath(project) in (
        os.path.realpath(path),
        os.path.dirname(os.path.realpath(path)),
    ):
        raise ValueError(
            "A warm start must not be from a search that is overwritten. "
            f"Received: {path}. Choose another folder for the new search."
        )


def read(
    path: str | os.PathLike[str], space: SearchSpace, metrics: Sequence[str]
) -> EarlierSearch:
    """Reads the finished trials of an earlier search of the same space.

    Args:
        path: Its folder, or its trials.csv. A trials.csv on its own has
            results, but neither weights nor the data they were trained on.
        space: What is searched now.
        metrics: What every trial must have measured.

    Returns:
        The `EarlierSearch`; of a design that is there twice, the last.

    Raises:
        FileNotFoundError: If there is no such folder or file.
        ValueError: If it is that of another space, is damaged, or holds no
            finished trial.
    """
    path = configuration.path("warm_start", path)
    folder = path if path.is_dir() else path.parent
    if not path.exists() or not (path.is_dir() or path.suffix == ".csv"):
        raise FileNotFoundError(
            "An earlier search must be given by its folder, or by its "
            f"trials.csv. Received: {path}, which is neither."
        )
    has_state = any(folder.glob(f"{STATE}*"))  # or its copy
    if path.is_dir() and not has_state:
        raise FileNotFoundError(
            "An earlier search must be given by its folder. Received: "
            f"{path}, which has no {STATE}. Give its trials.csv if that is "
            "all there is."
        )
    identity, trained = None, {}
    if has_state:
        identity = _identity(path, space)
        trained = _trained(folder, space, metrics)
    finished = list(trained.values())
    if not path.is_dir():
        finished = _rows(path, space, metrics, trained)
    designs = {design.genome.tobytes(): design for design in finished}
    if not designs:
        raise ValueError(
            "An earlier search must have finished trials. Received: none in "
            f"{path}. Give another one, or none."
        )
    return EarlierSearch(path, identity, list(designs.values()))


def _identity(path: pathlib.Path, space: SearchSpace) -> Identity | None:
    """What trials have in common, once the space is known to be this one."""
    folder = path if path.is_dir() else path.parent
    try:
        state, wrong = files.read_json(folder / STATE, SearchState)
    except ValueError as error:
        state, wrong = None, str(error)
    if state is None or not state.keys() & SearchState.__annotations__:
        raise ValueError(
            "An earlier search must be one of this package. Received: "
            f"{folder}, whose {STATE} is none of it ({wrong or 'others keys'})."
        )
    if "identity" in state:
        identity = Identity.from_state(state["identity"])
        now = Identity(space_lib.describe(space))
        now.require_same(identity, RULE, path, "no earlier search")
        return identity
    if path.is_dir():
        raise ValueError(
            "An earlier search must be of this version. Received: "
            f"{folder}, of an earlier one. Give its trials.csv instead."
        )
    return None


def _trained(
    folder: pathlib.Path, space: SearchSpace, metrics: Sequence[str]
) -> dict[str, KnownDesign]:
    """The finished trials of a folder, by id."""
    designs = {}
    for trial_id, trial in read_trials(folder)[0].items():
        if trial.status != TrialStatus.COMPLETED:
            continue
        home = folder / f"trial_{trial_id}"
        values = trial.hyperparameters.values
        measured = {
            name: float(trial.metrics.get_best_value(name))
            for name in trial.metrics.metrics
        }
        for name in metrics:
            if not math.isfinite(measured.get(name, math.nan)):
                raise ValueError(
                    "Every trial of an earlier search must have measured "
                    f"{name}. Received: {home}, with "
                    f"{', '.join(measured) or 'nothing'}. Use the objective "
                    "of that search."
                )
        try:
            genome = of_values(space, values)
        except (ValueError, KeyError) as error:
            raise ValueError(
                f"{home} must be of a design of the space. Received: {error}"
            ) from None
        design = KnownDesign(genome, dict(values), measured, home)
        has_files = any(files_of(design))
        designs[trial_id] = (
            design if has_files else design._replace(folder=None)
        )
    return designs


def _rows(
    path: pathlib.Path,
    space: SearchSpace,
    metrics: Sequence[str],
    trained: Mapping[str, KnownDesign],
) -> list[KnownDesign]:
    """The finished trials of a trials.csv, with their files if they lie by."""
    designs = []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, strict=True)
            _check_columns(path, reader.fieldnames or (), space, metrics)
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                design = _row(row, where, space, metrics)
                if design is not None:
                    by = trained.get(row["trial_id"])
                    same = by and (by.genome == design.genome).all()
                    designs.append(by if by and same else design)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"{path} must be CSV. Received: {error}. Give the trials.csv of a "
            "search."
        ) from None
    return designs


def _check_columns(
    path: pathlib.Path,
    columns: Sequence[str],
    space: SearchSpace,
    metrics: Sequence[str],
) -> None:
    names = [parameter.name for parameter in space.parameters]
    for name in ("trial_id", "status", *metrics):
        if name not in columns:
            raise ValueError(
                f"{path} must have a column {name}. Received: "
                f"{', '.join(columns) or 'nothing'}. Give the trials.csv of a "
                "search."
            )
    lacking = [name for name in names if name not in columns]
    unknown = [name for name in columns if "/" in name and name not in names]
    if lacking or unknown:
        raise ValueError(
            "An earlier search must be of the same space. Received: "
            f"{path}, "
            + (
                f"which lacks the column {lacking[0]}"
                if lacking
                else f"whose column {unknown[0]} the space does not have"
            )
            + ". Use that space, or no earlier search."
        )


def _row(
    row: Mapping[str, Any],
    where: str,
    space: SearchSpace,
    metrics: Sequence[str],
) -> KnownDesign | None:
    """The design of a row, if it was finished."""
    if None in row or None in row.values():
        cells = sum(value is not None for value in row.values())
        raise ValueError(
            f"{where} must have a cell for each column. Received: "
            f"{'more' if None in row else f'{cells} cells'}. Restore the file."
        )
    if row["status"] not in _STATUSES:
        raise ValueError(
            f"status in {where} must be one of {', '.join(_STATUSES)}. "
            f"Received: {row['status']!r}. Restore the file."
        )
    if row["status"] not in (TrialStatus.COMPLETED, KNOWN):
        return None
    optional = conditional(space)
    values = {
        p.name: _choice(
            str(as_chosen(*p, row[p.name])), p.choices, f"{p.name} in {where}"
        )
        for p in space.parameters
        if row[p.name] or p.name not in optional
    }
    measured = {
        name: configuration.number(row[name], f"{name} in {where}")
        for name in row
        if name in metrics
        or (name.startswith(("accuracy", "seconds")) and row[name])
    }
    return KnownDesign(of_values(space, values), values, measured, None)


def _choice(text: str, choices: Sequence[Any], where: str) -> Any:
    for choice in choices:
        if text == str(choice):
            return choice
        with contextlib.suppress(TypeError, ValueError):
            if float(text) == float(choice):  # 1 may be written as 1.0
                return choice
    raise ValueError(
        f"{where} must be one of {', '.join(map(str, choices))}. Received: "
        f"{text!r}. Restore the file, or use the space of that search."
    )
