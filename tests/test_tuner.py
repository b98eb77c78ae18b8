import csv
import json
import pathlib
import random
import subprocess
import sys
import textwrap

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf
from light_searches import BUDGETS, few, pretend, small_tuner

import tf_cosearch as cs
from tf_cosearch import metrics
from tf_cosearch.designs import export, report
from tf_cosearch.designs.page import writing as page
from tf_cosearch.search.early_stopping import MedianStopping
from tf_cosearch.training import datasets, fit

NETWORK = {"stage1/filters": 8}
OUTSIDE = {"searched": "network", "fixed": {"pe_array/rows": 3}}


@pytest.fixture(scope="module")
def data():
    return datasets.load("digits")


@pytest.fixture(scope="module")
def finished(space, data, tmp_path_factory):
    """A finished search of two trials."""
    tuner = small_tuner(space, tmp_path_factory.mktemp("runs"))
    tuner.search(**few(data, 600), epochs=3)
    return tuner


@pytest.fixture(scope="module")
def exported(finished, data):
    folder = pathlib.Path(finished.project_dir) / "design"
    design = finished.best_designs(1)[0]
    return folder, design.export(folder, test_data=data.test)


def test_the_folder_of_a_trial_is_that_of_a_design(finished):
    for trial in finished.oracle.trials.values():
        folder = pathlib.Path(finished.get_trial_dir(trial.trial_id))
        read, design = cs.load_design(folder), finished.design(trial)
        assert read.network == design.network
        assert read.accelerator == design.accelerator
        preset = cs.load_accelerator(folder / "accelerator.yaml")
        assert preset == design.accelerator
        assert read.metrics["accuracy_int8"] == design.metrics["accuracy_int8"]
        assert {"model.tflite", "float.weights.h5"} <= {
            path.name for path in folder.iterdir()
        }


def test_a_search_goes_on_without_what_cannot_be_told(
    space, data, tmp_path, monkeypatch, caplog
):
    """Neither a design that is not described nor a page costs a trial."""

    def fails(*args, **kwargs):
        raise RuntimeError("no words\nfor it")

    monkeypatch.setattr(fit, "train", pretend)
    monkeypatch.setattr(export.Design, "describe", fails)
    monkeypatch.setattr(page, "write", fails)
    tuner = small_tuner(space, tmp_path)
    tuner.search(**few(data))
    assert [t.status for t in tuner.oracle.trials.values()] == 2 * ["COMPLETED"]
    told = [record.getMessage() for record in caplog.records]
    assert sum("report.html was not written" in line for line in told) == 1
    assert sum("was not written: no words for it" in line for line in told) == 3


def test_trials_csv_keeps_its_contract(finished):
    path = pathlib.Path(finished.project_dir) / "trials.csv"
    with path.open() as file:
        rows = list(csv.DictReader(file))
    names = [p.name for p in finished.space.parameters]
    columns = report.trial_columns()
    assert list(rows[0]) == [*columns, *names]
    others = {*metrics.names()} - {*metrics.accuracies(), *metrics.compared()}
    assert [name for name in columns if name not in others] == [
        "trial_id",
        "status",
        "feasible",
        "reward",
        "accuracy_int8",
        "accuracy_qat",
        "accuracy_float",
        "accuracy_supernet",
        "accuracy_table",
        "latency_ms",
        "energy_mj",
        "area_mm2",
        *(f"seconds_{phase}" for phase in report.PHASES),
        "seconds",
        "stopped_epoch",
    ]
    assert len(rows) == 2
    for row in rows:
        assert (row["status"], row["feasible"]) == ("COMPLETED", "True")
        assert 0 <= float(row["accuracy_int8"]) <= 1
        assert row["accuracy_supernet"] == ""  # there was none
        # The hard form within budgets is the accuracy itself.
        assert row["reward"] == row["accuracy_int8"]
        assert all(np.isfinite(float(row[name])) for name in others)
        for name, limit in BUDGETS.limits().items():
            assert 0 < float(row[name]) <= limit
        assert float(row["seconds"]) > 0


def test_costs_of_a_trial_are_those_of_estimate(finished):
    for trial in finished.oracle.trials.values():
        design = finished.design(trial)
        cost = cs.estimate(
            cs.pad([design.network.layers()]), design.accelerator
        )
        for name in ("latency_ms", "energy_mj", "area_mm2"):
            assert design.metrics[name] == pytest.approx(
                float(getattr(cost, name)[0]), rel=1e-6
            )


def test_seconds_of_a_trial_add_up(finished):
    with finished.write_trials().open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        parts = [float(row[f"seconds_{phase}"]) for phase in report.PHASES]
        assert float(row["seconds"]) == pytest.approx(sum(parts))


def test_summary_shows_front_and_folder(finished, capsys):
    finished.results_summary()
    printed = capsys.readouterr().out
    assert "Pareto front" in printed
    assert "project" in printed
    assert "by phase: proposal" in printed.replace("\n", " ")


def test_design_json_keeps_its_contract(exported, finished):
    folder, description = exported
    written = json.loads((folder / "design.json").read_text())
    assert written == json.loads(json.dumps(description))
    assert written["costs"].keys() == written["units"].keys()
    assert (
        written["units"].items()
        > {
            "latency_ms": "ms",
            "energy_mj": "mJ",
            "area_mm2": "mm2",
            "file_kib": "KiB",
        }.items()
    )
    size = (folder / "model.tflite").stat().st_size
    assert written["costs"]["file_kib"] == size / 1024
    assert written["accuracies"].keys() == {
        "accuracy_int8",
        "accuracy_qat",
        "accuracy_float",
        "accuracy_int8_test",
    }
    best = finished.oracle.get_best_trials(1)[0]
    assert written["hyperparameters"] == best.hyperparameters.values
    assert written["seed"] == 0
    assert written["versions"]["tensorflow"] == tf.__version__
    assert written["params"] == written_params(folder)


def written_params(folder):
    rows = cs.from_tflite(folder / "model.tflite")
    return sum(row.params for row in rows)


def test_exported_accelerator_loads_as_a_preset(exported, finished):
    folder, _ = exported
    chip = cs.load_accelerator(folder / "accelerator.yaml")
    assert chip == finished.best_designs(1)[0].accelerator


def test_exported_file_is_all_int8(exported):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(exported[0] / "model.tflite"))
    kinds = {t["dtype"] for t in interpreter.get_tensor_details()}
    assert np.float32 not in kinds
    ends = interpreter.get_input_details() + interpreter.get_output_details()
    assert {t["dtype"] for t in ends} == {np.int8}


def test_accuracy_can_be_redone_without_tensorflow(exported, data, tmp_path):
    folder, description = exported
    np.savez(
        tmp_path / "data.npz",
        x=data.validation[0][:60],
        y=data.validation[1][:60],
    )
    script = textwrap.dedent("""
        import sys
        import numpy as np
        sys.modules["tensorflow"] = None
        from ai_edge_litert.interpreter import Interpreter
        data = np.load(sys.argv[2])
        model = Interpreter(sys.argv[1])
        model.allocate_tensors()
        image = model.get_input_details()[0]
        logits = model.get_output_details()[0]
        scale, zero = image["quantization"]
        right = 0
        for x, y in zip(data["x"], data["y"]):
            q = np.clip(np.round(x / scale) + zero, -128, 127).astype(np.int8)
            model.set_tensor(image["index"], q[None])
            model.invoke()
            right += model.get_tensor(logits["index"]).argmax() == y
        print(right / len(data["y"]))
    """)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            script,
            str(folder / "model.tflite"),
            str(tmp_path / "data.npz"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(done.stdout) == description["accuracies"]["accuracy_int8"]


def test_a_loaded_design_is_the_exported_one(exported, finished):
    design = cs.load_design(exported[0])
    best = finished.best_designs(1)[0]
    assert design.network == best.network
    assert design.accelerator == best.accelerator
    assert dict(design.hyperparameters) == dict(best.hyperparameters)


def test_best_model_gives_the_recorded_accuracy(finished, data):
    model = finished.get_best_models(1)[0]
    logits = model.predict(data.validation[0][:60], verbose=0)
    accuracy = np.mean(logits.argmax(-1) == data.validation[1][:60])
    known = finished.best_designs(1)[0].metrics
    assert accuracy == pytest.approx(known["accuracy_qat"], abs=1e-6)
    images, labels = (part[:60] for part in data.validation)
    measured = model.evaluate(images, labels, verbose=0, return_dict=True)
    assert measured["accuracy"] == pytest.approx(accuracy)


def test_a_search_is_continued_and_finished_trials_are_kept(
    finished, space, data, capsys
):
    folder = pathlib.Path(finished.project_dir)
    before = (folder / "trials.csv").read_text().splitlines()
    tuner = small_tuner(space, folder.parent, max_trials=3)
    tuner.search(**{**few(data, 600), "verbose": 1}, epochs=3)
    after = (folder / "trials.csv").read_text().splitlines()
    assert after[:3] == before
    assert len(after) == 4
    assert "Continuing after 2 finished trials" in capsys.readouterr().out
    assert tuner.remaining_trials == 0


@pytest.mark.slow
def test_keras_conveniences_work_together(space, data, tmp_path):
    log = tmp_path / "log.csv"
    tuner = small_tuner(space, tmp_path, max_trials=1, executions_per_trial=2)
    tuner.search(
        data.train[0][:200],
        tf.one_hot(data.train[1][:200], 10).numpy(),
        validation_split=0.25,
        batch_size=64,
        class_weight={label: 1.0 + label for label in range(10)},
        epochs=3,
        callbacks=[
            keras.callbacks.EarlyStopping("val_accuracy", patience=0),
            keras.callbacks.CSVLogger(str(log)),
        ],
        verbose=0,
    )
    assert tuner.best_designs(1)
    assert not log.exists()
    phases = [
        log.parent / "trial_0" / f"execution_{number}" / phase / log.name
        for number in (0, 1)
        for phase in ("float", "qat")
    ]
    assert all("val_loss" in path.read_text() for path in phases)


def test_tf_data_works(space, data, tmp_path):
    train = tf.data.Dataset.from_tensor_slices(
        (data.train[0][:128], data.train[1][:128])
    ).batch(32)
    tuner = small_tuner(space, tmp_path, max_trials=1)
    tuner.search(train, validation_data=train.take(2), epochs=1, verbose=0)
    assert len(tuner.best_designs(5)) == 1


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": np.zeros((10, 8))}, ValueError, "rank|shape"),
        ({"x": np.zeros((160, 9, 9, 1))}, ValueError, "9"),
        ({"x": np.full((160, 8, 8, 1), np.nan)}, ValueError, "NaN|finite"),
        ({"y": np.full(160, 10)}, ValueError, "10"),
        ({"y": np.zeros(3, int)}, ValueError, "3"),
        ({"validation_data": None}, ValueError, "validation"),
        ({"epochs": 0}, ValueError, "epochs"),
        ({"epochs": 10**30}, ValueError, "epochs .* at most"),
        ({"callbacks": [3]}, TypeError, "callback"),
        ({"batch_size": 10**30}, ValueError, "batch_size.* at most"),
        ({"verbose": "x"}, ValueError, "verbose.*'x'.* silent"),
        ({"verbose": 3}, ValueError, "verbose.*3"),
        ({"verbose": None}, ValueError, "verbose.*None"),
        ({"verbose": np.zeros(2)}, ValueError, "verbose"),
        (
            {"x": [np.zeros((8, 8, 1)), np.zeros((7, 8, 1))] * 80},
            ValueError,
            "Images of the training data .*one shape.*np.stack",
        ),
        ({"y": [[1], [1, 2]] * 80}, ValueError, "Labels .*one shape"),
        ({"steps_per_epoch": 3}, TypeError, "steps_per_epoch"),
    ],
)
def test_bad_data_is_refused_before_any_trial(
    space, data, tmp_path, change, error, message
):
    tuner = small_tuner(space, tmp_path)
    with pytest.raises(error, match=message):
        tuner.search(**{**few(data), "epochs": 1, **change})
    assert not list(tmp_path.glob("project/trial_*"))


def test_only_a_finished_trial_of_the_search_has_a_design(
    finished, space, data, tmp_path
):
    for wrong in (None, "0", 0):
        with pytest.raises(TypeError, match=r"Received: .*get_best_trials"):
            finished.design(wrong)
    trial = next(iter(finished.oracle.trials.values()))
    other = small_tuner(space, tmp_path)
    with pytest.raises(ValueError, match="trial 0, which is of another"):
        other.design(trial)
    begun = other.oracle.create_trial("tuner0")
    with pytest.raises(ValueError, match="trial 0, which is RUNNING"):
        other.design(begun)


def test_a_design_is_exported_to_a_folder_that_is_named(
    finished, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    design = finished.best_designs(1)[0]
    with pytest.raises(ValueError, match=r"`folder` must be a path.*Use '\.'"):
        design.export("")
    with pytest.raises(TypeError, match=r"`folder` must be a path.*None"):
        design.export(None)
    assert not list(tmp_path.iterdir())


def test_budgets_nothing_meets_are_refused_before_any_trial(
    space, data, tmp_path
):
    tuner = small_tuner(space, tmp_path, budgets=cs.Budgets(area_mm2=0.5))
    with pytest.raises(ValueError, match="smallest area_mm2 seen is") as info:
        tuner.search(**few(data), epochs=1)
    assert "Raise area_mm2" in str(info.value)
    assert not list(tmp_path.glob("project/trial_*"))


def test_another_space_is_refused(finished):
    other = cs.SearchSpace.load("digits")
    folder = pathlib.Path(finished.project_dir)
    with pytest.raises(
        ValueError, match=r"with the space, .*space\.parameters"
    ):
        small_tuner(other, folder.parent)


def test_oracles_must_be_known_and_over_the_space(space, tmp_path):
    with pytest.raises(ValueError, match="Did you mean 'random'"):
        small_tuner(space, tmp_path, oracle="randm")
    other = cs.CoSearchOracle(cs.SearchSpace.load("digits"), "random")
    with pytest.raises(ValueError, match="over `space`"):
        small_tuner(space, tmp_path, oracle=other)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("budgets", BUDGETS),
        ("max_trials", 20),
        ("reward", "hard"),
        ("seed", 0),
        ("oracle_options", {"proposals": 64}),
        ("start_from", ["mobilenet_v2"]),
        ("warm_start", "runs/earlier"),
    ],
)
def test_an_oracle_has_its_arguments_itself(space, tmp_path, name, value):
    oracle = cs.CoSearchOracle(space, "random", BUDGETS, max_trials=3)
    with pytest.raises(ValueError, match=f"{name} must be given to the oracle"):
        cs.CoSearchTuner(space, oracle, directory=tmp_path, **{name: value})
    assert not any(tmp_path.iterdir())
    tuner = cs.CoSearchTuner(space, oracle, directory=tmp_path)
    assert tuner.co_oracle.own_trials == 3
    assert tuner.co_oracle.budgets == BUDGETS


def test_an_oracle_with_trials_is_not_that_of_another_search(
    space, data, tmp_path, monkeypatch
):
    monkeypatch.setattr(fit, "train", pretend)
    oracle = cs.CoSearchOracle(space, "random", BUDGETS, max_trials=1, seed=0)
    here = {"directory": tmp_path, "project_name": "here"}
    cs.CoSearchTuner(space, oracle, **here).search(**few(data))
    for changed in ({"project_name": "there"}, {"overwrite": True}):
        with pytest.raises(ValueError, match="must be that of one search"):
            cs.CoSearchTuner(space, oracle, **{**here, **changed})
    assert [path.name for path in tmp_path.iterdir()] == ["here"]
    assert len(cs.CoSearchTuner(space, oracle, **here).best_designs()) == 1


def test_arguments_that_are_not_given_have_the_defaults_told(space, tmp_path):
    oracle = cs.CoSearchTuner(space, directory=tmp_path).co_oracle
    assert type(oracle.algorithm) is cs.algorithms.get("grey_box")
    assert oracle.max_trials == 20
    assert oracle.reward.form == "hard"


def beside():
    others = keras_tuner.HyperParameters()
    others.Float("learning_rate", 1e-4, 1e-1)
    return others


def test_nothing_beside_the_space_is_drawn_and_not_used(
    space, data, tmp_path, monkeypatch
):
    monkeypatch.setattr(fit, "train", pretend)
    refused = pytest.raises(ValueError, match=r"alone.*Received: learning_rate")
    kwargs = {"directory": tmp_path, "project_name": "run"}

    def oracle(**options):
        defaults = {"max_trials": 1, "seed": 0, "proposals": 64}
        return cs.CoSearchOracle(space, "random", **{**defaults, **options})

    with refused:
        cs.CoSearchTuner(space, oracle(hyperparameters=beside()), **kwargs)
    assert not any(tmp_path.iterdir())
    tuner = cs.CoSearchTuner(space, oracle(), **kwargs)
    with pytest.raises(RuntimeError, match="learning_rate"):
        tuner.oracle.update_space(beside())
    tuner.oracle.hyperparameters.Float("learning_rate", 1e-4, 1e-1)
    with refused:
        tuner.search(**few(data), epochs=1)
    assert not tuner.oracle.trials

    # Of a search by a tuner of one's own, whose training did use it.
    own = keras_tuner.engine.base_tuner.BaseTuner(
        oracle(hyperparameters=beside()), **kwargs
    )
    own.run_trial = lambda trial: {"accuracy_int8": 0.5}
    own.oracle.verbose = 0
    own.search()
    with refused:
        cs.CoSearchTuner(space, oracle(), **kwargs).search(
            **few(data), epochs=1
        )
    with refused:
        cs.CoSearchTuner(
            space,
            oracle(warm_start=tmp_path / "run"),
            directory=tmp_path,
            project_name="new",
        )


def test_a_subclass_must_not_ask_for_more_than_the_space(
    space, data, tmp_path, monkeypatch
):
    monkeypatch.setattr(fit, "train", pretend)

    class Curious(cs.CoSearchTuner):
        def run_trial(self, trial, **kwargs):
            trial.hyperparameters.Float("learning_rate", 1e-4, 1e-1)
            return super().run_trial(trial, **kwargs)

    tuner = Curious(space, "random", directory=tmp_path)
    with pytest.raises(RuntimeError, match=r"new entries.*learning_rate"):
        tuner.search(**few(data), epochs=1)


def test_our_hypermodel_uses_the_space_and_what_a_subclass_adds(
    space, tmp_path
):
    class Own(cs.CoSearchHyperModel):
        def build(self, hp):
            model = super().build(hp)
            model.optimizer.learning_rate = hp["learning_rate"]
            return model

    def tuner(hypermodel):
        return keras_tuner.RandomSearch(
            hypermodel,
            hyperparameters=beside(),
            objective="val_accuracy",
            directory=tmp_path,
        )

    with pytest.raises(ValueError, match="Received: learning_rate"):
        tuner(cs.CoSearchHyperModel(space))
    names = {p.name for p in space.parameters} | {"learning_rate"}
    found = tuner(Own(space)).oracle.get_space().values
    assert found.keys() == names


def test_our_hypermodel_serves_kerastuners_own_oracles(space, data, tmp_path):
    tuner = keras_tuner.tuners.RandomSearch(
        cs.CoSearchHyperModel(space),
        objective="val_accuracy",
        max_trials=1,
        directory=tmp_path,
        project_name="theirs",
    )
    names = {p.name for p in space.parameters}
    assert names == {hp.name for hp in tuner.oracle.get_space().space}
    model = tuner.hypermodel.build(tuner.oracle.get_space())
    images, labels = data.train[0][:64], data.train[1][:64]
    history = model.fit(images, labels, verbose=0)
    assert "accuracy" in history.history


@pytest.mark.parametrize(
    ("given", "task", "kept"),
    [
        (None, "classification", ["accuracy"]),
        (["mae"], "regression", ["mae"]),
        (None, "regression", []),
        ([], "classification", []),
    ],
)
def test_our_hypermodel_keeps_metrics_of_any_task(space, given, task, kept):
    hypermodel = cs.CoSearchHyperModel(
        space.with_task(task), metrics=given, optimizer="sgd"
    )
    model = hypermodel.build(space.hyperparameters())
    told = model.get_compile_config()["metrics"] or []
    assert told == kept


def test_our_oracle_serves_a_plain_tuner(space, data, tmp_path):
    class Plain(keras_tuner.Tuner):
        def run_trial(self, trial, x, y, verbose):
            model = self.hypermodel.build(trial.hyperparameters)
            fitted = model.fit(x, y, validation_data=(x, y), verbose=verbose)
            return {"val_accuracy": fitted.history["val_accuracy"][-1]}

    oracle = cs.CoSearchOracle(
        space,
        "regularized_evolution",
        BUDGETS,
        objective="val_accuracy",
        max_trials=2,
        proposals=64,
    )
    tuner = Plain(oracle, cs.CoSearchHyperModel(space), directory=tmp_path)
    tuner.search(data.train[0][:64], data.train[1][:64], verbose=0)
    first, second = oracle.history.finished()
    assert (first.genome != second.genome).any()
    for design in (first, second):
        costs = {k: np.asarray([v]) for k, v in design.metrics.items()}
        assert BUDGETS.is_feasible(costs).all()
    best = oracle.get_best_trials(1)[0]
    assert best.score == pytest.approx(
        best.metrics.get_best_value("val_accuracy")
    )


def test_names_of_spaces_may_have_any_characters(space, data, tmp_path):
    path = tmp_path / "größe (v2).yaml"
    path.write_text(
        "input_shape: [8, 8, 1]\nclasses: 10\nstem: {filters: 8}\n"
        "stages: [{block: conv_bn, filters: [8, 16]}]\n"
    )
    tuner = small_tuner(cs.SearchSpace.load(path), tmp_path, max_trials=1)
    tuner.search(**few(data), epochs=1)
    assert len(tuner.best_designs()) == 1


def test_hardware_alone_can_be_searched(data, tmp_path, num_chips):
    path = tmp_path / "fixed.yaml"
    path.write_text(
        "input_shape: [8, 8, 1]\nclasses: 10\nstem: {filters: 8}\n"
        "stages: [{block: conv_bn, filters: 8}]\n"
    )
    space = cs.SearchSpace.load(path)
    assert (space.num_networks, space.num_accelerators) == (1, num_chips)
    tuner = small_tuner(space, tmp_path, max_trials=1)
    tuner.search(**few(data), epochs=1)
    assert len(tuner.best_designs()) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"executions_per_trial": 0}, "executions_per_trial"),
        ({"seed": -1}, "seed"),
        ({"max_trials": 0}, "max_trials"),
        ({"oracle_options": {"populaton_size": 4}}, "populaton_size"),
        ({"oracle_options": {"seed": 4}}, "argument of its own"),
        ({"oracle_options": {"tune_new_entries": True}}, "Tuner of your own"),
        ({"oracle_options": {"hyperparameters": 4}}, "Tuner of your own"),
        ({"oracle_options": {"objective": "val_loss"}}, "maximise"),
        ({"oracle_options": {"objective": "val_accuracy"}}, "accuracy_int8"),
        ({"oracle_options": {"initial_designs": 4}}, "of the types it"),
        ({"oracle_options": {"estimate": 4}}, "must be a function"),
        ({"oracle_options": OUTSIDE}, "choices of the space. Received: 3"),
        ({"reward": "absolute", "budgets": None}, "must have a target"),
        ({"reward": 5}, "must be a name or a Reward"),
        ({"reward": cs.WeightedProduct}, "must be a name or a Reward"),
        ({"reward": lambda accuracy, costs: 1}, "a name or a Reward"),
        ({"budgets": {"latency_ms": 1}}, "`budgets` must be a Budgets"),
        ({"budgets": 0}, "`budgets` must be a Budgets"),
        ({"start_from": 5}, "names or files of networks"),
        ({"early_stopping": MedianStopping}, "a name, a rule or None"),
        ({"lease_seconds": 0}, "`lease_seconds` must be positive"),
        ({"lease_seconds": "long"}, "`lease_seconds` must be a number"),
        ({"overwrite": "no"}, "`overwrite` must be True or False"),
        (
            {"oracle_options": {"searched": "network", "fixed": NETWORK}},
            "not choose. Received: stage1/filters",
        ),
        ({"warm_start": "nowhere"}, "nowhere"),
        ({"warm_start": 0}, "`warm_start` must be a path. Received: 0"),
        ({"project_name": 0}, "`project_name` must be a path. Received: 0"),
        ({"project_name": ["a"]}, "`project_name` must be a path"),
        ({"oracle_options": 0}, "`oracle_options` must map names to values"),
        ({"oracle_options": [("proposals", 9)]}, "`oracle_options` must map"),
        ({"start_from": ["vgg16"]}, "Published networks in"),
    ],
)
def test_bad_arguments_are_refused_at_once(space, tmp_path, change, message):
    wrong = (ValueError, TypeError, FileNotFoundError)
    with pytest.raises(wrong, match=message):
        small_tuner(space, tmp_path, **change)
    assert not any(tmp_path.iterdir())


def test_one_device_trains_a_trial(space, data, tmp_path):
    """A strategy for several is refused by name, before there is a folder."""
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    message = "distribution_strategy. Received: MirroredStrategy. Leave it out"
    with pytest.raises(ValueError, match=message):
        small_tuner(space, tmp_path, distribution_strategy=strategy)
    assert not [*tmp_path.iterdir()]
    tuner = small_tuner(space, tmp_path)
    with pytest.raises(ValueError, match=message), strategy.scope():
        tuner.search(**few(data))
    assert not [*tmp_path.glob("*/trial_*")]


def test_a_folder_must_be_writable(space, tmp_path, monkeypatch):
    """Said before a search, of one that is there as of one that is not."""
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(ValueError, match="made and written to"):
        small_tuner(space, tmp_path)


def test_a_space_and_a_folder_are_no_other_things(space, tmp_path):
    with pytest.raises(TypeError, match="`space` must be a SearchS"):
        small_tuner("digits", tmp_path)
    for folder in (0, False, b"runs"):
        with pytest.raises(TypeError, match="`directory` must be a path"):
            small_tuner(space, folder)


def test_early_stopping_must_be_known(space, tmp_path):
    with pytest.raises(ValueError, match="Did you mean 'halving'"):
        small_tuner(space, tmp_path, early_stopping="halvin")
    assert not list(tmp_path.iterdir())


def test_a_seed_that_is_drawn_is_not_drawn_from_the_users(space, tmp_path):
    before = random.getstate()
    seeds = {
        small_tuner(space, tmp_path / str(n), seed=None).oracle.seed
        for n in range(2)
    }
    assert random.getstate() == before
    assert len(seeds) == 2


def test_a_folder_that_cannot_be_made_is_refused(space, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"can be made.*file/project \(Not a"):
        small_tuner(space, tmp_path / "file")


def test_a_metric_of_trial_and_accelerator_is_reported(
    space, data, tmp_path, monkeypatch
):
    monkeypatch.setattr(fit, "train", pretend)
    monkeypatch.setattr(metrics, "_METRICS", dict(metrics._METRICS))

    @metrics.metric(unit="", direction="max")
    def a_row(trial, accelerator):
        return trial["accuracy_int8"] / accelerator.pe_array.rows

    tuner = small_tuner(space, tmp_path, max_trials=1)
    tuner.search(**few(data))
    [design] = tuner.best_designs()
    rows = design.accelerator.pe_array.rows
    assert design.metrics["a_row"] == pytest.approx(0.5 / rows)
