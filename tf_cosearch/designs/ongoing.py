"""What a search trains just now, as its folder tells."""

from __future__ import annotations

import contextlib
import itertools
import pathlib
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tf_cosearch import files, text
from tf_cosearch.search import executions
from tf_cosearch.search.oracle.state import ExecutionState

_PHASES = {"float": "float", "qat": "quantization-aware"}
_BEGINS, _ENDS = "begins", "quantizes and measures"


class Training(NamedTuple):
    """A trial that runs, and how far it is.

    Attributes:
        trial_id: Which.
        worker: Who runs it.
        phase: In words: `float`, `quantization-aware`, or what is before and
            after them; which training it is of, if the trial has several.
        epoch: The one that is trained, from 1; 0 if none is.
        epochs: How many there will be; 0 if that is not known.
        epoch_seconds: What one takes; None until one has ended.
        seconds_left: Until the last of all trainings of the trial has ended;
            None as long, and when it is later than that, as the first epoch
            of a phase may be.
    """

    trial_id: str
    worker: str
    phase: str
    epoch: int = 0
    epochs: int = 0
    epoch_seconds: float | None = None
    seconds_left: float | None = None

    def cells(self) -> list[str]:
        """It in words: phase, epoch, seconds an epoch, time left.

        Example:
        >>> Training("07", "worker0", "float", 3, 12, 40.0, 150.0).cells()
        ['float', 'epoch 3 of 12', '40 s an epoch', '2 min left']
        """
        of = f" of {self.epochs}" if self.epochs else ""
        each, left = self.epoch_seconds, self.seconds_left
        return [
            self.phase,
            f"epoch {self.epoch}{of}" if self.epoch else "",
            "" if each is None else f"{_short(each)} an epoch",
            "" if left is None else f"{text.duration(left)} left",
        ]

    def words(self) -> str:
        """It in a line.

        Example:
        >>> Training("07", "worker0", "begins").words()
        'trial 07: begins'
        """
        told = ", ".join(cell for cell in self.cells() if cell)
        return f"trial {self.trial_id}: {told}"


def read(
    folder: pathlib.Path, running: Mapping[str, str], now: float | None = None
) -> list[Training]:
    """How far trials are that run.

    Args:
        folder: Of the search.
        running: Their ids, by who runs them.
        now: Seconds since 1970, the present by default.
    """
    now = time.time() if now is None else now
    return [
        _training(folder / f"trial_{trial_id}", trial_id, worker, now)
        for worker, trial_id in sorted(running.items())
    ]


def of_search(folder: pathlib.Path, state: Mapping[str, Any]) -> list[Training]:
    """What a search trains that runs elsewhere, or has just begun.

    Args:
        folder: Of the search. If nobody works in it, nothing is trained.
        state: What its `oracle.json` says.
    """
    running = state.get("ongoing_trials")
    if not (isinstance(running, dict) and files.is_owned(folder)):
        return []
    told = {str(who): str(trial_id) for who, trial_id in running.items()}
    return read(folder, told)


def line(trainings: Sequence[Training], most: int = 4) -> str:
    """What is trained, in a line; of many workers some.

    Args:
        trainings: All that run.
        most: How many to tell of.
    """
    told = [each.words() for each in trainings[:most]]
    if more := len(trainings) - len(told):
        told.append(f"{more} more")
    return "; ".join(told)


def _training(
    folder: pathlib.Path, trial_id: str, worker: str, now: float
) -> Training:
    """What that of its executions says which was written last.

    A trial that is tried again begins with the first, and those of before are
    still there.
    """
    begins, found = Training(trial_id, worker, _BEGINS), []
    for number in itertools.count():
        content = executions.read(folder, number)
        if content is None:
            break
        with contextlib.suppress(OSError):
            written = executions.path(folder, number).stat().st_mtime
            found.append((written, number, content))
    if not found:
        return begins
    written, number, content = max(found, key=lambda each: each[:2])
    count = content.get("executions", 1)
    after = max(0, count - number - 1) * sum(
        content.get("planned", {}).values()
    )
    ends = begins._replace(phase=_ENDS)
    training = _state(content, ends, max(0.0, now - written), after)
    if count > 1:
        which = f"training {number + 1} of {count}, {training.phase}"
        training = training._replace(phase=which)
    return training


def _state(
    content: ExecutionState, ends: Training, since: float, after: int
) -> Training:
    """How far a training is.

    Args:
        content: Of its file.
        ends: What it is after its last epoch.
        since: Seconds since an epoch ended, or since it began.
        after: Epochs of the trainings that follow it.
    """
    done = max(map(len, content["history"].values()), default=0)
    of_float = content["float_epochs"]
    planned = content.get("planned", {})
    # A float phase that was stopped early is followed by the other one.
    is_float = done == of_float and done < planned.get("float", done + 1)
    left = planned.get("qat", 0)
    left += planned.get("float", 0) - done if is_float else of_float - done
    if "metrics" in content or (planned and left <= 0):
        return ends
    phase = "float" if is_float else "qat"
    seconds = content.get("epoch_seconds", [])
    alike = (seconds[:done] if is_float else seconds[of_float:done]) or seconds
    # The first of a phase compiles.
    each = statistics.median(alike[1:] or alike) if alike else None
    rest = each * (left + after) - since if planned and each else 0.0
    return ends._replace(
        phase=_PHASES[phase],
        epoch=done + 1,
        epochs=done + left if planned else 0,
        epoch_seconds=each,
        seconds_left=rest if rest > 0 else None,
    )


def _short(seconds: float) -> str:
    return text.duration(seconds) if seconds >= 10 else f"{seconds:.2g} s"
