import keras_tuner
import pytest

from tf_cosearch.search import objectives
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.executions import Curves, Execution

COSTS = {"latency_ms": 1.0, "energy_mj": 2.0, "area_mm2": 3.0}
HISTORY = {"loss": [3.0, 2.0, 1.0], "val_accuracy": [0.1, 0.2, 0.3]}


@pytest.fixture
def project(tmp_path):
    for number in range(3):
        (tmp_path / f"trial_{number}").mkdir()
    return tmp_path


def start(project, trial, number=0, fingerprint="a"):
    folder = project / f"trial_{trial}"
    return Execution(folder, number, fingerprint, COSTS)


def test_another_process_reads_curves_and_ends(project):
    first, second = start(project, 0), start(project, 1)
    first.epoch(HISTORY, 2)
    curves = Curves(project, "accuracy_int8", objectives.get("hard", Budgets()))
    own = project / "trial_2"
    (curve,) = curves.beside(own)
    assert (curve.accuracies, curve.costs) == ([0.1, 0.2], COSTS)
    assert curve.final is None
    second.epoch(HISTORY, 1)
    first.end({"accuracy_int8": 0.7, "stopped_epoch": 2.0})
    curve, other = curves.beside(own)
    assert (curve.final, curve.stopped) == (0.7, True)
    assert (other.accuracies, other.stopped) == ([0.1], False)
    assert curves.beside(project / "trial_0") == [other]


def test_only_an_end_of_the_same_settings_counts(project):
    execution = start(project, 0)
    execution.epoch(HISTORY, 3)
    assert start(project, 0).metrics is None
    execution.end({"accuracy_int8": 0.7})
    again = start(project, 0)
    assert again.metrics == {"accuracy_int8": 0.7}
    assert again.curve.accuracies == [0.1, 0.2, 0.3]
    assert start(project, 0, fingerprint="b").metrics is None
    assert start(project, 0, number=1).metrics is None
    again.epoch(HISTORY, 3)  # its files were lost, it is trained again
    assert start(project, 0).metrics is None


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"fingerprint": "a"}'])
def test_damaged_files_count_as_none(project, content):
    execution = start(project, 0)
    execution.epoch(HISTORY, 3)
    for path in (project / "trial_0").iterdir():
        path.write_text(content)
    assert start(project, 0).metrics is None
    assert (
        Curves(
            project, "accuracy_int8", objectives.get("hard", Budgets())
        ).beside(project / "trial_1")
        == []
    )


def kill(execution, *epochs):
    """What a process leaves that was killed after some epochs."""
    attempt = execution.attempt()
    attempt.__enter__()
    for count in epochs:
        history = {name: values[:count] for name, values in HISTORY.items()}
        execution.epoch(history, count)
    return attempt


@pytest.mark.parametrize(
    "kills",
    [
        [(), ()],
        # One that comes as far each time, without a checkpoint.
        [(1, 2), (1, 2)],
        # One that gets to where it is killed after the first.
        [(1, 2, 3), ()],
        [(1,), (1, 2), (1, 2)],
    ],
)
def test_what_is_killed_twice_where_it_was_is_not_begun_again(project, kills):
    left = [kill(start(project, 0), *epochs) for epochs in kills]
    with (
        pytest.raises(
            keras_tuner.errors.FailedTrialError, match="killed 2 times"
        ),
        start(project, 0).attempt(),
    ):
        pass
    with start(project, 0, fingerprint="b").attempt():
        pass  # another training
    assert len(left) == len(kills)


def test_what_comes_further_or_is_interrupted_goes_on(project):
    left = [kill(start(project, 0), 1), kill(start(project, 0), 1, 2)]
    left.append(kill(start(project, 0), 1, 2, 3))
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt), start(project, 0).attempt():
            raise KeyboardInterrupt
    left.append(kill(start(project, 0)))
    with start(project, 0).attempt():
        pass
    again = start(project, 0)
    again.end({"accuracy_int8": 0.7})
    assert start(project, 0).metrics == {"accuracy_int8": 0.7}
    assert len(left) == 4
