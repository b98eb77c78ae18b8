"""Puts a page together: one file that asks nobody for anything."""

from __future__ import annotations

import datetime
import html
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Any

from absl import logging

from tf_cosearch import files, identity, metrics, text
from tf_cosearch.designs import report
from tf_cosearch.designs.page import details
from tf_cosearch.designs.page import run as run_lib
from tf_cosearch.designs.page.run import Run
from tf_cosearch.metrics.metric import Metric
from tf_cosearch.search import objectives

NAME = "report.html"

MOST_BYTES = 5_900_000
"""Of a page; the library that draws takes 4.8 million of them."""

MOST_DETAILED = 60
"""Designs that a page tells all of; each takes 10 ms, and some 10 kB."""

MOST_CUT = 8
"""The same of designs of several chips, which take two seconds: where the
network is cut has to be found again."""

_MOST_TABLE = 600_000  # bytes
_NOTES = 500  # bytes that a remark on the details may take
_MOST_FAILURES = 100
_LONGEST = 300  # characters of a setting


def leave(folder: str | os.PathLike[str]) -> None:
    """Writes the page of a search into its folder, whatever it takes.

    If that fails the search does not: a line of the log says why.
    """
    try:
        write(run_lib.read(folder), pathlib.Path(folder, NAME))
    except Exception as error:
        logging.warning(
            "%s was not written: %s. %s --run=%s tries again.",
            NAME,
            text.line(error, _LONGEST).rstrip("."),
            text.command("report"),
            folder,
        )


def write(
    run: Run,
    path: pathlib.Path,
    *,
    advised: int = 0,
    reload_seconds: float | None = None,
    training: Sequence[str] = (),
) -> None:
    """Writes the page of a search, whole or not at all.

    Args:
        run: The search.
        path: Where to.
        advised: Designs, the best first, of whose layers to say what would
            help; half a second each.
        reload_seconds: After how long an open page looks for a newer one;
            None is never.
        training: What is trained just now, in lines.

    Raises:
        ImportError: If plotly, which draws, is not installed.
        OSError: If the file cannot be written.
    """
    plotly = _plotly()
    shown, notes = _shown(run)
    content = {
        "name": run.folder.resolve().name,
        "told": _told(run),
        "training": list(training),
        "columns": [_column(run, name) for name in run.columns],
        "rows": [[row.get(name) for name in run.columns] for row in shown],
        "accuracy": run.accuracy,
        "compared": run.compared,
        "chosen": run.chosen,
        "front": run.front,
        "budgets": run.settings.get("budgets", {}),
        "failures": dict([*run.failures.items()][:_MOST_FAILURES]),
        "origins": {
            row["trial_id"]: run.origins[row["trial_id"]]
            for row in shown
            if row["trial_id"] in run.origins
        },
        "settings": _settings(run),
        "reload_seconds": reload_seconds,
        "notes": notes,
        "details": {},
    }
    left = MOST_BYTES - len(_page(content, plotly).encode()) - _NOTES
    found = _detailed(run, advised)
    for trial_id, each in found:
        left -= len(_embedded({trial_id: each}))
        if left < 0:
            break
        content["details"][trial_id] = each
    lacking = [i for i in run.best if i not in content["details"]]
    if lacking:
        notes.append(
            f"Details are of {len(content['details'])} trials: the best of the "
            "front first, then by reward"
        )
    files.write_text(path, _page(content, plotly))


def _plotly() -> str:
    try:
        from plotly import offline
    except ImportError:
        raise ImportError(
            "plotly must be installed to draw a report. Received: none. Run "
            "`pip install plotly`."
        ) from None
    return str(offline.get_plotlyjs())


def _page(content: Mapping[str, Any], plotly: str) -> str:
    """The file: our style, the library, the values, our script."""
    assets = resources.files(__package__)
    parts = {
        "TITLE": html.escape(str(content["name"])),
        "STYLE": (assets / "page.css").read_text("utf-8"),
        "PLOTLY": plotly,
        "RUN": _embedded(content),
        "SCRIPT": (assets / "page.js").read_text("utf-8"),
    }
    # Each is looked for once, so that none is found in another.
    pieces = (assets / "page.html").read_text("utf-8").split("@@")
    return "".join(parts.get(piece, piece) for piece in pieces)


def _embedded(content: Any) -> str:
    r"""JSON that ends no script, whatever texts are in it.

    Example:
    >>> print(_embedded({"reason": "</script><img>"}))
    {"reason":"\u003c/script\u003e\u003cimg\u003e"}
    """
    told = json.dumps(content, separators=(",", ":"), allow_nan=False)
    for sign in "<>&":
        told = told.replace(sign, f"\\u{ord(sign):04x}")
    return told


def _shown(run: Run) -> tuple[list[run_lib.Row], list[str]]:
    """Rows that there is room for, and remarks on what is missing."""
    notes = [f"Cannot be read: {each}" for each in run.wrong]
    order = dict.fromkeys([*run.front, *run.best])
    order |= dict.fromkeys(row["trial_id"] for row in run.rows)
    rank = {trial_id: number for number, trial_id in enumerate(order)}
    ranked = sorted(run.rows, key=lambda row: rank[row["trial_id"]])
    room, kept = _MOST_TABLE, set[str]()
    for row in ranked:
        room -= len(_embedded([row.get(name) for name in run.columns]))
        if room < 0:
            notes.append(
                f"{len(kept)} of {len(run.rows)} trials are shown: the front, "
                "then by reward; trials.csv has all"
            )
            break
        kept.add(row["trial_id"])
    if len(run.failures) > _MOST_FAILURES:
        notes.append(
            f"Reasons are of {_MOST_FAILURES} of {len(run.failures)} failures"
        )
    return [row for row in run.rows if row["trial_id"] in kept], notes


def _detailed(run: Run, advised: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Details of trials: of those that run, the front, the best, failed."""
    running = [r["trial_id"] for r in run.rows if r["status"] == "RUNNING"]
    best = [*dict.fromkeys([*run.best[:1], *run.front, *run.best])]
    advice = {*best[:advised]}
    has_chips = any(row.get("chips", 1) != 1 for row in run.rows)
    most = MOST_CUT if has_chips else MOST_DETAILED
    for trial_id in [*running, *best[:most]]:
        yield trial_id, details.of_trial(run, trial_id, trial_id in advice)


def counts(run: Run) -> str:
    """How many trials there are of each kind, in words."""
    numbers = {
        "finished": len(run.best),
        "running": sum(row["status"] == "RUNNING" for row in run.rows),
        "failed": len(run.failures),
    }
    told = (f"{n} {word}" for word, n in numbers.items() if n)
    return f"Trials: {', '.join(told) or 'none has ended'}"


def _told(run: Run) -> str:
    """The search in a line."""
    now = datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
    return f"{counts(run)}. Written {now} of {run.folder}."


def _metric(name: str) -> Metric | None:
    """What a column is a number of; of another process' metric is none."""
    for ending in ("", *metrics.ENDINGS):
        base = name.removesuffix(ending)
        if name.endswith(ending) and base in metrics.names():
            return metrics.get(base)
    return None


def _column(run: Run, name: str) -> dict[str, Any]:
    """What a column is called, and in which unit it is read."""
    values = [row[name] for row in run.rows if name in row]
    numbers = [v for v in values if isinstance(v, (int, float))]
    metric = _metric(name)
    column = {"name": name, "label": name, "scale": 1, "less": True}
    column["number"] = len(numbers) == len(values) and name != "trial_id"
    column["kind"] = "hyperparameter"
    if name in ("trial_id", "status", "feasible", "reward"):
        column |= {"kind": "about", "label": name.replace("_id", "")}
        column["less"] = name != "reward"
    elif metric is not None and numbers:
        largest = max(numbers)
        scale, symbol = metric.scale(largest)
        ending = name.removeprefix(metric.name).replace("_", " ")
        unit = f" ({symbol})" if symbol else ""
        column |= {
            "kind": "metric",
            "label": f"{_scored(run, metric.word)}{ending}{unit}",
            "scale": scale,
            "less": metric.is_limited_above,
        }
    elif name == run.accuracy or name.endswith(report.OF_FILE):
        is_loss = name != run.accuracy and objectives.is_loss(name)
        column |= {"kind": "metric", "less": is_loss}
    elif name in report.trial_columns():
        column["kind"] = "time"
    return column


def _scored(run: Run, word: str) -> str:
    """What a column is called, with what its accuracy is."""
    space = (run.state.get("identity") or {}).get("space") or {}
    return word.replace("accuracy", report.score(space))


def _settings(run: Run) -> list[tuple[str, list[tuple[str, str]]]]:
    """What the search was, in groups of names and values."""
    known = run.state.get("identity") or {}
    flags = {n: value for n, value in run.flags.items() if value is not None}
    groups = {
        "Search": {**run.settings, "seed": run.state.get("seed")},
        "Command": flags,
        "Data": known.get("data"),
        "Training": known.get("training"),
        "Evaluator": known.get("evaluator"),
        "Versions": known.get("versions") or identity.versions(),
    }
    return [
        (title, [*_flat(values)]) for title, values in groups.items() if values
    ]


def _flat(values: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Nested values as pairs of a path and a text."""
    if isinstance(values, Mapping) and values:
        for key, value in values.items():
            yield from _flat(value, f"{name}.{key}" if name else str(key))
    elif values not in ([], {}, None):
        told = values if isinstance(values, str) else json.dumps(values)
        yield name, text.line(told, _LONGEST)
