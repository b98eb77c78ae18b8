"""What a trial of KerasTuner has to tell."""

from __future__ import annotations

import os
import pathlib

from keras_tuner.engine.trial import Trial, TrialStatus

from tf_cosearch.search.oracle.durable import reason, reported
from tf_cosearch.search.oracle.trial_files import read_trials
from tf_cosearch.trackers.tracker import TrialRecord

_ENDED = (TrialStatus.COMPLETED, TrialStatus.FAILED, TrialStatus.INVALID)


def of_trial(trial: Trial, folder: str | os.PathLike[str]) -> TrialRecord:
    """The record of a trial that has ended.

    Args:
        trial: The trial.
        folder: Of its search, by whose name that goes.
    """
    values = trial.hyperparameters.values
    return TrialRecord(
        search=pathlib.Path(folder).resolve().name,
        trial_id=trial.trial_id,
        hyperparameters=dict(values),
        choices={
            each.name: tuple(each.values)
            for each in trial.hyperparameters.space
            if each.name in values and hasattr(each, "values")
        },
        metrics=reported(trial),
        score=trial.score,
        failure=None if trial.score is not None else reason(trial),
    )


def of_folder(folder: str | os.PathLike[str]) -> list[TrialRecord]:
    """The records of the trials of a search that have ended.

    Args:
        folder: Of the search, which may still be going.
    """
    trials, _ = read_trials(folder)
    return [
        of_trial(trial, folder)
        for trial in trials.values()
        if trial.status in _ENDED
    ]
