"""A search on shared weights, and the trainings after it."""

import csv
import dataclasses
import pathlib
import shutil

import numpy as np
import pytest
from light_searches import BUDGETS, few, pretend, small_tuner

import tf_cosearch as cs
from tf_cosearch.engines import launch
from tf_cosearch.search.oracle.durable import reported
from tf_cosearch.supernet import evaluation, progressive_shrinking
from tf_cosearch.supernet.accuracies import ACCURACY
from tf_cosearch.supernet.search import EvaluationTuner
from tf_cosearch.supernet.supernet import Supernet
from tf_cosearch.training import datasets, fit

OPTIONS = cs.SupernetOptions(epochs=1)
DESIGNS = 8


@pytest.fixture(scope="module")
def data():
    return few(datasets.load("digits"))


@pytest.fixture(autouse=True)
def light(monkeypatch):
    """Trainings that take no time."""
    monkeypatch.setattr(fit, "train", pretend)


@pytest.fixture
def no_weights(monkeypatch):
    """Fails to go through the blocks of a space, which may take long."""
    monkeypatch.setattr("tf_cosearch.supernet.weights.survey", None)


@pytest.fixture
def measured(monkeypatch):
    """The networks that are evaluated, in their order."""
    networks = []
    real = evaluation.Evaluator.accuracy

    def accuracy(self, network):
        networks.append(network)
        return real(self, network)

    monkeypatch.setattr(evaluation.Evaluator, "accuracy", accuracy)
    return networks


def tuner(space, folder, **changes):
    return small_tuner(
        space,
        folder,
        **{
            "accuracy": "supernet",
            "supernet": OPTIONS,
            "supernet_trials": DESIGNS,
            **changes,
        },
    )


@pytest.fixture(scope="module")
def finished(space, data, tmp_path_factory):
    """A finished search of two trials. Not to be written to."""
    made = tuner(space, tmp_path_factory.mktemp("runs"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "train", pretend)
        made.search(**data)
    return made


def supernet_of(made):
    return pathlib.Path(made.project_dir) / "supernet"


def evaluated(made):
    """Accuracy by design of each search on the supernet."""
    return [
        {
            tuple(trial.hyperparameters.values.items()): reported(trial)[
                ACCURACY
            ]
            for trial in finished_trials(folder)
        }
        for folder in sorted((supernet_of(made) / "search").glob("*"))
    ]


def finished_trials(folder):
    from tf_cosearch.search.oracle.trial_files import read_trials

    trials = read_trials(folder)[0].values()
    return [trial for trial in trials if trial.status == "COMPLETED"]


def rows(made):
    with open(pathlib.Path(made.project_dir) / "trials.csv") as file:
        return list(csv.DictReader(file))


def test_the_best_of_what_was_evaluated_are_trained(finished):
    (known,) = evaluated(finished)
    assert len(known) == DESIGNS
    trials = finished.co_oracle.trials.values()
    assert len(trials) == 2
    told = [
        known[tuple(trial.hyperparameters.values.items())] for trial in trials
    ]
    assert told[0] == max(known.values())
    # The hard reward within budgets is the accuracy.
    for row, accuracy in zip(rows(finished), told, strict=True):
        assert float(row[ACCURACY]) == accuracy
        assert row["accuracy_int8"] == "0.5"
        assert row["reward"] == "0.5"
    best = finished.best_designs(1)[0]
    assert best.metrics[ACCURACY] in told


def test_a_network_is_evaluated_once(space, data, tmp_path, measured):
    made = tuner(space, tmp_path)
    made.search(**data)
    assert len({repr(network) for network in measured}) == len(measured)
    assert 0 < len(measured) <= DESIGNS


def test_what_is_interrupted_goes_on(
    space, data, tmp_path, finished, monkeypatch, measured
):
    run, count = EvaluationTuner.run_trial, []

    def interrupted(self, trial):
        count.append(1)
        if len(count) == 5:
            raise KeyboardInterrupt
        return run(self, trial)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EvaluationTuner, "run_trial", interrupted)
        with pytest.raises(KeyboardInterrupt):
            tuner(space, tmp_path).search(**data)
    made = tuner(space, tmp_path)
    assert len(evaluated(made)[0]) == 4
    count.clear()
    monkeypatch.setattr(EvaluationTuner, "run_trial", counted(run, count))
    made.search(**data)
    assert len(count) == DESIGNS - 4
    assert evaluated(made) == evaluated(finished)
    assert [r["stage1/filters"] for r in rows(made)] == [
        r["stage1/filters"] for r in rows(finished)
    ]


def counted(run, count):
    def run_trial(self, trial):
        count.append(1)
        return run(self, trial)

    return run_trial


def test_more_trials_and_other_budgets(
    space, data, tmp_path, finished, monkeypatch
):
    shutil.copytree(finished.project_dir, tmp_path / "project")
    count = []
    monkeypatch.setattr(
        EvaluationTuner,
        "run_trial",
        counted(EvaluationTuner.run_trial, count),
    )
    more = tuner(space, tmp_path, max_trials=3)
    more.search(**data)
    assert (len(more.co_oracle.trials), len(count)) == (3, 0)
    tight = cs.Budgets(latency_ms=0.0005, area_mm2=12.0)
    other = tuner(space, tmp_path, max_trials=4, budgets=tight)
    other.search(**data)
    assert (len(other.co_oracle.trials), len(count)) == (4, DESIGNS)
    assert len(evaluated(other)) == 2
    last = other.co_oracle.trial_costs(other.co_oracle.trials["3"])
    assert last["latency_ms"] <= 0.0005


def test_a_training_has_the_room_that_shared_weights_leave(
    space, data, tmp_path, finished, monkeypatch
):
    held = []
    monkeypatch.setattr(launch, "training_room", held.append)
    made = tuner(space, tmp_path, supernet=supernet_of(finished))
    made.search(**data)
    size = Supernet.load(supernet_of(finished), space.network_space)
    assert held == [0, *2 * [4 * size.weights.count]]


def test_a_supernet_serves_other_searches(space, data, tmp_path, finished):
    made = tuner(
        space, tmp_path, supernet=supernet_of(finished), oracle="nsga2"
    )
    made.search(**data)
    assert len(made.co_oracle.trials) == 2
    assert [path.name for path in supernet_of(made).iterdir()] == ["search"]


def test_a_search_starts_from_designs_of_a_controller(space, data, tmp_path):
    options = dataclasses.replace(OPTIONS, paths="reinforce")
    made = tuner(space, tmp_path, supernet=options)
    made.search(**data)
    designs = Supernet.load(supernet_of(made), space.network_space).designs
    assert len(designs) > DESIGNS
    (known,) = evaluated(made)
    assert {tuple(space.genome(dict(design))) for design in known} == {
        tuple(space.genome(design)) for design in designs[:DESIGNS]
    }
    # Others have other accelerators, and take the networks alone.
    fixed = cs.SearchSpace(space.network_space, {"pe_array/rows": [3]})
    other = tuner(
        fixed,
        tmp_path,
        supernet=supernet_of(made),
        budgets=None,
        project_name="other",
    )
    other.search(**data)
    (known,) = evaluated(other)
    assert len(known) == DESIGNS


@pytest.fixture(scope="module")
def shrunk(space, data, tmp_path_factory):
    """A finished search on a supernet of which one network is left."""
    made = tuner(
        space,
        tmp_path_factory.mktemp("shrunk"),
        supernet=cs.SupernetOptions(epochs=1, shrink_stages=1),
        oracle="nsga2",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "train", pretend)
        patch.setattr(progressive_shrinking, "COMPLETIONS", 4)
        made.search(**data)
    return made


def test_only_what_is_left_is_evaluated(space, data, shrunk, tmp_path):
    left = Supernet.load(supernet_of(shrunk), space.network_space).choices
    assert [*map(len, left)] == [1, 1, 1]
    network = space.network_space.canonical(tuple(genes[0] for genes in left))
    other = tuner(space, tmp_path, supernet=supernet_of(shrunk))
    other.search(**data)
    for made in (shrunk, other):
        (known,) = evaluated(made)
        assert len(known) == DESIGNS  # on as many accelerators
        for trial in made.co_oracle.trials.values():
            genome = made.co_oracle.trial_genome(trial)
            assert tuple(genome[:3].tolist()) == network
        assert made.co_oracle.algorithm.remarks == [
            "Space shrunk to 1/8: stage1/filters 2 to 1, stage1/block 2 to 1, "
            "stage1/expansion 2 to 1"
        ]


def test_what_is_left_must_meet_the_budgets(
    space, data, shrunk, tmp_path, monkeypatch
):
    """Though the whole space has designs that do."""
    largest = [[len(p.choices) - 1] for p in space.network_space.parameters]
    monkeypatch.setattr(Supernet, "choices", property(lambda self: largest))
    smallest = np.zeros((1, len(space.parameters)), np.int64)
    kib = shrunk.co_oracle.prices(smallest)["model_kib"].item()
    made = tuner(
        space,
        tmp_path,
        supernet=supernet_of(shrunk),
        budgets=cs.Budgets(model_kib=1.1 * kib),
    )
    with pytest.raises(ValueError, match=r"shrunk to 1/8.*smallest model_kib"):
        made.search(**data)
    assert not made.co_oracle.trials


def test_a_supernet_of_other_data_is_refused(
    space, data, tmp_path, finished, no_weights
):
    made = tuner(space, tmp_path, supernet=supernet_of(finished))
    x = data["x"].copy()
    x[0] = 1 - x[0]
    with pytest.raises(ValueError, match=r"training_sample=.*Use the same"):
        made.search(**{**data, "x": x})
    assert not made.co_oracle.trials


def test_nothing_is_trained_for_budgets_that_no_design_meets(
    space, data, tmp_path, no_weights
):
    made = tuner(space, tmp_path, budgets=cs.Budgets(latency_ms=1e-9))
    with pytest.raises(ValueError, match="latency"):
        made.search(**data)
    assert not supernet_of(made).exists()


def test_budgets_that_do_not_count_in_the_ranking_are_told_before_the_work(
    space, data, tmp_path, monkeypatch, capsys
):
    class BeganError(Exception):
        pass

    def train(*_, **__):
        raise BeganError

    monkeypatch.setattr("tf_cosearch.supernet.supernet.Supernet.train", train)
    said = []
    for name, limits in {
        "guarded": {"accuracy_drop": 1, "file_kib": 9},
        "free": {"latency_ms": 1},
    }.items():
        budgets = cs.Budgets(**limits)
        made = tuner(space, tmp_path / name, budgets=budgets)
        with pytest.raises(BeganError):
            made.search(**{**data, "verbose": 1})
        said.append(capsys.readouterr().out)
    told = "ranks designs whatever their accuracy_drop and file_kib"
    assert told in said[0]
    assert "ranks designs whatever" not in said[1]


def test_too_few_images_are_refused_before_anything_is_trained(
    space, data, tmp_path, no_weights
):
    made = tuner(space, tmp_path)
    few_images = {"x": data["x"][:20], "y": data["y"][:20]}
    with pytest.raises(ValueError, match="Received: 20 training images"):
        made.search(**{**data, **few_images})
    assert not supernet_of(made).exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"accuracy": "guessed"}, "accuracy"),
        ({"accuracy": "trained", "supernet_trials": None}, "`supernet`"),
        (
            {"accuracy": "trained", "supernet": None},
            "`supernet_trials` must be given with",
        ),
        ({"supernet_trials": 0}, "supernet_trials` must be"),
        ({"supernet_trials": 3, "max_trials": 4}, "Received: 3, and 4"),
        ({"objective": "file_kib"}, "objective"),
        ({"objective": "val_loudness_int8"}, "objective"),
        ({"accuracy": "both"}, "Received: RandomSearch"),
        (
            {
                "oracle_options": {
                    "searched": "accelerator",
                    "fixed": {"stage1/filters": 8},
                }
            },
            "networks must be searched",
        ),
    ],
)
def test_what_cannot_be_is_refused(
    space, tmp_path, arguments, message, no_weights
):
    with pytest.raises(ValueError, match=message):
        tuner(space, tmp_path, **arguments)
    assert not any(tmp_path.iterdir())


def test_a_supernet_is_options_or_a_folder(space, tmp_path):
    with pytest.raises(TypeError, match="Received: 7"):
        tuner(space, tmp_path, supernet=7)
    with pytest.raises(ValueError, match="must not be in the folder"):
        tuner(
            space,
            tmp_path,
            supernet=tmp_path / "project" / "supernet",
            overwrite=True,
        )


def test_other_options_are_refused_before_anything_is_done(
    space, data, tmp_path, finished, no_weights
):
    shutil.copytree(finished.project_dir, tmp_path / "project")
    before = rows(finished)
    options = dataclasses.replace(OPTIONS, epochs=2)
    made = tuner(space, tmp_path, supernet=options, max_trials=3)
    with pytest.raises(ValueError, match=r"options\.epochs=1, not 2"):
        made.search(**data)
    assert rows(made) == before


def test_layers_that_cannot_be_shared_are_named_before_trainings(
    space, data, tmp_path, monkeypatch
):
    def refuse(*_):
        raise ValueError("must be of Conv2D")

    monkeypatch.setattr("tf_cosearch.supernet.weights.survey", refuse)
    made = tuner(space, tmp_path)
    with pytest.raises(ValueError, match="must be of Conv2D"):
        made.search(**data)
    assert not any(tmp_path.glob("project/trial_*"))
    assert not supernet_of(made).exists()


def test_the_folder_of_a_supernet_must_be_one(space, data, tmp_path):
    made = tuner(space, tmp_path, supernet=tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="none"):
        made.search(**data)


def test_a_supernets_accuracy_is_no_objective(space, tmp_path):
    with pytest.raises(ValueError, match="objective"):
        small_tuner(space, tmp_path, objective=ACCURACY)


def test_own_models_share_no_weights(tmp_path, no_weights):
    def build(hp):
        import keras

        return keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                keras.layers.Flatten(),
                keras.layers.Dense(hp.Int("units", 4, 8, step=4)),
            ]
        )

    with pytest.raises(ValueError, match="accuracy='trained'"):
        cs.CoSearchTuner(
            hypermodel=build,
            directory=tmp_path,
            project_name="own",
            accuracy="supernet",
        )
    assert not any(tmp_path.iterdir())


def test_an_oracle_is_used_on_both(space, data, tmp_path):
    """One that was made is as good as its name."""
    oracle = cs.CoSearchOracle(
        space, "random", BUDGETS, max_trials=2, seed=0, proposals=64
    )
    made = cs.CoSearchTuner(
        space,
        oracle,
        directory=tmp_path,
        project_name="project",
        accuracy="supernet",
        supernet=OPTIONS,
        supernet_trials=DESIGNS,
    )
    made.search(**data)
    (known,) = evaluated(made)
    assert len(known) == DESIGNS
    first = made.co_oracle.trials["0"].hyperparameters.values
    assert known[tuple(first.items())] == max(known.values())
    assert np.isfinite([float(row[ACCURACY]) for row in rows(made)]).all()


def test_trainings_are_proposed_with_its_advice(space, data, tmp_path):
    def search(folder):
        made = tuner(
            space,
            folder,
            accuracy="both",
            oracle="grey_box",
            max_trials=5,
            oracle_options={
                "networks": 12,
                "accelerators": 8,
                "limits": 16,
                "warm_up": 3,
                "proposals": 64,
            },
        )
        made.search(**data)
        return made

    made = search(tmp_path)
    (known,) = evaluated(made)  # whose search another algorithm makes
    assert len(known) == DESIGNS
    trials = list(made.co_oracle.trials.values())
    first = trials[0].hyperparameters.values
    assert known[tuple(first.items())] == max(known.values())
    estimates = made.co_oracle.algorithm.problem.estimates
    assert {
        tuple(space.values(genome).items()): accuracy
        for genome, accuracy in zip(
            estimates.genomes, estimates.accuracies, strict=True
        )
    } == known
    # Also of a design that was not among those the search evaluated.
    assert all(row[ACCURACY] for row in rows(made))
    designs = [trial.hyperparameters.values for trial in trials]
    for folder in pathlib.Path(made.project_dir).glob("trial_[34]"):
        shutil.rmtree(folder)
    again = search(tmp_path)  # what it knows is as it was
    trials = again.co_oracle.trials.values()
    assert [trial.hyperparameters.values for trial in trials] == designs
