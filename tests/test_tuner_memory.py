"""Searches on a machine whose memory some trainings do not fit."""

import json

import keras_tuner
import numpy as np
import pytest
from keras_tuner.engine.trial import Trial
from light_searches import few, pretend, small_tuner

from tf_cosearch import files
from tf_cosearch.engines import launch
from tf_cosearch.training import datasets, fit, memory


@pytest.fixture(scope="module")
def data():
    return few(datasets.load("digits"))


@pytest.fixture(autouse=True)
def trained(monkeypatch):
    monkeypatch.setattr(fit, "train", pretend)


def needs(space, data, genomes):
    arrays = [data["x"], data["y"], *data["validation_data"]]
    layers, _ = space.batch(genomes)
    return memory.training_bytes(arrays, layers, 32)


def middle(space, data):
    """Memory in which half of the networks can be trained."""
    genomes = space.sample(np.random.default_rng(0), 200)
    return int(np.median(np.unique(needs(space, data, genomes))))


def trained_designs(tuner):
    oracle = tuner.co_oracle
    return np.stack([oracle.trial_genome(t) for t in oracle.trials.values()])


@pytest.mark.parametrize(
    "oracle", ["grey_box", pytest.param("random", marks=pytest.mark.slow)]
)
def test_only_what_fits_is_proposed_and_the_summary_says_so(
    space, data, tmp_path, monkeypatch, capsys, oracle
):
    room = middle(space, data)
    found = {}
    for name, limit in (("free", 2**50), ("none", None), ("tight", room)):
        monkeypatch.setattr(
            launch, "training_room", lambda _, limit=limit: limit
        )
        tuner = small_tuner(space, tmp_path / name, oracle=oracle, max_trials=8)
        tuner.search(**{**data, "verbose": 1}, epochs=1)
        found[name] = trained_designs(tuner), capsys.readouterr().out
    free, told = found["free"]
    np.testing.assert_array_equal(free, found["none"][0])
    assert "memory" not in told
    assert (needs(space, data, free) > room).any()
    tight, told = found["tight"]
    assert len(tight) == 8
    assert (needs(space, data, tight) <= room).all()
    assert told.count("Networks whose training takes more than") == 2
    assert "fewer workers, smaller batches or a machine with more" in told


def test_a_space_of_nothing_that_fits_is_refused(
    space, data, tmp_path, monkeypatch
):
    monkeypatch.setattr(launch, "training_room", lambda _: 10)
    tuner = small_tuner(space, tmp_path)
    with pytest.raises(ValueError, match=r"memory to train.*even the least"):
        tuner.search(**data, epochs=1)
    assert not tuner.oracle.trials


def test_a_trial_that_was_begun_elsewhere_fails_if_it_does_not_fit(
    space, data, tmp_path, monkeypatch
):
    room = middle(space, data)
    monkeypatch.setattr(launch, "training_room", lambda _: None)
    tuner = small_tuner(space, tmp_path, max_trials=1)
    tuner.search(**data, epochs=1)
    genomes = space.sample(np.random.default_rng(0), 200)
    large = genomes[needs(space, data, genomes).argmax()]
    path = tmp_path / "project/trial_0/trial.json"
    begun = json.loads(path.read_text())
    begun["status"], begun["score"] = "RUNNING", None
    begun["hyperparameters"]["values"] = space.values(large)
    path.write_text(json.dumps(begun))
    monkeypatch.setattr(launch, "training_room", lambda _: room)
    tuner = small_tuner(space, tmp_path, max_trials=2)
    tuner.search(**data, epochs=1)
    first, second = tuner.oracle.trials.values()
    assert (first.status, second.status) == ("FAILED", "COMPLETED")
    assert "must fit the memory" in first.message


def test_a_worker_on_a_smaller_machine_says_why_it_does_not_train(
    space, data, tmp_path, monkeypatch
):
    room = middle(space, data)
    genomes = space.sample(np.random.default_rng(0), 200)
    needed = needs(space, data, genomes)
    monkeypatch.setattr(launch, "training_room", lambda _: room)
    tuner = small_tuner(space, tmp_path, max_trials=1)
    tuner.search(**data, epochs=1)
    (trial,) = tuner.oracle.trials.values()
    tuner.run_trial(trial, epochs=1)
    large = space.values(genomes[needed.argmax()])
    other = Trial(keras_tuner.HyperParameters(), trial_id="7")
    other.hyperparameters.values = large
    with pytest.raises(
        keras_tuner.errors.FailedTrialError, match="must fit the memory"
    ):
        tuner.run_trial(other, epochs=1)


def test_a_finished_design_is_best_wherever_it_was_trained(
    space, data, tmp_path, monkeypatch
):
    room = middle(space, data)
    monkeypatch.setattr(launch, "training_room", lambda _: None)
    tuner = small_tuner(space, tmp_path, max_trials=8)
    tuner.search(**data, epochs=1)
    assert (needs(space, data, trained_designs(tuner)) > room).any()
    before = [design.folder for design in tuner.best_designs(8)]
    monkeypatch.setattr(launch, "training_room", lambda _: room)
    tuner = small_tuner(space, tmp_path, max_trials=8)
    tuner.search(**data, epochs=1)
    assert [design.folder for design in tuner.best_designs(8)] == before


def test_what_kills_its_process_twice_is_not_trained_a_third_time(
    space, data, tmp_path, monkeypatch
):
    begun = []

    class Killed(BaseException):
        """What no process lives to see."""

    def kills(*args, **kwargs):
        begun.append(1)
        # The files are those of a kill: nothing is written any more.
        monkeypatch.setattr(files, "write_json", lambda *_: None)
        raise Killed

    write = files.write_json
    for _ in range(2):
        monkeypatch.setattr(files, "write_json", write)
        monkeypatch.setattr(fit, "train", kills)
        with pytest.raises(Killed):
            small_tuner(space, tmp_path).search(**data, epochs=1)
    monkeypatch.setattr(files, "write_json", write)
    monkeypatch.setattr(fit, "train", pretend)
    tuner = small_tuner(space, tmp_path)
    tuner.search(**data, epochs=1)
    first, second = tuner.oracle.trials.values()
    assert (first.status, second.status) == ("FAILED", "COMPLETED")
    assert "was killed 2 times" in first.message
    assert len(begun) == 2
