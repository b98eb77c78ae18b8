"""Trials as runs of an MLflow experiment."""

from __future__ import annotations

from tf_cosearch.trackers.tracker import Tracker, TrialRecord, package

_ID = "tf_cosearch.trial_id"


class MLflow(Tracker):
    """Keeps each trial as a run of the experiment that its search is called by.

    Args:
        where: Address of the tracking server or of a store,
            `sqlite:///mlflow.db` for one; empty is what MLflow's environment
            says.

    Reference:
        https://mlflow.org/docs/latest/ml/tracking
    """

    def __init__(self, where: str = "") -> None:
        super().__init__(where)
        mlflow = package("mlflow", "mlflow")
        self._client = mlflow.MlflowClient(tracking_uri=where or None)

    def trial(self, record: TrialRecord) -> None:
        """Keeps a trial, see `Tracker`."""
        client = self._client
        experiment = client.get_experiment_by_name(record.search)
        number = (
            client.create_experiment(record.search)
            if experiment is None
            else experiment.experiment_id
        )
        for known in client.search_runs(
            [number], f"tags.`{_ID}` = '{record.trial_id}'"
        ):
            if known.info.status != "RUNNING":
                return
            client.delete_run(known.info.run_id)  # half told, then killed
        run = client.create_run(
            number,
            run_name=f"trial_{record.trial_id}",
            tags={_ID: record.trial_id},
        ).info.run_id
        for name, value in record.hyperparameters.items():
            client.log_param(run, name, value)
        for name, metric in record.metrics.items():
            client.log_metric(run, name, metric)
        if record.score is not None:
            client.log_metric(run, "reward", record.score)
        if record.failure is not None:
            client.set_tag(run, "failure", record.failure)
        failed = record.failure is not None
        client.set_terminated(run, "FAILED" if failed else "FINISHED")
