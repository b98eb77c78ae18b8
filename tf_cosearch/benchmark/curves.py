"""The picture of search algorithms: what they have reached, trial by trial."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

from tf_cosearch.benchmark import samplers
from tf_cosearch.benchmark.summary import MEASURES

_SETTLED = 50  # trials from which on all is shown; before, some have nothing


def plot(
    landscapes: Mapping[str, Any],
    path: str | os.PathLike[str],
    default: str,
) -> None:
    """Draws medians in bands of quartiles: a row for each landscape.

    Args:
        landscapes: What `summary.summarize` gave.
        path: The picture to write, `.png`, `.svg` or `.pdf`.
        default: The algorithm to draw in black.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    styles = _styles(landscapes, default)
    figure = Figure(
        figsize=(11, 1.2 + 3 * len(landscapes)), dpi=110, layout="constrained"
    )
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(landscapes), 2, squeeze=False, sharex=True)
    for row, (landscape, entries) in zip(grid, landscapes.items(), strict=True):
        for axes, measure in zip(row, MEASURES, strict=True):
            bottom = math.inf
            for label, style in styles.items():
                curve = entries.get(label, {}).get(measure)
                if curve:
                    _draw(axes, curve, label, style)
                    nearest = min(curve, key=lambda n: abs(int(n) - _SETTLED))
                    bottom = min(bottom, curve[nearest]["median"])
            axes.set_ylim(bottom=bottom)
            axes.set_title(f"{landscape}: {measure}", fontsize=10)
            axes.grid(alpha=0.3)
    for axes in grid[-1]:
        axes.set_xlabel("trials")
    handles, names = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=5)
    figure.savefig(path)


def _styles(
    landscapes: Mapping[str, Any], default: str
) -> dict[str, dict[str, Any]]:
    """Lines of ours are solid, those of rivals dashed."""
    import matplotlib

    labels = list(dict.fromkeys(k for e in landscapes.values() for k in e))
    palette = matplotlib.colormaps["tab10"]
    styles: dict[str, dict[str, Any]] = {}
    if default in labels:
        labels.remove(default)
        styles[default] = {"color": "black", "linewidth": 2.5}
    for is_rival, line in ((False, "-"), (True, "--")):
        group = [k for k in labels if (k in samplers.RIVALS) == is_rival]
        for index, label in enumerate(group):
            color = palette(index % palette.N)
            styles[label] = {"color": color, "linestyle": line}
    return styles


def _draw(
    axes: Any, curve: Mapping[str, Any], label: str, style: Mapping[str, Any]
) -> None:
    counts = [int(count) for count in curve]
    medians = [value["median"] for value in curve.values()]
    low, high = zip(
        *(value["quartiles"] for value in curve.values()), strict=True
    )
    axes.plot(counts, medians, label=label, **style)
    axes.fill_between(counts, low, high, alpha=0.12, color=style["color"])
