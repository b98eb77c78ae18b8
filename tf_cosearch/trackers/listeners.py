"""Tells whoever asked of trials, and never lets one of them cost a search."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Sequence

from absl import logging

from tf_cosearch import text
from tf_cosearch.trackers.tracker import Listener, Tracker, TrialRecord

PATIENCE_SECONDS = 30.0
"""How long the end of a search waits for trackers that have not answered."""


class Listeners:
    """Functions and trackers that are told of each trial as it ends.

    A function is called at once, and may see what the search does next. A
    tracker is told by a thread: it may wait for a server that does not answer,
    and the search does not wait for it.

    Args:
        listeners: Each called with a `TrialRecord`.

    Raises:
        TypeError: If one cannot be called.

    Example:
    >>> heard = []
    >>> listeners = Listeners([lambda record: heard.append(record.trial_id)])
    >>> listeners.tell(TrialRecord("digits", "0", {}, {}, {}, 0.5, None))
    >>> heard
    ['0']
    """

    def __init__(self, listeners: Sequence[Listener]) -> None:
        for listener in listeners:
            if not callable(listener):
                raise TypeError(
                    "on_trial_end must be called with a record of each trial. "
                    f"Received: {listener!r}. Pass a function or a tracker."
                )
        self._functions = [
            each for each in listeners if not isinstance(each, Tracker)
        ]
        self._trackers = [
            each for each in listeners if isinstance(each, Tracker)
        ]
        self._untold: queue.Queue[tuple[Tracker, TrialRecord]] = queue.Queue()
        self._thread: threading.Thread | None = None
        self._have_failed: set[int] = set()

    def begin(self, records: Iterable[TrialRecord]) -> None:
        """Tells trackers of trials that ended before this process began.

        Without trackers the records are not asked for.
        """
        if self._trackers:
            for record in records:
                self._tell_trackers(record)

    def tell(self, record: TrialRecord) -> None:
        """Passes a trial on; a failure is said once and costs nothing."""
        for function in self._functions:
            self._call(function, record)
        self._tell_trackers(record)

    def end(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Lets trackers be told what they were not yet.

        Args:
            seconds: How long to wait for them.
        """
        if self._thread is None:
            return
        done = threading.Event()

        def wait() -> None:
            self._untold.join()
            done.set()

        threading.Thread(target=wait, daemon=True).start()
        if not done.wait(seconds):
            logging.warning(
                "Trackers did not answer within %g s; about %d trials are not "
                "told. %s hands them over later.",
                seconds,
                self._untold.unfinished_tasks,
                text.command("export_trials"),
            )

    def _tell_trackers(self, record: TrialRecord) -> None:
        for tracker in self._trackers:
            self._untold.put((tracker, record))
        if self._trackers and self._thread is None:
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while True:
            tracker, record = self._untold.get()
            self._call(tracker, record)
            self._untold.task_done()

    def _call(self, listener: Listener, record: TrialRecord) -> None:
        try:
            listener(record)
        except Exception as error:
            if id(listener) in self._have_failed:
                return
            self._have_failed.add(id(listener))
            logging.warning(
                "%s was told of trial %s and failed (%s: %s). The search goes "
                "on; this is not said again.",
                getattr(listener, "__name__", type(listener).__name__),
                record.trial_id,
                type(error).__name__,
                error,
            )
