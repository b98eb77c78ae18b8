import importlib.machinery
import sys
import threading
import types

import keras
import numpy as np
import pytest
import tf_keras

from tf_cosearch.training import callbacks

# Keras 3 reads the learning rate in a way that tf_keras' variables dislike.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")


def _fit(given, epochs=3, rate=0.1, folder=None):
    """Fits a line; deterministic, and quick."""
    tf_keras.utils.set_random_seed(0)
    model = tf_keras.Sequential([tf_keras.layers.Dense(1, input_shape=(1,))])
    model.compile(tf_keras.optimizers.SGD(rate), "mse")
    x = np.linspace(-1, 1, 8)[:, None]
    model.fit(
        x,
        2 * x,
        batch_size=4,
        epochs=epochs,
        validation_data=(x, 2 * x),
        verbose=0,
        callbacks=callbacks.adapt(given, folder=folder),
    )
    return model


def test_every_kind_observes_a_fit(tmp_path):
    kinds = keras.callbacks
    model = _fit(
        [
            kinds.EarlyStopping(restore_best_weights=True),
            kinds.CSVLogger(tmp_path / "log.csv"),
            kinds.ReduceLROnPlateau(patience=1, min_delta=100),
            kinds.ModelCheckpoint(
                tmp_path / "best.weights.h5", save_weights_only=True
            ),
            kinds.LearningRateScheduler(lambda epoch: 0.1),
            kinds.TerminateOnNaN(),
            kinds.BackupAndRestore(tmp_path / "backup"),
            tf_keras.callbacks.CSVLogger(tmp_path / "other.csv"),
        ]
    )
    for name in ("log.csv", "other.csv"):
        assert len((tmp_path / name).read_text().splitlines()) == 4
    assert (tmp_path / "best.weights.h5").exists()
    # The plateau was left after the last epoch only.
    assert float(model.optimizer.learning_rate.numpy()) < 0.1


def test_learning_rate_is_set():
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch: 0.5**epoch)
    model = _fit([schedule])
    assert float(model.optimizer.learning_rate.numpy()) == 0.25
    assert callbacks.control_learning_rate([schedule])
    assert not callbacks.control_learning_rate([keras.callbacks.Callback()])


def test_early_stopping_restores_the_best_weights():
    stop = keras.callbacks.EarlyStopping(patience=2, restore_best_weights=True)
    diverging = _fit([stop], epochs=6, rate=5.0)
    best = _fit([], epochs=1, rate=5.0)
    np.testing.assert_array_equal(
        diverging.get_weights()[0], best.get_weights()[0]
    )


def test_batch_hooks_are_called_only_where_they_are():
    seen = []
    _fit(
        [
            keras.callbacks.LambdaCallback(
                on_train_batch_end=lambda batch, logs: seen.append(batch)
            )
        ],
        epochs=1,
    )
    assert seen == [0, 1]

    class Tests(keras.callbacks.Callback):
        def on_test_batch_end(self, batch, logs=None):
            seen.append(batch)

    (adapted,) = callbacks.adapt([Tests()])
    assert not adapted._implements_train_batch_hooks()
    assert adapted._implements_test_batch_hooks()
    assert not adapted._implements_predict_batch_hooks()


def test_copies_are_fresh():
    callback = keras.callbacks.EarlyStopping()
    (first,) = callbacks.adapt([callback])
    first.wait = 7
    first.on_train_begin()
    assert callback.model is None
    assert first._callback is not callback


def test_any_nesting_is_flattened_as_keras_does():
    one, two = (
        keras.callbacks.TerminateOnNaN(),
        keras.callbacks.ReduceLROnPlateau(),
    )
    for given, kinds in (
        (None, []),
        (one, [one]),
        ([one, [two, None], ()], [one, two]),
    ):
        adapted = [c._callback for c in callbacks.adapt(given)]
        assert [type(c) for c in adapted] == [type(c) for c in kinds]
        assert callbacks.control_learning_rate(given) == (two in kinds)


@pytest.mark.parametrize("K", [keras, tf_keras])
def test_tensorboard_says_what_to_install(K, monkeypatch):  # noqa: N803
    callback = K.callbacks.TensorBoard("unused")
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ImportError, match="pip install tensorboard"):
        callbacks.adapt([callback])
    spec = importlib.machinery.ModuleSpec("tensorboard", None)
    module = types.ModuleType("tensorboard")
    module.__spec__ = spec
    monkeypatch.setitem(sys.modules, "tensorboard", module)
    assert len(callbacks.adapt([callback])) == 1


@pytest.mark.parametrize("given", ["early_stopping", object(), len])
def test_no_callback_is_named(given):
    with pytest.raises(TypeError, match=type(given).__name__):
        callbacks.adapt([given])


def test_callback_that_cannot_be_copied_is_named():
    class Holder(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.lock = threading.Lock()

    with pytest.raises(TypeError, match="Holder"):
        callbacks.adapt([Holder()])


@pytest.mark.parametrize(
    ("monitor", "mode"),
    [("val_accuracy", "max"), ("accuracy", "max"), ("val_loss", "min")],
)
@pytest.mark.parametrize(
    "kind",
    [
        keras.callbacks.EarlyStopping,
        keras.callbacks.ReduceLROnPlateau,
        lambda monitor: keras.callbacks.ModelCheckpoint(
            "unused.weights.h5",
            monitor,
            save_best_only=True,
            save_weights_only=True,
        ),
    ],
)
def test_what_is_monitored_gets_its_direction(kind, monitor, mode):
    callback = kind(monitor=monitor)
    (adapted,) = callbacks.adapt([callback])
    adapted.set_model(tf_keras.Sequential())
    adapted.on_train_begin()
    assert adapted.mode == mode
    assert callback.mode == "auto"


@pytest.mark.parametrize("kinds", [keras.callbacks, tf_keras.callbacks])
def test_each_training_writes_into_a_folder_of_its_own(tmp_path, kinds):
    """Those of one write nothing over those of another."""

    class Logger(kinds.CSVLogger):
        """Subclasses write as well."""

    given = [
        Logger(tmp_path / "epochs.csv"),
        kinds.ModelCheckpoint(
            str(tmp_path / "{epoch}.weights.h5"), save_weights_only=True
        ),
        kinds.TensorBoard(tmp_path / "board"),
        kinds.BackupAndRestore(tmp_path / "backup"),
        kinds.EarlyStopping(patience=7),
    ]
    for trial, epochs in (("trial_0", 2), ("trial_1", 1)):
        _fit(given, epochs, folder=f"{trial}/execution_0/float")
    for trial, epochs in (("trial_0", 2), ("trial_1", 1)):
        below = tmp_path / trial / "execution_0" / "float"
        lines = (below / "epochs.csv").read_text().splitlines()
        assert len(lines) == 1 + epochs
        names = {path.name for path in below.glob("*.h5")}
        assert names == {f"{1 + i}.weights.h5" for i in range(epochs)}
        board = tmp_path / "board" / trial / "execution_0" / "float"
        assert {path.name for path in board.iterdir()} >= {"train"}
    assert {path.name for path in tmp_path.iterdir()} <= {
        "trial_0",
        "trial_1",
        "board",
        "backup",
    }


@pytest.mark.parametrize("kinds", [keras.callbacks, tf_keras.callbacks])
def test_the_backup_of_an_interrupted_training_is_not_taken(tmp_path, kinds):
    backup = kinds.BackupAndRestore(tmp_path)
    other, old = tmp_path / "b" / "old", tmp_path / "a" / "old"
    for path in (other, old):
        path.parent.mkdir()
        path.touch()
    (placed,) = (
        callbacks.adapt(backup, for_keras3=True, folder="a")
        if (kinds is keras.callbacks)
        else callbacks.adapt(backup, folder="a")
    )
    assert placed.backup_dir == str(tmp_path / "a")
    assert backup.backup_dir == tmp_path
    assert other.exists()
    assert not old.exists()
