"""The loop around the trials, whoever runs them, that no kill damages."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import pathlib
import time
import traceback
from collections.abc import Mapping
from typing import Any

import keras_tuner
from absl import logging
from keras_tuner.engine import base_tuner
from keras_tuner.engine import trial as trial_module
from keras_tuner.src.distribute import utils as dist_utils

from tf_cosearch import configuration, files
from tf_cosearch.engines import chief, launch, ray_engine, worker
from tf_cosearch.engines.ray_engine import RayEngine
from tf_cosearch.search.oracle.durable import DurableOracle

_TUNER = "tuner0.json"


class DurableTuner(base_tuner.BaseTuner):
    """A KerasTuner tuner of a `DurableOracle`; define `run_trial`.

    With KerasTuner's environment variables set it is the chief or a worker of
    a search, and without them it does all of it.

    Args:
        oracle: The oracle; a worker asks that of its chief instead.
        directory: Folder of projects.
        project_name: Folder of this search in it; a search found there is
            continued.
        overwrite: Whether to delete such a search instead.
        lease_seconds: With workers, how long one may be silent before its
            trial goes to another.
        trials_per_process: After how many trials the program starts anew, by
            the same command, and goes on. TensorFlow never gives back all
            memory of a training. `None` is never.
        stage: Of a search that has several, one after the other with the same
            processes, which this one is.
        engine: Who runs the trials: `local`, which is this process, or a
            chief's workers; or `ray`, or a `RayEngine`.
        **others: For KerasTuner's tuner.

    Attributes:
        co_oracle: The local oracle, which on a worker knows of no trial.
        trains_alone: Whether a trial wants a node of a cluster to itself.
    """

    trains_alone = False

    def __init__(
        self,
        oracle: DurableOracle,
        *,
        directory: str | os.PathLike[str] | None = None,
        project_name: str | None = None,
        overwrite: bool = False,
        lease_seconds: float = chief.LEASE_SECONDS,
        trials_per_process: int | None = None,
        stage: int = 0,
        engine: str | RayEngine = "local",
        **others: Any,
    ) -> None:
        self._engine = ray_engine.get(engine)
        if trials_per_process is not None:
            configuration.at_least("trials_per_process", trials_per_process, 1)
        if configuration.number(lease_seconds, "`lease_seconds`") <= 0:
            raise ValueError(
                "`lease_seconds` must be positive. Received: "
                f"{lease_seconds!r}."
            )
        if self._engine is not None and lease_seconds != chief.LEASE_SECONDS:
            raise ValueError(
                "`lease_seconds` must be left out with engine='ray', as Ray "
                f"knows who has died. Received: {lease_seconds!r}."
            )
        if not isinstance(overwrite, bool):
            raise ValueError(
                "`overwrite` must be True or False, as True deletes a search. "
                f"Received: {overwrite!r}."
            )
        project = project_folder(directory, project_name)
        self._trials_per_process = self._trials_left = trials_per_process
        self._proposal_began, self._proposal_seconds = time.perf_counter(), 0.0
        self._stage = stage
        self.co_oracle: Any = oracle
        if dist_utils.is_chief_oracle():
            oracle.lease_seconds = lease_seconds
        project_name = project_name or "untitled_project"
        # A chief that is started again goes on with what it began anew.
        overwrite &= not self._is_worker() and not launch.starts()
        if oracle.trials:
            # What it knows would not be trained here, and be without files.
            other_project = oracle._project_dir
            if overwrite or os.path.realpath(other_project) != os.path.realpath(
                project
            ):
                raise ValueError(
                    "An oracle must be that of one search. Received: one with "
                    f"trials of {other_project}. Make a new one; `warm_start` "
                    "tells it what this one has finished."
                )
        try:
            project.mkdir(parents=True, exist_ok=True)
            if not os.access(project, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, "not writable")
        except OSError as error:
            raise ValueError(
                "`directory` must be a folder that can be made and written to. "
                f"Received: {project} ({error.strerror}). Choose another."
            ) from error
        if overwrite and project.is_dir():
            with files.owned(project):
                files.empty(project)
        if _is_begun(project):
            # KerasTuner continues a search if there is this file.
            (project / _TUNER).touch()
        with contextlib.redirect_stdout(io.StringIO()):  # it prints reloads
            super().__init__(
                oracle,
                directory=os.fspath(directory or "."),
                project_name=project_name,
                **others,
            )
        if self._is_worker():
            self.oracle = worker.RemoteOracle(oracle, stage=stage)

    def run(self, **kwargs: Any) -> None:
        """Runs trials until the oracle has no more; see `search`.

        Args:
            **kwargs: For `run_trial`.

        Raises:
            RuntimeError: If trials keep failing for the same reason, or
                another process works in the folder.
        """
        if self._is_worker():
            super().search(**kwargs)
            return
        with files.owned(self.project_dir):
            # Another process may have gone on with it since this one looked.
            self.reload()
            for path in files.sweep(self.project_dir):
                logging.warning("Removed %s, which a crash left.", path)
            self.oracle.verbose = 0
            if self._engine is not None:
                self.on_search_begin()
                self.save()
                self._engine.run(self, kwargs, self._trials_per_process)
                self.on_search_end()
            elif dist_utils.is_chief_oracle():
                self.on_search_begin()
                self.save()
                chief.serve(
                    self.co_oracle, self.on_trial_saved, stage=self._stage
                )
                self.on_search_end()
            else:
                super().search(**kwargs)

    def pre_create_trial(self) -> None:
        """Starts the clock of a proposal."""
        self._proposal_began = time.perf_counter()

    def on_trial_begin(self, trial: Any) -> None:
        """Starts the program anew if it has run enough trials.

        This one is handed out again: a worker that asked for it and did not
        come back would leave its chief waiting.
        """
        self._proposal_seconds = time.perf_counter() - self._proposal_began
        if self._engine is not None:
            return  # Ray replaces the processes that train.
        if self._trials_left == 0:
            launch.start_again()
        if self._trials_left is not None:
            self._trials_left -= 1

    def on_trial_saved(self, trial: Any) -> None:
        """Called for each trial that has ended, but not on workers."""

    # What a trial needs that runs elsewhere.

    def memory_bytes(self, trial: Any = None) -> int:
        """Memory that a trial takes, or any of them in any case."""
        return 0

    def trial_context(self, trial: Any) -> dict[str, Any]:
        """What this process alone knows of a trial, by attribute."""
        return {"_proposal_seconds": self._proposal_seconds}

    def __getstate__(self) -> dict[str, Any]:
        """While the oracle is sent, what another process needs for trials."""
        if self.co_oracle.is_sending:
            return {**vars(self), "_engine": None}
        return {**vars(self)}

    def move(self, project: pathlib.Path, is_shared: bool) -> None:
        """Lets trials that were sent here work in another folder.

        Args:
            project: The folder, of this node.
            is_shared: Whether it is that of the search.
        """
        self.directory, self.project_name = os.path.split(project)
        self.co_oracle._set_project_dir(self.directory, self.project_name)

    def run_sent(
        self,
        state: Mapping[str, Any],
        failures: int,
        context: Mapping[str, Any],
        arguments: Mapping[str, Any],
    ) -> trial_module.Trial:
        """Runs a trial that another process has begun, and will report.

        Args:
            state: Of the trial.
            failures: How often it has failed before.
            context: What `trial_context` gave there.
            arguments: For `run_trial`.

        Returns:
            The trial, with all that is to be reported.
        """
        self.__dict__.update(context)
        trial = trial_module.Trial.from_state(state)
        self.co_oracle.take(trial, failures)
        self._try_run_and_update_trial(trial, **arguments)
        return trial

    def _try_run_and_update_trial(
        self, trial: Any, *args: Any, **kwargs: Any
    ) -> None:
        # KerasTuner's own prints a traceback for every failed trial.
        alive = (
            self.oracle.heartbeat(trial.trial_id)
            if self._is_worker()
            else contextlib.nullcontext()
        )
        try:
            with alive:
                self._run_and_update_trial(trial, *args, **kwargs)
            trial.status = trial_module.TrialStatus.COMPLETED
        except keras_tuner.errors.FatalError:
            raise
        except Exception as error:
            if files.is_storage_error(error):
                raise  # No trial is to blame: it runs again when there is room.
            is_final = isinstance(error, keras_tuner.errors.FailedTrialError)
            trial.status = (
                trial_module.TrialStatus.FAILED
                if is_final
                else trial_module.TrialStatus.INVALID
            )
            # TensorFlow's messages have many lines; the first one tells.
            message = (str(error).strip().splitlines() or ["no message"])[0]
            summary = f"{type(error).__name__}: {message}"
            trial.message = f"{traceback.format_exc()}\n{summary}"
            logging.debug("Trial %s: %s", trial.trial_id, trial.message)

    def on_trial_end(self, trial: Any) -> None:
        """Saves the trial before anything else, then reports it."""
        if self._is_worker():  # Only the chief knows of all trials.
            self.oracle.end_trial(trial)
            return
        try:
            super().on_trial_end(trial)
        finally:
            if trial.trial_id in self.co_oracle.end_order:  # or it is retried
                self.on_trial_saved(self.co_oracle.get_trial(trial.trial_id))

    def save(self) -> None:
        """Saves the state of the search so that no kill can damage it."""
        if not self._is_worker():
            self.oracle.save()
            files.write_json(self._get_tuner_fname(), self.get_state())

    def reload(self) -> None:
        """Reads the state of the search; the oracle has all of it."""
        if not self._is_worker() and _is_begun(self.project_dir):
            self.oracle.reload()

    def _get_tuner_fname(self) -> str:
        # One name, so that a search goes on alone or with workers.
        return os.path.join(self.project_dir, _TUNER)


def project_folder(
    directory: str | os.PathLike[str] | None, project_name: str | None
) -> pathlib.Path:
    """The folder of a search.

    Args:
        directory: Folder of projects; the current one if `None`.
        project_name: Folder of this search in it.

    Raises:
        TypeError: If one is no path.
        ValueError: If one is empty.
    """
    for name, part in (
        ("directory", directory),
        ("project_name", project_name),
    ):
        if part is not None:
            configuration.path(name, part)
    return pathlib.Path(directory or ".", project_name or "untitled_project")


def _is_begun(project: str | os.PathLike[str]) -> bool:
    names = os.listdir(project) if os.path.isdir(project) else []
    return any(name.startswith(("trial_", "oracle.json")) for name in names)
