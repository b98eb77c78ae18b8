"""The roofline picture: what limits each layer, on one slide."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

COLORS = {
    "compute": "tab:blue",
    "pe_memory": "tab:green",
    "interconnect": "tab:orange",
    "dram": "tab:red",
}
_MORE_COLORS = ("tab:purple", "tab:brown", "tab:pink")
_TBITS = "_tbits"  # how keys of slopes end
_NAMED = 8
_DIGIT = 8  # typographic points that a number takes, both ways
_SAME = 0.01  # relative distance below which layers share a point


class _Spot(NamedTuple):
    """Layers at one place of the picture."""

    names: list[str]
    x: float
    y: float
    within: float | None
    bound: str
    share: float

    def label(self) -> str:
        """The first layer's name, and how many are at the same place."""
        more = f" (x{len(self.names)})" if len(self.names) > 1 else ""
        return f"{self.names[0]}{more}: {self.share:.0%}"


def plot(
    points: Mapping[str, Any], path: str | pathlib.Path, title: str = ""
) -> None:
    """Draws the layers of a network below the roofs of an accelerator.

    Layers stand at the traffic they have on their own. Above the DRAM roof
    are those whose operands are on the chip already; from a layer that waits
    for the DRAM a line leads to the traffic it has in the network, which is
    on the roof.

    Args:
        points: What `complexity.roofline` gave.
        path: The picture to write, `.png`, `.svg` or `.pdf`.
        title: A title.

    Raises:
        ValueError: If no layer does any operation.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    spots = _spots(points["layers"])
    if not spots:
        raise ValueError(
            "There must be a layer that computes something. Received: "
            f"{len(points['layers'])} layers without operations."
        )
    figure = Figure(figsize=(10, 5.625), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(
        xscale="log",
        yscale="log",
        xlabel="Operations a bit of inputs, outputs and weights (ops/bit)",
        ylabel="Tera-operations a second (TOPS)",
    )
    axes.set_title(title, fontsize=14, pad=10)
    axes.grid(alpha=0.25, which="major")
    axes.spines[["top", "right"]].set_visible(False)
    _frame(axes, points, spots)
    _draw_roofs(axes, points)
    _draw_spots(axes, spots)
    legend = figure.legend(
        loc="outside lower center",
        ncols=len(COLORS),
        frameon=False,
        title="Limited by (share of the latency, as is the area of a point). "
        "Above the DRAM roof: operands already on the chip;\n"
        "dotted: from a layer limited by DRAM to the traffic it really has.",
    )
    legend.get_title().set_multialignment("center")
    for handle in legend.legend_handles:
        cast(Any, handle).set_sizes([60])
    figure.draw_without_rendering()  # from here on the scale is final
    _label_roofs(axes, points, spots)
    _name(axes, spots)
    figure.savefig(path)


def _spots(layers: Sequence[Mapping[str, Any]]) -> list[_Spot]:
    """Places of the layers, most expensive first."""
    total = sum(row["latency_ms"] for row in layers)
    spots: list[_Spot] = []
    for row in layers:
        if not row["achieved_tops"]:
            continue
        spot = _Spot(
            [row["name"]],
            row["ops_per_bit"],
            row["achieved_tops"],
            row["ops_per_dram_bit"],
            row["bound"],
            row["latency_ms"] / total,
        )
        for index, other in enumerate(spots):
            if spot.bound == other.bound and all(
                math.isclose(a, b, rel_tol=_SAME)
                for a, b in ((spot.x, other.x), (spot.y, other.y))
            ):
                spots[index] = other._replace(
                    names=other.names + spot.names,
                    share=other.share + spot.share,
                )
                break
        else:
            spots.append(spot)
    return sorted(spots, key=lambda spot: -spot.share)


def _frame(
    axes: Any, points: Mapping[str, Any], spots: Sequence[_Spot]
) -> None:
    """Chooses limits that hold all layers and both ridges, in plain numbers."""
    from matplotlib import ticker

    peak = points["peak_tops"]
    ridge = peak / points["dram_tbits"]
    heights = [spot.y for spot in spots]
    across = [spot.x for spot in spots] + [ridge]
    axes.set_xlim(min(across) / 2, max(across) * 4)
    axes.set_ylim(min(heights) / 2.5, max(peak, *heights) * 2)
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f"{v:g}"))
        axis.set_minor_formatter(ticker.NullFormatter())


def _draw_roofs(axes: Any, points: Mapping[str, Any]) -> None:
    """Draws the slopes and the peak, as far as they are in the frame."""
    left, right = axes.get_xlim()
    bottom, peak = axes.get_ylim()[0], points["peak_tops"]
    gray, start = "0.3", right
    slopes = [slope for _, slope in _slopes(points)]
    for slope, style in zip(slopes, ("-", "--"), strict=True):
        low, ridge = max(left, bottom / slope), peak / slope
        if ridge <= low:
            continue
        start = min(start, ridge)
        axes.plot([low, ridge], [low * slope, peak], style, color=gray)
    axes.plot([max(min(start, right), left), right], [peak, peak], color=gray)


def _label_roofs(
    axes: Any, points: Mapping[str, Any], spots: Sequence[_Spot]
) -> None:
    """Writes its number along each roof; to be called at the final scale."""
    style = {"color": "0.3", "textcoords": "offset points"}
    left, right = axes.get_xlim()
    bottom, peak = axes.get_ylim()[0], points["peak_tops"]
    for name, slope in _slopes(points):
        low, ridge = max(left, bottom / slope), peak / slope
        if ridge <= low:
            continue
        ends = [(low, low * slope), (ridge, peak)]
        (x0, y0), (x1, y1) = axes.transData.transform(ends)
        dram = name == "DRAM"
        # The list of names is often right of the middle of the DRAM's.
        middle = low * (ridge / low) ** (1 / 3 if dram else 1 / 2)
        axes.annotate(
            f"{name} {_bits(slope)}",
            (middle, middle * slope),
            (4, -4) if dram else (-3, 3),
            rotation_mode="anchor",
            va="top" if dram else "bottom",
            rotation=math.degrees(math.atan2(y1 - y0, x1 - x0)),
            ha="center",
            **style,
        )
    largest = max(math.sqrt(_size(spot)) / 2 for spot in spots)
    axes.annotate(
        f"Array {peak:.3g} TOPS at 8 bits",
        (right, peak),
        (0, largest + 2),
        ha="right",
        **style,
    )


def _bits(terabits: float) -> str:
    if terabits < 1:
        return f"{terabits * 1e3:.3g} Gbit/s"
    return f"{terabits:.3g} Tbit/s"


def _slopes(points: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Names and slopes of the roofs, that of the DRAM first."""
    names = {"dram": "DRAM", "pe_memory": "PE memory ports"}
    keys = [key for key in points if key.endswith(_TBITS)]
    found = {key.removesuffix(_TBITS): points[key] for key in keys}
    return [
        (names.get(name, f"{name.replace('_', ' ')} ports"), slope)
        for name, slope in found.items()
    ]


def _colors(spots: Sequence[_Spot]) -> dict[str, str]:
    """A colour for all that may limit a layer."""
    other = {spot.bound: "" for spot in spots if spot.bound not in COLORS}
    return COLORS | dict(zip(other, _MORE_COLORS, strict=False))


def _draw_spots(axes: Any, spots: Sequence[_Spot]) -> None:
    """Draws the layers, coloured by what limits them."""
    colors = _colors(spots)
    shares = dict.fromkeys(colors, 0.0)
    for spot in spots:
        shares[spot.bound] += spot.share
    for bound, share in shares.items():
        if not share:
            continue
        group = [spot for spot in spots if spot.bound == bound]
        axes.scatter(
            [spot.x for spot in group],
            [spot.y for spot in group],
            s=[_size(spot) for spot in group],
            color=colors[bound],
            edgecolors="white",
            linewidths=0.7,
            alpha=0.8,
            zorder=3,
            label=f"{bound.replace('_', ' ')} {share:.0%}",
        )
    for spot in spots:
        if spot.bound == "dram" and spot.within is not None:
            axes.plot(
                [spot.x, spot.within],
                [spot.y, spot.y],
                ":|",
                color=colors["dram"],
                zorder=2,
                markevery=[1],
                markersize=9,
            )


def _size(spot: _Spot) -> float:
    """Area of a point in square typographic points."""
    return 25 + 2500 * spot.share


def _name(axes: Any, spots: Sequence[_Spot]) -> None:
    """Numbers the most expensive layers and names them in a list."""
    from matplotlib.lines import Line2D
    from matplotlib.patheffects import withStroke

    colors = _colors(spots)
    apart = _DIGIT * axes.figure.dpi / 72  # pixels
    entries: list[Any] = []
    taken: list[tuple[float, float]] = []
    for number, spot in enumerate(spots[:_NAMED], 1):
        x, y = axes.transData.transform((spot.x, spot.y))
        # A number must not be read together with the one beside it.
        free = [
            rise
            for rise in (0, 1, -1, 2, -2, 3, -3)
            if all(
                max(abs(x - right), abs(y + rise * apart - up)) >= apart * 0.99
                for right, up in taken
            )
        ]
        rise, color = free[0] if free else 0, colors[spot.bound]
        taken.append((x, y + rise * apart))
        axes.annotate(
            str(number),
            (spot.x, spot.y),
            (0, rise * _DIGIT),
            textcoords="offset points",
            color="white",
            fontsize=_DIGIT,
            fontweight="bold",
            ha="center",
            va="center_baseline",
            zorder=4,
            path_effects=[withStroke(linewidth=2, foreground=color)],
        )
        label = f"{number}  {spot.label()}"
        entries.append(Line2D([], [], marker="o", ls="", c=color, label=label))
    axes.legend(
        handles=entries,
        loc="best",
        fontsize=9,
        title="Most expensive layers: share of the latency",
        title_fontsize=9,
    )
