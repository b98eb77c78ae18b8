import dataclasses
import json

import keras
import pytest
from absl import logging

from tf_cosearch import identity
from tf_cosearch.identity import AnotherRunError, Identity
from tf_cosearch.search.oracle.options import make
from tf_cosearch.testing import ToySpace, place, run_trials, toy_estimate
from tf_cosearch.training import settings

SPACE = {"parameters": {"a": [1, 2]}, "fixed": {"b": 3}, "fingerprint": "f"}


def run(optimizer=None, **changes):
    training = settings.plain({"epochs": 3, "optimizer": optimizer})
    parts = {
        "space": SPACE,
        "data": {"examples": 9},
        "training": training,
        "versions": {"numpy": "1"},
    }
    return Identity(**{**parts, **changes})


def test_one_adam_is_not_another():
    slow = run(keras.optimizers.Adam(1e-3))
    fast = run(keras.optimizers.Adam(0.1))
    (text,) = fast.differences(slow)
    assert text.startswith("training.optimizer.learning_rate=0.001")
    assert text.endswith(", not 0.1")
    assert fast.digest() != slow.digest()
    assert run(keras.optimizers.Adam(1e-3)).digest() == slow.digest()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"space": {**SPACE, "parameters": {"a": [1]}, "fingerprint": "g"}},
            "space.parameters.a=[1, 2], not [1]",
        ),
        (
            {"space": {**SPACE, "fixed": {"b": 4}, "fingerprint": "g"}},
            "space.fixed.b=3, not 4",
        ),
        ({"space": {**SPACE, "fingerprint": "g"}}, "another space"),
        ({"data": {"examples": 8}}, "data.examples=9, not 8"),
        ({"training": {"epochs": 4, "optimizer": None}}, "epochs=3, not 4"),
    ],
)
def test_what_differs_is_named(changes, text):
    now = run(**changes)
    assert len(now.differences(run())) == 1
    with pytest.raises(AnotherRunError, match="Received: here, with ") as error:
        now.require_same(run(), "Runs must be the same", "here", "another")
    assert text in str(error.value)


def test_what_nobody_has_said_does_not_differ():
    alone = Identity(SPACE)
    for one, other in ((alone, run()), (run(), alone)):
        one.require_same(other, "", "", "")


def test_many_differences_are_counted():
    before, now = ({"data": dict.fromkeys("abcde", n)} for n in (1, 2))
    with pytest.raises(AnotherRunError, match=r"a=1, not 2; .*; and 2 more"):
        run(**now).require_same(run(**before), "rule", "here", "another")


def test_other_versions_are_said_and_not_refused(caplog):
    logging.get_absl_logger().addHandler(caplog.handler)
    run(versions={"numpy": "2"}).require_same(run(), "rule", "here", "another")
    logging.get_absl_logger().removeHandler(caplog.handler)
    assert "here is of other versions: numpy=1, not 2." in caplog.text


@pytest.mark.parametrize("part", ["data", "training", "versions"])
def test_a_digest_is_of_all_that_a_result_depends_on(part):
    assert run(**{part: {"other": "1"}}).digest() != run().digest()
    assert run().digest(seed=1) != run().digest(seed=2)
    elsewhere = {**SPACE, "fingerprint": "g"}
    assert run(space=elsewhere).digest() == run().digest()


def test_the_disk_changes_nothing():
    before = run(keras.optimizers.Adam(1e-3))
    state = json.loads(json.dumps(dataclasses.asdict(before)))
    assert Identity.from_state(state) == before
    assert identity.differences("", state, dataclasses.asdict(before)) == []


def start(folder, **options):
    defaults = {"estimate": toy_estimate, "proposals": 16, "max_trials": 3}
    space = ToySpace((3, 4, 5))
    return place(make("random", {**defaults, **options}, space=space), folder)


@pytest.fixture
def of_earlier_version(tmp_path):
    """A search whose state is of a version that knew no identity."""
    run_trials(start(tmp_path / "old"), 3)
    project = tmp_path / "old" / "project"
    for path in project.glob("oracle.json*"):
        state = json.loads(path.read_text())
        del state["identity"]
        state["space_fingerprint"] = ToySpace((3, 4, 5)).fingerprint
        path.write_text(json.dumps(state))
    return project


def test_runs_of_earlier_versions_are_refused_with_the_way_on(
    of_earlier_version, tmp_path
):
    with pytest.raises(
        AnotherRunError, match=r"its trials.csv as `warm_start`"
    ):
        start(tmp_path / "old").reload()
    with pytest.raises(ValueError, match=r"earlier one. Give its trials.csv"):
        start(tmp_path / "new", warm_start=of_earlier_version)


def test_their_trials_csv_is_a_warm_start(of_earlier_version, tmp_path):
    from tf_cosearch.designs import report

    before = start(tmp_path / "again", seed=1)
    run_trials(before, 3)
    path = of_earlier_version / "trials.csv"
    report.write_trials(path, report.trial_rows(before))
    oracle = start(tmp_path / "new", warm_start=path)
    run_trials(oracle, 1)
    assert oracle.num_known == 3
