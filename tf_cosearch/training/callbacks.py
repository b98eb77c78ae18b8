"""Lets Keras 3 callbacks observe the training of a tf_keras model."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Iterator
from typing import Any

import keras


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
    callbacks: Any, append: bool = False, for_keras3: bool = False
) -> list[Any]:
    """Copies callbacks for one `fit`.

    Paths stay as they are, while KerasTuner's own tuners give each trial
    its own: `ModelCheckpoint`, `CSVLogger` and `TensorBoard` write what the
    last trial did over what the earlier ones did. The tuner keeps weights
    and metrics of every trial itself.

    Args:
        callbacks: A Keras 3 or tf_keras callback, any nesting of lists of
            them, or None. They stay untouched, so that the next execution
            starts from the same state.
        append: Whether a `CSVLogger` goes on with the file of an earlier
            phase.
        for_keras3: Whether the model is of Keras 3, and not of tf_keras.

    Returns:
        Callbacks for the `callbacks` argument of `fit`.

    Raises:
        TypeError: If one is no callback, is of tf_keras for a model of Keras
            3, or cannot be copied.
        ImportError: If `TensorBoard` is used where it is not installed.
    """
    import tf_keras

    adapted = []
    for callback in _flatten(callbacks):
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
        if name == "CSVLogger" and append:
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
        _is_a(callback, "LearningRateScheduler", "ReduceLROnPlateau")
        for callback in _flatten(callbacks)
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
        for callback in _flatten(callbacks)
        if type(callback).__name__ not in OBSERVERS
        or not type(callback).__module__.startswith(("keras.", "tf_keras."))
    ]


def _flatten(callbacks: Any) -> Iterator[Any]:
    if isinstance(callbacks, (list, tuple)):
        for each in callbacks:
            yield from _flatten(each)
    elif callbacks is not None:
        yield callbacks


def _is_a(callback: Any, *names: str) -> bool:
    """Whether it is, in either Keras, of a class of these names."""
    return any(kind.__name__ in names for kind in type(callback).__mro__)


def _check_installed(callback: Any) -> None:
    if _is_a(callback, "TensorBoard") and not importlib.util.find_spec(
        "tensorboard"
    ):
        raise ImportError(
            f"{type(callback).__name__} needs the package tensorboard. "
            "Received: a Python without it. Run: pip install tensorboard"
        )
