"""What a network costs on an accelerator, as tables to read or to work on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from tf_cosearch import metrics, text

WIDTH = 100
"""Columns of a terminal that the table of layers fits in."""


def rows(costs: Mapping[str, Any], by_layer: bool) -> list[dict[str, Any]]:
    """The costs as a table for other programs.

    Args:
        costs: What `summary.summarize` gave, and as `uncosted` the operations
            that could not be counted.
        by_layer: Whether there is a row for each layer, or one of totals.

    Returns:
        Numbers and words by column; parts have columns of their own, such as
        `energy_parts_mj/dram`.
    """
    totals = {k: v for k, v in costs.items() if not isinstance(v, (dict, list))}
    uncosted = ";".join(costs["uncosted"])
    totals["cpu_operators"] = ";".join(costs["cpu_operators"])
    return [
        {**_flat(row), "uncosted": uncosted}
        for row in (costs["layers"] if by_layer else [totals])
    ]


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            flat |= {f"{name}/{part}": number for part, number in value.items()}
        elif name != "changes":
            flat[name] = value
    return flat


def table(
    costs: Mapping[str, Any], per_layer: bool = False, mappings: bool = False
) -> str:
    """The costs in words, with units.

    Args:
        costs: As for `rows`, and as `accelerator` its name; of a file of
            several signatures the `signature` read and `other_signatures`.
        per_layer: Whether a table of the layers comes first.
        mappings: Whether a line for each says how it is mapped.

    Returns:
        Lines, without the last newline.
    """
    layers = costs["layers"]
    lines = []
    if per_layer:
        lines += [_layer_table(layers), ""]
    if mappings:
        lines += [f"{row['name']}: {row['mapping']}" for row in layers] + [""]
    if costs["unfit"]:
        lines.append(f"Does not fit this accelerator: {costs['unfit']}.")
    energy = ", ".join(
        f"{name} {part / costs['energy_mj']:.0%}"
        for name, part in costs["energy_parts_mj"].items()
        if part
    )
    lines += [
        f"{costs['accelerator']}: {costs['peak_tops']:.3g} TOPS peak, "
        f"{_quantity('area_mm2', costs)}",
        f"network: {len(layers)} layers, {text.count(costs['macs'])} MACs, "
        f"{text.count(costs['params'])} parameters",
        f"latency {_quantity('latency_ms', costs)}, "
        f"utilization {costs['utilization']:.1%}",
        f"energy {_quantity('energy_mj', costs)} ({energy})",
        f"off-chip traffic {costs['dram_bytes'] / 1e3:.4g} kB an inference, "
        f"{costs['weight_residency']:.0%} of the weights stay on chip",
    ]
    joined = [row["fused"] for row in layers]
    chains = sum(now and not before for before, now in pairwise(joined))
    if chains:
        lines.append(
            f"fused: {chains + sum(joined)} layers in {chains} chains (+ goes "
            "on with the layer before), tile by tile of their rows"
        )
    if costs["cpu_operators"]:
        on_cpu = [row for row in layers if row["runs_on"] == "cpu"]
        rule = f", as by {costs['compiler']}" if costs["compiler"] else ""
        lines.append(
            f"left to the host{rule}: {len(on_cpu)} of {len(layers)} layers, "
            f"{costs['cpu_ms'] / costs['latency_ms']:.0%} of the latency: "
            f"{', '.join(costs['cpu_operators'])}"
        )
    if "signature" in costs:
        lines.append(
            f"signature {costs['signature']}; --signature chooses "
            f"{' or '.join(costs['other_signatures'])} instead"
        )
    if costs["uncosted"]:
        lines.append(
            "not counted, but for the data it moves: "
            f"{', '.join(costs['uncosted'])}"
        )
    return "\n".join(lines)


def _quantity(name: str, costs: Mapping[str, Any]) -> str:
    return metrics.get(name).text(costs[name])


def _layer_table(layers: Sequence[Mapping[str, Any]]) -> str:
    """The layers in `WIDTH` columns: long names keep their end."""
    time_scale, time = _column_unit(layers, "latency_ms")
    energy_scale, energy = _column_unit(layers, "energy_mj")
    numbers = ("MACs", "params", "cycles", time, energy, "util.")
    cells = [("operation", *numbers, "bound by")] + [
        (
            f"+ {row['op']}" if row["fused"] else row["op"],
            *(_short(row[name]) for name in ("macs", "params", "cycles")),
            f"{row['latency_ms'] * time_scale:.3g}",
            f"{row['energy_mj'] * energy_scale:.3g}",
            f"{row['utilization']:.1%}",
            row["bound"],
        )
        for row in layers
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    room = WIDTH - sum(widths) - len(widths)
    names = ["layer", *(_end(row["name"], room) for row in layers)]
    return text.table(
        [(name, *row) for name, row in zip(names, cells, strict=True)],
        "<<" + ">" * len(numbers) + "<",
        gap=" ",
    )


def _column_unit(
    layers: Sequence[Mapping[str, Any]], name: str
) -> tuple[float, str]:
    return metrics.get(name).scale(max(row[name] for row in layers))


def _short(number: float) -> str:
    return text.count(number, 3).replace(" ", "")


def _end(name: str, width: int) -> str:
    """The end of a long name, which tells it from its siblings."""
    return name if len(name) <= width else f"…{name[1 - width :]}"
