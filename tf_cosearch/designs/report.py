"""What a search tells: trials.csv, lines of progress, a summary."""

from __future__ import annotations

import contextlib
import csv
import json
import pathlib
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tf_cosearch import configuration, files, identity, metrics, tasks, text
from tf_cosearch.designs import evaluations, live_view, ongoing
from tf_cosearch.search import accuracy_table, measured
from tf_cosearch.search.oracle.known_trials import KNOWN, is_known
from tf_cosearch.search.oracle.oracle import CoSearchOracle

KEPT = "kept_"
"""Begins the names of what was measured of the execution whose file is kept."""

OF_FILE = "_int8"
"""Ends the names of metrics of an int8 file."""

STOPPED = "stopped_epoch"
"""The epoch after which a trial was stopped early."""

_ABOUT = ("trial_id", "status", "feasible", "reward")

PHASES = ("proposal", "build", "float", "qat", "conversion", "evaluation")
"""What the time of a trial goes into, beside its measurement if there is one.

Its `seconds` are the sum, over all of its executions.
"""


ACCURACIES = ("accuracy_int8", accuracy_table.ACCURACY)
"""What a trial may be judged by: its file, or a table of trainings."""


_LABELS = {"accuracy_int8": "int8", accuracy_table.ACCURACY: "table"}


def accuracy_of(known: Mapping[str, Any]) -> str:
    """Which of `ACCURACIES` a trial has.

    Example:
    >>> accuracy_of({"accuracy_int8": "", "accuracy_table": 0.91})
    'accuracy_table'
    """
    there = [name for name in ACCURACIES if known.get(name) not in (None, "")]
    return there[0] if there else ACCURACIES[0]


def score(space: Mapping[str, Any]) -> str:
    """What the accuracy of a search is, in words.

    Args:
        space: What `space.describe` gave, as run folders keep it.

    Returns:
        The metric of its task; `accuracy` of a model of the user's own, and of
        a task that is not known here.

    Example:
    >>> score({"task": {"class": "segmentation"}}), score({})
    ('mean intersection over union', 'accuracy')
    """
    task = dict(space.get("task") or {})
    with contextlib.suppress(TypeError, ValueError):
        return tasks.make({"name": task.pop(identity.CLASS, ""), **task}).metric
    return tasks.Task.metric


def score_of_run(folder: pathlib.Path) -> str:
    """The same as the folder of a search tells it, if that is one."""
    with contextlib.suppress(OSError, ValueError, TypeError, LookupError):
        state = json.loads((folder / "oracle.json").read_text())
        return score(state["identity"]["space"])
    return tasks.Task.metric


def trial_columns(costs: Sequence[str] = ()) -> list[str]:
    """Columns of trials.csv; every hyperparameter follows.

    Args:
        costs: What an evaluator measures.
    """
    return [*_ABOUT, *measured_columns(costs)]


def measured_columns(costs: Sequence[str] = ()) -> list[str]:
    """Names of all that trials report; not each trial has all of them.

    Args:
        costs: What an evaluator measures.
    """
    accuracies = metrics.accuracies()
    others = [name for name in metrics.names() if name not in accuracies]
    evaluated = measured.columns(costs)
    times = [f"seconds_{phase}" for phase in PHASES]
    return [
        *accuracies,
        *others,
        *evaluated,
        *times,
        "seconds",
        STOPPED,
    ]


def trial_rows(oracle: CoSearchOracle) -> list[dict[str, Any]]:
    """A row of trials.csv for each trial, in the order they were created.

    Args:
        oracle: The oracle of the search.

    Returns:
        Values by column; what a trial did not get to is empty.
    """
    rows = []
    measures: dict[str, dict[str, Any]] = {
        trial_id: oracle.trial_metrics(trial)
        for trial_id, trial in oracle.trials.items()
        if trial.hyperparameters.values
    }
    columns = measured_columns(oracle.measures)
    columns[len(metrics.accuracies()) : len(metrics.accuracies())] = _further(
        measures.values()
    )
    for trial in oracle.trials.values():
        values = trial.hyperparameters.values
        known = measures.get(trial.trial_id, {})
        if STOPPED in known:
            known[STOPPED] = int(known[STOPPED])
        feasible = bool(values) and bool(oracle.budgets.is_feasible(known))
        rows.append(
            {
                "trial_id": trial.trial_id,
                "status": KNOWN if is_known(trial) else trial.status,
                "feasible": feasible,
                "reward": "" if trial.score is None else trial.score,
                **{name: known.get(name, "") for name in columns},
                **{
                    p.name: values.get(p.name, "")
                    for p in oracle.space.parameters
                },
            }
        )
    return rows


def _further(measures: Iterable[Mapping[str, Any]]) -> list[str]:
    """Metrics of a task, or of a compiled model, beside the accuracy."""
    found = {name for each in measures for name in each}
    return sorted(
        name
        for name in found.difference(metrics.names())
        if name.endswith(OF_FILE) and not name.startswith(KEPT)
    )


def write_trials(
    path: pathlib.Path,
    rows: Sequence[Mapping[str, Any]],
    costs: Sequence[str] = (),
) -> None:
    """Writes trials.csv whole or not at all.

    Args:
        path: Where to.
        rows: What `trial_rows` gave.
        costs: What an evaluator measures.
    """
    files.write_text(path, text.comma_separated(rows, trial_columns(costs)))


def read_trials(path: pathlib.Path) -> list[dict[str, Any]]:
    """Reads the completed and the known trials of a trials.csv.

    Args:
        path: The file.

    Returns:
        Values by column, numbers for the reward and for each metric that has
        a column and was measured.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it lacks a column, or a number is none or not finite.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"The trials must exist. Received: {path}. Give the trials.csv "
            "of a search."
        )
    try:
        reader = csv.DictReader(path.read_text().splitlines())
        rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} must be CSV. Received: {error}") from None
    needed = (*_ABOUT, ACCURACIES[0], *metrics.compared())
    missing = {*needed} - {*(reader.fieldnames or ())}
    if missing:
        raise ValueError(
            f"{path} must have the columns {', '.join(needed)}. Received: no "
            f"{', '.join(sorted(missing))}."
        )
    numbers = {"reward", *metrics.compared()}
    completed = []
    for line, row in enumerate(rows, 2):
        if row["status"] not in ("COMPLETED", KNOWN):
            continue
        where = f"{path}, line {line}"
        known = {
            name: configuration.number(row[name], f"{name} in {where},")
            for name in row
            if name in {*numbers, accuracy_of(row)}
            or (name in metrics.names() and row[name])
        }
        completed.append({**row, **known})
    return completed


class Progress:
    """Prints a line a trial, what is trained meanwhile, a summary at the end.

    Args:
        verbose: 0 prints nothing.
    """

    def __init__(self, verbose: int) -> None:
        from rich.console import Console

        self._console = Console(
            quiet=not verbose, highlight=False, markup=False, soft_wrap=True
        )
        self._is_told = False
        self._began = self._spoke = time.monotonic()
        self._ended_before = 0
        self._best = ""

    def search(self, summary: str, oracle: CoSearchOracle) -> None:
        """Says what is searched, once."""
        if self._is_told:
            return
        self._is_told = True
        budgets = ", ".join(
            f"{metrics.get(name).word} "
            f"{'' if metrics.get(name).is_limited_above else 'at least '}"
            f"{metrics.get(name).text(limit)}"
            for name, limit in oracle.budgets.limits(measured=True).items()
        )
        self._console.print(f"Space {summary}")
        self._console.print(
            f"Budgets: {budgets or 'none'}. Seed {oracle.seed}."
        )
        self._print_left_out(oracle)

    def begin(self, summary: str, oracle: CoSearchOracle) -> None:
        """Says what is searched, and what is known of it before."""
        self.search(summary, oracle)
        self._began = time.monotonic()
        self._ended_before = _own_ended(oracle)
        if oracle.num_known:
            self._console.print(
                f"Known from earlier searches: {oracle.num_known} designs, "
                "which are not trained again."
            )
        if self._ended_before:
            self._console.print(
                f"Continuing after {self._ended_before} finished trials."
            )
        self._best = _best(oracle)

    def follow(
        self, oracle: CoSearchOracle, folder: pathlib.Path
    ) -> contextlib.AbstractContextManager[None]:
        """Shows what is trained as long as the block lasts.

        Args:
            oracle: Of the search.
            folder: Where it is.
        """

        def told() -> tuple[str, list[ongoing.Training]]:
            done = _own_ended(oracle)
            of = f" of {oracle.own_trials}" if oracle.own_trials else ""
            head = f"{done}{of} trials{', ' * bool(self._best)}{self._best}"
            # In one step, as the search goes on meanwhile.
            ongoing_trials = oracle.ongoing_trials.copy()
            running = {name: t.trial_id for name, t in ongoing_trials.items()}
            left = self._left(oracle, done) + _of_hours(oracle)
            return f"{head}{left}", ongoing.read(folder, running)

        self._spoke = time.monotonic()
        return live_view.shown(
            self._console, told, lambda: time.monotonic() - self._spoke
        )

    def trial(
        self, oracle: CoSearchOracle, trial: Any, failure: str | None
    ) -> None:
        """Prints the line of a trial that has just ended."""
        self._spoke = time.monotonic()
        done = _own_ended(oracle)
        most = oracle.own_trials
        of = f"/{most}" if most else ""
        head = f"{done}{of}  trial {trial.trial_id}"
        left = self._left(oracle, done) + _of_hours(oracle)
        if failure is not None:
            self._console.print(f"{head}  failed: {failure}{left}", style="red")
            return
        known = oracle.trial_metrics(trial)
        self._best = _best(oracle)
        is_best = self._best.endswith(f" {trial.trial_id}")
        costs = "  ".join(
            evaluations.cost(name, known) for name in oracle.budgets.compared()
        )
        stopped = (
            f", stopped after epoch {known[STOPPED]:.0f}"
            if STOPPED in known
            else ""
        )
        # It was predicted to be within, or begun when budgets were others.
        is_within = oracle.budgets.is_feasible(known)
        when = "as measured" if oracle.measures else "of today"
        rank = "" if is_within else f"over the budgets {when}, "
        if is_best:
            rank += "the best so far"
        elif self._best:
            rank += self._best
        else:
            rank += "nothing within so far"
        name = oracle.objective.name
        label = _LABELS.get(name, name)
        took = f"  {known['seconds']:.0f} s" if "seconds" in known else ""
        self._console.print(
            f"{head}  {label} {known[name]:.2%}  {costs}  reward "
            f"{trial.score:.4f}, {rank}{stopped}{took}{left}",
            style="green" if is_best else None,
        )

    def _left(self, oracle: CoSearchOracle, done: int) -> str:
        run = done - self._ended_before
        if not oracle.own_trials or not run or done >= oracle.own_trials:
            return ""
        seconds = (time.monotonic() - self._began) / run
        left = seconds * (oracle.own_trials - done)
        return f"  ({text.duration(left)} left)"

    def end(
        self, oracle: CoSearchOracle, folder: pathlib.Path, num_trials: int = 10
    ) -> None:
        """Prints the Pareto front, where the time went and the files are."""
        if oracle.stop_reason:
            self._console.print(f"The search ended: {oracle.stop_reason}.")
        elif oracle.clock.is_over():
            self._console.print(
                f"The search ended: its {oracle.clock.max_hours:g} h are up. "
                "With more of them the same command goes on."
            )
        self._print_left_out(oracle)
        for remark in oracle.algorithm.remarks:
            self._console.print(f"{remark}.")
        self._print_front(oracle, num_trials)
        finished = [result.metrics for result in oracle.history.finished()]
        timed = [m for m in finished if "seconds_proposal" in m]
        if timed:
            phases = [*PHASES, *["measurement"] * bool(oracle.measures)]
            phases = [p for p in phases if f"seconds_{p}" in timed[0]]
            parts = ", ".join(
                f"{phase} "
                f"{statistics.median(m[f'seconds_{phase}'] for m in timed):.2g}"
                for phase in phases
            )
            whole = statistics.median(m["seconds"] for m in timed)
            self._console.print(
                f"A trial took {whole:.3g} s in the median; by phase: {parts}."
            )
        who = (oracle.identity.evaluator or {}).get(identity.CLASS, "")
        names = measured.compared(oracle.measures)
        if remark := evaluations.remark(who, names, finished):
            self._console.print(f"{remark}.")
        failed = len(oracle.end_order) - len(finished)
        known = f", {oracle.num_known} known before" if oracle.num_known else ""
        stopped = sum(STOPPED in metrics for metrics in finished)
        early = f" ({stopped} of them stopped early)" if stopped else ""
        self._console.print(
            f"{len(finished) - oracle.num_known} trials finished{early}, "
            f"{failed} failed{known}. Everything is in {folder}."
        )

    def _print_left_out(self, oracle: CoSearchOracle) -> None:
        if oracle.prices.leaves_out:
            self._console.print(f"{oracle.prices.leaves_out}.")

    def _print_front(self, oracle: CoSearchOracle, num_trials: int) -> None:
        from rich.table import Table

        configuration.at_least("num_trials", num_trials, 1)
        front = oracle.archive.front[:num_trials]
        if not front:
            return
        largest = {
            metrics.get(name): max(known[name] for _, known in front)
            for name in oracle.budgets.compared()
        }
        words = ", ".join(metric.word for metric in largest)
        columns = []  # heading, name and scale of each
        for metric, value in largest.items():
            scale = metric.scale(value)[0]
            columns.append((metric.heading(value), metric.name, scale))
            if metric.name in oracle.measures:
                name = f"{metric.name}{measured.PREDICTED}"
                columns.append(("predicted", name, scale))
        task = oracle.space.task or tasks.Task
        table = Table(title=f"Pareto front of {task.metric}, {words}")
        headings = (heading for heading, _, _ in columns)
        name = oracle.objective.name
        accuracy = _LABELS.get(name, name)
        for heading in ("trial", "reward", accuracy, *headings):
            table.add_column(heading, justify="right")
        for trial_id, known in front:
            table.add_row(
                trial_id,
                f"{oracle.trials[trial_id].score:.4f}",
                f"{known[oracle.objective.name]:.2%}",
                *(
                    f"{known[name] * scale:.3g}" if name in known else ""
                    for _, name, scale in columns
                ),
            )
        self._console.print(table)


def _best(oracle: CoSearchOracle) -> str:
    """The best trial in words; empty if none has ended within the budgets."""
    # If none has, KerasTuner gives one that runs.
    (best,) = oracle.get_best_trials(1) or [None]
    if best is None or best.score is None:
        return ""
    return f"best {best.score:.4f} of trial {best.trial_id}"


def _of_hours(oracle: CoSearchOracle) -> str:
    """What has gone of its hours, if they are limited."""
    if (hours := oracle.clock.max_hours) is None:
        return ""
    return f"  ({text.duration(oracle.clock.seconds)} of {hours:g} h)"


def _own_ended(oracle: CoSearchOracle) -> int:
    return len(oracle.end_order) - oracle.num_known
