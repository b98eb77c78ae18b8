"""A comparison of search algorithms as tables to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tf_cosearch import text
from tf_cosearch.benchmark.summary import MEASURES

_COUNTS = (25, 50, 100, 200, 300)  # trials that have a column


def tables(result: Mapping[str, Any]) -> str:
    """A table for each landscape and measure, and one of the targets.

    Args:
        result: What `comparison.compare` gave.

    Returns:
        Lines, without the last newline.
    """
    trials = result["trials"]
    counts = sorted({*(c for c in _COUNTS if c <= trials), trials})
    parts = [
        f"{_measure_table(f'{landscape}: {measure}', measure, entries, counts)}"
        "\n"
        for landscape, entries in result["landscapes"].items()
        for measure in MEASURES
    ]
    parts += [
        f"early: {result['early']} trials; else {trials}",
        _target_table(result["targets"]),
    ]
    if result["needed"]:
        parts.append(f"\n{_needed_table(result['needed'])}")
    if result["runs"] < result["runs_asked_for"]:
        parts.append(
            f"{result['runs']} of {result['runs_asked_for']} runs done. The "
            "same command goes on."
        )
    return "\n".join(parts)


def _measure_table(
    title: str,
    measure: str,
    entries: Mapping[str, Any],
    counts: Sequence[int],
) -> str:
    """Medians of each algorithm, the best first."""
    header = [title, "seeds", *map(str, counts)]
    rows = [[*header, "quartiles", "violations", "s/proposal"]]
    measured = {k: entry for k, entry in entries.items() if measure in entry}
    for label, entry in sorted(
        measured.items(), key=lambda item: -_last(item[1][measure])["median"]
    ):
        curve = entry[measure]
        low, high = _last(curve)["quartiles"]
        medians = (
            f"{curve[str(count)]['median']:.4f}" if str(count) in curve else "-"
            for count in counts
        )
        rows.append(
            [
                label,
                str(entry["seeds"]),
                *medians,
                f"{low:.4f}-{high:.4f}",
                str(entry["violations"]),
                f"{entry['seconds_per_proposal']:.3f}",
            ]
        )
    return text.table(rows, "<" + ">" * (len(rows[0]) - 1))


def _last(curve: Mapping[str, Any]) -> Any:
    return list(curve.values())[-1]


def _needed_table(needed: Sequence[Mapping[str, Any]]) -> str:
    rows = [["as good as the best rival", "measure", "after", "rival", "of"]]
    rows += [
        [
            each["landscape"],
            each["measure"],
            "never" if each["trials"] is None else str(each["trials"]),
            f"{each['rival']}: {each['bound']:.4f}",
            str(each["of"]),
        ]
        for each in needed
    ]
    return text.table(rows, "<<><>")


def _target_table(targets: Sequence[Mapping[str, Any]]) -> str:
    rows = [["target", "landscape", "value", "against", "bound", ""]]
    rows += [
        [
            target["what"],
            target["landscape"],
            f"{target['value']:.4g}",
            target["against"],
            f"{target['bound']:.4g}",
            "passed" if target["passed"] else "MISSED",
        ]
        for target in targets
    ]
    return text.table(rows, "<<><><")
