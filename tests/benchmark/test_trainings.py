"""Trainings that are remembered, with trainings that take no time."""

import dataclasses
import json
import types

import numpy as np
import pytest

from tf_cosearch import configuration
from tf_cosearch.benchmark import trainings
from tf_cosearch.benchmark.trainings import SharedTrainings, Trainings
from tf_cosearch.engines import launch
from tf_cosearch.search.space import SearchSpace

SHORT = Trainings("digits", epochs=2, train_size=60, validation_size=30)


@pytest.fixture
def trained(monkeypatch):
    """What is trained; accuracies are 0.91, 0.92, ..."""
    from tf_cosearch.training import fit

    done = []

    def train(build, data, **options):
        done.append(options)
        return types.SimpleNamespace(accuracy_int8=0.9 + len(done) / 100)

    monkeypatch.setattr(fit, "train", train)
    return done


def networks(how, count=2):
    content = configuration.load("spaces", "digits")
    space = SearchSpace(how.template(content, "digits"))
    genomes = space.sample(np.random.default_rng(0), count)
    return [space.decode(genome).network for genome in genomes]


def test_a_file_keeps_accuracies_for_others(trained, tmp_path):
    file = tmp_path / "not there yet" / "kept.jsonl"
    first, second = networks(SHORT)
    kept = dataclasses.replace(SHORT, file=file)
    assert [kept.accuracy(first), kept.accuracy(second)] == [0.91, 0.92]
    with file.open("a") as lines:
        lines.write('{"network": "cut sh')
    again = dataclasses.replace(SHORT, file=file)
    assert [again.accuracy(second), again.accuracy(first)] == [0.92, 0.91]
    assert len(trained) == 2
    third = networks(SHORT, 3)[2]
    assert again.accuracy(third) == 0.93
    last = dataclasses.replace(SHORT, file=file)
    assert last.accuracy(third) == 0.93
    assert len(trained) == 3
    lines = file.read_text().splitlines()[:2]
    assert [json.loads(line)["accuracy"] for line in lines] == [0.91, 0.92]


def test_a_process_starts_anew_before_it_trains_too_many(
    trained, tmp_path, monkeypatch
):
    """Which is also how it knows, once started, that something was left."""
    monkeypatch.setattr(trainings, "_TRAINED", [])
    monkeypatch.setattr(launch, "start_again", lambda: 1 / 0)
    file = tmp_path / "kept.jsonl"
    few = dataclasses.replace(SHORT, file=file, per_process=2)
    first, second, third = networks(SHORT, 3)
    kept = [few.accuracy(network) for network in (first, first, second)]
    with pytest.raises(ZeroDivisionError):
        few.accuracy(third)
    assert (len(trained), trainings.trained()) == (2, 2)
    monkeypatch.setattr(trainings, "_TRAINED", [])  # as of a new process
    again = dataclasses.replace(SHORT, file=file, per_process=2)
    assert again.accuracy(first) == kept[0]
    assert trainings.trained() == 0
    assert again.accuracy(third) == 0.93
    assert trainings.trained() == 1


def test_what_would_start_anew_for_ever_is_refused(tmp_path):
    for change, message in (
        ({"per_process": 2}, "`file` must keep accuracies"),
        ({"per_process": 0, "file": tmp_path}, "at least 1. Received: 0"),
    ):
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(SHORT, **change)


@pytest.mark.parametrize(
    "change",
    [{"epochs": 3}, {"seed": 1}, {"train_size": 50}, {"validation_size": 20}],
)
def test_other_trainings_are_others(trained, tmp_path, change):
    file = tmp_path / "kept.jsonl"
    network = networks(SHORT, 1)[0]
    dataclasses.replace(SHORT, file=file).accuracy(network)
    dataclasses.replace(SHORT, file=file, **change).accuracy(network)
    assert len(trained) == 2


def test_other_pixels_of_the_same_name_are_other_data(trained, tmp_path):
    rng = np.random.default_rng(0)
    file = tmp_path / "kept.jsonl"
    for level in (0.5, 1.0):
        np.savez(
            tmp_path / "mine.npz",
            x_train=level * rng.random((60, 8, 8, 1)),
            y_train=np.arange(60) % 3,
        )
        how = Trainings(f"npz:{tmp_path / 'mine.npz'}", 2, file=file)
        how.accuracy(networks(how, 1)[0])
    assert len(trained) == 2


def test_sizes_are_the_most_there_are():
    whole = Trainings("digits", 1, train_size=10**6).dataset
    part = dataclasses.replace(SHORT).dataset
    assert len(whole.train[1]) == 1079
    assert (len(part.train[1]), len(part.validation[1])) == (60, 30)


def test_a_supernet_is_trained_once_for_all_networks(monkeypatch):
    from tf_cosearch.supernet import evaluation, supernet

    begun = []

    class Net:
        weights = "shared"

        def __init__(self, networks, options, seed):
            begun.append((networks.name, options.epochs, seed))

        def train(self, inputs):
            assert inputs is how.inputs

    class Evaluator:
        def __init__(self, weights, inputs):
            assert weights == "shared"

        def accuracy(self, network):
            return network.macs / 1e9

    monkeypatch.setattr(supernet, "Supernet", Net)
    monkeypatch.setattr(evaluation, "Evaluator", Evaluator)
    content = configuration.load("spaces", "digits")
    how = SharedTrainings(
        "digits", 4, train_size=60, name="shared", content=content
    )
    found = networks(how)
    assert [how.accuracy(each) for each in found] == [
        each.macs / 1e9 for each in found
    ]
    assert begun == [("shared", 4, 0)]
