"""The trials of a search that are in flight on a Ray cluster, as its tasks."""

from __future__ import annotations

import functools
import itertools
import os
import pathlib
import tempfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus

from tf_cosearch import files
from tf_cosearch.engines import launch

if TYPE_CHECKING:
    from tf_cosearch.engines.tuner import DurableTuner

RETRIES = launch.RESTARTS
"""How often Ray starts a trial again whose process or node has died."""

_GRACE_SECONDS = 15.0
_FOLDER = "tf_cosearch-{}"  # of a node that does not see the driver's
_NOT_SENT = (".checkpoint", ".before", ".bak", ".tmp", "trial.json")


class Flights:
    """Proposes trials, sends them off, and reports what came of them.

    Args:
        ray: The module, connected.
        tuner: Of the search.
        arguments: For `run_trial`.
        trials_per_process: After how many a process is replaced.
        cpus: Of a node, for a trial.
        gpus: Of a node, for a trial.
        most_bytes: Memory of the largest node; no trial asks for more.
    """

    def __init__(
        self,
        ray: Any,
        tuner: DurableTuner,
        arguments: Mapping[str, Any],
        trials_per_process: int | None,
        cpus: float,
        gpus: float,
        most_bytes: int,
    ) -> None:
        self._ray, self._tuner, self._oracle = ray, tuner, tuner.co_oracle
        self.cpus, self.gpus = cpus, gpus
        self.of_one = tuner.memory_bytes()
        self._most_bytes = most_bytes
        names = launch.threads_of(max(1, int(cpus)))
        variables = {n: os.environ.get(n, v) for n, v in names.items()}
        if 0 < gpus < 1:  # else TensorFlow takes all of its memory
            variables["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
        of_function: dict[str, Any] = {"max_retries": RETRIES}
        if trials_per_process is not None:
            of_function["max_calls"] = trials_per_process
        self._task = ray.remote(**of_function)(_run)
        self._options = {
            "num_cpus": cpus,
            "num_gpus": gpus,
            "runtime_env": {"env_vars": variables},
            "scheduling_strategy": "SPREAD",
        }
        project = pathlib.Path(tuner.project_dir).resolve()
        self._name = project.name
        lock = (project / files.LOCK).read_text()
        luggage = _Luggage(tuner, dict(arguments), os.getcwd(), project, lock)
        try:
            self._luggage = ray.put(luggage)
        except TypeError as error:  # of many lines
            raise ValueError(
                "A tuner must be of what can be pickled with engine='ray', "
                "which sends it to other processes. Received: "
                f"{type(tuner).__name__} ({error.__cause__}). Make what it "
                "holds where it is used, or use engine='local'."
            ) from None
        self._in_flight: dict[Any, tuple[str, Trial]] = {}

    @property
    def flying(self) -> int:
        """How many trials are in flight."""
        return len(self._in_flight)

    def begin(self) -> bool:
        """Proposes a trial and sends it off; False if there is none now."""
        taken = {slot for slot, _ in self._in_flight.values()}
        slot = next(
            name
            for name in map("ray{}".format, itertools.count())
            if name not in taken
        )
        self._tuner.pre_create_trial()
        trial = self._oracle.create_trial(slot)
        if trial.status != TrialStatus.RUNNING:
            return False
        self._tuner.on_trial_begin(trial)
        memory = min(self._tuner.memory_bytes(trial), self._most_bytes)
        ref = self._task.options(
            **self._options,
            memory=memory,
            name=f"{self._name}/trial_{trial.trial_id}",
        ).remote(
            [self._luggage],
            trial.get_state(),
            self._oracle.failures(trial.trial_id),
            self._tuner.briefing(trial),
        )
        self._in_flight[ref] = slot, trial
        return True

    def wait(self, seconds: float) -> None:
        """Waits until a trial ends, but not for longer."""
        self._ray.wait([*self._in_flight], timeout=seconds)
        self._oracle.note_time()

    def collect(self) -> None:
        """Reports the trials that have ended."""
        if not self._in_flight:
            return
        refs = [*self._in_flight]
        ended, _ = self._ray.wait(refs, num_returns=len(refs), timeout=0)
        for ref in ended:
            slot, trial = self._in_flight.pop(ref)
            trial = self._result(ref, trial)
            before = len(self._oracle.end_order)
            try:
                self._oracle.report(trial, slot)
            finally:
                if len(self._oracle.end_order) > before:
                    self._tuner.on_trial_saved(
                        self._oracle.get_trial(trial.trial_id)
                    )

    def _result(self, ref: Any, trial: Trial) -> Trial:
        """A trial that has ended, with what came of it."""
        exceptions = self._ray.exceptions
        try:
            state, content = self._ray.get(ref)
        except exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(
                cause, keras_tuner.errors.FatalError
            ) or files.is_storage_error(cause):
                raise cause from None
            raise RuntimeError(
                "A node must be able to run a trial. Received: "
                f"{type(cause).__name__}: {first_line(cause)}. Each needs the "
                "packages, and the version, that this process has."
            ) from None
        except (
            exceptions.WorkerCrashedError,
            exceptions.NodeDiedError,
            exceptions.OutOfMemoryError,
            exceptions.ObjectLostError,
        ) as error:
            trial.status = TrialStatus.FAILED
            trial.message = (
                "A trial must end. Received: one whose process or node died "
                f"each of {RETRIES + 1} times, mostly for want of memory "
                f"({type(error).__name__})."
            )
            return trial
        except exceptions.RayError as error:
            raise RuntimeError(
                "The cluster must run trials. Received: "
                f"{type(error).__name__}: {first_line(error)}. The same "
                "command goes on with what is finished."
            ) from None
        folder = pathlib.Path(self._tuner.get_trial_dir(trial.trial_id))
        for name, data in content.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            files.write_bytes(folder / name, data)
        return Trial.from_state(state)

    def land(self) -> None:
        """Takes back what is in flight: it runs again at the next start.

        A training that is interrupted says so in its folder; only one that
        does not listen is killed.
        """
        left = [*self._in_flight]
        self._in_flight.clear()
        for force in (False, True):
            if left and self._ray.is_initialized():
                for ref in left:
                    self._ray.cancel(ref, force=force)
                _, left = self._ray.wait(
                    left, num_returns=len(left), timeout=_GRACE_SECONDS
                )


class _Luggage(NamedTuple):
    """What a process needs for all trials of a search, sent once to a node.

    Attributes:
        tuner: Which knows of no trial.
        arguments: For `run_trial`.
        place: The working folder of the driver.
        project: The folder of the search there.
        lock: What that folder's lock says: where it says the same, the folder
            is the same.
    """

    tuner: DurableTuner
    arguments: dict[str, Any]
    place: str
    project: pathlib.Path
    lock: str


def _run(
    luggage: list[Any],
    state: dict[str, Any],
    failures: int,
    briefing: dict[str, Any],
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Runs a trial on a node; what a task is.

    Args:
        luggage: The reference to it; in a list, so that a process fetches it
            once and not for each task.
        state: Of the trial.
        failures: How often it has failed before.
        briefing: See `DurableTuner.briefing`.

    Returns:
        The state of the trial afterwards, and the files of its folder, by
        name, if the driver does not see them.
    """
    tuner, arguments, is_shared = _unpacked(luggage[0])
    trial = tuner.run_sent(state, failures, briefing, arguments)
    content: dict[str, bytes] = {}
    if not is_shared:
        folder = pathlib.Path(tuner.get_trial_dir(trial.trial_id))
        content = {
            os.fspath(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and not path.name.endswith(_NOT_SENT)
        }
    return trial.get_state(), content


@functools.lru_cache(maxsize=1)
def _unpacked(ref: Any) -> tuple[DurableTuner, dict[str, Any], bool]:
    """The tuner of this process, its arguments, and whether folders are one."""
    import ray

    luggage = ray.get(ref)
    if os.path.isdir(luggage.place):
        os.chdir(luggage.place)
    folder = luggage.project
    try:
        is_shared = (folder / files.LOCK).read_text() == luggage.lock
    except OSError:
        is_shared = False
    if not is_shared:
        name = _FOLDER.format(luggage.tuner.co_oracle.search_id)
        folder = pathlib.Path(tempfile.gettempdir(), name)
    luggage.tuner.move(folder, is_shared)
    return luggage.tuner, luggage.arguments, is_shared


def first_line(error: BaseException) -> str:
    """What an error says, without what follows."""
    return (str(error).strip().splitlines() or ["no message"])[0]
