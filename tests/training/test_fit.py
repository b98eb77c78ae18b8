import csv

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tf_cosearch.training import evaluate, fit, inputs, qat


@pytest.fixture(scope="module")
def trained(data, build):
    return fit.train(build, data, epochs=4, seed=3)


class Log(keras.callbacks.Callback):
    """Notes hooks where deep copies share them."""

    entries: list = []  # noqa: RUF012

    def on_train_begin(self, logs=None):
        self.entries.append(("begin", id(self)))

    def on_epoch_end(self, epoch, logs=None):
        self.entries.append((epoch, sorted(logs)))


def test_every_style_learns_and_survives_int8(variant, data):
    result = fit.train(variant, data, epochs=4)
    assert result.accuracy_float > 0.9
    assert result.accuracy_qat > 0.9
    assert result.accuracy_int8 > 0.9
    qat.check_int8(result.tflite)
    (x, _) = map(np.concatenate, zip(*data.validation_batches(), strict=True))
    faked = result.qat_model.predict(x, verbose=0).argmax(1)
    assert np.mean(faked == evaluate.predict(result.tflite, x)) > 0.95


def test_measures_every_phase(trained):
    assert list(trained.seconds) == [
        "build",
        "float",
        "qat",
        "conversion",
        "evaluation",
    ]
    assert all(seconds > 0 for seconds in trained.seconds.values())
    assert set(trained.history) == {
        "loss",
        "accuracy",
        "val_loss",
        "val_accuracy",
    }
    assert all(len(values) == 4 for values in trained.history.values())
    assert trained.accuracy_float == pytest.approx(
        trained.history["val_accuracy"][2]
    )
    assert trained.accuracy_qat == pytest.approx(
        trained.history["val_accuracy"][3]
    )


@pytest.mark.slow
def test_same_seed_same_result(trained, data, build):
    again = fit.train(build, data, epochs=4, seed=3)
    assert again.tflite == trained.tflite
    assert again.history == trained.history


@pytest.mark.slow
def test_one_epoch_is_calibrated_after_training(trained, data, build):
    result = fit.train(build, data, epochs=1, seed=4)
    assert len(result.history["loss"]) == 1
    assert result.history["loss"][0] != trained.history["loss"][0]
    assert result.accuracy_int8 == pytest.approx(result.accuracy_float, abs=0.1)


def test_phases_continue_epochs_and_copy_callbacks(data, small, tmp_path):
    Log.entries.clear()
    log = Log()
    csv_path = tmp_path / "log.csv"
    fit.train(
        small,
        data,
        epochs=3,
        callbacks=[log, keras.callbacks.CSVLogger(csv_path)],
    )
    begins = [e[1] for e in Log.entries if e[0] == "begin"]
    assert len(set(begins)) == 2
    assert id(log) not in begins
    epochs = [e for e in Log.entries if e[0] != "begin"]
    assert [number for number, _ in epochs] == [0, 1, 2]
    assert epochs[0][1] == ["accuracy", "loss", "val_accuracy", "val_loss"]
    with csv_path.open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "1", "2"]


@pytest.mark.slow
def test_early_stopping_ends_the_float_phase_only(data, build):
    stop = keras.callbacks.EarlyStopping(
        monitor="loss", patience=0, min_delta=100, restore_best_weights=True
    )
    result = fit.train(build, data, epochs=9, qat_epochs=1, callbacks=[stop])
    # Two of eight, and the one of the other phase.
    assert len(result.history["loss"]) == 3


def test_weights_of_both_phases_can_be_trained_on(
    trained, data, build, tmp_path
):
    trained.save_weights(tmp_path)
    again = fit.train(
        build,
        data,
        epochs=1,
        qat_epochs=1,
        learning_rate=1e-9,
        float_weights=tmp_path / "float.weights.h5",
        qat_weights=tmp_path / "qat.weights.h5",
    )
    assert again.accuracy_float == trained.accuracy_float
    assert again.accuracy_int8 == pytest.approx(trained.accuracy_int8, abs=0.03)
    # A single epoch from nothing would end near 0.8.
    assert again.history["loss"][0] < 2 * trained.history["loss"][-1]
    with pytest.raises(ValueError, match="Pass qat_epochs=2"):
        fit.train(
            build,
            data,
            epochs=2,
            qat_epochs=1,
            qat_weights=tmp_path / "qat.weights.h5",
        )


def test_divergence_is_raised_at_once(data, build):
    Log.entries.clear()
    with pytest.raises(FloatingPointError, match=r"diverged: .* epoch 1"):
        fit.train(build, data, epochs=50, optimizer=keras.optimizers.SGD(1e30))


@pytest.mark.slow
def test_class_weight_and_sample_weight_reach_the_loss(waves, build):
    (x, y), validation = waves
    settings = {"input_shape": (8, 8, 1), "classes": 3}
    weighted = inputs.prepare(
        x,
        y,
        validation_data=validation,
        class_weight={0: 0.0, 1: 0.0, 2: 0.0},
        **settings,
    )
    assert fit.train(build, weighted, epochs=1).history["loss"] == [0.0]
    pipeline = tf.data.Dataset.from_tensor_slices((x, y, np.zeros(len(x))))
    weighted = inputs.prepare(
        pipeline.batch(64), validation_data=validation, **settings
    )
    assert fit.train(build, weighted, epochs=1).history["loss"] == [0.0]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"epochs": 0}, ValueError, "epochs must be 1 or more"),
        ({"epochs": 2, "qat_epochs": 3}, ValueError, "between 0 and epochs=2"),
        (
            {"epochs": 1, "loss": "mse"},
            ValueError,
            "outputs logits: pass keras",
        ),
        ({"epochs": True}, ValueError, "epochs must be 1 or more"),
        ({"epochs": 1.0}, ValueError, "epochs must be 1 or more"),
        ({"epochs": 1, "qat_epochs": True}, ValueError, "qat_epochs must be"),
        *(
            ({"epochs": 1, "learning_rate": rate}, ValueError, "positive, fin")
            for rate in (0, -1, 0.0, np.nan, np.inf, "0.01", True)
        ),
        ({"epochs": 1, "optimizer": "adm"}, ValueError, "tf_keras has too"),
        ({"epochs": 1, "callbacks": ["x"]}, TypeError, "must be Keras callb"),
        (
            {"epochs": 1, "steps_per_epoch": 3},
            TypeError,
            "Received: steps_per_epoch. Pass x=dataset.take",
        ),
        ({"epochs": 1, "shuffle": False}, TypeError, "Received: shuffle"),
    ],
)
def test_bad_settings_are_refused_before_training(arguments, error, message):
    with pytest.raises(error, match=message):
        fit.check(**arguments)


@pytest.mark.parametrize(
    "scope",
    [
        lambda: tf.distribute.OneDeviceStrategy("CPU:0").scope(),
        lambda: tf.Graph().as_default(),
    ],
)
def test_scopes_that_variables_would_be_of_are_refused(scope):
    with scope(), pytest.raises(ValueError, match="must run eagerly"):
        fit.check(1)
    fit.check(1)


@pytest.mark.parametrize("rate", [None, 1, 1e-3, np.float32(0.1)])
def test_good_settings_pass(rate):
    fit.check(np.int64(4), np.int32(2), learning_rate=rate)


def test_numpy_epochs_and_no_callbacks_train(data, small):
    result = fit.train(
        small, data, epochs=np.int8(2), qat_epochs=np.int8(1), callbacks=None
    )
    assert len(result.history["loss"]) == 2


def test_learning_rate_of_0_is_not_the_default(data, build):
    with pytest.raises(ValueError, match="learning_rate must be a positive"):
        fit.train(build, data, epochs=1, learning_rate=0)


@pytest.mark.slow
def test_sample_weight_reaches_a_loss_of_keras_3(waves, build):
    (x, y), validation = waves
    # Every second label is wrong, but weighs nothing.
    keep = np.arange(len(x)) % 2 == 0
    pipeline = tf.data.Dataset.from_tensor_slices(
        (x, np.where(keep, y, (y + 1) % 3), keep.astype(np.float32))
    )
    weighted = inputs.prepare(
        pipeline.batch(16),
        input_shape=(8, 8, 1),
        classes=3,
        validation_data=validation,
    )
    given = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    ours = fit.train(build, weighted, epochs=1, loss=given)
    default = fit.train(build, weighted, epochs=1)
    assert ours.history["loss"] == default.history["loss"]


def test_a_loss_of_the_user(data, small):
    def loss(labels, logits):
        return 0.0 * tf_keras.losses.sparse_categorical_crossentropy(
            labels, logits, from_logits=True
        )

    assert fit.train(small, data, epochs=1, loss=loss).history["loss"] == [0.0]
