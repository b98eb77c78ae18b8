"""What a search shows: trials.csv, lines of progress, the Pareto picture."""

from __future__ import annotations

import csv
import io
import math
import pathlib
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

from tf_cosearch import configuration
from tf_cosearch.designs.export import ACCURACIES, COST_UNITS, write_text
from tf_cosearch.search import pareto
from tf_cosearch.search.oracles.base import CoSearchOracle

TRIAL_COLUMNS = (
    "trial_id",
    "status",
    "feasible",
    "reward",
    *ACCURACIES,
    *COST_UNITS,
    "seconds",
)
"""Columns of trials.csv; every hyperparameter follows."""

PHASES = ("proposal", "build", "float", "qat", "conversion", "evaluation")
"""What the time of a trial goes into."""


def trial_rows(oracle: CoSearchOracle) -> list[dict[str, Any]]:
    """A row of trials.csv for each trial, in the order they were created.

    Args:
        oracle: The oracle of the search.

    Returns:
        Values by column; what a trial did not get to is empty.
    """
    rows = []
    for trial in oracle.trials.values():
        values = trial.hyperparameters.values
        known = oracle.trial_metrics(trial) if values else {}
        feasible = values and bool(oracle.budgets.is_feasible(known))
        rows.append(
            {
                "trial_id": trial.trial_id,
                "status": trial.status,
                "feasible": feasible,
                "reward": "" if trial.score is None else trial.score,
                **{name: known.get(name, "") for name in TRIAL_COLUMNS[4:]},
                **{
                    p.name: values.get(p.name, "")
                    for p in oracle.space.parameters
                },
            }
        )
    return rows


def write_trials(path: pathlib.Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes trials.csv whole or not at all.

    Args:
        path: Where to.
        rows: What `trial_rows` gave.
    """
    text = io.StringIO()
    columns = list(rows[0]) if rows else list(TRIAL_COLUMNS)
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_trials(path: pathlib.Path) -> list[dict[str, Any]]:
    """Reads the completed trials of a trials.csv.

    Args:
        path: The file.

    Returns:
        Values by column, numbers for accuracies, costs and reward.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it lacks a column, or a number is none.
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
    missing = set(TRIAL_COLUMNS) - set(reader.fieldnames or ())
    if missing:
        raise ValueError(
            f"{path} must have the columns {', '.join(TRIAL_COLUMNS)}. "
            f"Received: no {', '.join(sorted(missing))}."
        )
    numbers = ("reward", *ACCURACIES, *COST_UNITS)
    completed = []
    for line, row in enumerate(rows, 2):
        if row["status"] != "COMPLETED":
            continue
        try:
            known = {name: float(row[name]) for name in numbers}
        except (TypeError, ValueError):
            raise ValueError(
                f"{path}, line {line}, must have numbers in the columns "
                f"{', '.join(numbers)}. Received: "
                f"{[row[name] for name in numbers]}."
            ) from None
        completed.append({**row, **known})
    return completed


class Progress:
    """Prints a line a trial and a summary at the end.

    Args:
        verbose: 0 prints nothing.
    """

    def __init__(self, verbose: int) -> None:
        from rich.console import Console

        self._console = Console(quiet=not verbose, highlight=False)
        self._began = time.monotonic()
        self._ended_before = 0

    def begin(self, summary: str, oracle: CoSearchOracle) -> None:
        """Says what is searched."""
        limits = oracle.budgets.limits()
        budgets = ", ".join(
            f"{_quantity(name, value)}" for name, value in limits.items()
        )
        self._ended_before = len(oracle.end_order)
        self._console.print(f"Space {summary}")
        self._console.print(
            f"Budgets: {budgets or 'none'}. Seed {oracle.seed}."
        )
        if self._ended_before:
            self._console.print(
                f"Continuing after {self._ended_before} finished trials."
            )

    def trial(
        self, oracle: CoSearchOracle, trial: Any, failure: str | None
    ) -> None:
        """Prints the line of a trial that has just ended."""
        done = len(oracle.end_order)
        head = f"trial {done}" + (
            f"/{oracle.max_trials}" if oracle.max_trials else ""
        )
        if failure is not None:
            self._console.print(f"{head}  [red]failed[/]: ", failure)
            return
        known = oracle.trial_metrics(trial)
        best = oracle.get_best_trials(1)[0]
        new = (
            " [green]best so far[/]"
            if best.trial_id == trial.trial_id
            else (f" best {best.score:.4f} (trial {best.trial_id})")
        )
        costs = "  ".join(_quantity(name, known[name]) for name in COST_UNITS)
        self._console.print(
            f"{head}  int8 {known['accuracy_int8']:.2%}  {costs}  reward "
            f"{trial.score:.4f} {new}  {known['seconds']:.0f} s"
            f"{self._left(oracle, done)}"
        )

    def _left(self, oracle: CoSearchOracle, done: int) -> str:
        run = done - self._ended_before
        if not oracle.max_trials or not run:
            return ""
        seconds = (time.monotonic() - self._began) / run
        left = seconds * max(0, oracle.max_trials - done)
        return (
            f", {left / 60:.0f} min left"
            if left >= 90
            else f", {left:.0f} s left"
        )

    def end(
        self, oracle: CoSearchOracle, folder: pathlib.Path, num_trials: int = 10
    ) -> None:
        """Prints the Pareto front, where the time went and the files are."""
        from rich.table import Table

        if oracle.stop_reason:
            self._console.print(f"The search ended: {oracle.stop_reason}.")
        table = Table(title="Pareto front of accuracy, latency, energy, area")
        for column in ("trial", "reward", "int8", "latency", "energy", "area"):
            table.add_column(column, justify="right")
        for trial_id, known in oracle.archive.front[:num_trials]:
            table.add_row(
                trial_id,
                f"{oracle.trials[trial_id].score:.4f}",
                f"{known[oracle.objective.name]:.2%}",
                *(
                    _quantity(name, known[name]).partition(" ")[2]
                    for name in COST_UNITS
                ),
            )
        self._console.print(table)
        finished = [result.metrics for result in oracle.finished()]
        timed = [m for m in finished if "seconds_proposal" in m]
        if timed:
            parts = ", ".join(
                f"{phase} "
                f"{statistics.median(m[f'seconds_{phase}'] for m in timed):.2g}"
                for phase in PHASES
            )
            whole = statistics.median(m["seconds"] for m in timed)
            self._console.print(
                f"A trial took {whole:.3g} s in the median; by phase: {parts}."
            )
        failed = len(oracle.end_order) - len(finished)
        self._console.print(
            f"{len(finished)} trials finished, {failed} failed. Everything is "
            f"in {folder}."
        )


def _quantity(name: str, value: float) -> str:
    scale, unit = _unit(name, value)
    return f"{name.partition('_')[0]} {value * scale:.3g} {unit}"


def _unit(name: str, value: float) -> tuple[float, str]:
    """A factor and a unit in which a cost is easily read."""
    if name == "area_mm2":
        return 1.0, "mm²"
    unit = COST_UNITS[name]
    return (1.0, unit) if value >= 0.1 else (1e3, f"µ{unit[1:]}")


def _axis(name: str, trials: Sequence[Mapping[str, Any]]) -> tuple[float, str]:
    """The factor to draw a cost with, and the label of its axis."""
    if name not in COST_UNITS:
        raise configuration.unknown("cost to draw", name, COST_UNITS)
    scale, unit = _unit(name, max(row[name] for row in trials))
    return scale, f"{name.partition('_')[0].capitalize()} ({unit})"


def plot_pareto(
    trials: Sequence[Mapping[str, Any]],
    path: pathlib.Path,
    *,
    x: str = "latency_ms",
    color: str = "area_mm2",
    chosen: str | None = None,
    budget: float | None = None,
    title: str = "",
) -> None:
    """Draws accuracy against a cost, another cost as colour.

    The line is the front of the two axes: no trial left of it is as accurate.

    Args:
        trials: What `read_trials` gave.
        path: The picture to write, `.png`, `.svg` or `.pdf`.
        x: The cost to draw to the right.
        color: The cost to draw as colour.
        chosen: Id of the trial to mark; the best reward by default.
        budget: The most that cost `x` may be, drawn as a line.
        title: A title.

    Raises:
        ValueError: If there are no completed trials, or a cost is unknown.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not trials:
        raise ValueError(
            "There must be a completed trial to draw. Received: none."
        )
    scale, label = _axis(x, trials)
    color_scale, color_label = _axis(color, trials)
    best = max(trials, key=lambda row: row["reward"])
    marked = next((t for t in trials if t["trial_id"] == chosen), best)
    figure = Figure(figsize=(8, 5), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    percent = [100 * row["accuracy_int8"] for row in trials]
    points = axes.scatter(
        [row[x] * scale for row in trials],
        percent,
        c=[row[color] * color_scale for row in trials],
        cmap="viridis",
        s=60,
        edgecolors="white",
        linewidths=0.6,
        zorder=3,
        label="trained designs",
    )
    figure.colorbar(points, label=color_label)
    mask = pareto.non_dominated(
        [[-row["accuracy_int8"], row[x]] for row in trials]
    )
    front = sorted(
        (row[x] * scale, 100 * row["accuracy_int8"])
        for row, keep in zip(trials, mask, strict=True)
        if keep
    )
    axes.step(
        *zip(*front, strict=True),
        where="post",
        color="0.35",
        linewidth=1.5,
        zorder=2,
        label="Pareto front",
    )
    axes.scatter(
        [marked[x] * scale],
        [100 * marked["accuracy_int8"]],
        s=260,
        facecolors="none",
        edgecolors="crimson",
        linewidths=2,
        zorder=4,
        label=f"chosen (trial {marked['trial_id']})",
    )
    costs = [row[x] for row in trials]
    if max(costs) > 20 * min(costs) > 0 and math.isfinite(max(costs)):
        axes.set_xscale("log")
    if budget is not None:
        axes.axvline(
            budget * scale,
            color="crimson",
            linestyle="--",
            linewidth=1.2,
            label="budget",
        )
    axes.set_xlabel(label)
    axes.set_ylabel("Accuracy of the int8 network (%)")
    axes.set_title(title or f"{len(trials)} trained joint designs")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", frameon=True)
    figure.savefig(path)
