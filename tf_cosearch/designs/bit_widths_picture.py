"""The picture of throughput by bit width."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence

from tf_cosearch.cost.explain.bit_widths import Throughput, widest_of_the_best

Results = Mapping[str, Mapping[float | None, Sequence[Throughput]]]
"""What is reached, by network and by bandwidth in GB/s."""


def plot(results: Results, path: pathlib.Path, title: str = "") -> None:
    """Draws throughput against bits, a panel a network, a line a bandwidth.

    Of each line the widest of the best is ringed. A filled point computes for
    most of the time, a hollow one waits for the memory.

    Args:
        results: Of `bit_widths.sweep`.
        path: The picture to write, `.png`, `.svg` or `.pdf`.
        title: A title.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import StrMethodFormatter

    figure = Figure(figsize=(10, 5.2), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    panels = figure.subplots(1, len(results), squeeze=False)[0]
    for axes, (network, lines) in zip(panels, results.items(), strict=True):
        axes.set_title(network)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.grid(alpha=0.25, which="both")
        axes.spines[["top", "right"]].set_visible(False)
        for number, (bandwidth, line) in enumerate(lines.items()):
            color = f"C{number}"
            label = "no limit" if bandwidth is None else f"{bandwidth:g} GB/s"
            bits = [each.bits for each in line]
            axes.plot(bits, [each.fps for each in line], color=color)
            for is_hollow in (False, True):
                points = [
                    (each.bits, each.fps)
                    for each in line
                    if (each.waiting_share > 0.5) == is_hollow
                ]
                axes.plot(
                    *zip(*points, strict=True) if points else ([], []),
                    "o",
                    color=color,
                    markerfacecolor="white" if is_hollow else color,
                )
            axes.plot([], [], "-", color=color, label=label)
            best = widest_of_the_best(line)
            axes.plot(
                best.bits,
                best.fps,
                "o",
                markersize=14,
                markerfacecolor="none",
                color=color,
            )
    panels[0].set_ylabel("Inferences a second")
    panels[-1].legend(title="Memory bandwidth", frameon=False)
    figure.supxlabel(
        "Bits of weights and activations\n"
        "Ring: the widest within 1 % of the best. "
        "Hollow: waits for the memory most of the time.",
        fontsize=9,
    )
    figure.savefig(path)
