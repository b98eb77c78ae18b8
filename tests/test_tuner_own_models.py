# ruff: noqa: N803, N806 as Keras itself is an argument here
import csv
import json
import pathlib

import keras
import keras_tuner
import numpy as np
import pytest
import tf_keras
from light_searches import small_tuner
from own_models import builder

import tf_cosearch as cs
from tf_cosearch.training import checkpoint, evaluate

BUDGETS = cs.Budgets(latency_ms=1.0)


@pytest.fixture(scope="module")
def waves():
    """Images of waves in three directions; the last 64 to validate on."""
    rng = np.random.default_rng(0)
    labels = np.arange(192) % 3
    row, column = np.mgrid[:8, :8] * np.pi / 2
    phase = rng.uniform(0, 2 * np.pi, (192, 1, 1))
    x = np.sin(np.stack([row, column, row + column])[labels] + phase) / 2
    return x[..., None] + rng.normal(0.5, 0.1, (192, 8, 8, 1)), labels


def tuner_of(build, folder, **settings):
    settings = {"budgets": BUDGETS, "hypermodel": build, **settings}
    return small_tuner(settings.pop("space", None), folder, **settings)


def search(tuner, waves, **settings):
    x, y = waves
    tuner.search(
        x,
        y,
        **{"validation_split": 1 / 3, "epochs": 2, "verbose": 0, **settings},
    )
    return tuner


@pytest.fixture(scope="module", params=[keras, tf_keras])
def finished(request, waves, tmp_path_factory):
    K = request.param
    tuner = tuner_of(
        builder(K, metrics=["accuracy", "sparse_categorical_crossentropy"]),
        tmp_path_factory.mktemp("runs"),
    )
    return K, search(tuner, waves, batch_size=16)


def test_what_comes_back_is_what_was_brought(finished, waves):
    K, tuner = finished
    model = tuner.get_best_models(1)[0]
    assert isinstance(model, K.Sequential)
    x, y = (part[128:] for part in waves)
    design = tuner.best_designs(1)[0]
    measured = model.evaluate(x, y, verbose=0, return_dict=True)
    assert measured["accuracy"] == pytest.approx(
        design.metrics["accuracy_float"]
    )
    assert model.predict(x, verbose=0).shape == (64, 3)
    clone = K.models.clone_model(model)
    assert clone.count_params() == model.count_params()
    best = tuner.get_best_hyperparameters(1)[0]
    assert float(model.optimizer.learning_rate) == pytest.approx(
        best["learning_rate"]
    )
    assert model.layers[0].filters == best["filters"]


def test_hyperparameters_and_metrics_are_written_down(finished):
    _, tuner = finished
    path = pathlib.Path(tuner.project_dir, "trials.csv")
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert len(rows) == 2
    for row in rows:
        assert row["status"] == "COMPLETED"
        assert 1e-3 <= float(row["learning_rate"]) <= 1e-1
        assert 0 < float(row["accuracy_int8"]) <= 1
    trial = tuner.oracle.get_best_trials(1)[0]
    told = tuner.design(trial).metrics
    assert told["sparse_categorical_crossentropy_int8"] > 0


def test_a_design_of_an_own_model_is_exported_and_read(
    finished, waves, tmp_path
):
    _, tuner = finished
    x, y = (part[128:] for part in waves)
    design = tuner.best_designs(1)[0]
    told = design.export(tmp_path, test_data=(x, y))
    right = evaluate.predict(tmp_path / "model.tflite", x) == y
    assert told["accuracies"]["accuracy_int8_test"] == right.mean()
    assert told == json.loads((tmp_path / "design.json").read_text())
    loaded = cs.load_design(tmp_path)
    assert loaded.network.layers() == design.network.layers()
    assert loaded.network.get_config() == design.network.get_config()
    assert loaded.accelerator == design.accelerator
    assert loaded.network.input_shape == (8, 8, 1)
    with pytest.raises(ValueError, match=r"must be built by their `build"):
        loaded.network.build()


@pytest.mark.slow
def test_a_search_of_an_own_model_goes_on(finished, waves):
    K, tuner = finished
    folder = pathlib.Path(tuner.project_dir)
    before = (folder / "trials.csv").read_text().splitlines()
    build = builder(K, metrics=["accuracy", "sparse_categorical_crossentropy"])
    again = tuner_of(build, folder.parent, max_trials=3)
    search(again, waves, batch_size=16)
    after = (folder / "trials.csv").read_text().splitlines()
    assert after[:3] == before
    assert len(after) == 4


class Interrupts(keras.callbacks.Callback):
    """Presses Ctrl-C at the end of an epoch; notes all epochs."""

    epochs: list = []  # noqa: RUF012
    at = None

    def on_epoch_begin(self, epoch, logs=None):
        if Interrupts.at is not None and len(self.epochs) == Interrupts.at:
            Interrupts.at = None
            raise KeyboardInterrupt
        self.epochs.append(epoch)


@pytest.mark.slow  # of a training alone it is shown by default
def test_an_interrupted_trial_goes_on_after_its_epoch(
    waves, tmp_path, monkeypatch
):
    monkeypatch.setattr(checkpoint, "SHARE", 1e9)  # after every epoch
    Interrupts.epochs.clear()
    Interrupts.at = 2
    settings = {"max_trials": 1, "quantization": "after_training"}
    with pytest.raises(KeyboardInterrupt):
        search(
            tuner_of(builder(keras), tmp_path, **settings),
            waves,
            epochs=4,
            callbacks=[Interrupts()],
        )
    tuner = tuner_of(builder(keras), tmp_path, **settings)
    search(tuner, waves, epochs=4, callbacks=[Interrupts()])
    assert Interrupts.epochs == [0, 1, 2, 3]
    assert len(tuner.best_designs()) == 1


@pytest.mark.slow
def test_any_compiled_metric_may_be_the_objective(waves, tmp_path):
    settings = {
        "max_trials": 1,
        "quantization": "after_training",
        "oracle_options": {"objective": "top2_int8"},
    }
    top = keras.metrics.SparseTopKCategoricalAccuracy(2, name="top2")
    tuner = tuner_of(builder(keras, metrics=["acc", top]), tmp_path, **settings)
    search(tuner, waves, epochs=1)
    trial = tuner.oracle.get_best_trials(1)[0]
    assert trial.score == tuner.design(trial).metrics["top2_int8"]


def test_hyperparameters_beside_a_space_reach_the_training(
    space, tmp_path, waves
):
    class WithRate(cs.CoSearchHyperModel):
        def build(self, hp):
            model = super().build(hp)
            rate = hp.Choice("learning_rate", [0.003, 0.03])
            model.compile(
                keras.optimizers.SGD(rate), model.loss, metrics=["accuracy"]
            )
            return model

    tuner = tuner_of(
        WithRate(space),
        tmp_path,
        space=space,
        max_trials=1,
        quantization="after_training",
    )
    search(tuner, waves, epochs=1)
    [model] = tuner.get_best_models(1)
    assert isinstance(model.optimizer, keras.optimizers.SGD)
    [best] = tuner.get_best_hyperparameters(1)
    assert float(model.optimizer.learning_rate) == pytest.approx(
        best["learning_rate"]
    )


@pytest.mark.parametrize(
    ("build", "settings", "given", "message"),
    [
        (
            builder(keras),
            {},
            {"validation_freq": 2},
            "steps_per_epoch.*validation_freq",
        ),
        (builder(keras), {}, {"x": np.zeros((192, 9, 9, 1))}, "9, 9, 1"),
        (builder(keras), {}, {"y": np.zeros(5)}, "target"),
        (
            builder(keras),
            {},
            {"y": np.arange(192) % 3 + 2},
            r"Data must fit .* outside the valid range of \[0, 3\)",
        ),
        (builder(keras), {}, {"class_weight": {0: 1, 1: 2}}, "of 0 to 2"),
        (builder(keras), {"learning_rate": 1.0}, {}, "learning_rate must not"),
        (
            builder(keras, layers=[lambda L: L.UnitNormalization()]),
            {},
            {},
            "unit_normalization",
        ),
        (
            builder(keras, metrics=[]),
            {"early_stopping": "median"},
            {},
            "early_stopping needs",
        ),
        (
            builder(keras),
            {"oracle_options": {"objective": "auc_int8"}},
            {},
            "auc_int8",
        ),
        (builder(keras), {"objective": "auc_int8"}, {}, "auc_int8"),
        (builder(keras), {"objective": "val_mae"}, {}, "to maximise"),
        (builder(keras), {"quantization": "later"}, {}, "after_training"),
        (
            builder(keras),
            {},
            {"callbacks": [tf_keras.callbacks.EarlyStopping()]},
            "of Keras 3",
        ),
        (builder(keras), {}, {"x": iter([])}, "from_generator"),
    ],
)
def test_what_cannot_be_is_refused_before_any_trial(
    build, settings, given, message, waves, tmp_path
):
    data = given.get("x", waves[0]), given.get("y", waves[1])
    others = {k: v for k, v in given.items() if k not in "xy"}

    def begin():
        search(tuner_of(build, tmp_path, **settings), data, **others)

    with pytest.raises((TypeError, ValueError), match=message):
        begin()
    assert not list(tmp_path.glob("project/trial_*"))


def growing(hp):
    """Builds a wider network each time, whatever the hyperparameters."""
    growing.width += 1
    wide = builder(
        keras, layers=[lambda L: L.Conv2D(growing.width, 1, name="wide")]
    )
    return wide(hp)


growing.width = 0


def test_a_build_must_return_what_was_priced(waves, tmp_path):
    with pytest.raises(ValueError, match="the same network whenever"):
        search(tuner_of(growing, tmp_path), waves)
    assert not list(tmp_path.glob("project/trial_*"))


def test_what_fit_draws_of_data_is_refused_before_any_trial(waves, tmp_path):
    class Draws(keras_tuner.HyperModel):
        build = staticmethod(builder(keras))

        def fit(self, hp, model, x, y, **kwargs):
            y = y[np.arange(len(x)) + hp.Choice("shift", [0, 1])]
            return model.fit(x, y, **kwargs)

    with pytest.raises(ValueError, match="shift, which `fit` draws first"):
        search(tuner_of(Draws(), tmp_path), waves)
    assert not list(tmp_path.glob("project/trial_*"))


def test_verbose_reaches_a_fit_of_ones_own(waves, tmp_path):
    heard = []

    class Hears(keras_tuner.HyperModel):
        build = staticmethod(builder(keras))

        def fit(self, hp, model, *args, **kwargs):
            if isinstance(model, keras.Model):
                heard.append(kwargs.get("verbose"))
                raise KeyboardInterrupt
            model(args)  # a loop of one's own would begin so

    for verbose in (0, 1):
        with pytest.raises(KeyboardInterrupt):
            search(tuner_of(Hears(), tmp_path), waves, verbose=verbose)
    assert heard == [0, None]


def test_a_search_must_have_choices(tmp_path):
    def fixed(hp):
        return keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])

    with pytest.raises(ValueError, match="must have choices"):
        tuner_of(fixed, tmp_path, accelerator="edge_tpu")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"x": np.zeros((64, 9, 9, 1))}, "9, 9, 1"),
        ({"y": np.full(64, 3)}, "outside the valid range"),
        ({"y": np.append(np.zeros(63, int), 3)}, "outside the valid range"),
    ],
)
def test_training_data_are_tried_like_those_to_validate_on(
    given, message, waves, tmp_path
):
    x, y = (part[:64] for part in waves)
    tuner = tuner_of(builder(keras), tmp_path)
    data = given.get("x", x), given.get("y", y)
    with pytest.raises(ValueError, match=message):
        search(tuner, data, validation_data=(x, y), validation_split=0.0)
    assert not list(tmp_path.glob("project/trial_*"))


@pytest.mark.slow
def test_a_failing_fit_is_a_failed_trial(waves, tmp_path):
    class Fails(keras_tuner.HyperModel):
        build = staticmethod(builder(keras))

        def fit(self, hp, model, *args, **kwargs):
            if hp.get("filters") == 8:
                raise ValueError("no luck with 8")
            return model.fit(*args, **kwargs)

    tuner = tuner_of(
        Fails(), tmp_path, max_trials=4, quantization="after_training"
    )
    search(tuner, waves, epochs=1)
    statuses = {trial.status for trial in tuner.oracle.trials.values()}
    assert "COMPLETED" in statuses
