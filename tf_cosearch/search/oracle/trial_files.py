"""The trials that a project's folder holds."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable
from typing import Any

import keras_tuner
from absl import logging
from keras_tuner.engine.trial import Trial, TrialStatus

from tf_cosearch import files
from tf_cosearch.search.oracle.state import TrialState


def read_trials(
    project: str | os.PathLike[str],
    check: Callable[[Trial], Any] = lambda trial: None,
) -> tuple[dict[str, Trial], list[Trial]]:
    """Reads the trials of a project, from copies where files are damaged.

    Args:
        project: Its folder.
        check: Raises any error if a trial makes no sense; its file is damaged.

    Returns:
        The trials by id, in the order of their numbers, failed ones in the
        place of those that are gone; and those whose file is damaged. Their
        `origin` is who proposed them, if that is known.
    """
    trials: dict[int, Trial] = {}
    damaged = []
    for folder in glob.glob(
        os.path.join(glob.escape(os.fspath(project)), "trial_*")
    ):
        path = os.path.join(folder, "trial.json")
        damage = ""
        try:
            state, damage = files.read_json(path, TrialState)
            trial = Trial.from_state(state)
            if not folder.endswith(f"trial_{trial.trial_id}"):
                raise ValueError(f"It is of trial {trial.trial_id}.")
            trial.origin = state.get("origin") if state else None
            check(trial)
            trials[int(trial.trial_id)] = trial
        except Exception as error:  # whatever a damaged file leads to
            # KerasTuner quotes what it read, which need not be Unicode.
            message = str(error).encode(errors="backslashreplace").decode()
            logging.warning("%s cannot be read: %s", path, damage or message)
            continue
        if damage:
            logging.warning("%s; used its copy instead.", damage)
            damaged.append(trial)
    width = len(next(iter(trials.values())).trial_id) if trials else 0
    for number in range(max(trials, default=-1) + 1):
        if number not in trials:  # KerasTuner numbers trials by counting
            trial_id = f"{number:0{width}d}"
            trials[number] = Trial(
                keras_tuner.HyperParameters(),
                trial_id=trial_id,
                status=TrialStatus.FAILED,
                message=_why_gone(os.path.join(project, f"trial_{trial_id}")),
            )
    return {trials[i].trial_id: trials[i] for i in sorted(trials)}, damaged


def _why_gone(folder: str) -> str:
    """What is left of a trial that cannot be read."""
    left = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    others = [name for name in left if not name.startswith("trial.json")]
    if not others:
        return "The files of this trial are gone."
    return (
        "trial.json, which says what this trial was and reached, and its copy "
        f"are gone or damaged. {', '.join(others)} are still in {folder}: put "
        "trial.json back to have its design again."
    )
