"""Trains one network: float warm-up, quantization-aware, int8 file."""

from __future__ import annotations

import dataclasses
import math
import numbers
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tf_keras

from tf_cosearch import configuration
from tf_cosearch.networks.precision import Precision
from tf_cosearch.tasks import CLASSIFICATION, Task
from tf_cosearch.training import callbacks as callbacks_lib
from tf_cosearch.training import (
    checkpoint,
    losses,
    optimizers,
    phases,
    qat,
    recipes,
    session,
    tensors,
)
from tf_cosearch.training.inputs import LARGEST, Inputs
from tf_cosearch.training.recipes import Recipe

_CALIBRATION_IMAGES = 256


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained network and what it measured.

    Attributes:
        accuracy_float: On the validation data, before quantization.
        accuracy_qat: The same with faked int8 arithmetic; None if it was
            quantized after training.
        accuracy_int8: The same of the `tflite` file in its interpreter.
        tflite: The file.
        model: The float model, in the Keras that built it.
        qat_model: The quantization-aware tf_keras model, or None.
        history: Metric -> one value per epoch, over both phases.
        seconds: Phase (build, float, qat, conversion, evaluation) -> s.
        stopped_epoch: The epoch after which `on_epoch` gave it up, or None.
        others: Further compiled metrics of the file, as `NAME_int8`.
    """

    accuracy_float: float
    accuracy_qat: float | None
    accuracy_int8: float
    tflite: bytes
    model: Any
    qat_model: tf_keras.Model | None
    history: dict[str, list[float]]
    seconds: dict[str, float]
    stopped_epoch: int | None = None
    others: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def metrics(self) -> dict[str, float]:
        """Accuracies, seconds of each phase and of all, `stopped_epoch`."""
        metrics = {"accuracy_int8": self.accuracy_int8}
        if self.accuracy_qat is not None:
            metrics["accuracy_qat"] = self.accuracy_qat
        metrics |= {
            "accuracy_float": self.accuracy_float,
            **self.others,
            **{f"seconds_{name}": s for name, s in self.seconds.items()},
            "seconds": sum(self.seconds.values()),
        }
        if self.stopped_epoch is not None:
            metrics["stopped_epoch"] = float(self.stopped_epoch)
        return metrics

    def save_weights(self, folder: str | os.PathLike[str]) -> None:
        """Writes `float.weights.h5`, and `qat.weights.h5` if there are any.

        Args:
            folder: An existing folder.
        """
        folder = pathlib.Path(folder)
        qat.save_weights(self.model, folder / "float.weights.h5")
        if self.qat_model is not None:
            qat.save_weights(self.qat_model, folder / "qat.weights.h5")


@session.private()
def train(
    build: Callable[[Any], tf_keras.Model] | Recipe,
    data: Inputs,
    *,
    epochs: int,
    qat_epochs: int | None = None,
    quantization: str = recipes.AWARE,
    callbacks: Sequence[Any] = (),
    seed: int = 0,
    learning_rate: float | None = None,
    optimizer: Any = None,
    loss: Any = None,
    precision: Callable[[str], Precision] | None = None,
    task: Task = CLASSIFICATION,
    float_weights: str | os.PathLike[str] | None = None,
    qat_weights: str | os.PathLike[str] | None = None,
    checkpoint_folder: str | os.PathLike[str] | None = None,
    on_epoch: phases.Watch | None = None,
    log_folder: str | None = None,
) -> Trained:
    """Trains a network in float, then quantization-aware, and converts it.

    Each phase is a `fit` of its own, with its own optimizer and fresh copies
    of the callbacks; epoch numbers go on.

    With a `checkpoint_folder`, a training that is interrupted and started
    again with the same arguments goes on after the last epoch that was saved,
    and its result is that of one that was not interrupted, to the bit: order
    of the data and dropout follow from seed and epoch. TensorFlow divides sums
    among threads, so these must be as many. And it does not hold for
    what is not in a checkpoint: the state of a `tf.data` pipeline that
    shuffles or augments by itself, callbacks' private attributes, objects and
    dictionaries, and layers that draw random numbers by TensorFlow's
    operations themselves.

    Args:
        build: From `tf_keras` to an uncompiled model with logits; or a
            `Recipe`, which says how it is trained itself.
        data: What `inputs.prepare` returned, or with an own model
            `tensors.prepare`.
        epochs: Epochs of both phases together.
        qat_epochs: How many of them are quantization-aware; None is
            `default_qat_epochs(epochs)`. 0 calibrates the ranges alone.
        quantization: `aware`, or `after_training`: all epochs are float, and
            TensorFlow's converter quantizes the network by images it sees.
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
        precision: The bits of a layer by its name, of a network that is no
            `Recipe`; by default 8 everywhere.
        task: What such a network is for.
        float_weights: A file to start the float phase from.
        qat_weights: A file to start the quantization-aware phase from. Needs
            `qat_epochs=epochs`.
        checkpoint_folder: An existing folder for checkpoints, one training at
            a time; `checkpoint.remove` ends it.
        on_epoch: Called with the history after each epoch. If it returns true
            in the float phase, the training ends in order: what there is, is
            calibrated, converted and measured, without a quantization-aware
            phase.
        log_folder: `trial_07/execution_0` for one: callbacks that write do so
            below it, each phase apart, so that trainings do not write over
            each other. None leaves their places as they are; a `CSVLogger`
            then goes on with the file of the phase before.

    Returns:
        The networks, the file and the accuracies.

    Raises:
        ValueError: If epochs or weights do not fit together, or `check`
            fails.
        FloatingPointError: If the loss becomes NaN or infinite.
    """
    check(
        epochs,
        qat_epochs,
        callbacks,
        optimizer,
        loss,
        learning_rate,
        quantization,
    )
    is_aware = quantization == recipes.AWARE
    if qat_epochs is None:
        qat_epochs = default_qat_epochs(epochs) if is_aware else 0
    # Small integers of NumPy overflow in products.
    epochs, qat_epochs = int(epochs), int(qat_epochs)
    if qat_weights is not None and qat_epochs != epochs:
        raise ValueError(
            "qat_weights would be lost on float epochs. Received: "
            f"epochs={epochs} and qat_epochs={qat_epochs}. Pass "
            f"qat_epochs={epochs}."
        )
    if isinstance(build, Recipe):
        recipe = build
    else:
        recipe = recipes.Template(
            build,
            precision,
            task,
            optimizer=optimizer,
            loss=loss,
            learning_rate=learning_rate,
        )
    run = phases.Run(recipe, data, callbacks, seed, on_epoch, log_folder)
    with run.clock("build"):
        session.seed(seed, "build")
        model = recipe.build()
        if float_weights is not None:
            qat.load_weights(model, float_weights)
        run.compile(model, epochs - qat_epochs, "float")
        recipe.prepare(model, data, quantization)
        if checkpoint_folder is not None:
            key = checkpoint.fingerprint(
                network=recipe.describe(model),
                data=data.describe(),
                epochs=(epochs, qat_epochs),
                callbacks=callbacks,
                seed=seed,
                weights=(str(float_weights), str(qat_weights)),
                versions=(
                    tf.__version__,
                    tf_keras.__version__,
                    keras.__version__,
                ),
            )
            run.checkpoints = checkpoint.Checkpoints(checkpoint_folder, key)
    with run.clock("float"):
        run.fit(model, epochs - qat_epochs, "float")
        if run.stopped_epoch is not None:
            qat_epochs = 0
    qat_model = None
    with run.clock("qat"):
        images = _some_images(data, seed)
        if is_aware:
            session.seed(seed, "calibration")
            qat_model = recipe.quantize(model, images[:32])
            if qat_weights is None:
                qat.calibrate(qat_model, images)
            else:
                qat.load_weights(qat_model, qat_weights)
            run.compile(qat_model, qat_epochs, "qat")
            run.fit(qat_model, qat_epochs, "qat")
    with run.clock("conversion"):
        if qat_model is None:
            tflite = recipe.to_tflite(model, images)
        else:
            tflite = qat.to_tflite(qat_model)
    with run.clock("evaluation"):
        measured = recipe.measure(data, model, qat_model, tflite)
    return Trained(
        accuracy_float=measured.pop("accuracy_float"),
        accuracy_qat=measured.pop("accuracy_qat", None),
        accuracy_int8=measured.pop("accuracy_int8"),
        tflite=tflite,
        model=model,
        qat_model=qat_model,
        history=run.history,
        seconds=run.seconds,
        stopped_epoch=run.stopped_epoch,
        others=measured,
    )


@session.private()
def rehearse(
    recipe: Recipe,
    data: Inputs,
    callbacks: Any = (),
    quantization: str = recipes.AWARE,
) -> list[str]:
    """Refuses what `train` would, without training.

    Args:
        recipe: Of a network that may be trained.
        data: What it would be trained on.
        callbacks: Keras 3 or tf_keras callbacks.
        quantization: Of `recipes.QUANTIZATIONS`.

    Returns:
        Names of the metrics that `train` would measure.

    Raises:
        TypeError, ValueError: If something could not be trained, quantized or
            measured; it is named.
    """
    model = recipe.build()
    recipe.compile(model, is_qat=False, steps=1, steps_done=0, decay=True)
    recipe.prepare(model, data, quantization)
    recipe.rehearse_fit()
    callbacks_lib.adapt(callbacks, for_keras3=isinstance(model, keras.Model))
    if quantization == recipes.AFTER_TRAINING:
        # Which layers become int8 only the conversion tells.
        recipe.to_tflite(model, _some_images(data, 0)[:8])
    return recipe.measures(quantization)


@session.private()
def untrained(recipe: Recipe, data: Inputs) -> bytes:
    """An int8 file of a network with its first weights.

    It runs as long as a trained one, and says nothing right.

    Args:
        recipe: Of the network.
        data: Whose images the ranges are seen on.

    Returns:
        The file.

    Raises:
        ValueError: If the network cannot be converted.
    """
    session.seed(0, "build")
    model = recipe.build()
    recipe.compile(model, is_qat=False, steps=1, steps_done=0, decay=True)
    recipe.prepare(model, data, recipes.AFTER_TRAINING)
    return recipe.to_tflite(model, _some_images(data, 0)[:8])


@session.private()
def measure(
    network: Any, tflite: str | os.PathLike[str], data: Sequence[Any]
) -> dict[str, float]:
    """What a file of a user's own model reaches by the model's metrics.

    Args:
        network: With `hypermodel` and `hyperparameters()`, which built it.
        tflite: The file.
        data: What `tensors.batches` takes.

    Returns:
        Metrics as `NAME_int8`.

    Raises:
        ValueError: If the data do not fit the model.
    """
    if not hasattr(network, "hypermodel"):
        network.build()  # which says that it cannot
    recipe = recipes.Own(network.hypermodel, network.hyperparameters())
    batches = tensors.batches(*data)
    model = recipe.build()
    recipe.compile(model, is_qat=False, steps=1, steps_done=0, decay=True)
    inputs = Inputs(lambda seed, epoch: batches, batches, steps=1)
    recipe.prepare(model, inputs, recipes.AFTER_TRAINING)
    return recipe.measure_file(batches.as_numpy_iterator(), tflite)


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
    quantization: str = recipes.AWARE,
    also: Sequence[str] = (),
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
        quantization: Of `recipes.QUANTIZATIONS`.
        also: Names of arguments that this training takes beside the usual.
        **others: Other arguments meant for Keras' `fit`; there are none.

    Raises:
        TypeError: If an argument is not supported or no callback.
        ValueError: If a value is out of its range.
        ImportError: If a callback needs a package that is not installed.
    """
    for name in others:
        hint = _INSTEAD.get(name, "")
        raise TypeError(
            f"Arguments must be among {', '.join((*_SUPPORTED, *also))}. "
            f"Received: {name}.{hint}"
        )
    if tf.distribute.has_strategy() or not tf.executing_eagerly():
        raise ValueError(
            "A training must run eagerly and on one device. Received: a call "
            "within a tf.distribute strategy, a tf.Graph or a tf.function. "
            "Leave its scope first."
        )
    if not _is_integer(epochs) or not 1 <= epochs <= LARGEST:
        raise ValueError(
            f"epochs must be 1 or more, {LARGEST} at most. Received: "
            f"{epochs!r}."
        )
    if qat_epochs is not None and (
        not _is_integer(qat_epochs) or not 0 <= qat_epochs <= epochs
    ):
        raise ValueError(
            f"qat_epochs must be between 0 and epochs={epochs}, which counts "
            f"them in. Received: {qat_epochs!r}."
        )
    if quantization not in recipes.QUANTIZATIONS:
        raise configuration.unknown(
            "quantization", quantization, recipes.QUANTIZATIONS
        )
    if quantization != recipes.AWARE and qat_epochs:
        raise ValueError(
            "qat_epochs must be left out with quantization='after_training', "
            f"which trains in float alone. Received: {qat_epochs!r}."
        )
    callbacks_lib.adapt(callbacks)
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
    optimizers.make(optimizer, steps=1, learning_rate=learning_rate)


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


def _some_images(data: Inputs, seed: int) -> np.ndarray:
    parts: list[np.ndarray] = []
    batches = data.train(seed, 0).take(data.steps)
    for images, *_ in batches.as_numpy_iterator():
        parts.append(images)
        if sum(map(len, parts)) >= _CALIBRATION_IMAGES:
            break
    return np.concatenate(parts)[:_CALIBRATION_IMAGES]
