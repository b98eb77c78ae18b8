"""Trials as those of an Optuna study, which optuna-dashboard shows."""

from __future__ import annotations

from typing import Any

from tf_cosearch.trackers.tracker import Tracker, TrialRecord, package

_ID = "trial_id"


class Optuna(Tracker):
    """Keeps each trial in the study that its search is called by.

    The value of a trial is its reward; what was measured stands with it as
    user attributes.

    Args:
        where: Storage of the study, `sqlite:///trials.db` for one.

    Raises:
        ValueError: If no storage is given: one in memory would be lost.

    Reference:
        https://optuna-dashboard.readthedocs.io
    """

    def __init__(self, where: str = "") -> None:
        super().__init__(where)
        if not where:
            raise ValueError(
                "Optuna must have a storage. Received: none. Give one, "
                "optuna:sqlite:///trials.db for example."
            )
        self._optuna = package("optuna", "optuna")
        self._studies: dict[str, Any] = {}

    def trial(self, record: TrialRecord) -> None:
        """Keeps a trial, see `Tracker`."""
        optuna = self._optuna
        study = self._studies.get(record.search)
        if study is None:
            study = self._studies[record.search] = optuna.create_study(
                storage=self.where,
                study_name=record.search,
                direction="maximize",
                load_if_exists=True,
            )
        known = {
            trial.user_attrs.get(_ID): trial
            for trial in study.get_trials(deepcopy=False)
        }
        if record.trial_id in known:
            return
        done = record.failure is None and record.score is not None
        state = optuna.trial.TrialState
        study.add_trial(
            optuna.trial.create_trial(
                state=state.COMPLETE if done else state.FAIL,
                value=record.score if done else None,
                params=dict(record.hyperparameters),
                distributions={
                    name: self._distribution(value, record.choices.get(name))
                    for name, value in record.hyperparameters.items()
                },
                user_attrs={
                    _ID: record.trial_id,
                    **record.metrics,
                    **({"failure": record.failure} if record.failure else {}),
                },
            )
        )

    def _distribution(self, value: Any, choices: Any) -> Any:
        """What Optuna is told that a value was drawn from."""
        optuna = self._optuna.distributions
        if choices is not None or isinstance(value, (str, bool)):
            return optuna.CategoricalDistribution(choices or [value])
        if isinstance(value, int):
            return optuna.IntDistribution(value, value)
        return optuna.FloatDistribution(value, value)
