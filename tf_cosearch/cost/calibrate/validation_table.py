"""Comparisons with devices and other tools as tables to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tf_cosearch import text
from tf_cosearch.cost.calibrate import validation
from tf_cosearch.cost.calibrate.family_evidence import Comparison
from tf_cosearch.cost.calibrate.validation import KINDS


def table(rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> str:
    """All rows by machine, and what they say together.

    Args:
        rows: What `validation.rows` gave.
        summary: What `validation.summarize` gave.

    Returns:
        Lines, without the last newline.
    """
    names = [kind.replace("_", " ") for kind in KINDS]
    header = ["", "measured", *(c for name in names for c in (name, "error"))]
    cells = [[*header, "why"]]
    sources: list[tuple[str, str]] = []
    for machine in dict.fromkeys(row["machine"] for row in rows):
        group = [row for row in rows if row["machine"] == machine]
        cells.append([f"{machine}, {group[0]['unit']}", *[""] * 8])
        cells += map(_cells, group)
        said = dict.fromkeys(row["source"] for row in group)
        sources += zip([f"  {machine}", *[""] * len(said)], said, strict=False)
        if machine in summary["devices"]:
            errors = summary["devices"][machine]
            cells += [
                _error_cells("mean absolute error", errors, "mean", "{:.1%}"),
                _error_cells("median", errors, "median", "{:.1%}"),
                _error_cells("Kendall tau", errors, "kendall_tau", "{:.2f}"),
                *_part_cells(group),
            ]
    order, zigzag = summary["order"], summary["zigzag"]
    in_order = ", ".join(
        f"{name} {'yes' if order[kind] else 'no'}"
        for name, kind in zip(names, KINDS, strict=True)
    )
    device, slower, faster = validation.TRAP
    errors = ", ".join(
        "{} {mean:.1%} ({median:.1%})".format(
            name, **summary["devices"]["all"][kind]
        )
        for name, kind in zip(names, KINDS, strict=True)
    )
    return "\n".join(
        [
            text.table(cells, "<>>>>>>><"),
            "",
            f"all devices, mean (median) absolute error: {errors}",
            f"{device}: {slower} is slower than {faster}: {in_order}",
            f"ZigZag: median absolute error {zigzag['median_error']:.1%}, "
            f"Kendall tau {zigzag['kendall_tau']:.2f}",
            *(
                f"{count} layers: {reason}. "
                f"{validation.REASONS.get(reason, '')}"
                for reason, count in zigzag["reasons"].items()
            ),
            "",
            "measured by",
            text.table(sources, "<<"),
        ]
    )


def _part_cells(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Mean absolute errors of each part of the rows of a machine."""
    cells = []
    for part in dict.fromkeys(row["part"] for row in rows if row["part"]):
        chosen = [row for row in rows if row["part"] == part]
        errors = {
            kind: {
                "mean": sum(abs(row[f"{kind}_error"]) for row in chosen)
                / len(chosen)
            }
            for kind in KINDS
        }
        name = f"mean of {len(chosen)} {part}"
        cells.append(_error_cells(name, errors, "mean", "{:.1%}"))
    return cells


def _cells(row: Mapping[str, Any]) -> list[str]:
    """A network or layer: its number, and each prediction with its error."""
    number = "{:,.0f}" if row["unit"] == "cycles" else "{:.3g}"
    cells = [f"  {row['workload']}", number.format(row["reference"])]
    for kind in KINDS:
        if row[kind] is None:
            cells += ["", ""]
        else:
            error = f"{row[f'{kind}_error']:+.1%}"
            cells += [number.format(row[kind]), error]
    return [*cells, row["reason"] or ""]


def _error_cells(
    name: str,
    errors: Mapping[str, Mapping[str, float]],
    figure: str,
    style: str,
) -> list[str]:
    cells = [f"  {name}", ""]
    for kind in KINDS:
        cells += ["", style.format(errors[kind][figure])]
    return [*cells, ""]


def families(compared: Sequence[Comparison]) -> str:
    """Comparisons of families with the tools that speak for them.

    Args:
        compared: What `family_evidence.compare` gave.

    Returns:
        Lines, without the last newline.
    """
    cells = [["family, tool", "", "rows", "median", "mean", "worst", "tau"]]
    for comparison in compared:
        said = comparison.summary()
        cells.append(
            [
                f"{said['family']}, {said['tool']}",
                f"{said['preset']}, {said['what']} {said['role']}",
                str(said["rows"]),
                f"{said['median_error']:.1%}",
                f"{said['mean_error']:.1%}",
                f"{said['worst_error']:.1%}",
                f"{said['kendall_tau']:.2f}",
            ]
        )
    return text.table(cells, "<<>>>>>")


def assumptions(rows: Sequence[Mapping[str, Any]]) -> str:
    """What other assumptions would do to networks left out of the fit.

    Args:
        rows: What `validation.vary_assumptions` gave.

    Returns:
        Lines, without the last newline.
    """
    cells = [["left out of the fit, if it were", "", "mean", "median"]]
    cells += [
        [
            row["devices"],
            f"{row['parameter']} {row['value']}",
            f"{row['mean_error']:.1%}",
            f"{row['median_error']:.1%}",
        ]
        for row in rows
    ]
    return text.table(cells, "<<>>")
