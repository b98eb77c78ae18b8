"""A KerasTuner oracle that survives kills, errors and failing trials.

What KerasTuner 1.4.8 does and this changes:

- It rewrites its JSON files in place, so a kill leaves truncated ones. Here a
  file is the old or the new one, never a part.
- `oracle.json` lists a trial that has just ended as ongoing, and a trial that
  was ongoing when the process died may be forgotten. Here the trial files are
  the truth when a run is continued.
- An error inside a synchronized method leaves its lock held for ever.
- A number of failures in a row ends the search, whatever their reasons, and
  before the last one is saved.
- A retried trial averages its metrics with those of the failed attempt, so a
  NaN never goes away.
- The trial of a worker that died is never run again, and a chief that was
  started again runs all trials anew that are running. Here a worker holds its
  trial by a lease, which it has to renew.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import threading
import time
import uuid
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras_tuner
from absl import logging
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.src.engine import oracle as oracle_module

from tf_cosearch import files, seeds
from tf_cosearch.files import write_json
from tf_cosearch.identity import AnotherRunError
from tf_cosearch.search.oracle.clock import SearchClock
from tf_cosearch.search.oracle.state import OracleState
from tf_cosearch.search.oracle.trial_files import read_trials

_ENDED = (TrialStatus.COMPLETED, TrialStatus.FAILED)
_NOTE_SECONDS = 10.0


class Lease(NamedTuple):
    """A worker's right to a trial.

    Attributes:
        tuner_id: Who runs the trial.
        until: Reading of `time.monotonic`, in s, that ends it.
    """

    tuner_id: str
    until: float


def reason(trial: Trial) -> str:
    """Why a trial failed: the last line of its message."""
    lines = (trial.message or "").strip().splitlines()
    return lines[-1].strip() if lines else "no reason given"


def reported(trial: Trial) -> dict[str, float]:
    """The best value of each metric that a trial has reported."""
    with warnings.catch_warnings():  # about metrics that are all NaN
        warnings.simplefilter("ignore", RuntimeWarning)
        return {
            name: float(trial.metrics.get_best_value(name))
            for name in trial.metrics.metrics
        }


@contextlib.contextmanager
def locked(oracle: keras_tuner.Oracle) -> Iterator[None]:
    """Holds KerasTuner's lock, and gives it back on errors too."""
    name = threading.current_thread().name
    if oracle_module.THREADS[oracle] == name:
        yield
        return
    with oracle_module.LOCKS[oracle]:
        oracle_module.THREADS[oracle] = name
        try:
            yield
        finally:
            oracle_module.THREADS[oracle] = None


class DurableOracle(keras_tuner.Oracle):
    """Keeps every finished trial; takes the arguments of its base class.

    Attributes:
        lease_seconds: How long a worker may be silent before its trial goes
            to another one. `None`, with a single process, is for ever.
        search_id: Tells it from others, also from one before in its folder.
        clock: How long the search has run; when its time is up, no trial
            begins any more.
        is_sending: Whether what is pickled now is for another process.
        is_sent: Whether this is what another process has been sent.
    """

    is_sending = is_sent = False
    trials: dict[str, Trial]
    ongoing_trials: dict[str, Trial]
    start_order: list[str]
    end_order: list[str]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lease_seconds: float | None = None
        self._leases: dict[str, Lease] = {}
        self._damaged: list[Trial] = []
        self._exhausted_at = -1
        self.clock = SearchClock()
        self._noted = 0.0
        self.search_id = uuid.uuid4().hex[:8]

    def create_trial(self, tuner_id: str) -> Trial:
        """Creates a trial, or hands out one that has to be run again.

        Its status is `IDLE` while nothing is left to start, but the worker of
        a running trial may still die.
        """
        with locked(self):
            self.reap()
            is_over = self._is_exhausted() or self.clock.is_over()
            if not is_over or tuner_id in self.ongoing_trials:
                trial = super().create_trial(tuner_id)
            else:
                trial = Trial(self.get_space(), status=TrialStatus.STOPPED)
                # KerasTuner's own chief waits until it knows of no tuner.
                self.tuner_ids.discard(tuner_id)
            if trial.status == TrialStatus.RUNNING:
                self._lease(trial.trial_id, tuner_id)
            elif trial.status == TrialStatus.STOPPED:
                if not self.clock.is_over():
                    self._exhausted_at = len(self.trials)
                if self.lease_seconds and self.ongoing_trials:
                    trial.status = TrialStatus.IDLE
            return trial

    def _is_exhausted(self) -> bool:
        # Asking for a design again and again would cost much.
        return self._exhausted_at == len(self.trials) and not self._retry_queue

    def note_time(self) -> None:
        """Saves how long the search has run, now and then.

        Call it while trials run: of a process that is killed all else since
        the last trial is lost anyway.
        """
        if self.clock.max_hours is None:
            return
        if self.clock.seconds - self._noted < _NOTE_SECONDS:
            return
        with locked(self):
            self._noted = self.clock.seconds
            self.save()

    def is_done(self) -> bool:
        """Whether no trial runs, and none is left to start."""
        with locked(self):
            self.reap()
            full = self.max_trials and len(self.trials) >= self.max_trials
            nothing_left = (
                full or self._is_exhausted()
            ) and not self._retry_queue
            return bool(
                (nothing_left or self.clock.is_over())
                and not self.ongoing_trials
            )

    def _lease(self, trial_id: str, tuner_id: str) -> None:
        until = time.monotonic() + (self.lease_seconds or math.inf)
        self._leases[trial_id] = Lease(tuner_id, until)

    def renew(self, trial_id: str, tuner_id: str) -> bool:
        """Renews the lease of a trial; does not wait for anything.

        Returns:
            Whether the trial still is that worker's.
        """
        lease = self._leases.get(trial_id)
        if lease is None or lease.tuner_id != tuner_id:
            return False
        if lease.until < math.inf:  # else its report waits to be entered
            self._lease(trial_id, tuner_id)
        return True

    def reap(self) -> None:
        """Queues the trials again whose workers were silent for too long."""
        now = time.monotonic()
        with locked(self):
            for trial_id, (tuner_id, until) in list(self._leases.items()):
                if now < until:
                    continue
                logging.warning(
                    "Worker %s was silent for %g s; its trial %s goes to "
                    "another one.",
                    tuner_id,
                    self.lease_seconds,
                    trial_id,
                )
                self._leases.pop(trial_id)
                self.ongoing_trials.pop(tuner_id, None)
                self._retry_queue.append(trial_id)
                self.save()

    def report(self, trial: Trial, tuner_id: str) -> bool:
        """Ends a trial that a worker elsewhere ran; may be called again.

        Args:
            trial: With `status`, `message` and all metrics.
            tuner_id: Who ran it.

        Returns:
            Whether the report counts. It does not once the trial belongs to
            another worker.
        """
        trial_id = trial.trial_id
        if self.renew(trial_id, tuner_id):
            # It is heard of, however long it waits for a proposal to end.
            self._leases[trial_id] = Lease(tuner_id, math.inf)
        with locked(self):
            lease = self._leases.get(trial_id)
            if trial_id in self.end_order:
                return True  # and the worker has not heard so
            if lease is not None and lease.tuner_id != tuner_id:
                return False
            if trial.status != TrialStatus.COMPLETED and lease is None:
                return False  # it is queued to be run again anyway
            if trial_id in self._retry_queue:
                self._retry_queue.remove(trial_id)
            self.trials[trial_id].metrics = trial.metrics
            self.end_trial(trial)
            return True

    def failures(self, trial_id: str) -> int:
        """How often a trial has failed so far."""
        return int(self._run_times[trial_id])

    def training_seed(self, trial_id: str) -> int:
        """What makes the training of a trial repeatable.

        A retry has another seed; a trial that was interrupted has not.
        """
        return seeds.derive(self.seed, int(trial_id), self.failures(trial_id))

    @contextlib.contextmanager
    def sending(self) -> Iterator[None]:
        """Has pickle make what another process needs that runs trials.

        That knows of no trial but those that it takes, one after the other,
        and saves nothing. Without it, a copy is a copy.
        """
        self.is_sending = True
        try:
            yield
        finally:
            self.is_sending = False

    def __getstate__(self) -> dict[str, Any]:
        """All of it, unless it is being sent."""
        if not self.is_sending:
            return {**vars(self)}
        empty = (
            *("trials", "ongoing_trials", "_leases"),
            *("_run_times", "_id_to_hash"),
        )
        none = "start_order", "end_order", "_damaged", "_retry_queue"
        return {
            **vars(self),
            **{name: {} for name in empty},
            **{name: [] for name in none},
            "_display": None,
            "is_sending": False,
            "is_sent": True,
        }

    def take(self, trial: Trial, failures: int) -> None:
        """Lets an oracle that was sent know of one trial.

        Args:
            trial: The trial.
            failures: How often it has failed before.
        """
        self.trials = {trial.trial_id: trial}
        self._run_times[trial.trial_id] = failures

    def update_trial(
        self, trial_id: str, metrics: dict[str, float], step: int = 0
    ) -> Trial:
        """Records the metrics that a worker reports."""
        with locked(self), warnings.catch_warnings():
            # KerasTuner takes the best of all-NaN metrics as well.
            warnings.simplefilter("ignore", RuntimeWarning)
            return super().update_trial(trial_id, metrics, step)

    def end_trial(self, trial: Trial | str, status: str = "COMPLETED") -> None:
        """Ends a trial, or queues it again if retries are left.

        Args:
            trial: One that `create_trial` gave, with `status` set to
                `COMPLETED`, `INVALID` or `FAILED`, in the latter two cases
                with a `message`. Or its id, as in KerasTuner before 1.2.
            status: The status then.

        Raises:
            RuntimeError: If trials keep failing for the same reason. All of
                them are saved by then.
        """
        with locked(self):
            if isinstance(trial, str):
                trial = self.trials[trial]
                trial.status = status
            if trial.trial_id in self.end_order:
                return
            if trial.status == TrialStatus.COMPLETED:
                trial.message = None
            super().end_trial(trial)
            self._leases.pop(trial.trial_id, None)
            if trial.trial_id not in self.end_order:
                return  # it will be retried
            self.on_trial_ended(self.trials[trial.trial_id])
        self._stop_if_failing()

    def on_trial_ended(self, trial: Trial) -> None:
        """Called when a trial is saved as completed or failed for good."""

    def _stop_if_failing(self) -> None:
        limit = self.max_consecutive_failed_trials
        last = [self.trials[trial_id] for trial_id in self.end_order[-limit:]]
        if len(last) < limit or any(
            trial.status != TrialStatus.FAILED for trial in last
        ):
            return
        # Out-of-memory errors differ in their numbers.
        reasons = [reason(trial) for trial in last]
        if len({re.sub(r"\d+", "0", each) for each in reasons}) == 1:
            raise RuntimeError(
                f"Trials must not all fail. Received: {limit} failures in a "
                f"row for the same reason ({reasons[-1]}). Remove it and "
                "start again with the same command: finished trials are kept "
                f"in {self._project_dir}."
            )

    def _check_consecutive_failures(self) -> None:
        """Left to `_stop_if_failing`, when everything is saved."""

    def _retry(self, trial: Trial) -> bool:
        if trial.status != TrialStatus.INVALID:
            return False
        failures = self._run_times[trial.trial_id]
        if failures > self.max_retries_per_trial:
            trial.status = TrialStatus.FAILED
            trial.score = None  # rather than NaN
            return False
        logging.warning(
            "Trial %s failed (%s); %d retries left.",
            trial.trial_id,
            reason(trial),
            self.max_retries_per_trial + 1 - failures,
        )
        _forget_results(trial)
        self._retry_queue.append(trial.trial_id)
        return True

    def get_state(self) -> dict[str, Any]:
        """The state beside the trials, as plain JSON."""
        state = super().get_state()
        state["ongoing_trials"] = {
            tuner_id: trial.trial_id
            for tuner_id, trial in self.ongoing_trials.items()
            if trial.status == TrialStatus.RUNNING
        }
        # Only workers may still be at a trial when this is read again.
        state["has_workers"] = self.lease_seconds is not None
        state["searched_seconds"] = self.clock.seconds
        state["search_id"] = self.search_id
        return state

    def save(self) -> None:
        """Writes `oracle.json`, and trials whose file was found damaged."""
        if self.is_sent:
            return
        while self._damaged:
            self._save_trial(self._damaged.pop())
        write_json(self._get_oracle_fname(), self.get_state())

    def _save_trial(self, trial: Trial) -> None:
        if self.is_sent:
            return
        folder = self._get_trial_dir(trial.trial_id)
        write_json(os.path.join(folder, "trial.json"), self.trial_state(trial))

    def trial_state(self, trial: Trial) -> dict[str, Any]:
        """What a trial's file holds."""
        state: dict[str, Any] = trial.get_state()
        return state

    def reload(self) -> None:
        """Continues a run from its folder.

        Completed and failed trials are kept. Those that were not finished run
        again, and first; if there are leases, their workers have the time of
        a lease to say that they are still at it.

        Raises:
            RuntimeError: If `oracle.json` is that of another kind of oracle.
        """
        self.trials, self._damaged = read_trials(
            self._project_dir, self.check_trial
        )
        running: dict[str, str] = {}
        ended = [i for i, t in self.trials.items() if t.status in _ENDED]
        try:
            state, wrong = files.read_json(
                self._get_oracle_fname(), OracleState
            )
            if wrong:
                logging.warning(
                    "%s; used %s instead.",
                    wrong,
                    "its copy" if state else "the files of the trials",
                )
            if state is not None:
                if self.lease_seconds and state.get("has_workers", True):
                    running = state["ongoing_trials"]
                state["ongoing_trials"] = {}  # who ran them is gone
                self.clock.resume(state.get("searched_seconds", 0.0))
                self.search_id = state.get("search_id", self.search_id)
                self.set_state(state)
            self.start_order = _complete(self.start_order, self.trials)
            self.end_order = _complete(self.end_order, ended)
        except AnotherRunError:
            raise
        except Exception as error:  # whatever KerasTuner makes of it
            raise RuntimeError(
                "A run must be continued with the kind of oracle it was begun "
                f"with. Received: {self._get_oracle_fname()}, which leads to "
                f"{type(error).__name__}: {error}. Use another project_name, "
                "or overwrite=True."
            ) from error
        self.ongoing_trials = {}
        self._leases = {}
        self._exhausted_at = -1
        self._retry_queue = [i for i in self.trials if i not in ended][::-1]
        for trial_id in self._retry_queue:
            _forget_results(self.trials[trial_id])
        for tuner_id, trial_id in running.items():
            if trial_id in self._retry_queue:
                self._retry_queue.remove(trial_id)
                self.trials[trial_id].status = TrialStatus.RUNNING
                self.ongoing_trials[tuner_id] = self.trials[trial_id]
                self._lease(trial_id, tuner_id)

    def check_trial(self, trial: Trial) -> None:
        """Raises any error if a trial makes no sense; its file is damaged."""
        reported(trial)


def _complete(order: list[str], trial_ids: Any) -> list[str]:
    """Keeps an order's known ids, each once, and appends what it lacks."""
    known = [trial_id for trial_id in order if trial_id in trial_ids]
    return list(dict.fromkeys([*known, *trial_ids]))


def _forget_results(trial: Trial) -> None:
    trial.metrics = type(trial.metrics)()
    trial.score = None
