"""Trials as runs of a Weights & Biases project."""

from __future__ import annotations

from tf_cosearch.trackers.tracker import Tracker, TrialRecord, package


class WeightsAndBiases(Tracker):
    """Keeps each trial as a run, grouped by its search.

    Which account, and whether online, say the variables of Weights & Biases,
    `WANDB_MODE=offline` for one.

    Args:
        where: The project; `tf_cosearch` if empty.

    Reference:
        https://docs.wandb.ai/ref/python
    """

    def __init__(self, where: str = "") -> None:
        super().__init__(where or "tf_cosearch")
        self._wandb = package("wandb", "wandb")

    def trial(self, record: TrialRecord) -> None:
        """Keeps a trial, see `Tracker`; of one name there is one run."""
        with self._wandb.init(
            project=self.where,
            group=record.search,
            name=f"trial_{record.trial_id}",
            id=f"{record.search}-trial_{record.trial_id}",
            resume="allow",
            config=dict(record.hyperparameters),
            reinit="create_new",
            settings={"console": "off", "silent": True},
        ) as run:
            run.summary.update(dict(record.metrics))
            if record.score is not None:
                run.summary["reward"] = record.score
            if record.failure is not None:
                run.summary["failure"] = record.failure
                run.finish(exit_code=1)
