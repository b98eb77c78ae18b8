"""Shows what a search trains while it runs: a view, or a line now and then."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tf_cosearch import text
from tf_cosearch.designs import ongoing
from tf_cosearch.designs.ongoing import Training

if TYPE_CHECKING:
    from rich.console import Console

PAUSE_SECONDS = 60.0
"""Silence that a first line of a log ends; each doubles the next one."""

LONGEST_PAUSE_SECONDS = 600.0

_REFRESHES = 1.0  # a second

Told = Callable[[], tuple[str, Sequence[Training]]]
"""Says how far a search is, in a line, and what it trains."""


@contextlib.contextmanager
def shown(
    console: Console, told: Told, silence: Callable[[], float]
) -> Iterator[None]:
    """Shows until the block ends what is trained in it.

    On a terminal the last lines are renewed each second, and all else that is
    printed or logged goes above them. Elsewhere it is a line now and then.

    Args:
        console: Where to; a quiet one shows nothing.
        told: Asked by a thread of its own.
        silence: Seconds since something was printed, asked likewise.
    """
    if console.quiet:
        yield
        return
    with (
        _view(console, told)
        if has_view(console)
        else _log(console, told, silence)
    ):
        yield


def has_view(console: Console) -> bool:
    """Whether lines can be renewed, and somebody sees it.

    Not in a notebook, whose output other cells share, nor where `NO_COLOR` or
    `CI` asks for plain text.
    """
    return (
        console.is_terminal
        and _is_terminal(console.file)
        and not console.is_dumb_terminal
        and not console.is_jupyter
        and not any(os.environ.get(name) for name in ("NO_COLOR", "CI"))
    )


@contextlib.contextmanager
def _view(console: Console, told: Told) -> Iterator[None]:
    from rich.live import Live

    head = ""

    def renewed() -> Any:
        nonlocal head
        trainings: Sequence[Training] = ()
        with contextlib.suppress(Exception):  # as it must not end a search
            head, trainings = told()
        return _lines(console, head, trainings)

    live = Live(
        console=console,
        get_renderable=renewed,
        refresh_per_second=_REFRESHES,
        transient=True,
        redirect_stderr=_is_terminal(sys.stderr),
    )
    # A process that replaces itself by its own command leaves no block.
    atexit.register(live.stop)
    try:
        with live, _logged_above():
            yield
    finally:
        atexit.unregister(live.stop)


def _is_terminal(stream: Any) -> bool:
    """Whether a terminal shows it; no closed one, nor what cannot tell."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        return bool(stream.isatty())
    return False


def _lines(console: Console, head: str, trainings: Sequence[Training]) -> Any:
    """The view, of lines that the terminal has room for."""
    from rich.text import Text

    rows = [[t.worker, f"trial {t.trial_id}", *t.cells()] for t in trainings]
    lines = [head]
    if rows:
        lines += text.table(rows, "<" * len(rows[0])).splitlines()
    room = max(2, console.height - 1)
    if len(lines) > room:
        lines[room - 1 :] = [f"and {len(lines) - room + 1} more"]
    shown = [Text(line, style="dim") for line in lines]
    for line in shown:
        line.truncate(console.width - 1, overflow="ellipsis")
    return Text("\n").join(shown)


@contextlib.contextmanager
def _logged_above() -> Iterator[None]:
    """Has handlers write where standard error and output lead by now.

    Those that exist hold the terminal itself, which knows of no view.
    """
    streams = {
        id(getattr(now, "rich_proxied_file", now)): now
        for now in (sys.stdout, sys.stderr)
    }
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    handlers = {h for each in loggers for h in getattr(each, "handlers", ())}
    # absl's has one of its own inside.
    handlers |= {getattr(h, "python_handler", h) for h in handlers}
    before = []
    for handler in handlers:
        stream = getattr(handler, "stream", None)
        if isinstance(handler, logging.StreamHandler) and id(stream) in streams:
            before.append((handler, handler.setStream(streams[id(stream)])))
    try:
        yield
    finally:
        for handler, stream in before:
            if stream is not None:
                handler.setStream(stream)


@contextlib.contextmanager
def _log(
    console: Console, told: Told, silence: Callable[[], float]
) -> Iterator[None]:
    ended = threading.Event()

    def work() -> None:
        pause, said = PAUSE_SECONDS, time.monotonic()
        while True:
            quiet = min(silence(), time.monotonic() - said)
            if ended.wait(max(0.0, pause - quiet)):
                return
            if silence() < pause:
                continue
            with contextlib.suppress(Exception):
                head, trainings = told()
                now = ongoing.line(trainings) or "nothing trains just now"
                console.print(f"{head}: {now}")
            said = time.monotonic()
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
