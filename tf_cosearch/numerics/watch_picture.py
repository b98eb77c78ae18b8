"""The picture of a monitor: what it has reported, along the images."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from tf_cosearch.numerics.monitor import Limits

MOST = 500
"""Reports that are drawn at most."""

_SHARES = {"accuracy": "tab:blue", "agreement": "tab:orange"}
_DRIFTS = {
    "input_psi": ("tab:green", "inputs"),
    "prediction_psi": ("tab:purple", "predictions"),
}


def plot(
    reports: Sequence[Mapping[str, Any]],
    limits: Limits,
    path: pathlib.Path,
    title: str = "",
) -> None:
    """Draws accuracy, agreement and drift.

    Args:
        reports: Of `AccuracyMonitor`, one at least, in their order.
        limits: That they were compared with.
        path: The picture to write, `.png`, `.svg` or `.pdf`.
        title: A title.
    """
    from matplotlib import ticker
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, sharex=True)
    upper.set_title(title or f"{reports[-1]['images']:,} images watched")
    places = [report["images"] for report in reports]
    for name, color in _SHARES.items():
        known = [
            (place, report[name], *report[f"{name}_interval"])
            for place, report in zip(places, reports, strict=True)
            if report.get(name) is not None
        ]
        if not known:
            continue
        across, shares, low, high = zip(*known, strict=True)
        upper.plot(across, shares, color=color, marker=".", label=name)
        upper.fill_between(
            across, low, high, color=color, alpha=0.15, linewidth=0
        )
    upper.set_ylabel("Share of the images, 95 % interval")
    upper.yaxis.set_major_formatter(ticker.PercentFormatter(1, decimals=0))
    for name, (color, label) in _DRIFTS.items():
        lower.plot(
            places,
            [report[name] for report in reports],
            color=color,
            marker=".",
            label=f"drift of {label}",
        )
    lower.axhline(
        limits.input_psi, color="crimson", linestyle="--", label="limit"
    )
    lower.set_ylabel("Population stability index")
    lower.set_xlabel("Images")
    lower.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))
    alarmed = [
        place
        for place, report in zip(places, reports, strict=True)
        if report["alarms"]
    ]
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
        axes.vlines(
            alarmed,
            0,
            1,
            transform=axes.get_xaxis_transform(),
            color="crimson",
            alpha=0.15,
            linewidth=5,
            label="alarm" if axes is lower and alarmed else None,
        )
    figure.legend(loc="outside lower center", ncols=6, frameon=False)
    figure.savefig(path)
