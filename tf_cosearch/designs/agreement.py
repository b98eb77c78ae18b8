"""Pictures of predictions against measurements, each on one slide."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from scipy import stats

from tf_cosearch.cost.calibrate import validation
from tf_cosearch.cost.calibrate.family_evidence import SEEN, Comparison
from tf_cosearch.networks import stacks

_Rows: TypeAlias = Sequence[Mapping[str, Any]]

_DEVICE_COLORS = (
    *("tab:blue", "tab:red", "tab:orange", "tab:green"),
    *("tab:purple", "tab:brown"),
)
_REASON_COLORS = ("0.35", "tab:purple", "tab:olive", "tab:pink")
_AGREE = f"within {validation.NOTABLE:.0%}"
_BAND = 0.1  # relative error at the edge of the band around the diagonal
_FIGURE_SPACE = "\u2007"
_DIGIT = 8  # typographic points that a number takes, both ways


def plot(rows: _Rows, path: str | pathlib.Path) -> None:
    """Draws predictions of devices, and beside them those of ZigZag's layers.

    Devices are drawn by predictions of networks left out of the fit, ours as
    points and the plain baseline's as crosses.

    Args:
        rows: What `validation.rows` gave.
        path: The picture to write, `.png`, `.svg` or `.pdf`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6.75), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    devices = [row for row in rows if row["unit"] == "ms"]
    layers = [row for row in rows if row["unit"] == "cycles"]
    _draw_devices(left, devices)
    _draw_layers(right, layers)
    figure.draw_without_rendering()  # from here on the scale is final
    _number(left, devices)
    figure.savefig(path)


def plot_families(
    compared: Sequence[Comparison], path: str | pathlib.Path
) -> None:
    """Draws cycles by our model against those that tools counted.

    A family a panel, a preset a colour; rows that formulas were found with are
    rings, all others are points.

    Args:
        compared: What `family_evidence.compare` gave, of one family or more.
        path: The picture to write, `.png`, `.svg` or `.pdf`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    families = dict.fromkeys((c.family, c.tool, c.what) for c in compared)
    size = 6 * len(families), 6.75
    figure = Figure(figsize=size, dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(families), squeeze=False)[0]
    for axes, family in zip(panels, families, strict=True):
        _draw_family(
            axes,
            [c for c in compared if (c.family, c.tool, c.what) == family],
        )
    figure.savefig(path)


def _draw_family(axes: Any, compared: Sequence[Comparison]) -> None:
    """Draws what a tool counted of a family, one colour a preset."""
    judged = [c for c in compared if c.role != SEEN] or compared
    ours, theirs = (
        np.concatenate([getattr(c, kind) for c in judged])
        for kind in ("ours", "theirs")
    )
    family, tool, _, what, role = compared[-1][:5]
    of = "" if judged is compared else f" {role.replace('_', ' ')}"
    median = np.median(np.abs(ours / theirs - 1))
    tau = stats.kendalltau(ours, theirs).statistic
    axes.set_title(
        f"{family}: {len(ours)} {what}{of},\n"
        f"median difference {median:.1%}, Kendall tau {tau:.2f}",
        fontsize=12,
    )
    axes.set_xlabel(f"Cycles by {tool}", fontsize=11)
    axes.set_ylabel("Cycles by our model", fontsize=11)
    every = np.concatenate([np.append(c.ours, c.theirs) for c in compared])
    _frame_values(axes, every)
    presets = dict.fromkeys(c.preset for c in compared)
    for preset, color in zip(presets, _DEVICE_COLORS, strict=False):
        for comparison in (c for c in compared if c.preset == preset):
            is_seen = comparison.role == SEEN and judged is not compared
            axes.scatter(
                comparison.theirs,
                comparison.ours,
                s=36,
                color="none" if is_seen else color,
                edgecolors=color if is_seen else "white",
                linewidths=1.2 if is_seen else 0.5,
                zorder=3,
                label=None if is_seen else preset,
            )
    if judged is not compared:
        axes.scatter(
            [], [], s=36, color="none", edgecolors="0.4", label="seen before"
        )
    axes.legend(loc="lower right", fontsize=10, frameon=False)


def _draw_devices(axes: Any, rows: _Rows) -> None:
    """Draws networks on devices, one colour a device."""
    means = [
        np.mean([abs(row[f"{kind}_error"]) for row in rows])
        for kind in ("left_out", "baseline")
    ]
    axes.set_title(
        f"Devices: mean error {means[0]:.1%} of networks left out of the fit,\n"
        f"{means[1]:.1%} by the plain baseline",
        fontsize=12,
    )
    axes.set_xlabel("Measured latency (ms)", fontsize=11)
    axes.set_ylabel("Predicted latency (ms)", fontsize=11)
    _frame(axes, rows, ("left_out", "baseline"))
    machines = dict.fromkeys(row["machine"] for row in rows)
    for machine, color in zip(machines, _DEVICE_COLORS, strict=False):
        group = [row for row in rows if row["machine"] == machine]
        measured = [row["reference"] for row in group]
        axes.scatter(
            measured,
            [row["left_out"] for row in group],
            s=60,
            color=color,
            edgecolors="white",
            linewidths=0.7,
            zorder=3,
            label=machine,
        )
        axes.scatter(
            measured,
            [row["baseline"] for row in group],
            s=30,
            marker="x",
            color=color,
            linewidths=1.2,
            alpha=0.7,
            zorder=2,
        )
    axes.scatter([], [], marker="x", color="0.4", label="plain baseline")
    axes.legend(loc="lower right", fontsize=10, frameon=False)


def _draw_layers(axes: Any, rows: _Rows) -> None:
    """Draws layers by ZigZag, one colour for each reason to differ."""
    median = np.median([abs(row["ours_error"]) for row in rows])
    ours, theirs = (
        [row[kind] for row in rows] for kind in ("ours", "reference")
    )
    tau = stats.kendalltau(ours, theirs).statistic
    axes.set_title(
        f"Layers on ZigZag's edge_tpu_like: median difference {median:.1%},\n"
        f"Kendall tau {tau:.2f}",
        fontsize=12,
    )
    axes.set_xlabel("Cycles by ZigZag", fontsize=11)
    axes.set_ylabel("Cycles by our model", fontsize=11)
    _frame(axes, rows, ("ours",))
    reasons = dict.fromkeys(row["reason"] for row in rows)
    for reason, color in zip(reasons, _REASON_COLORS, strict=False):
        group = [row for row in rows if row["reason"] == reason]
        axes.scatter(
            [row["reference"] for row in group],
            [row["ours"] for row in group],
            s=60,
            color=color,
            edgecolors="white",
            linewidths=0.7,
            zorder=3,
            label=f"{len(group)}: {reason or _AGREE}",
        )
    axes.legend(loc="lower right", fontsize=10, frameon=False)


def _frame(axes: Any, rows: _Rows, kinds: Sequence[str]) -> None:
    """Frames axes for rows, see `_frame_values`."""
    kinds = ("reference", *kinds)
    _frame_values(axes, [row[kind] for row in rows for kind in kinds])


def _frame_values(axes: Any, values: Any) -> None:
    """Draws the diagonal and its band on equal logarithmic axes."""
    from matplotlib import ticker

    limits = np.array([min(values) / 1.4, max(values) * 1.4])
    axes.set(xscale="log", yscale="log", xlim=limits, ylim=limits)
    axes.set_aspect("equal")
    axes.grid(alpha=0.25, which="major")
    axes.spines[["top", "right"]].set_visible(False)
    axes.plot(limits, limits, color="0.5", linewidth=1, zorder=1)
    axes.fill_between(
        limits,
        limits * (1 - _BAND),
        limits * (1 + _BAND),
        color="0.5",
        alpha=0.18,
        linewidth=0,
        label=f"within {_BAND:.0%}",
    )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(ticker.LogLocator(subs=(1, 3)))
        axis.set_major_formatter(ticker.FuncFormatter(_tick))
        axis.set_minor_formatter(ticker.NullFormatter())


def _tick(value: float, _: int) -> str:
    return f"{value / 1e6:g} M" if value >= 1e6 else f"{value:,g}"


def _number(axes: Any, rows: _Rows) -> None:
    """Numbers the networks, by latency, and names them in a list.

    Stacks are many, and on a line: they have no numbers.
    """
    rows = [row for row in rows if not stacks.is_stack(row["workload"])]
    rows = sorted(rows, key=lambda row: row["reference"])
    numbers = {
        name: number
        for number, name in enumerate(
            dict.fromkeys(row["workload"] for row in rows), 1
        )
    }
    apart = _DIGIT * axes.figure.dpi / 72  # pixels
    places, crosses = (
        axes.transData.transform([(r["reference"], r[kind]) for r in rows])
        for kind in ("left_out", "baseline")
    )
    taken = [*map(tuple, places), *map(tuple, crosses)]
    for row, (x, y) in zip(rows, places, strict=True):
        # Beside its point, where neither point nor number is yet.
        free = [
            (across, up)
            for distance in (1.2, 2.2, 3.2)
            for across, up in (
                (-distance, distance * 0.6),
                (distance, -distance * 0.6),
                (-distance, -distance * 0.2),
                (distance, distance * 0.2),
                (0, distance),
                (0, -distance),
            )
            if all(
                max(abs(x + across * apart - a), abs(y + up * apart - b))
                >= apart
                for a, b in taken
            )
        ]
        across, up = free[0] if free else (-1.2, 0.7)
        taken.append((x + across * apart, y + up * apart))
        axes.annotate(
            str(numbers[row["workload"]]),
            (row["reference"], row["left_out"]),
            (across * _DIGIT, up * _DIGIT),
            textcoords="offset points",
            fontsize=_DIGIT + 1,
            ha="center",
            va="center",
            zorder=4,
        )
    axes.text(
        0.03,
        0.98,
        # A figure space is as wide as a digit.
        "\n".join(
            f"{str(number).rjust(2, _FIGURE_SPACE)}  {name}"
            for name, number in numbers.items()
        ),
        transform=axes.transAxes,
        va="top",
        fontsize=7,  # so that the list ends above the diagonal
        linespacing=1.15,
    )
