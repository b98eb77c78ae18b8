import json
import os

import pytest

from tf_cosearch.designs import ongoing
from tf_cosearch.designs.ongoing import Training
from tf_cosearch.search.executions import Execution

PLANNED = {"float": 3, "qat": 2}


def leave(
    folder, done, of_float, seconds, planned=PLANNED, ended=False, **execution
):
    """A trial whose last epoch ended at 1000 s."""
    number, when = execution.pop("number", 0), execution.pop("when", 1000)
    trial = folder / "trial_4"
    trial.mkdir(exist_ok=True)
    content = {
        "fingerprint": "",
        "costs": {},
        "history": {"loss": [1.0] * done} if done else {},
        "float_epochs": of_float,
        "planned": planned,
        "epoch_seconds": seconds,
        **execution,
        **({"metrics": {"accuracy_int8": 0.5}} if ended else {}),
    }
    path = trial / f"execution_{number}.json"
    path.write_text(json.dumps(content))
    os.utime(path, (when, when))


def read(folder, now=1000.0):
    (training,) = ongoing.read(folder, {"worker1": "4"}, now)
    assert (training.trial_id, training.worker) == ("4", "worker1")
    return training[2:]


def test_a_trial_without_a_training_begins(tmp_path):
    assert read(tmp_path) == ("begins", 0, 0, None, None)


@pytest.mark.parametrize(
    ("told", "now", "expected"),
    [
        # Nothing has ended: nobody knows what an epoch takes.
        ((0, 0, []), 1000, ("float", 1, 5, None, None)),
        ((1, 1, [9.0]), 1000, ("float", 2, 5, 9.0, 36.0)),
        # The first one compiles, and does not count once there are others.
        ((2, 2, [9.0, 4.0]), 1000, ("float", 3, 5, 4.0, 12.0)),
        # Of the third, 3 s have passed; who is late has no time left to tell.
        ((2, 2, [9.0, 4.0]), 1003, ("float", 3, 5, 4.0, 9.0)),
        ((2, 2, [9.0, 4.0]), 1999, ("float", 3, 5, 4.0, None)),
        # Until one of its own has ended, a phase takes what the other took.
        ((3, 3, [9.0, 4.0, 4.0]), 1000, ("qat", 4, 5, 4.0, 8.0)),
        ((4, 3, [9.0, 4.0, 4.0, 7.0]), 1000, ("qat", 5, 5, 7.0, 7.0)),
        # The float phase was stopped after one epoch.
        ((2, 1, [9.0, 7.0]), 1000, ("qat", 3, 3, 7.0, 7.0)),
    ],
)
def test_phase_epoch_and_time_left(tmp_path, told, now, expected):
    leave(tmp_path, *told)
    phase, *rest = expected
    phase = {"qat": "quantization-aware"}.get(phase, phase)
    assert read(tmp_path, now) == (phase, *rest)


def test_after_its_last_epoch_it_is_measured(tmp_path):
    leave(tmp_path, 5, 3, [1.0] * 5)
    assert read(tmp_path) == ("quantizes and measures", 0, 0, None, None)
    leave(tmp_path, 2, 2, [1.0] * 2, ended=True)
    assert read(tmp_path)[0] == "quantizes and measures"


def test_who_chooses_epochs_alone_is_told_of_as_they_come(tmp_path):
    leave(tmp_path, 7, 7, [2.0] * 7, planned={})
    assert read(tmp_path) == ("float", 8, 0, 2.0, None)


def test_the_last_training_of_a_trial_counts(tmp_path):
    leave(tmp_path, 5, 3, [1.0] * 5, ended=True)
    second = Execution(tmp_path / "trial_4", 1, "", {}, PLANNED, 2)
    second.epoch({"loss": [1.0]}, 1)
    assert read(tmp_path)[:3] == ("training 2 of 2, float", 2, 5)


def test_time_left_is_of_all_trainings_of_a_trial(tmp_path):
    one = {"executions": 3}
    leave(tmp_path, 5, 3, [2.0] * 5, ended=True, when=900, **one)
    leave(tmp_path, 1, 1, [2.0], number=1, **one)
    # Four epochs of this one, and five of the third.
    told = ("training 2 of 3, float", 2, 5, 2.0, 18.0)
    assert read(tmp_path) == told


def test_trainings_before_it_was_tried_again_do_not_count(tmp_path):
    one = {"executions": 3}
    leave(tmp_path, 2, 2, [2.0] * 2, number=1, when=900, **one)
    leave(tmp_path, 1, 1, [2.0], **one)
    # Four epochs of this one, and five each of the others.
    told = ("training 1 of 3, float", 2, 5, 2.0, 28.0)
    assert read(tmp_path) == told


@pytest.mark.parametrize("content", ["", "[]", '{"fingerprint": 3}', "\0"])
def test_a_damaged_file_is_none(tmp_path, content):
    leave(tmp_path, 2, 2, [1.0] * 2)
    (tmp_path / "trial_4" / "execution_0.json").write_text(content)
    assert read(tmp_path)[0] == "begins"


def test_epochs_that_are_done_again_are_timed_again(tmp_path):
    execution = Execution(tmp_path, 0, "a", {}, PLANNED)
    for done in (1, 2, 3):
        execution.epoch({"loss": [1.0] * done}, done)
    assert len(execution._content["epoch_seconds"]) == 3
    again = Execution(tmp_path, 0, "a", {}, PLANNED)
    again.epoch({"loss": [1.0] * 2}, 2)  # its last checkpoint is of the first
    assert len(again._content["epoch_seconds"]) == 2


def test_of_many_workers_a_line_tells_some():
    trainings = [Training(str(n), f"worker{n}", "begins") for n in range(9)]
    line = ongoing.line(trainings)
    assert line.startswith("trial 0: begins; trial 1: begins")
    assert line.endswith("trial 3: begins; 5 more")
