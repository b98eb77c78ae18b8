"""What the folder of a search says of it, as plain values for a page.

All of it is read from files, of a search that has ended or still goes on: the
page that a search leaves and one that is made of its folder later are alike.
"""

from __future__ import annotations

import contextlib
import csv
import math
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from keras_tuner.engine.trial import Trial, TrialStatus

from tf_cosearch import files, metrics, text
from tf_cosearch.designs import report, run_file
from tf_cosearch.search import pareto
from tf_cosearch.search.oracle.durable import reason, reported
from tf_cosearch.search.oracle.known_trials import KNOWN, is_known
from tf_cosearch.search.oracle.state import SearchState
from tf_cosearch.search.oracle.trial_files import read_trials

FINISHED = ("COMPLETED", KNOWN)

_FAILED = (TrialStatus.FAILED, TrialStatus.INVALID)
_ABOUT = ("trial_id", "status")
_LONGEST = 500  # characters of a text that are kept
_DIGITS = 6  # of a number; a page shows fewer

Row = Mapping[str, Any]


class Run(NamedTuple):
    """A search as its folder tells it.

    Attributes:
        folder: Of the search.
        columns: What is known of trials; the columns of trials.csv first.
        rows: Values by column, a row a trial in the order of their numbers;
            what a trial did not get to is left out.
        failures: Why trials failed, by id.
        origins: Who proposed trials, and of which others they were made, by
            id.
        accuracy: The column that designs are chosen by.
        compared: Costs that they are compared by.
        best: Ids of the finished trials: those within the budgets first, then
            by reward.
        front: Those within the budgets that no other one beats in accuracy
            and all of these costs, in the same order.
        state: What `oracle.json` says of the search; may be empty.
        flags: Those of the command that began it; may be empty.
        wrong: What cannot be read, in words.
    """

    folder: pathlib.Path
    columns: list[str]
    rows: list[dict[str, Any]]
    failures: dict[str, str]
    origins: dict[str, tuple[str, list[str]]]
    accuracy: str
    compared: list[str]
    best: list[str]
    front: list[str]
    state: Mapping[str, Any]
    flags: Mapping[str, Any]
    wrong: list[str]

    @property
    def chosen(self) -> str | None:
        """The finished trial of highest reward within the budgets, if any."""
        within = {row["trial_id"] for row in self.rows if is_within(row)}
        return next((i for i in self.best[:1] if i in within), None)

    @property
    def settings(self) -> Mapping[str, Any]:
        """How the search was told to go about it; may be empty."""
        return self.state.get("settings", {})


def read(folder: str | os.PathLike[str]) -> Run:
    """Reads the folder of a search, which may still be going.

    What is damaged is left out, and named in `wrong`.

    Args:
        folder: Of the search.

    Raises:
        FileNotFoundError: If it holds no trials.
    """
    folder = pathlib.Path(folder)
    wrong: list[str] = []
    columns, table = _table(folder / "trials.csv", wrong)
    trials, damaged = read_trials(folder)
    if not trials and not table:
        raise FileNotFoundError(
            f"A run must have trials. Received: {folder}, which holds none. "
            "Give the folder that a search was told as its --output_dir; if "
            "it has just begun, wait for its first trial."
        )
    wrong += [
        f"trial.json of {each.trial_id}, but its copy" for each in damaged
    ]
    state = _content(folder / "oracle.json", SearchState, wrong)
    command = _content(folder / run_file.NAME, run_file.Run, [])
    chosen = [n for t in trials.values() for n in t.hyperparameters.values]
    rows = [_row(trial, table.pop(i, {})) for i, trial in trials.items()]
    rows += table.values()  # whose folders are gone
    finished = [row for row in rows if row["status"] in FINISHED]
    accuracy = _accuracy(finished, state.get("settings", {}))
    compared = _compared(finished, state.get("settings", {}))
    best = [row["trial_id"] for row in sorted(finished, key=_rank)]
    known = [*_ABOUT, *(columns or report.trial_columns()), accuracy, *chosen]
    filled = {name for row in rows for name in row}
    return Run(
        folder,
        [name for name in dict.fromkeys(known) if name in filled],
        rows,
        {
            trial.trial_id: text.line(reason(trial), _LONGEST)
            for trial in trials.values()
            if trial.status in _FAILED
        },
        {
            trial.trial_id: origin
            for trial in trials.values()
            if (origin := _origin(trial)) is not None
        },
        accuracy,
        compared,
        best,
        _front(sorted(finished, key=_rank), accuracy, compared),
        state,
        command.get("flags", {}),
        wrong,
    )


def is_within(row: Row) -> bool:
    """Whether a trial meets the budgets, or nothing says that it does not."""
    return row.get("feasible") != "False"


def _table(
    path: pathlib.Path, wrong: list[str]
) -> tuple[list[str], dict[str, dict[str, Any]]]:
    """Columns, and rows by trial, of trials.csv."""
    try:
        reader = csv.DictReader(path.read_text().splitlines())
        if "trial_id" not in (reader.fieldnames or ()):
            raise ValueError("no column trial_id")
        rows = [_plain(row.items()) for row in reader]
        ids = [row["trial_id"] for row in rows if row["status"]]
        return [*(reader.fieldnames or ())], dict(zip(ids, rows, strict=True))
    except FileNotFoundError:
        return [], {}
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        wrong.append(f"{path.name} ({type(error).__name__}: {error})")
        return [], {}


def _row(trial: Trial, told: Row) -> dict[str, Any]:
    """What is known of a trial.

    Args:
        trial: As its own file says.
        told: What trials.csv says of it, if it does.
    """
    status = KNOWN if is_known(trial) else str(trial.status)
    row: dict[str, Any] = dict(trial.hyperparameters.values)
    if status in FINISHED:
        row |= {**reported(trial), "reward": trial.score}
    if told.get("status") == status:  # else of an attempt before this one
        row |= told
    return _plain({**row, "trial_id": trial.trial_id, "status": status}.items())


def _origin(trial: Trial) -> tuple[str, list[str]] | None:
    """Who proposed a trial in words, and the ids of its parents."""
    if is_known(trial):
        return text.line(trial.message, _LONGEST), []
    origin = getattr(trial, "origin", None)
    if origin is None:
        return None
    words = text.line(f"{origin['by']}: {origin['how']}", _LONGEST)
    return words, [text.line(i, _LONGEST) for i in origin["parents"]]


def _plain(items: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
    """Values as JSON has them, of a few digits; without those that are none."""
    row: dict[str, Any] = {}
    for name, value in items:
        if name in _ABOUT:
            row[name] = text.line(value, _LONGEST)
            continue
        number = math.nan if isinstance(value, bool) else _number(value)
        if math.isfinite(number):
            short = float(f"{number:.{_DIGITS}g}")
            row[name] = int(short) if short.is_integer() else short
        elif value not in (None, "") and not isinstance(value, float):
            row[str(name)] = text.line(value, _LONGEST)
    return row


def _number(value: Any) -> float:
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        return float(value)
    return math.nan


def _content(path: pathlib.Path, kind: Any, wrong: list[str]) -> Row:
    try:
        content, damage = files.read_json(path, kind)
    except ValueError as error:
        content, damage = None, str(error)
    if damage:
        wrong.append(text.line(damage, _LONGEST))
    return content or {}


def _accuracy(finished: Sequence[Row], settings: Row) -> str:
    """The objective if trials have it, else what they are judged by."""
    objective = str(settings.get("objective"))
    if any(objective in row for row in finished):
        return objective
    return report.accuracy_of(finished[0] if finished else {})


def _compared(finished: Sequence[Row], settings: Row) -> list[str]:
    """Costs that are always compared, or have a budget, if all have them."""
    names = [*metrics.compared(), *settings.get("budgets", {})]
    return [
        name
        for name in dict.fromkeys(names)
        if name in metrics.names()
        and all(_is_number(row, name) for row in finished)
    ]


def _is_number(row: Row, name: str) -> bool:
    return isinstance(row.get(name), (int, float))


def _rank(row: Row) -> tuple[bool, float]:
    reward = row["reward"] if _is_number(row, "reward") else -math.inf
    return not is_within(row), -reward


def _front(
    ranked: Sequence[Row], accuracy: str, compared: Sequence[str]
) -> list[str]:
    rows = [r for r in ranked if is_within(r) and _is_number(r, accuracy)]
    points = [[-row[accuracy], *metrics.losses(row, compared)] for row in rows]
    mask = pareto.non_dominated(points) if points else ()
    return [
        row["trial_id"] for row, keep in zip(rows, mask, strict=True) if keep
    ]
