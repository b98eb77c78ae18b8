"""Where a team keeps its experiments: one file each, found by looking.

A module of this package with a public subclass of `Tracker` is a tracker, and
the module's name is the tracker's. One of a user's own is such a class
anywhere, and handed to the tuner.
"""

from __future__ import annotations

from collections.abc import Iterable

from absl import logging

from tf_cosearch.registry import Registry
from tf_cosearch.trackers.tracker import Tracker

_MEMBERS = Registry(__name__, Tracker, "tracker")
names = _MEMBERS.names
get = _MEMBERS.get
options = _MEMBERS.options
make = _MEMBERS.make


def parse(text: str) -> Tracker:
    """The tracker that `NAME` or `NAME:WHERE` asks for.

    Args:
        text: For example `mlflow:sqlite:///mlflow.db`; what is behind the first
            colon is the tracker's `where`.

    Raises:
        ValueError: If there is none of that name.
        ImportError: If its package is not installed.
    """
    name, _, where = text.partition(":")
    return make(name, {"where": where})


def installed(texts: Iterable[str]) -> list[Tracker]:
    """The trackers asked for, without those whose package is not installed.

    A log line says which: a search goes on without them, as it does without
    one that fails later.

    Args:
        texts: As `parse` takes them.

    Raises:
        ValueError: If there is none of a name.
    """
    found = []
    for told in texts:
        try:
            found.append(parse(told))
        except ImportError as error:  # noqa: PERF203
            logging.warning("%s. The search goes on without it.", error)
    return found
