"""Makes the page of a search, once, or again as the search goes on."""

from __future__ import annotations

import contextlib
import pathlib
import time
from collections.abc import Iterator

from tf_cosearch import files
from tf_cosearch.designs import ongoing
from tf_cosearch.designs.page import run, writing

SECONDS = 10.0
"""How long to wait before looking again for what is new."""

_PATIENCE = 4.0
"""Waiting takes as many times as long as writing the page, at least."""


def once(folder: pathlib.Path, path: pathlib.Path, advised: int) -> list[str]:
    """Writes the page of a search.

    Args:
        folder: Of the search, which may still be going.
        path: Where to.
        advised: Designs to say what would help, see `writing.write`.

    Returns:
        What to print, in lines.

    Raises:
        FileNotFoundError: If it holds no trials.
        OSError: If the file cannot be written.
    """
    return [_write(folder, path, advised, is_going=False)]


def follow(
    folder: pathlib.Path, path: pathlib.Path, advised: int
) -> Iterator[str]:
    """Writes it anew whenever a trial or an epoch has ended.

    It ends with the search: when nobody works in the folder any more.

    Args:
        folder: Of the search.
        path: Where to.
        advised: The same.

    Yields:
        A line for each page.

    Raises:
        FileNotFoundError: If nobody searches there, and it holds no trials.
        OSError: If the file cannot be written.
    """
    before = None
    is_going = True
    while is_going:
        # Asked first, so that what a search does last is read after it.
        is_going = files.is_owned(folder)
        now, began = _newest(folder), time.monotonic()
        if not is_going or (now and now != before):
            before = now
            yield _write(folder, path, advised, is_going)
        if is_going:
            took = time.monotonic() - began
            time.sleep(max(SECONDS, _PATIENCE * took))
    yield f"Nobody works in {folder} any more."


def _write(
    folder: pathlib.Path, path: pathlib.Path, advised: int, is_going: bool
) -> str:
    found = run.read(folder)
    trained = ongoing.of_search(folder, found.state)
    writing.write(
        found,
        path,
        advised=advised,
        reload_seconds=2 * SECONDS if is_going else None,
        training=[each.words() for each in trained],
    )
    now = f" Now {ongoing.line(trained)}." if trained else ""
    return f"{writing.counts(found)}.{now} Wrote {path}."


def _newest(folder: pathlib.Path) -> int:
    """When a trial last changed, in ns; 0 if there is none."""
    patterns = "trial_*/trial.json", "trial_*/execution_*.json", "trials.csv"
    found = (path for pattern in patterns for path in folder.glob(pattern))
    newest = 0
    with contextlib.suppress(FileNotFoundError):  # a new one takes its place
        for path in found:
            newest = max(newest, path.stat().st_mtime_ns)
    return newest
