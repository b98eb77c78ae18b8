"""Copies of the user's callbacks for one training.

Those of Keras 3 can observe a tf_keras model, and each training writes into a
folder of its own.
"""

from __future__ import annotations

import copy
import importlib.util
import os
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf


class Keras3Callback:
    """A Keras 3 callback as tf_keras wants to see it.

    The two agree on every hook and differ only in how tf_keras asks which of
    the batch hooks are there, so everything else is the callback itself.

    Args:
        callback: The Keras 3 callback.
    """

    def __init__(self, callback: keras.callbacks.Callback) -> None:
        self._callback = callback

    def __getattr__(self, name: str) -> Any:
        return getattr(self._callback, name)

    def _implements(self, mode: str) -> bool:
        callback = self._callback
        names = [f"on_{mode}_batch_begin", f"on_{mode}_batch_end"]
        if mode == "train":
            names += ["on_batch_begin", "on_batch_end"]
        return any(
            # LambdaCallback stores its hooks on the instance.
            name in vars(callback)
            or getattr(type(callback), name)
            is not getattr(keras.callbacks.Callback, name)
            for name in names
        )

    def _implements_train_batch_hooks(self) -> bool:
        return self._implements("train")

    def _implements_test_batch_hooks(self) -> bool:
        return self._implements("test")

    def _implements_predict_batch_hooks(self) -> bool:
        return self._implements("predict")


OBSERVERS = (
    "BackupAndRestore",
    "CSVLogger",
    "History",
    "ModelCheckpoint",
    "ProgbarLogger",
    "RemoteMonitor",
    "TensorBoard",
)
"""Callbacks of either Keras that change nothing: they write down."""


def adapt(
    callbacks: Any,
    append: bool = False,
    for_keras3: bool = False,
    folder: str | None = None,
) -> list[Any]:
    """Copies callbacks for one `fit`.

    Args:
        callbacks: A Keras 3 or tf_keras callback, any nesting of lists of
            them, or None. They stay untouched, so that the next execution
            starts from the same state.
        append: Whether a `CSVLogger` goes on with the file of an earlier
            phase.
        for_keras3: Whether the model is of Keras 3, and not of tf_keras.
        folder: Where, below their own places, those that write do so; None
            leaves these as they are.

    Returns:
        Callbacks for the `callbacks` argument of `fit`.

    Raises:
        TypeError: If one is no callback, is of tf_keras for a model of Keras
            3, or cannot be copied.
        ImportError: If `TensorBoard` is used where it is not installed.
    """
    import tf_keras

    adapted = []
    for callback in flatten(callbacks):
        name = type(callback).__name__
        is_keras3 = isinstance(callback, keras.callbacks.Callback)
        if not is_keras3 and not isinstance(
            callback, tf_keras.callbacks.Callback
        ):
            raise TypeError(
                "callbacks must be Keras callbacks. Received: "
                f"{callback!r} of type {name}. Subclass "
                "keras.callbacks.Callback."
            )
        _check_installed(callback)
        try:
            fresh = copy.deepcopy(callback)
        except Exception as error:
            raise TypeError(
                "callbacks must be copyable, each training has its own copy. "
                f"Received: {name} ({error}). Keep files and locks out of it "
                "until on_train_begin."
            ) from error
        if folder is not None:
            place(fresh, folder)
        if is_a(fresh, "CSVLogger") and append:
            fresh.append = True
        if for_keras3:
            if not is_keras3:
                raise TypeError(
                    "callbacks for a model of Keras 3 must be of Keras 3. "
                    f"Received: {name} of {type(callback).__module__}. Take "
                    "that of keras.callbacks."
                )
            adapted.append(fresh)
            continue
        if is_keras3 and getattr(fresh, "mode", None) == "auto":
            # Keras 3 would ask the metrics of a Keras 3 model.
            fresh.mode = "max" if "acc" in fresh.monitor else "min"
        adapted.append(wrap(fresh, not is_keras3))
    return adapted


_FOLDERS = {"TensorBoard": "log_dir", "BackupAndRestore": "backup_dir"}
_FILES = {"CSVLogger": "filename", "ModelCheckpoint": "filepath"}
"""Where callbacks of either Keras, and subclasses of them, write."""


def place(callback: Any, folder: str) -> None:
    """Has a callback write into a folder below the place it was given.

    A backup that lies there is of a training that was interrupted. It is
    removed: the search goes on from checkpoints of its own, which know more,
    and two would disagree on the epoch.

    Args:
        callback: A copy of the user's, of either Keras; others than the four
            that write stay as they are.
        folder: Of one phase of one training, `trial_07/execution_0/float`.

    Example:
    >>> logger = keras.callbacks.CSVLogger("logs/epochs.csv")
    >>> place(logger, "trial_07/execution_0/float")
    >>> logger.filename
    'logs/trial_07/execution_0/float/epochs.csv'
    """
    for kind, attribute in _FILES.items():
        if is_a(callback, kind):
            above, name = os.path.split(os.fspath(getattr(callback, attribute)))
            below = os.path.join(above, folder)
            tf.io.gfile.makedirs(below)
            setattr(callback, attribute, os.path.join(below, name))
    for kind, attribute in _FOLDERS.items():
        if is_a(callback, kind):
            before = os.fspath(getattr(callback, attribute))
            below = os.path.join(before, folder)
            if kind == "BackupAndRestore" and tf.io.gfile.exists(below):
                tf.io.gfile.rmtree(below)
            # A backup's files are below its folder, each named by itself.
            for name, value in list(vars(callback).items()):
                if isinstance(value, (str, os.PathLike)):
                    path = os.fspath(value)
                    if path == before or path.startswith(before + os.sep):
                        setattr(callback, name, below + path[len(before) :])


def wrap(callback: keras.callbacks.Callback, for_keras3: bool) -> Any:
    """A Keras 3 callback for a model of either Keras."""
    return callback if for_keras3 else Keras3Callback(callback)


def control_learning_rate(callbacks: Any) -> bool:
    """Whether a callback sets the learning rate, so no schedule may.

    Args:
        callbacks: What `adapt` takes.

    Returns:
        True if a `LearningRateScheduler` or `ReduceLROnPlateau` is among
        them.
    """
    return any(
        is_a(callback, "LearningRateScheduler", "ReduceLROnPlateau")
        for callback in flatten(callbacks)
    )


def that_train(callbacks: Any) -> list[Any]:
    """The callbacks that may change what a training leads to.

    Args:
        callbacks: What `adapt` takes.

    Returns:
        All but `OBSERVERS`.

    Example:
    >>> logger = keras.callbacks.CSVLogger("log.csv")
    >>> stop = keras.callbacks.EarlyStopping(patience=3)
    >>> that_train([logger, [stop]]) == [stop]
    True
    """
    return [
        callback
        for callback in flatten(callbacks)
        if type(callback).__name__ not in OBSERVERS
        or not type(callback).__module__.startswith(("keras.", "tf_keras."))
    ]


def flatten(callbacks: Any) -> Iterator[Any]:
    """Callbacks one after the other, whatever lists they are in."""
    if isinstance(callbacks, (list, tuple)):
        for each in callbacks:
            yield from flatten(each)
    elif callbacks is not None:
        yield callbacks


def is_a(callback: Any, *names: str) -> bool:
    """Whether it is, in either Keras, of a class of these names."""
    return any(kind.__name__ in names for kind in type(callback).__mro__)


def _check_installed(callback: Any) -> None:
    if is_a(callback, "TensorBoard") and not importlib.util.find_spec(
        "tensorboard"
    ):
        raise ImportError(
            f"{type(callback).__name__} needs the package tensorboard. "
            "Received: a Python without it. Run: pip install tensorboard"
        )
