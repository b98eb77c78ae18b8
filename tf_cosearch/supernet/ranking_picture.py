"""The picture of a supernet's accuracies against those of trainings."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping
from typing import Any

from tf_cosearch.supernet import ranking
from tf_cosearch.supernet.accuracies import ACCURACY

_WIDTH = 60  # of a title, in letters


def plot(
    result: Mapping[str, Any], path: str | os.PathLike[str], title: str = ""
) -> None:
    """Draws a point for each network, multiply-accumulates as its colour.

    Args:
        result: What `ranking_report.report` gave.
        path: The picture to write, `.png`, `.svg` or `.pdf`.
        title: What the networks are of.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    rows, metric = result["networks"], result["metric"]
    word = f"{metric[:1].upper()}{metric[1:]}"
    across = [100 * row[ACCURACY] for row in rows]
    up = [100 * row["accuracy"] for row in rows]
    figure = Figure(figsize=(8, 5.5), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(
        title=_title(result, title),
        xlabel=f"{word} with the weights of the supernet (%)",
        ylabel=f"{word} of the trained int8 network (%)",
    )
    axes.grid(alpha=0.3)
    points = axes.scatter(
        across,
        up,
        c=[row["macs"] for row in rows],
        norm=LogNorm(),
        s=60,
        edgecolors="white",
        linewidths=0.6,
        zorder=3,
        label="trained networks",
    )
    figure.colorbar(points, label="Multiply-accumulates of an inference")
    top = ranking.ranked(across, up)[: result["top"]]
    axes.scatter(
        [across[i] for i in top],
        [up[i] for i in top],
        s=200,
        facecolors="none",
        edgecolors="crimson",
        linewidths=1.5,
        zorder=4,
        label=f"the {len(top)} that the supernet ranks highest",
    )
    axes.axhline(
        max(up), color="0.35", linestyle="--", zorder=2, label="the best"
    )
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path)


def _title(result: Mapping[str, Any], title: str) -> str:
    rankings = result["rankings"]
    low, high = rankings[ACCURACY]["interval"]
    head = f"{textwrap.fill(title, _WIDTH)}:\n" if title else ""
    return (
        f"{head}Kendall's tau {rankings[ACCURACY]['tau']:.2f} "
        f"({low:.2f} to {high:.2f}) over {len(result['networks'])} networks;\n"
        f"multiply-accumulates alone {rankings['macs']['tau']:.2f}, "
        f"parameters alone {rankings['params']['tau']:.2f}"
    )
