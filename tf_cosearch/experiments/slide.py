"""Pictures of the shape and size of a slide."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


@contextlib.contextmanager
def panels(path: pathlib.Path, title: str, count: int = 1) -> Iterator[Any]:
    """Axes side by side, saved as a picture in the end.

    Args:
        path: The picture to write.
        title: Of all of it.
        count: How many axes.

    Yields:
        A list of axes.
    """
    figure = Figure(figsize=(10, 5.6), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=14)
    axes = list(figure.subplots(1, count, squeeze=False)[0])
    for each in axes:
        each.grid(alpha=0.25)
        each.spines[["top", "right"]].set_visible(False)
    yield axes
    figure.savefig(path)


def bars(
    axes: Any,
    groups: Sequence[str],
    series: Mapping[str, Sequence[float]],
    label: str,
) -> None:
    """Draws bars side by side, a group for each name, with their values.

    Args:
        axes: Where.
        groups: Names of the groups.
        series: A number for each group, by what it is of.
        label: Of the numbers.
    """
    width = 0.8 / len(series)
    for place, (name, numbers) in enumerate(series.items()):
        across = [i + (place + 0.5) * width - 0.4 for i in range(len(groups))]
        drawn = axes.bar(across, numbers, width * 0.92, label=name)
        axes.bar_label(drawn, fmt="%.3g", fontsize=8)
    axes.set_xticks(range(len(groups)), groups)
    axes.set_ylabel(label)
    if len(series) > 1:
        # Below, where it covers no number.
        axes.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, -0.06),
            ncols=3,
            frameon=False,
        )


def matrix(
    axes: Any,
    rows: Sequence[str],
    columns: Sequence[str],
    told: Sequence[Sequence[str]],
    title: str,
) -> None:
    """Draws a table of what each row is in each column; what is over is red.

    Args:
        axes: Where.
        rows: Names of the use cases.
        columns: Names of whose design it is.
        told: A word or a number for each.
        title: What the numbers are.
    """
    colors = [
        [
            0.5 if word == "over" else 0.1 * (row != column)
            for column, word in enumerate(words)
        ]
        for row, words in enumerate(told)
    ]
    table(axes, rows, columns, told, title, colors)
    axes.set_xlabel("design of")
    axes.set_ylabel("used for")


def table(
    axes: Any,
    rows: Sequence[str],
    columns: Sequence[str],
    told: Sequence[Sequence[str]],
    title: str,
    colors: Sequence[Sequence[float]] | None = None,
) -> None:
    """Draws a table.

    Args:
        axes: Where.
        rows: Names.
        columns: Names.
        told: A word or a number for each row and column.
        title: What they are.
        colors: From 0, white, to 1, dark red; white if left out.
    """
    axes.grid(visible=False)
    shades = colors or [[0.0] * len(columns)] * len(rows)
    axes.imshow(shades, cmap="Reds", vmin=0, vmax=1, aspect="auto")
    for row, words in enumerate(told):
        for column, word in enumerate(words):
            axes.text(column, row, word, ha="center", va="center", fontsize=8)
    turned: dict[str, Any] = {"rotation": 20, "ha": "right", "fontsize": 8}
    axes.set_xticks(range(len(columns)), columns, **turned)
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    axes.set_title(title, fontsize=10)
