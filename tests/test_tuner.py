import csv
import dataclasses
import json
import pathlib
import subprocess
import sys
import textwrap

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf

import tf_cosearch as cs
from tf_cosearch.designs import report
from tf_cosearch.search import early_stopping
from tf_cosearch.training import checkpoint, datasets, fit

BUDGETS = cs.Budgets(latency_ms=0.001, area_mm2=12.0)
OUTSIDE = {"searched": "network", "fixed": {"pe_array/rows": 3}}


@pytest.fixture(scope="module")
def data():
    return datasets.load("digits")


@pytest.fixture(scope="module")
def space(space_file):
    return cs.SearchSpace.load(space_file)


def small_tuner(space, folder, **kwargs):
    kwargs = {
        "oracle": "random",
        "budgets": BUDGETS,
        "max_trials": 2,
        "seed": 0,
        "oracle_options": {"proposals": 64},
        "project_name": "project",
        **kwargs,
    }
    return cs.CoSearchTuner(space, directory=folder, **kwargs)


def few(data, count=160):
    return {
        "x": data.train[0][:count],
        "y": data.train[1][:count],
        "validation_data": (data.validation[0][:60], data.validation[1][:60]),
        "verbose": 0,
    }


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


def test_trials_csv_keeps_its_contract(finished):
    path = pathlib.Path(finished.project_dir) / "trials.csv"
    with path.open() as file:
        rows = list(csv.DictReader(file))
    names = [p.name for p in finished.space.parameters]
    assert list(rows[0]) == [*report.TRIAL_COLUMNS, *names]
    assert list(report.TRIAL_COLUMNS) == [
        "trial_id",
        "status",
        "feasible",
        "reward",
        "accuracy_int8",
        "accuracy_qat",
        "accuracy_float",
        "latency_ms",
        "energy_mj",
        "area_mm2",
        "seconds",
        "stopped_epoch",
    ]
    assert len(rows) == 2
    for row in rows:
        assert (row["status"], row["feasible"]) == ("COMPLETED", "True")
        assert 0 <= float(row["accuracy_int8"]) <= 1
        # The hard form within budgets is the accuracy itself.
        assert row["reward"] == row["accuracy_int8"]
        assert 0 < float(row["latency_ms"]) <= BUDGETS.latency_ms
        assert 0 < float(row["area_mm2"]) <= BUDGETS.area_mm2
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
    for result in finished.oracle.finished():
        known = result.metrics
        parts = sum(known[f"seconds_{phase}"] for phase in report.PHASES)
        assert known["seconds"] == pytest.approx(parts)


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
    assert written["units"] == {
        "latency_ms": "ms",
        "energy_mj": "mJ",
        "area_mm2": "mm2",
    }
    assert written["costs"].keys() == written["units"].keys()
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
    assert "val_loss" in log.read_text()


def test_tf_data_works(space, data, tmp_path):
    train = tf.data.Dataset.from_tensor_slices(
        (data.train[0][:128], data.train[1][:128])
    ).batch(32)
    tuner = small_tuner(space, tmp_path, max_trials=1)
    tuner.search(train, validation_data=train.take(2), epochs=1, verbose=0)
    assert len(tuner.best_designs(5)) == 1


def test_a_failed_trial_is_recorded_and_the_search_goes_on(
    space, data, tmp_path, monkeypatch, capsys
):
    real, calls = fit.train, []

    def fails_once(*args, **kwargs):
        calls.append(1)
        if len(calls) == 1:
            raise FloatingPointError("Training diverged: the loss is NaN.")
        return real(*args, **kwargs)

    monkeypatch.setattr(fit, "train", fails_once)
    tuner = small_tuner(space, tmp_path)
    tuner.search(**{**few(data), "verbose": 1}, epochs=1)
    statuses = [t.status for t in tuner.oracle.trials.values()]
    assert statuses == ["FAILED", "COMPLETED"]
    assert "the loss is NaN" in capsys.readouterr().out
    rows = (tmp_path / "project" / "trials.csv").read_text().splitlines()
    assert rows[1].startswith("0,FAILED,True,,,,,")
    kept = json.loads((tmp_path / "project/trial_0/trial.json").read_text())
    assert "the loss is NaN" in kept["message"]
    assert len(tuner.best_designs(5)) == 1


def test_a_search_stops_when_all_trials_fail_alike(
    space, data, tmp_path, monkeypatch
):
    def fails(*args, **kwargs):
        raise MemoryError("out of memory")

    monkeypatch.setattr(fit, "train", fails)
    tuner = small_tuner(space, tmp_path, max_trials=9)
    with pytest.raises(
        RuntimeError, match=r"3 failures in a row .*out of memory"
    ):
        tuner.search(**few(data), epochs=1)
    assert len(tuner.oracle.trials) == 3
    assert tuner.best_designs() == []


def test_ctrl_c_loses_only_the_running_trial(
    space, data, tmp_path, monkeypatch
):
    real, calls = fit.train, []

    def interrupted(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(fit, "train", interrupted)
    tuner = small_tuner(space, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        tuner.search(**few(data), epochs=1)
    again = small_tuner(space, tmp_path)
    again.search(**few(data), epochs=1)
    assert len(calls) == 3
    statuses = [t.status for t in again.oracle.trials.values()]
    assert statuses == ["COMPLETED", "COMPLETED"]


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
        ({"callbacks": [3]}, TypeError, "callback"),
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
    with pytest.raises(ValueError, match="space it was begun with"):
        small_tuner(other, folder.parent)


def test_oracles_must_be_known_and_over_the_space(space, tmp_path):
    with pytest.raises(ValueError, match="Did you mean 'random'"):
        small_tuner(space, tmp_path, oracle="randm")
    other = cs.oracles.get("random")(cs.SearchSpace.load("digits"))
    with pytest.raises(ValueError, match="over `space`"):
        small_tuner(space, tmp_path, oracle=other)


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


def test_our_oracle_serves_a_plain_tuner(space, data, tmp_path):
    class Plain(keras_tuner.Tuner):
        def run_trial(self, trial, x, y, verbose):
            model = self.hypermodel.build(trial.hyperparameters)
            fitted = model.fit(x, y, validation_data=(x, y), verbose=verbose)
            return {"val_accuracy": fitted.history["val_accuracy"][-1]}

    oracle = cs.oracles.get("regularized_evolution")(
        space, BUDGETS, objective="val_accuracy", max_trials=2, proposals=64
    )
    tuner = Plain(oracle, cs.CoSearchHyperModel(space), directory=tmp_path)
    tuner.search(data.train[0][:64], data.train[1][:64], verbose=0)
    first, second = oracle.finished()
    assert (first.genome != second.genome).any()
    for design in (first, second):
        costs = {k: np.asarray([v]) for k, v in design.metrics.items()}
        assert BUDGETS.is_feasible(costs).all()
    best = oracle.get_best_trials(1)[0]
    assert best.score == pytest.approx(
        best.metrics.get_best_value("val_accuracy")
    )


@pytest.mark.slow
def test_executions_are_averaged_and_the_exported_file_is_one_of_them(
    space, data, tmp_path
):
    from tf_cosearch.training import evaluate, inputs

    tuner = small_tuner(space, tmp_path, max_trials=1, executions_per_trial=3)
    given = few(data)
    tuner.search(**given, epochs=1)
    design = tuner.best_designs(1)[0]
    design.export(tmp_path / "design")
    written = json.loads((tmp_path / "design/design.json").read_text())
    batches = inputs.batches(*given["validation_data"]).as_numpy_iterator()
    accuracy = evaluate.accuracy(tmp_path / "design/model.tflite", batches)
    assert written["accuracies"]["accuracy_int8"] == accuracy
    mean = tuner.oracle.trials["0"].metrics.get_best_value("accuracy_int8")
    assert mean <= accuracy
    assert tuner.oracle.trials["0"].score == pytest.approx(mean)


def test_tighter_budgets_on_resume_are_kept_to(
    space, data, tmp_path, monkeypatch
):
    tuner = small_tuner(space, tmp_path, max_trials=4)
    monkeypatch.setattr(fit, "train", pretend)
    tuner.search(**few(data), epochs=1)
    areas = sorted(
        design.metrics["area_mm2"] for design in tuner.best_designs(4)
    )
    limit = (areas[0] + areas[1]) / 2
    again = small_tuner(
        space, tmp_path, max_trials=4, budgets=cs.Budgets(area_mm2=limit)
    )
    assert [d.metrics["area_mm2"] for d in again.best_designs(1)] == areas[:1]
    assert len(again.best_designs(4)) == 1


def test_of_equal_rewards_the_faster_design_is_chosen(
    space, data, tmp_path, monkeypatch
):
    tuner = small_tuner(space, tmp_path, max_trials=6)
    monkeypatch.setattr(fit, "train", pretend)
    tuner.search(**few(data), epochs=1)
    latencies = [d.metrics["latency_ms"] for d in tuner.best_designs(6)]
    assert len(latencies) == 6
    assert latencies == sorted(latencies)
    assert latencies != sorted(latencies, reverse=True)


def test_an_unfinished_design_over_new_budgets_is_not_trained(
    space, data, tmp_path, monkeypatch
):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(fit, "train", interrupted)
    tuner = small_tuner(space, tmp_path, max_trials=2)
    with pytest.raises(KeyboardInterrupt):
        tuner.search(**few(data), epochs=1)
    (trial,) = tuner.oracle.trials.values()
    area = tuner.oracle.trial_costs(trial)["area_mm2"]
    monkeypatch.setattr(fit, "train", pretend)
    again = small_tuner(
        space, tmp_path, max_trials=2, budgets=cs.Budgets(area_mm2=area * 0.9)
    )
    again.search(**few(data), epochs=1)
    statuses = [t.status for t in again.oracle.trials.values()]
    assert statuses == ["FAILED", "COMPLETED"]
    assert "exceeds the budgets" in again.oracle.trials["0"].message


def test_a_retry_tries_another_seed_and_tells_the_first_line(
    space, data, tmp_path, monkeypatch, capsys
):
    seeds = []

    def fails(*args, seed, **kwargs):
        seeds.append(seed)
        raise RuntimeError("Out of resources\n\t[[{{node x}}]] [Op:y]")

    monkeypatch.setattr(fit, "train", fails)
    tuner = small_tuner(
        space,
        tmp_path,
        max_trials=1,
        oracle_options={"proposals": 64, "max_retries_per_trial": 1},
    )
    tuner.search(**{**few(data), "verbose": 1}, epochs=1)
    assert len(set(seeds)) == 2
    assert "RuntimeError: Out of resources" in capsys.readouterr().out


def pretend(build, data, **kwargs):
    """A training that takes no time."""
    return Pretended(
        accuracy_float=0.5,
        accuracy_qat=0.5,
        accuracy_int8=0.5,
        tflite=b"",
        model=None,
        qat_model=None,
        history={},
        seconds=dict.fromkeys(report.PHASES[1:], 0.0),
    )


class Pretended(fit.Trained):
    def save_weights(self, folder):
        pass


def test_names_of_spaces_may_have_any_characters(space, data, tmp_path):
    path = tmp_path / "größe (v2).yaml"
    path.write_text(
        "input_shape: [8, 8, 1]\nclasses: 10\nstem: {filters: 8}\n"
        "stages: [{block: conv_bn, filters: [8, 16]}]\n"
    )
    tuner = small_tuner(cs.SearchSpace.load(path), tmp_path, max_trials=1)
    tuner.search(**few(data), epochs=1)
    assert len(tuner.best_designs()) == 1


def test_hardware_alone_can_be_searched(data, tmp_path):
    path = tmp_path / "fixed.yaml"
    path.write_text(
        "input_shape: [8, 8, 1]\nclasses: 10\nstem: {filters: 8}\n"
        "stages: [{block: conv_bn, filters: 8}]\n"
    )
    space = cs.SearchSpace.load(path)
    assert (space.num_networks, space.num_accelerators) == (1, 50_000)
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
        ({"oracle_options": {"initial_designs": 4}}, "of the types it"),
        ({"oracle_options": {"estimate": 4}}, "must be a function"),
        ({"oracle_options": OUTSIDE}, "choices of the space. Received: 3"),
        ({"reward": "absolute", "budgets": None}, "must have a target"),
        ({"warm_start": "nowhere"}, "nowhere"),
        ({"start_from": ["vgg16"]}, "Published networks in"),
    ],
)
def test_bad_arguments_are_refused_at_once(space, tmp_path, change, message):
    wrong = (ValueError, TypeError, FileNotFoundError)
    with pytest.raises(wrong, match=message):
        small_tuner(space, tmp_path, **change)
    assert not any(tmp_path.iterdir())


class Killed(BaseException):
    """What no code catches."""


@pytest.mark.slow
def test_an_interrupted_trial_goes_on_where_it_was(
    space, data, tmp_path, monkeypatch
):
    monkeypatch.setattr(checkpoint, "SHARE", np.inf)
    seen = []

    class Log(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seen.append(epoch)
            if len(seen) in killed:
                raise Killed

    def search():
        tuner = small_tuner(
            space, tmp_path, max_trials=1, executions_per_trial=2
        )
        tuner.search(**few(data), epochs=3, callbacks=[Log()])
        return tuner

    # In the float phase of the first training, and in that of the second.
    killed = (2, 6)
    for _ in killed:
        with pytest.raises(Killed):
            search()
    (design,) = search().best_designs()
    assert seen == [0, 1, 1, 2, 0, 1, 1, 2]
    assert design.metrics["accuracy_int8"] > 0
    assert not list(design.folder.glob("*.checkpoint*"))


def test_a_finished_training_is_not_repeated(
    space, data, tmp_path, monkeypatch
):
    calls = []

    def counted(*args, **kwargs):
        calls.append(kwargs["seed"])
        return pretend(*args, **kwargs)

    def killed(*args, **kwargs):
        raise Killed

    monkeypatch.setattr(fit, "train", counted)
    tuner = small_tuner(space, tmp_path, max_trials=1, executions_per_trial=2)
    monkeypatch.setattr(tuner.oracle, "update_trial", killed)
    with pytest.raises(Killed):
        tuner.search(**few(data), epochs=1)
    assert len(calls) == 2
    again = small_tuner(space, tmp_path, max_trials=1, executions_per_trial=2)
    again.search(**few(data), epochs=1)
    assert len(calls) == len(set(calls)) == 2
    assert len(again.best_designs()) == 1


def curve_of(accuracies):
    """A training that takes no time and goes through these accuracies."""

    def train(build, data, *, on_epoch, **kwargs):
        for epoch in range(1, len(accuracies) + 1):
            history = {"val_accuracy": accuracies[:epoch]}
            if on_epoch(history, epoch):
                return dataclasses.replace(
                    pretend(build, data),
                    accuracy_int8=accuracies[epoch - 1],
                    stopped_epoch=epoch,
                )
        return pretend(build, data)

    return train


def test_a_losing_trial_stops_in_order(
    space, data, tmp_path, monkeypatch, capsys
):
    class Alternating:
        """Accuracies of two trials; costs that let the first dominate."""

        def __call__(self, *args, **kwargs):
            return self.curves.pop(0)(*args, **kwargs)

        curves = [  # noqa: RUF012
            curve_of([0.4, 0.45, 0.5]),
            curve_of([0.1, 0.2, 0.6]),
        ]

    monkeypatch.setattr(fit, "train", Alternating())
    monkeypatch.setattr(
        early_stopping, "_dominating", lambda trial, reached: list(reached)
    )
    tuner = small_tuner(
        space,
        tmp_path,
        early_stopping=early_stopping.MedianStopping(startup=1, grace=1),
        executions_per_trial=1,
    )
    tuner.search(**{**few(data), "verbose": 1}, epochs=3)
    printed = capsys.readouterr().out
    assert "stopped after epoch 2" in printed
    assert "2 trials finished (1 of them stopped early)" in printed
    lines = (tmp_path / "project/trials.csv").read_text().splitlines()
    rows = list(csv.DictReader(lines))
    assert [row["stopped_epoch"] for row in rows] == ["", "2"]
    assert [row["status"] for row in rows] == ["COMPLETED", "COMPLETED"]
    # What was measured is reported; what is expected, 0.2 and the 0.05 that
    # the other gained from there, is learned.
    assert [row["accuracy_int8"] for row in rows] == ["0.5", "0.2"]
    resumed = small_tuner(space, tmp_path)
    for oracle in (tuner.oracle, resumed.oracle):
        learned = [
            trial.metrics["accuracy_int8"] for trial in oracle.finished()
        ]
        assert learned == pytest.approx([0.5, 0.25])
        assert oracle.finished()[1].reward == pytest.approx(0.25)
    designs = resumed.best_designs(2)
    assert [d.metrics["accuracy_int8"] for d in designs] == [0.5, 0.2]
    assert len(report.read_trials(tmp_path / "project/trials.csv")) == 2


def test_early_stopping_must_be_known(space, tmp_path):
    with pytest.raises(ValueError, match="Did you mean 'halving'"):
        small_tuner(space, tmp_path, early_stopping="halvin")
    assert not list(tmp_path.iterdir())
