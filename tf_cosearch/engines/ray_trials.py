"""The trials of a search that run on a Ray cluster, as its tasks."""

from __future__ import annotations

import fnmatch
import functools
import itertools
import os
import pathlib
import shutil
import socket
import tempfile
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import keras_tuner
from absl import logging
from keras_tuner.engine.trial import Trial, TrialStatus

from tf_cosearch import files
from tf_cosearch.engines import launch

if TYPE_CHECKING:
    from tf_cosearch.engines.tuner import DurableTuner

RETRIES = launch.RESTARTS
"""How often a trial is started again whose process or node has died."""

_GRACE_SECONDS = 15.0
_IDLE_SECONDS = 1.0
_FULL_SECONDS = 30.0
_FOLDER = "tf_cosearch-{}"  # of a node that does not see the driver's
_NOT_SENT = (
    *("trial.json", "trial.json.bak", ".*.tmp"),
    *("*.checkpoint", "*.checkpoint.before"),
)
_WITHOUT_PACKAGES = ImportError, AttributeError


class RunningTrials:
    """Proposes trials, submits them, and reports what came of them.

    Args:
        ray: The module, connected.
        tuner: Of the search.
        arguments: For `run_trial`.
        trials_per_process: After how many a process is replaced; one with a
            GPU is after each, as TensorFlow keeps its memory.
        cpus: Of a node, for a trial.
        gpus: Of a node, for a trial.

    Attributes:
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
    ) -> None:
        self._ray, self._tuner, self._oracle = ray, tuner, tuner.co_oracle
        self.most_bytes: int | None = None
        names = launch.threads_of(max(1, int(cpus)))
        variables = {n: os.environ.get(n, v) for n, v in names.items()}
        if 0 < gpus < 1:  # else TensorFlow takes all of its memory
            variables["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
        # Ray would start again without end what was killed for its memory.
        of_function: dict[str, Any] = {"max_retries": 0}
        if gpus or trials_per_process is not None:
            of_function["max_calls"] = 1 if gpus else trials_per_process
        self._function = ray.remote(**of_function)(_run)
        self._options = {
            "num_cpus": cpus,
            "num_gpus": gpus,
            "runtime_env": {"env_vars": variables},
            "scheduling_strategy": "SPREAD",
        }
        project = pathlib.Path(tuner.project_dir).resolve()
        self._name = project.name
        self._has_callbacks = bool(arguments.get("callbacks"))
        lock = (project / files.LOCK).read_text()
        copy = SearchCopy(tuner, dict(arguments), os.getcwd(), project, lock)
        try:
            with self._oracle.sending():
                self._copy = ray.put(copy)
        except TypeError as error:  # of many lines
            raise ValueError(
                "A tuner must be of what can be pickled with engine='ray', "
                "which sends it to other processes. Received: "
                f"{type(tuner).__name__} ({error.__cause__}). Make what it "
                "holds where it is used, or use engine='local'."
            ) from None
        self._running: dict[Any, _Task] = {}

    def __len__(self) -> int:
        """How many trials run, or wait for a node."""
        return len(self._running)

    def most_needed(self) -> int:
        """Bytes that the neediest of them asks for, or any in any case."""
        asked = (task.memory for task in self._running.values())
        return max(asked, default=self._tuner.memory_bytes())

    def submit(self) -> str:
        """Proposes a trial and submits it, if there is one.

        Returns:
            The status of the proposal: `RUNNING` if there is one, `IDLE` if
            there is none now, `STOPPED` if there will be none.
        """
        taken = {task.slot for task in self._running.values()}
        slot = next(
            name
            for name in map("ray{}".format, itertools.count())
            if name not in taken
        )
        self._tuner.pre_create_trial()
        trial = self._oracle.create_trial(slot)
        if trial.status == TrialStatus.RUNNING:
            self._tuner.on_trial_begin(trial)
            context = self._tuner.trial_context(trial)
            self._start(_Task(slot, trial, context))
        return str(trial.status)

    def _start(self, task: _Task) -> None:
        memory = self._tuner.memory_bytes(task.trial)
        if self.most_bytes is not None:
            memory = min(memory, self.most_bytes)
        trial_id = task.trial.trial_id
        ref = self._function.options(
            **self._options,
            memory=memory,
            name=f"{self._name}/trial_{trial_id}",
        ).remote(
            [self._copy],
            task.trial.get_state(),
            self._oracle.failures(trial_id),
            task.context,
        )
        self._running[ref] = task._replace(memory=memory)

    def wait(self, seconds: float) -> None:
        """Waits until a trial ends, but not for longer."""
        if self._running:
            self._ray.wait([*self._running], timeout=seconds)
        else:
            time.sleep(min(seconds, _IDLE_SECONDS))
        self._oracle.note_time()

    def collect(self) -> None:
        """Reports all trials that have ended, then raises the first error."""
        if not self._running:
            return
        refs = [*self._running]
        ended, _ = self._ray.wait(refs, num_returns=len(refs), timeout=0)
        errors = []
        for ref in ended:
            try:
                self._report(self._running[ref], ref)
            except Exception as error:
                errors.append(error)
            del self._running[ref]
        if errors:
            raise errors[0]

    def _report(self, task: _Task, ref: Any) -> None:
        """Reports a trial that has ended, or starts it again."""
        trial = self._result(task, ref)
        if trial is None:
            self._start(task._replace(starts=task.starts + 1))
            return
        before = len(self._oracle.end_order)
        try:
            self._oracle.report(trial, task.slot)
        finally:
            if len(self._oracle.end_order) > before:
                self._tuner.on_trial_saved(
                    self._oracle.get_trial(trial.trial_id)
                )

    def _result(self, task: _Task, ref: Any) -> Trial | None:
        """A trial with what came of it; None if it is to start again."""
        exceptions = self._ray.exceptions
        trial = task.trial
        try:
            state, content = self._ray.get(ref)
        except exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, FullNodeError):
                if task.starts <= RETRIES:
                    return None
                raise RuntimeError(
                    f"Nodes must have room. Received: {cause}. Make some, and "
                    "run the same command again: what is finished is kept."
                ) from None
            if isinstance(
                cause, keras_tuner.errors.FatalError
            ) or files.is_storage_error(cause):
                raise cause from None
            # Of the last kind is what cannot be unpickled there.
            lacking = (*_WITHOUT_PACKAGES, exceptions.RaySystemError)
            advice = (
                "Each needs the packages, and the version, that this has."
                if isinstance(cause, lacking)
                else "The same command goes on with what is finished."
            )
            raise RuntimeError(
                "A node must be able to run a trial. Received: "
                f"{type(cause).__name__}: {first_line(cause)}. {advice}"
            ) from None
        except (
            exceptions.WorkerCrashedError,
            exceptions.NodeDiedError,
            exceptions.OutOfMemoryError,
            exceptions.ObjectLostError,
        ) as error:
            if task.starts <= RETRIES:
                return None
            trial.status = TrialStatus.FAILED
            trial.message = (
                "A trial must end. Received: one whose process or node died "
                f"each of {task.starts} times, mostly for want of memory "
                f"({type(error).__name__})."
            )
            return trial
        except exceptions.RayError as error:
            raise RuntimeError(
                "The cluster must run trials. Received: "
                f"{type(error).__name__}: {first_line(error)}. The same "
                "command goes on with what is finished."
            ) from None
        if content is not None:
            self._keep(trial, content)
        return Trial.from_state(state)

    def _keep(self, trial: Trial, content: Mapping[str, bytes]) -> None:
        """Writes the files of a trial whose node does not see this folder."""
        if self._has_callbacks:
            logging.warning(
                "What callbacks write stays on the nodes: they do not see %s.",
                self._tuner.project_dir,
            )
            self._has_callbacks = False  # once is enough
        folder = pathlib.Path(self._tuner.get_trial_dir(trial.trial_id))
        for name, data in content.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            files.write_bytes(folder / name, data)

    def cancel(self) -> None:
        """Reports what has ended, and takes the rest back, to run again.

        A training that is interrupted says so in its folder; only one that
        does not listen is killed.
        """
        if not self._ray.is_initialized():
            return
        try:
            self.collect()
        finally:
            left = [*self._running]
            for force in (False, True):
                for ref in left:
                    self._ray.cancel(ref, force=force)
                if left:
                    _, left = self._ray.wait(
                        left, num_returns=len(left), timeout=_GRACE_SECONDS
                    )
            # Some have ended meanwhile, before they heard of it.
            for ref in [*self._running]:
                if ref in left or not self._has_result(ref):
                    del self._running[ref]
            self.collect()

    def _has_result(self, ref: Any) -> bool:
        try:
            self._ray.get(ref)
        except self._ray.exceptions.RayError:
            return False
        return True


class _Task(NamedTuple):
    """A trial that runs.

    Attributes:
        slot: Who it is for the oracle.
        trial: The trial.
        context: See `DurableTuner.trial_context`.
        memory: Bytes that it asks for.
        starts: How often it was started.
    """

    slot: str
    trial: Trial
    context: dict[str, Any]
    memory: int = 0
    starts: int = 1


class SearchCopy(NamedTuple):
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


class FullNodeError(Exception):
    """A node has no room for a trial's files, or may not write them."""


def _run(
    copy: list[Any],
    state: dict[str, Any],
    failures: int,
    context: dict[str, Any],
) -> tuple[dict[str, Any], dict[str, bytes] | None]:
    """Runs a trial on a node; what a task is.

    Args:
        copy: The reference to it; in a list, so that a process fetches it
            once and not for each task.
        state: Of the trial.
        failures: How often it has failed before.
        context: See `DurableTuner.trial_context`.

    Returns:
        The state of the trial afterwards, and the files of its folder, by
        name, if the driver does not see them.
    """
    tuner, arguments, is_shared = _unpacked(copy[0])
    if is_shared:
        trial = tuner.run_sent(state, failures, context, arguments)
        return trial.get_state(), None
    try:
        trial = tuner.run_sent(state, failures, context, arguments)
        folder = pathlib.Path(tuner.get_trial_dir(trial.trial_id))
        content = {
            os.fspath(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and not (path.parent == folder and _is_own(path))
        }
        shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        if not files.is_storage_error(error):
            raise
        time.sleep(_FULL_SECONDS)  # so that another node may be free by then
        raise FullNodeError(f"{socket.gethostname()}: {error}") from None
    return trial.get_state(), content


def _is_own(path: pathlib.Path) -> bool:
    """Whether a file is of use to this node alone."""
    return any(fnmatch.fnmatchcase(path.name, name) for name in _NOT_SENT)


@functools.lru_cache(maxsize=1)
def _unpacked(ref: Any) -> tuple[DurableTuner, dict[str, Any], bool]:
    """The tuner of this process, its arguments, and whether folders are one."""
    import ray

    copy = ray.get(ref)
    if os.path.isdir(copy.place):
        os.chdir(copy.place)
    folder = copy.project
    try:
        is_shared = (folder / files.LOCK).read_text() == copy.lock
    except OSError:
        is_shared = False
    if not is_shared:
        name = _FOLDER.format(copy.tuner.co_oracle.search_id)
        folder = pathlib.Path(tempfile.gettempdir(), name)
    copy.tuner.move(folder, is_shared)
    return copy.tuner, copy.arguments, is_shared


def first_line(error: BaseException) -> str:
    """What an error says, without what follows."""
    return (str(error).strip().splitlines() or ["no message"])[0]
