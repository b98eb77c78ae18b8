"""What a trial of KerasTuner has to tell."""

from __future__ import annotations

import math
import os
import pathlib

from keras_tuner.engine.trial import Trial, TrialStatus

from tf_cosearch import files
from tf_cosearch.search.oracle.durable import reason, reported
from tf_cosearch.search.oracle.state import SearchState
from tf_cosearch.search.oracle.trial_files import read_trials
from tf_cosearch.search.oracle.warm_start import STATE
from tf_cosearch.trackers.tracker import TrialRecord

_ENDED = (TrialStatus.COMPLETED, TrialStatus.FAILED, TrialStatus.INVALID)


def of_trial(
    trial: Trial, folder: str | os.PathLike[str], search_id: str
) -> TrialRecord:
    """The record of a trial that has ended.

    Args:
        trial: The trial.
        folder: Of its search.
        search_id: Which search that is.
    """
    values = trial.hyperparameters.values
    name = pathlib.Path(folder).resolve().name
    return TrialRecord(
        search=f"{name}-{search_id}",
        trial_id=trial.trial_id,
        hyperparameters=dict(values),
        choices={
            each.name: tuple(each.values)
            for each in trial.hyperparameters.space
            if each.name in values and hasattr(each, "values")
        },
        metrics={
            metric: value
            for metric, value in reported(trial).items()
            if math.isfinite(value)
        },
        score=trial.score,
        failure=None if trial.score is not None else reason(trial),
    )


def of_folder(folder: str | os.PathLike[str]) -> list[TrialRecord]:
    """The records of the trials of a search that have ended.

    Args:
        folder: Of the search, which may still be going.

    Raises:
        FileNotFoundError: If no search has been there.
    """
    path = pathlib.Path(folder)
    state, _ = files.read_json(path / STATE, SearchState)
    if state is None:
        raise FileNotFoundError(
            f"The folder must be that of a search. Received: {folder}, "
            f"without {STATE}. Give what a search was told as its --output_dir."
        )
    trials, _ = read_trials(path)
    return [
        of_trial(trial, path, state.get("search_id", "0"))
        for trial in trials.values()
        if trial.status in _ENDED
    ]
