"""The picture of a pipeline: what each chip does in a period."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from tf_cosearch import metrics, text
from tf_cosearch.cost.pipeline import Pipeline

_PARTS = {
    "receive_ms": ("receives", "tab:orange"),
    "work_ms": ("works", "tab:blue"),
    "send_ms": ("sends", "tab:red"),
}


def plot(
    pipelines: Sequence[Pipeline],
    chips: Sequence[str],
    path: str | pathlib.Path,
    title: str = "",
) -> None:
    """Draws the stages of the longest pipeline, and throughput by chips.

    Args:
        pipelines: Of a growing number of chips.
        chips: A name for each chip of the longest.
        path: The picture to write, `.png`, `.svg` or `.pdf`.
        title: A title.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5.2), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=14)
    axes, speeds = figure.subplots(1, 2, width_ratios=(3, 1))
    longest = pipelines[-1]
    scale, unit = metrics.get("latency_ms").scale(longest.period_ms)
    for number, (chip, stage) in enumerate(
        zip(chips, longest.stages, strict=False)
    ):
        left = 0.0
        for name, (_, color) in _PARTS.items():
            width = getattr(stage, name) * scale
            axes.barh(number, width, left=left, color=color, height=0.45)
            left += width
        layers = len(stage.layers)
        share = f"{stage.weight_residency:.0%} of {text.count(stage.params, 3)}"
        axes.annotate(
            f"{number + 1}. {chip}: {layers} layer{'s'[: layers > 1]} from "
            f"{stage.layers[0]}, {share} parameters stay",
            (0, number - 0.26),
            fontsize=9,
            va="bottom",
        )
    axes.axvline(longest.period_ms * scale, color="black", linestyle=":")
    for label, color in _PARTS.values():
        axes.barh(0, 0, color=color, label=label)
    axes.set_ylim(len(longest.stages) - 0.6, -0.7)
    axes.set_yticks([])
    axes.set_xlabel(
        f"Time of an image in each stage ({unit}); dotted: the period"
    )
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False
    )
    counts = [str(len(each.stages)) for each in pipelines]
    fps = [each.throughput_fps for each in pipelines]
    bars = speeds.bar(counts, fps, color="tab:blue", width=0.6)
    speeds.bar_label(
        bars,
        [f"{value:,.0f}" if value >= 100 else f"{value:.3g}" for value in fps],
        padding=2,
    )
    speeds.set_xlabel("Chips")
    speeds.set_ylabel("Images a second")
    speeds.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)
