"""Trains one network: float warm-up, quantization-aware, int8 file."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import math
import numbers
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tf_keras

from tf_cosearch.training import callbacks as callbacks_lib
from tf_cosearch.training import evaluate, losses, optimizers, qat
from tf_cosearch.training.inputs import Inputs

_CALIBRATION_IMAGES = 256


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained network and what it measured.

    Attributes:
        accuracy_float: On the validation data, before quantization.
        accuracy_qat: The same with faked int8 arithmetic.
        accuracy_int8: The same of the `tflite` file in its interpreter.
        tflite: The file.
        model: The float tf_keras model.
        qat_model: The quantization-aware one.
        history: Metric -> one value per epoch, over both phases.
        seconds: Phase (build, float, qat, conversion, evaluation) -> s.
    """

    accuracy_float: float
    accuracy_qat: float
    accuracy_int8: float
    tflite: bytes
    model: tf_keras.Model
    qat_model: tf_keras.Model
    history: dict[str, list[float]]
    seconds: dict[str, float]

    def save_weights(self, folder: str | os.PathLike[str]) -> None:
        """Writes `float.weights.h5` and `qat.weights.h5`.

        Args:
            folder: An existing folder.
        """
        folder = pathlib.Path(folder)
        qat.save_weights(self.model, folder / "float.weights.h5")
        qat.save_weights(self.qat_model, folder / "qat.weights.h5")


def train(
    build: Callable[[Any], tf_keras.Model],
    data: Inputs,
    *,
    epochs: int,
    qat_epochs: int | None = None,
    callbacks: Sequence[Any] = (),
    seed: int = 0,
    learning_rate: float | None = None,
    optimizer: Any = None,
    loss: Any = None,
    float_weights: str | os.PathLike[str] | None = None,
    qat_weights: str | os.PathLike[str] | None = None,
) -> Trained:
    """Trains a network in float, then quantization-aware, and converts it.

    Each phase is a `fit` of its own, with its own optimizer and fresh copies
    of the callbacks; epoch numbers go on.

    Args:
        build: From `tf_keras` to an uncompiled model with logits.
        data: What `inputs.prepare` returned.
        epochs: Epochs of both phases together.
        qat_epochs: How many of them are quantization-aware; None is
            `default_qat_epochs(epochs)`. 0 quantizes after training.
        callbacks: Keras 3 or tf_keras callbacks.
        seed: Same seed, same machine, same result.
        learning_rate: Where the float phase starts; the quantization-aware
            one starts at a tenth of it. For the default optimizer and those
            given by name.
        optimizer: A name, a configuration or an instance to copy, of Keras 3
            or tf_keras. By default Adam with cosine decay in each phase, or
            without if a callback controls the learning rate.
        loss: What `losses.make` takes. By default sparse categorical
            cross-entropy of integer labels and logits.
        float_weights: A file to start the float phase from.
        qat_weights: A file to start the quantization-aware phase from. Needs
            `qat_epochs=epochs`.

    Returns:
        The networks, the file and the accuracies.

    Raises:
        ValueError: If epochs or weights do not fit together, or `check`
            fails.
        FloatingPointError: If the loss becomes NaN or infinite.
    """
    check(epochs, qat_epochs, callbacks, optimizer, loss, learning_rate)
    if qat_epochs is None:
        qat_epochs = default_qat_epochs(epochs)
    # Small integers of NumPy overflow in products.
    epochs, qat_epochs = int(epochs), int(qat_epochs)
    if qat_weights is not None and qat_epochs != epochs:
        raise ValueError(
            "qat_weights would be lost on float epochs. Received: "
            f"epochs={epochs} and qat_epochs={qat_epochs}. Pass "
            f"qat_epochs={epochs}."
        )
    run = _Run(data, callbacks, seed, learning_rate, optimizer, loss)
    with run.clock("build"):
        # What the trainings before this one left behind would pile up.
        tf_keras.backend.clear_session()
        gc.collect()
        tf_keras.utils.set_random_seed(seed)
        model = build(tf_keras)
        qat.run_groups_natively(model)
        if float_weights is not None:
            qat.load_weights(model, float_weights)
    with run.clock("float"):
        run.fit(model, epochs - qat_epochs)
    with run.clock("qat"):
        qat_model = qat.quantize(model)
        if qat_weights is None:
            qat.calibrate(qat_model, _some_images(data, seed))
        else:
            qat.load_weights(qat_model, qat_weights)
        run.fit(qat_model, qat_epochs, is_qat=True)
    with run.clock("conversion"):
        tflite = qat.to_tflite(qat_model)
    with run.clock("evaluation"):
        accuracy_int8 = evaluate.accuracy(tflite, data.validation_batches())
        accuracy_float = _accuracy(model, data)
        accuracy_qat = _accuracy(qat_model, data)
    return Trained(
        accuracy_float=accuracy_float,
        accuracy_qat=accuracy_qat,
        accuracy_int8=accuracy_int8,
        tflite=tflite,
        model=model,
        qat_model=qat_model,
        history=run.history,
        seconds=run.seconds,
    )


def default_qat_epochs(epochs: int) -> int:
    """Epochs of quantization-aware training unless told: a quarter.

    Args:
        epochs: Epochs of both phases together.

    Returns:
        At least 1, and 0 for a single epoch, which is trained in float.

    Example:
    >>> [default_qat_epochs(epochs) for epochs in (1, 2, 8, 20)]
    [0, 1, 2, 5]
    """
    return 0 if epochs == 1 else max(1, round(epochs / 4))


def check(
    epochs: int,
    qat_epochs: int | None = None,
    callbacks: Sequence[Any] = (),
    optimizer: Any = None,
    loss: Any = None,
    learning_rate: float | None = None,
    **others: Any,
) -> None:
    """Refuses settings that `train` could not use.

    Args:
        epochs: Epochs of both phases together.
        qat_epochs: How many of them are quantization-aware.
        callbacks: Keras 3 or tf_keras callbacks.
        optimizer: A name, a configuration, an instance, or None.
        loss: What `losses.make` takes.
        learning_rate: A positive number, or None.
        **others: Other arguments meant for Keras' `fit`; there are none.

    Raises:
        TypeError: If an argument is not supported or no callback.
        ValueError: If a value is out of its range.
        ImportError: If a callback needs a package that is not installed.
    """
    for name in others:
        hint = _INSTEAD.get(name, "")
        raise TypeError(
            f"Arguments must be among {', '.join(_SUPPORTED)}. Received: "
            f"{name}.{hint}"
        )
    if not _is_integer(epochs) or epochs < 1:
        raise ValueError(f"epochs must be 1 or more. Received: {epochs!r}.")
    if qat_epochs is not None and (
        not _is_integer(qat_epochs) or not 0 <= qat_epochs <= epochs
    ):
        raise ValueError(
            f"qat_epochs must be between 0 and epochs={epochs}, which counts "
            f"them in. Received: {qat_epochs!r}."
        )
    callbacks_lib.adapt(callbacks)
    optimizers.make(optimizer, steps=1)
    losses.make(loss)
    if learning_rate is not None and (
        isinstance(learning_rate, bool)
        or not isinstance(learning_rate, numbers.Real)
        or not 0 < learning_rate < math.inf
    ):
        raise ValueError(
            "learning_rate must be a positive, finite number. Received: "
            f"{learning_rate!r}. Leave it out for the default."
        )


def _is_integer(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


_SUPPORTED = (
    "x",
    "y",
    "validation_data",
    "validation_split",
    "batch_size",
    "class_weight",
    "epochs",
    "qat_epochs",
    "callbacks",
    "learning_rate",
    "optimizer",
    "loss",
)
_INSTEAD = {
    "sample_weight": " Pass a tf.data.Dataset of (x, y, sample_weight).",
    "steps_per_epoch": " Pass x=dataset.take(steps).",
    "validation_steps": " Pass validation_data=dataset.take(steps).",
    "metrics": " Use the history of a callback.",
}


class _Run:
    """What both phases share."""

    def __init__(
        self,
        data: Inputs,
        callbacks: Sequence[Any],
        seed: int,
        learning_rate: float | None,
        optimizer: Any,
        loss: Any,
    ) -> None:
        self._data = data
        self._callbacks = callbacks
        self._seed = seed
        self._learning_rate = learning_rate
        self._optimizer = optimizer
        self._loss = loss
        self._epochs_done = 0
        self.history: dict[str, list[float]] = {}
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def clock(self, phase: str) -> Iterator[None]:
        """Notes the seconds that a phase takes."""
        start = time.perf_counter()
        yield
        self.seconds[phase] = time.perf_counter() - start

    def fit(
        self, model: tf_keras.Model, epochs: int, is_qat: bool = False
    ) -> None:
        """Compiles the model and trains it on from the last epoch."""
        start = self._epochs_done
        model.compile(
            optimizers.make(
                self._optimizer,
                steps=max(epochs, 1) * self._data.steps,
                learning_rate=self._learning_rate,
                is_qat=is_qat,
                steps_done=start * self._data.steps,
                decay=not callbacks_lib.control_learning_rate(self._callbacks),
            ),
            losses.make(self._loss),
            metrics=[tf_keras.metrics.SparseCategoricalAccuracy("accuracy")],
            weighted_metrics=[],
        )
        if not epochs:
            return
        # Variables that appear while a step is traced make TensorFlow trace
        # it once more.
        model.optimizer.build(model.trainable_variables)
        tf_keras.utils.set_random_seed(self._seed)
        watch = _Divergence()
        fitted = model.fit(
            self._data.train(self._seed + start),
            validation_data=self._data.validation,
            initial_epoch=start,
            epochs=start + epochs,
            class_weight=self._data.class_weight,
            callbacks=[
                watch,
                *callbacks_lib.adapt(self._callbacks, append=start > 0),
            ],
            verbose=0,
        )
        watch.check()
        self._epochs_done += len(fitted.epoch)
        for name, values in fitted.history.items():
            self.history.setdefault(name, []).extend(map(float, values))


class _Divergence(tf_keras.callbacks.Callback):
    """Stops at the first loss that is no finite number."""

    def __init__(self) -> None:
        super().__init__()
        self._epoch = 0
        self._message = ""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss) and not self._message:
            self._message = (
                f"Training diverged: the loss must be finite. Received: {loss} "
                f"in step {batch + 1} of epoch {self._epoch + 1}. Lower the "
                "learning rate."
            )
            self.model.stop_training = True

    def check(self) -> None:
        """Raises what was seen."""
        if self._message:
            raise FloatingPointError(self._message)


def _some_images(data: Inputs, seed: int) -> np.ndarray:
    parts: list[np.ndarray] = []
    for images, *_ in data.train(seed).as_numpy_iterator():
        parts.append(images)
        if sum(map(len, parts)) >= _CALIBRATION_IMAGES:
            break
    return np.concatenate(parts)[:_CALIBRATION_IMAGES]


def _accuracy(model: tf_keras.Model, data: Inputs) -> float:
    return model.evaluate(data.validation, verbose=0, return_dict=True)[
        "accuracy"
    ]
