"""The picture of the debugger: error along the depth of a network."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Sequence
from typing import Any

from tf_cosearch.numerics.debugger import LayerReport, worst_first
from tf_cosearch.numerics.diagnosis import ACCUMULATION, HEALTHY_DB, ROUNDING

_NAMED = 4  # layers whose cause is written beside them
_MOST_NAMES = 40  # of layers along the axis


def plot(
    reports: Sequence[LayerReport], path: pathlib.Path, title: str = ""
) -> None:
    """Draws the signal-to-noise ratio of each layer.

    Args:
        reports: In execution order.
        path: The picture to write, `.png`, `.svg` or `.pdf`.
        title: A title.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(
        title=title or f"Noise of rounding in {len(reports)} layers",
        ylabel="Signal to quantization noise (dB)",
    )
    places = range(len(reports))
    ratios = _drawable([report.errors.sqnr_db for report in reports])
    own = _drawable([report.errors.own_sqnr_db for report in reports])
    axes.grid(alpha=0.3)
    axes.axhspan(
        min(0.0, *ratios, *own) - 5,
        HEALTHY_DB,
        color="crimson",
        alpha=0.06,
        linewidth=0,
    )
    axes.plot(
        places,
        ratios,
        color="0.35",
        marker=".",
        label="against the float network",
    )
    axes.vlines(places, ratios, own, color="tab:blue", alpha=0.2, linewidth=2)
    axes.scatter(
        places, own, color="tab:blue", s=45, zorder=3, label="its own rounding"
    )
    worst = [
        report
        for report in worst_first(reports)
        if report.diagnosis not in (ROUNDING, ACCUMULATION)
    ][:_NAMED]
    if worst:
        axes.scatter(
            [report.depth for report in worst],
            [own[report.depth] for report in worst],
            s=220,
            facecolors="none",
            edgecolors="crimson",
            linewidths=2,
            zorder=4,
        )
    _annotate(axes, worst, own)
    axes.set_ylim(min(0.0, *ratios, *own) - 5, max(*ratios, *own) + 8)
    axes.set_xlim(-0.8, len(reports) - 0.2)
    step = -(-len(reports) // _MOST_NAMES)
    shown = list(places)[::step]
    axes.set_xticks(
        shown,
        [reports[place].name for place in shown],
        rotation=55,
        ha="right",
        rotation_mode="anchor",
        fontsize=8,
    )
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(path)


def _drawable(values: Sequence[float]) -> list[float]:
    """Values with the best finite one, or the worst, for what is not."""
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    ends = {math.inf: max(finite), -math.inf: min(finite)}
    return [ends.get(value, value) for value in values]


def _annotate(
    axes: Any, worst: Sequence[LayerReport], heights: Sequence[float]
) -> None:
    """Numbers the worst layers; the legend has their causes, with room."""
    for number, report in enumerate(worst, 1):
        axes.annotate(
            str(number),
            (report.depth, heights[report.depth]),
            xytext=(0, 11),
            textcoords="offset points",
            ha="center",
            color="crimson",
            fontweight="bold",
        )
        axes.scatter(
            [],
            [],
            marker=f"${number}$",
            color="crimson",
            label=f"{report.name}: {report.diagnosis.cause.partition(':')[0]}",
        )
