"""Full disks, lost files, clocks that jump: nothing finished is lost."""

import errno
import os
import pathlib
import time

import pytest

from tf_cosearch import files
from tf_cosearch.engines.tuner import DurableTuner
from tf_cosearch.search.oracle.oracle import CoSearchOracle
from tf_cosearch.testing import ToySpace, toy_estimate

TRIALS = 4


class Tuner(DurableTuner):
    """Notes what it runs and what is saved."""

    def run_trial(self, trial, **_):
        self.ran.append(trial.trial_id)
        return {"accuracy_int8": 0.5}

    def on_trial_saved(self, trial):
        self.saved.append(trial.trial_id)


def start(folder, max_trials=TRIALS):
    oracle = CoSearchOracle(
        ToySpace((5, 6, 7)),
        "random",
        estimate=toy_estimate,
        proposals=16,
        seed=0,
        max_trials=max_trials,
    )
    tuner = Tuner(oracle, directory=folder, project_name="project")
    tuner.ran, tuner.saved = [], []
    return tuner


def designs(tuner):
    oracle = tuner.co_oracle
    return {i: tuple(oracle.trial_genome(t)) for i, t in oracle.trials.items()}


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    tuner = start(tmp_path_factory.mktemp("whole"))
    tuner.run()
    return designs(tuner)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EROFS])
@pytest.mark.parametrize("first", range(1, 26, 3))
def test_what_cannot_be_written_is_said_and_costs_no_finished_trial(
    tmp_path, monkeypatch, expected, number, first
):
    writes = iter(range(1000))

    def sync(path):
        if next(writes) >= first:
            raise OSError(number, os.strerror(number))

    interrupted = start(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(files, "_sync", sync)
        with pytest.raises(OSError, match="Make room") as caught:
            interrupted.run()
    assert os.strerror(number) in str(caught.value)
    again = start(tmp_path)
    again.run()
    assert designs(again) == expected
    assert not set(again.ran) & set(interrupted.saved[:-1])
    assert len(again.co_oracle.history.finished()) == TRIALS


STATE = ("oracle.json", "tuner0.json", "trial_1/trial.json", "trial_1")


@pytest.mark.parametrize("damage", ["gone", "empty", "half"])
@pytest.mark.parametrize("has_copy", [True, False])
@pytest.mark.parametrize("name", STATE)
def test_a_lost_file_costs_at_most_its_trial(
    tmp_path, expected, name, has_copy, damage
):
    start(tmp_path, max_trials=3).run()
    path = tmp_path / "project" / name
    paths = [path]
    if path.is_dir():
        paths = [p for p in path.iterdir() if has_copy <= (p.suffix == ".bak")]
    elif not has_copy:
        paths.append(path.with_name(f"{path.name}.bak"))
    for file in filter(pathlib.Path.exists, paths):
        size = file.stat().st_size
        if damage == "gone":
            file.unlink()
        else:
            os.truncate(file, 0 if damage == "empty" else size // 2)
    tuner = start(tmp_path)
    tuner.run()
    oracle = tuner.co_oracle
    is_lost = "trial_1" in name and not has_copy
    assert len(oracle.history.finished()) == TRIALS - is_lost
    assert tuner.ran == ["3"]
    # Once it is not known, the design of a lost trial may be tried again.
    lost = ("1", "3") if is_lost else ()
    kept = {k: v for k, v in expected.items() if k not in lost}
    found = {
        i: tuple(oracle.trial_genome(t))
        for i, t in oracle.trials.items()
        if i not in lost
    }
    assert found == kept


@pytest.mark.parametrize("jump", [-1e6, 1e6])
def test_a_clock_that_jumps_ends_no_lease(tmp_path, monkeypatch, jump):
    tuner = start(tmp_path)
    oracle = tuner.co_oracle
    oracle.lease_seconds = 60.0
    trial = oracle.create_trial("worker0")
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + jump)
    oracle.reap()
    assert oracle.renew(trial.trial_id, "worker0")
    assert oracle.create_trial("worker1").trial_id != trial.trial_id


def test_a_second_search_on_a_folder_is_told_who_works_there(
    tmp_path, monkeypatch
):
    tuner = start(tmp_path)
    with files.owned(tuner.project_dir):
        monkeypatch.setattr(files, "_owned", set())  # as another process has
        with pytest.raises(RuntimeError, match=f"process {os.getpid()} on"):
            tuner.run()
    assert tuner.ran == []
