"""How what was measured of designs is told beside what was predicted."""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from tf_cosearch import files, metrics
from tf_cosearch.evaluators import measurement
from tf_cosearch.evaluators.evaluator import Evaluation
from tf_cosearch.search.measured import ANALYTIC, NOISE, PREDICTED, SECONDS
from tf_cosearch.text import duration


def cost(name: str, known: Mapping[str, float]) -> str:
    """A cost of a trial, and what was predicted if it was measured.

    Args:
        name: Of a metric.
        known: What is known of the trial.

    Example:
    >>> cost("latency_ms", {"latency_ms": 2.0, "latency_ms_noise": 0.1,
    ...                     "latency_ms_predicted": 1.5})
    '2 ms (predicted 1.5 ms)'
    >>> cost("latency_ms", {"latency_ms": 2.0})
    '2 ms'
    """
    text = metrics.get(name).text
    value = text(known[name])
    if not known.keys() >= {f"{name}{NOISE}", f"{name}{PREDICTED}"}:
        return value
    return f"{value} (predicted {text(known[f'{name}{PREDICTED}'])})"


def plain(
    evaluation: Evaluation, analytic: Mapping[str, Any]
) -> dict[str, Any]:
    """What was measured of a file, for JSON.

    Args:
        evaluation: Of the file.
        analytic: What the model says of it, by name; more is ignored.

    Returns:
        For each cost `value`, `unit`, `noise` and, if the model knows it,
        `analytic`; the `seconds` of the call.
    """
    costs = {
        name: {
            **quantity._asdict(),
            **({"analytic": analytic[name]} if name in analytic else {}),
        }
        for name, quantity in evaluation.costs.items()
    }
    return {**costs, "seconds": evaluation.seconds}


def told(evaluator: str, measured: Mapping[str, Any]) -> str:
    """The same in words.

    Args:
        evaluator: What it is called.
        measured: What `plain` returned.

    Example:
    >>> print(told("board", {"latency_ms": {"value": 2.0, "unit": "ms",
    ...     "noise": 0.1, "analytic": 1.5}, "cycles": {"value": 7.0,
    ...     "unit": "", "noise": 0.0}, "seconds": 3.0}))
    board, in 3 s: latency 2 ms (noise 0.1 ms, analytic 1.5 ms), cycles 7
    """
    texts = []
    for name, cost in measured.items():
        if name == "seconds":
            continue
        if name in metrics.names():
            word, text = metrics.get(name).word, metrics.get(name).text
        else:
            word = name
            text = functools.partial(_text, unit=cost["unit"])
        others = [
            f"{kind} {text(cost[kind])}"
            for kind in ("noise", "analytic")
            if cost.get(kind)
        ]
        aside = f" ({', '.join(others)})" if others else ""
        texts.append(f"{word} {text(cost['value'])}{aside}")
    return f"{evaluator}, in {_seconds(measured['seconds'])}: " + ", ".join(
        texts
    )


def _text(value: float, unit: str) -> str:
    return f"{value:,.6g} {unit}".strip()


def _seconds(seconds: float) -> str:
    return duration(seconds) if seconds >= 1 else f"{seconds:.2g} s"


def remark(
    evaluator: str,
    names: Sequence[str],
    finished: Sequence[Mapping[str, float]],
) -> str:
    """How far predictions were from what was measured, in a line or none.

    Args:
        evaluator: What it is called.
        names: Of measured metrics.
        finished: What is known of each finished trial.

    Example:
    >>> trial = {"area_mm2": 2.0, "area_mm2_noise": 0.0,
    ...          "area_mm2_predicted": 2.1, "area_mm2_analytic": 1.0,
    ...          "seconds_measurement": 3.0}
    >>> remark("Command", ["area_mm2"], [trial])
    'Measured by Command, a call 3 s in the median: area was 5 % from what
    was predicted, 50 % from the analytic model'
    """
    told = []
    for name in names:
        away = [
            _median_away(finished, name, kind) for kind in (PREDICTED, ANALYTIC)
        ]
        if None not in away:
            told.append(
                f"{metrics.get(name).word} was {away[0]:.3g} % from what was "
                f"predicted, {away[1]:.3g} % from the analytic model"
            )
    if not told:
        return ""
    seconds = statistics.median(m[SECONDS] for m in finished if SECONDS in m)
    return (
        f"Measured by {evaluator}, a call {_seconds(seconds)} in the median: "
        f"{'; '.join(told)}"
    )


def _median_away(
    finished: Sequence[Mapping[str, float]], name: str, kind: str
) -> float | None:
    """By how many percent of what was measured another number is off."""
    needed = {name, f"{name}{NOISE}", f"{name}{kind}"}
    away = [
        100 * abs(known[f"{name}{kind}"] / known[name] - 1)
        for known in finished
        if needed <= known.keys() and known[name]
    ]
    return statistics.median(away) if away else None


def describe(
    known: Mapping[str, float], folder: str | os.PathLike[str]
) -> dict[str, Any]:
    """What was measured of a design, for `design.json`.

    Args:
        known: What is known of its trial.
        folder: Of that, with the record of the measurement.

    Returns:
        For each measured cost `value`, `unit` and `noise`, and of a metric
        what was `predicted` and what the `analytic` model says; the `seconds`
        of the call. Empty if nothing was measured.
    """
    record = None
    with contextlib.suppress(ValueError, FileNotFoundError):
        record, _ = files.read_json(
            pathlib.Path(folder, measurement.FILE),
            measurement.MeasurementState,
        )
    # A file that an earlier search brought may have been measured there alone.
    if record is None or SECONDS not in known:
        return {}
    kinds = {"predicted": PREDICTED, "analytic": ANALYTIC}
    costs = {
        name: {
            "value": value,
            "unit": record["units"][name],
            "noise": record["noises"][name],
            **{
                kind: known[f"{name}{end}"]
                for kind, end in kinds.items()
                if f"{name}{end}" in known
            },
        }
        for name, value in record["values"].items()
    }
    return {**costs, "seconds": record["seconds"]}
