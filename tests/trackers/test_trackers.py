"""Trackers are told of trials; a search goes on whatever they do."""

import sys
import threading

import pytest

from tf_cosearch import trackers
from tf_cosearch.search.oracle.oracle import CoSearchOracle
from tf_cosearch.testing import ToySpace, place, toy_estimate
from tf_cosearch.trackers import records
from tf_cosearch.trackers.listeners import Listeners
from tf_cosearch.trackers.tracker import Tracker, TrialRecord

DONE = TrialRecord(
    "digits",
    "07",
    {"stage1/kernel_size": 3, "block": "fused", "rate": 0.25, "count": 2},
    {"stage1/kernel_size": (3, 5), "block": ("fused", "plain")},
    {"accuracy_int8": 0.9, "latency_ms": 0.5},
    0.75,
    None,
)
FAILED = DONE._replace(
    trial_id="08", metrics={}, score=None, failure="The loss was NaN."
)
AGAIN = DONE._replace(
    trial_id="09",
    hyperparameters={
        **DONE.hyperparameters,
        "stage1/kernel_size": 5,
        "count": 3,
    },
)


def _tell(tracker):
    for record in (DONE, FAILED, AGAIN, DONE, FAILED):
        tracker.trial(record)


def test_optuna_keeps_each_trial_once(tmp_path):
    optuna = pytest.importorskip("optuna")
    where = f"sqlite:///{tmp_path}/trials.db"
    _tell(trackers.parse(f"optuna:{where}"))
    _tell(trackers.parse(f"optuna:{where}"))  # another process
    study = optuna.load_study(study_name="digits", storage=where)
    done, failed, again = study.get_trials()
    assert (done.value, done.params) == (0.75, DONE.hyperparameters)
    assert done.user_attrs["latency_ms"] == 0.5
    assert failed.state == optuna.trial.TrialState.FAIL
    assert failed.user_attrs["failure"] == "The loss was NaN."
    assert again.params["stage1/kernel_size"] == 5
    assert study.best_trial.number == 0
    assert done.distributions["block"].choices == ("fused", "plain")


def test_mlflow_keeps_each_trial_once(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    where = (tmp_path / "store").as_uri()
    tracker = trackers.parse(f"mlflow:{where}")
    _tell(tracker)
    client = mlflow.MlflowClient(where)
    number = client.get_experiment_by_name("digits").experiment_id
    runs = {run.info.run_name: run for run in client.search_runs([number])}
    assert sorted(runs) == ["trial_07", "trial_08", "trial_09"]
    done, failed = runs["trial_07"], runs["trial_08"]
    assert done.data.params["block"] == "fused"
    assert done.data.metrics == {
        "accuracy_int8": 0.9,
        "latency_ms": 0.5,
        "reward": 0.75,
    }
    assert (done.info.status, failed.info.status) == ("FINISHED", "FAILED")
    assert failed.data.tags["failure"] == "The loss was NaN."


def test_weights_and_biases_keeps_trials_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    tracker = trackers.parse("wandb:demo")
    for record in (DONE, FAILED):
        tracker.trial(record)
    names = {
        path.name.rpartition("-trial")[2]
        for path in tmp_path.glob("wandb/offline-run-*")
    }
    assert names == {"_07", "_08"}


def test_two_searches_of_one_name_are_two(tmp_path):
    """Also where one has replaced the other in its folder."""
    told = []
    for folder in (tmp_path / "a", tmp_path / "b", tmp_path / "b"):
        oracle = place(
            CoSearchOracle(
                ToySpace((9, 9)),
                "random",
                estimate=toy_estimate,
                proposals=16,
                seed=0,
                max_trials=1,
            ),
            folder,
        )
        trial = oracle.create_trial("tuner")
        measured = {"accuracy_int8": 0.5, "file_kib": float("inf")}
        oracle.update_trial(trial.trial_id, measured)
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
        oracle.save()
        (record,) = records.of_folder(folder / "project")
        assert records.of_folder(folder / "project") == [record]
        assert set(record.metrics) == {"accuracy_int8"}
        assert record.search == f"project-{oracle.search_id}"
        told.append(record.search)
    assert len(set(told)) == 3


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ("optunna:sqlite:///a.db", ValueError, "Did you mean 'optuna'"),
        ("optuna", ValueError, "must have a storage"),
        ("absent", ImportError, "pip install"),
    ],
)
def test_what_cannot_be_told_is_refused(asked, error, message, monkeypatch):
    if asked == "absent":
        asked = "wandb"
        monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(error, match=message):
        trackers.parse(asked)


def test_a_search_goes_on_without_what_is_not_installed(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "wandb", None)
    pytest.importorskip("optuna")
    (tracker,) = trackers.installed(["wandb:team", "optuna:sqlite:///a.db"])
    assert tracker.where == "sqlite:///a.db"
    (line,) = caplog.messages
    assert "needs the package wandb" in line
    assert "pip install" in line
    assert line.endswith("The search goes on without it.")
    with pytest.raises(ValueError, match="Did you mean"):
        trackers.installed(["wandbb"])


def test_a_function_that_fails_is_said_once_and_costs_nothing(caplog):
    heard = []

    def broken(record):
        raise OSError("nobody answers")

    listeners = Listeners([broken, heard.append])
    listeners.begin(pytest.fail(each) for each in [DONE])  # functions know it
    listeners.tell(DONE)
    listeners.tell(FAILED)
    assert [record.trial_id for record in heard] == ["07", "08"]
    assert caplog.text.count("nobody answers") == 1
    with pytest.raises(TypeError, match="Pass a function or a tracker"):
        Listeners(["mlflow"])


class Silent(Tracker):
    """Answers when it may."""

    def __init__(self):
        super().__init__()
        self.may, self.heard = threading.Event(), []

    def trial(self, record):
        self.may.wait(10)
        self.heard.append(record.trial_id)


def test_a_tracker_that_does_not_answer_holds_nothing_up(caplog):
    tracker = Silent()
    listeners = Listeners([tracker])
    listeners.begin([AGAIN])
    listeners.tell(DONE)
    listeners.tell(FAILED)
    listeners.end(seconds=0.05)
    assert tracker.heard == []
    assert "3 trials are not told" in caplog.text
    tracker.may.set()
    listeners.end(seconds=5)
    assert tracker.heard == ["09", "07", "08"]
