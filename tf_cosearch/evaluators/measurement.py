"""Measurements that outlast failures of a device, and kills."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TextIO, TypedDict

from absl import logging

from tf_cosearch import files, text
from tf_cosearch.configuration import at_least
from tf_cosearch.evaluators.evaluator import (
    MOST_REASON,
    BuiltDesign,
    Evaluation,
    Evaluator,
    Quantity,
    RefusedError,
    positive,
)

FILE = "measurement.json"
"""What was measured of a design, beside its `model.tflite`."""

STEADY = "latency_ms"
"""What should be the same of one file at all times."""

SURPRISE = 1.5
"""Times what was expected, from which a known file is measured again."""

SLOWER = 1.7
"""Times what that took before, from which the device is not the same."""

DRIFT = 1.2
"""Times that, or a part as small, from which a line says so."""

EVERY = 10
"""Measurements of a device after which the known file is measured again."""

_LOCK = ".device"


class MeasurementState(TypedDict):
    """What `measurement.json` holds.

    Attributes:
        of: A number of the evaluator and the file.
        values: By cost.
        units: Likewise.
        noises: Likewise.
        seconds: What the call took.
    """

    of: str
    values: dict[str, float]
    units: dict[str, str]
    noises: dict[str, float]
    seconds: float


class Measurements:
    """Measures each file once, and again only if that failed.

    Args:
        evaluator: Who measures.
        project: The folder of a search; processes that share it take turns
            at an evaluator that works on one design at a time.
        reference: Finds a design that was measured before, to tell a device
            that has become slow from a design that is; None if there is none.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        project: pathlib.Path,
        reference: Callable[[], BuiltDesign | None],
    ) -> None:
        self.evaluator = evaluator
        # Once, as an evaluator may count its calls.
        told = json.dumps(evaluator.describe(), sort_keys=True)
        self._described = told.encode()
        self._project, self._reference = project, reference
        self._retries = at_least("retries", evaluator.retries, 0)
        self._pause_s = positive("pause_s", evaluator.pause_s)
        positive("timeout_s", evaluator.timeout_s)
        self._is_new = True  # nobody knows what a device is like today

    def read(self, tflite: pathlib.Path) -> Evaluation | None:
        """What is known of a file; None if it was not measured, or so.

        Args:
            tflite: Its path; the record lies beside it.
        """
        with contextlib.suppress(ValueError, KeyError, FileNotFoundError):
            state, _ = files.read_json(tflite.with_name(FILE), MeasurementState)
            if state is not None and state["of"] == self._key(tflite):
                costs = {
                    name: Quantity(
                        value, state["units"][name], state["noises"][name]
                    )
                    for name, value in state["values"].items()
                }
                return Evaluation(costs, state["seconds"])
        return None

    def measure(
        self, design: BuiltDesign, expected: Mapping[str, float]
    ) -> Evaluation:
        """What is known of a design, or else is measured and written down.

        Args:
            design: Its record lies beside its file.
            expected: What it is thought to cost; may be empty.

        Raises:
            RefusedError: If the design cannot be measured.
            RuntimeError: If the device keeps failing.
        """
        known = self.read(design.tflite)
        if known is not None:
            return known
        pause_s = self._pause_s
        for left in reversed(range(self._retries + 1)):
            try:
                evaluation = self._measure(design, expected)
                break
            except RefusedError:
                raise
            except Exception as error:
                if files.is_storage_error(error):
                    raise
                reason = text.line(error, MOST_REASON) or type(error).__name__
                reason = f"{reason.rstrip('.')}."
                if not left:
                    raise RuntimeError(self._given_up(reason)) from error
                logging.warning(
                    "%s failed: %s It is asked again in %g s; %d more times.",
                    self._name,
                    reason,
                    pause_s,
                    left,
                )
            time.sleep(pause_s)
            pause_s *= 2
        self._write(design.tflite, evaluation)
        return evaluation

    @property
    def _name(self) -> str:
        return type(self.evaluator).__name__

    def _given_up(self, reason: str) -> str:
        calls = self._retries + 1
        failed = "a failure" if calls == 1 else f"{calls} failures in a row"
        return (
            f"{self._name} must measure what was trained. Received: {failed}, "
            f"the last one: {reason} Nothing is lost: put the device right "
            "and run the same command again, which repeats the measurement "
            "and no training."
        )

    def _measure(
        self, design: BuiltDesign, expected: Mapping[str, float]
    ) -> Evaluation:
        with self._turn() as shared:
            evaluation = self.evaluator(design)
            unchecked = _count(shared) + 1 if shared else 0
            is_due = bool(shared) and (self._is_new or unchecked >= EVERY)
            if is_due or _times(evaluation, expected) >= SURPRISE:
                self._require_steady()
                unchecked, self._is_new = 0, False
            if shared:
                shared.truncate(0)
                shared.write(str(unchecked))
        return evaluation

    def _require_steady(self) -> None:
        """Tells a slow device from a slow design, by one that is known."""
        known = self._reference()
        before = self.read(known.tflite) if known else None
        if known is None or before is None or STEADY not in before.costs:
            return
        try:
            now = self.evaluator(known)
        except RefusedError as error:  # it took that file, and not ours
            raise RuntimeError(
                "A device must measure a file again that it measured before. "
                f"Received: {error} ({known.tflite})"
            ) from error
        was = before.costs[STEADY].value
        times = _times(now, {STEADY: was})
        told = (
            f"{times:.2g} times that, {now.costs[STEADY].value:.4g} "
            f"{now.costs[STEADY].unit} instead of {was:.4g} for "
            f"{known.tflite}."
        )
        if times >= SLOWER:
            raise RuntimeError(
                "A device must take the time for a file that it took before. "
                f"Received: {told} Let it cool down, or end what else it does."
            )
        if not 1 / DRIFT < times < DRIFT:
            logging.warning(
                "%s does not take the time for a file that it took before, "
                "but %s Designs that it measures now compare as badly with "
                "those of before; it may be warm, or busy.",
                self._name,
                told,
            )

    @contextlib.contextmanager
    def _turn(self) -> Iterator[TextIO | None]:
        """Waits until no other process of the search uses the device.

        Yields:
            The file that all hold in turn, with the number of measurements
            since the known file was; None of what is no device.
        """
        if not self.evaluator.is_exclusive:
            yield None
            return
        with (self._project / _LOCK).open("a+") as lock:
            with contextlib.suppress(OSError):  # some network file systems
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield lock

    def _key(self, tflite: pathlib.Path) -> str:
        digest = hashlib.sha256(self._described)
        digest.update(tflite.read_bytes())
        return digest.hexdigest()[:32]

    def _write(self, tflite: pathlib.Path, evaluation: Evaluation) -> None:
        costs = evaluation.costs
        state: MeasurementState = {
            "of": self._key(tflite),
            "values": {name: cost.value for name, cost in costs.items()},
            "units": {name: cost.unit for name, cost in costs.items()},
            "noises": {name: cost.noise for name, cost in costs.items()},
            "seconds": evaluation.seconds,
        }
        files.write_json(os.fspath(tflite.with_name(FILE)), state)


def _count(shared: TextIO) -> int:
    """Measurements since the known file was; too many if nobody says."""
    shared.seek(0)
    with contextlib.suppress(ValueError):
        return int(shared.read())
    return EVERY


def _times(evaluation: Evaluation, before: Mapping[str, float]) -> float:
    """How many times what was expected it took; 0 if nobody says."""
    cost, was = evaluation.costs.get(STEADY), before.get(STEADY)
    return cost.value / was if cost is not None and was else 0.0
