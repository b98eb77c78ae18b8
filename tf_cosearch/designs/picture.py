"""The Pareto picture of a search."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from tf_cosearch import configuration, metrics
from tf_cosearch.designs import report
from tf_cosearch.metrics.metric import Metric
from tf_cosearch.search import measured, pareto


def plot_pareto(
    trials: Sequence[Mapping[str, Any]],
    path: pathlib.Path,
    *,
    x: str = "latency_ms",
    color: str = "area_mm2",
    chosen: str | None = None,
    budget: float | None = None,
    title: str = "",
    score: str = "accuracy",
) -> None:
    """Draws accuracy against a cost, another cost as colour.

    The line is the front of the two axes: no trial on its better side is as
    accurate. A cost that was measured is led to from what was predicted of it.

    Args:
        trials: What `report.read_trials` gave.
        path: The picture to write, `.png`, `.svg` or `.pdf`.
        x: The metric to draw to the right.
        color: The metric to draw as colour.
        chosen: Id of the trial to mark; the best reward by default.
        budget: The budget on `x`, drawn as a line.
        title: A title.
        score: What the accuracy is, in words: the `metric` of a task.

    Raises:
        ValueError: If there are no completed trials, or a cost or the chosen
            trial is unknown.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not trials:
        raise ValueError(
            "There must be a completed trial to draw. Received: none."
        )
    marked = _chosen(trials, chosen)
    across, label, scale = _axis(x, trials)
    colors, color_label, _ = _axis(color, trials)
    percent = [100 * row[report.accuracy_of(row)] for row in trials]
    is_trained = report.accuracy_of(trials[0]) == "accuracy_int8"
    word = "of the int8 network" if is_trained else "in the table"
    limit = [] if budget is None else [budget * scale]
    predicted = [value * scale for value in _predicted(trials, x)]
    known = [value for value in predicted if math.isfinite(value)]

    figure = Figure(figsize=(8, 5), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(
        title=title or f"{len(trials)} trained joint designs",
        xlabel=label,
        ylabel=f"{score[:1].upper()}{score[1:]} {word} (%)",
    )
    axes.grid(alpha=0.3)
    _stretch(axes, across + limit + known)
    points = axes.scatter(
        across,
        percent,
        c=colors,
        s=70,
        edgecolors="white",
        linewidths=0.6,
        zorder=3,
        label="trained designs",
    )
    if known:
        axes.plot([predicted, across], [percent] * 2, color="0.7", zorder=1)
        axes.scatter(
            predicted,
            percent,
            s=30,
            facecolors="white",
            edgecolors="0.5",
            zorder=2,
            label="as predicted",
        )
    figure.colorbar(points, label=color_label)
    axes.step(
        *_front(metrics.get(x), across, percent, across + limit),
        where="post",
        color="0.35",
        zorder=2,
        label="Pareto front",
    )
    axes.scatter(
        [marked[x] * scale],
        [100 * marked[report.accuracy_of(marked)]],
        s=280,
        facecolors="none",
        edgecolors="crimson",
        linewidths=2,
        zorder=4,
        label=f"chosen (trial {marked['trial_id']})",
    )
    for value in limit:
        axes.axvline(value, color="crimson", linestyle="--", label="budget")
    # Below the axes it hides nothing.
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path)


def _chosen(
    trials: Sequence[Mapping[str, Any]], trial_id: str | None
) -> Mapping[str, Any]:
    known = {row["trial_id"]: row for row in trials}
    if trial_id is None:
        return max(trials, key=lambda row: row["reward"])
    if trial_id not in known:
        raise configuration.unknown("completed trial", trial_id, known)
    return known[trial_id]


def _predicted(trials: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    """What was predicted of a cost that was measured; NaN of any other."""
    predicted = f"{name}{measured.PREDICTED}"
    return [float(row.get(predicted) or math.nan) for row in trials]


def _axis(
    name: str, trials: Sequence[Mapping[str, Any]]
) -> tuple[list[float], str, float]:
    """Costs in a readable unit, the label of their axis, and the factor."""
    # A column of another process' metric has no unit and no direction here.
    there = [each for each in metrics.names() if each in trials[0]]
    if name not in there:
        raise configuration.unknown("metric to draw", name, there)
    largest = max(row[name] for row in trials)
    metric = metrics.get(name)
    scale, _ = metric.scale(largest)
    label = metric.heading(largest)
    values = [row[name] * scale for row in trials]
    return values, label[0].upper() + label[1:], scale


def _stretch(axes: Any, values: Sequence[float]) -> None:
    """Makes the axis logarithmic if values would crowd on a linear one."""
    from matplotlib import ticker

    if max(values) > 10 * min(values) > 0:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
        axes.xaxis.set_minor_formatter(ticker.NullFormatter())


def _front(
    metric: Metric,
    across: Sequence[float],
    percent: Sequence[float],
    ends: Sequence[float],
) -> tuple[list[float], list[float]]:
    """The corners of the front, which goes on to the worse as a plateau."""
    losses = [metric.loss(x) for x in across]
    mask = pareto.non_dominated(
        [[-y, x] for x, y in zip(losses, percent, strict=True)]
    )
    corners = sorted(
        (x, y) for x, y, keep in zip(losses, percent, mask, strict=True) if keep
    )
    corners.append((max(metric.loss(x) for x in ends), corners[-1][1]))
    return [metric.loss(x) for x, _ in corners], [y for _, y in corners]
