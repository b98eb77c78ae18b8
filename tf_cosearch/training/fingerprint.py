"""Tells one data set from another, without reading all of it."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tf_cosearch.tasks import CLASSIFICATION, Task
from tf_cosearch.training import callbacks as callbacks_lib
from tf_cosearch.training import (
    fit,
    inputs,
    losses,
    optimizers,
    settings,
    tensors,
)

SAMPLE = 256
"""Examples that are looked at."""


def describe(
    x: Any,
    y: Any = None,
    classes: int | None = None,
    what: str = "data",
    task: Task = CLASSIFICATION,
) -> dict[str, Any]:
    """What tells a data set from others.

    Of arrays, shape, length and a hash of images and labels from their whole
    length, after what training does to them: the same pixels as uint8 and
    scaled are the same data. A `tf.data.Dataset` may shuffle and augment, so
    of that only batches and shapes are compared.

    Args:
        x: Images `[N, H, W, C]` or `[N, H, W]`, or a `tf.data.Dataset` of
            batches.
        y: Labels `[N]` or one-hot, or None with a `tf.data.Dataset`.
        classes: Width of one-hot labels, if labels may be one-hot.
        what: Begins the keys.
        task: What the networks are for.

    Returns:
        Plain JSON.

    Example:
    >>> told = describe(np.zeros((3, 8, 8)), np.arange(3), what="training")
    >>> told["training_examples"], told["training_images"]
    (3, [8, 8, 1])
    """
    if isinstance(x, tf.data.Dataset):
        return {
            f"{what}_batches": int(x.cardinality()),
            f"{what}_elements": str(x.element_spec),
        }
    x, y = np.asarray(x), np.asarray(y)
    rows = np.unique(np.linspace(0, len(x) - 1, SAMPLE).astype(int))
    sample = inputs.batches(x[rows], y[rows], len(rows), classes, task=task)
    images, labels = next(sample.as_numpy_iterator())
    content = images.tobytes() + labels.tobytes()
    return {
        f"{what}_examples": len(x),
        f"{what}_images": list(images.shape[1:]),
        f"{what}_sample": hashlib.sha256(content).hexdigest()[:16],
    }


def describe_splits(
    data: tuple[Any, ...],
    validation_data: Any,
    classes: int | None,
    task: Task = CLASSIFICATION,
) -> dict[str, Any]:
    """What tells the data of a training from others.

    Args:
        data: Images and labels, or a `tf.data.Dataset` and None. For an own
            model what `tensors.describe` takes, sample weights included.
        validation_data: The same, a `tf.data.Dataset`, or None.
        classes: Number of classes; None for an own model.
        task: What the networks are for.

    Returns:
        Plain JSON.
    """
    tell: Callable[..., dict[str, Any]] = (
        tensors.describe
        if classes is None
        else functools.partial(describe, classes=classes, task=task)
    )
    told = tell(*data, what="training")
    if validation_data is not None:
        is_pair = isinstance(validation_data, (tuple, list))
        parts = validation_data if is_pair else (validation_data,)
        told |= tell(*parts, what="validation")
    return told


def conditions(
    data: tuple[Any, ...],
    validation_data: Any,
    classes: int | None,
    *,
    batch_size: int | None,
    epochs: int,
    qat_epochs: int | None = None,
    optimizer: Any = None,
    learning_rate: float | None = None,
    loss: Any = None,
    callbacks: Any = None,
    task: Task | None = None,
    **others: Any,
) -> dict[str, dict[str, Any]]:
    """What trials must have in common: `data` and `training` of `Identity`.

    Args:
        data: What `describe_splits` takes.
        validation_data: The same.
        classes: The same.
        batch_size: Images a step; the default if None, with arrays.
        epochs: Epochs of both phases together.
        qat_epochs: How many of them are quantization-aware; the default if
            None.
        optimizer: What `optimizers.make` takes.
        learning_rate: The same.
        loss: What `losses.make` takes.
        callbacks: What `callbacks.adapt` takes. Those of Keras that only
            write down what happens do not count.
        task: What the networks of a space of blocks are for. Of one of the
            user's own the code counts.
        **others: Other settings, of which `settings.plain` counts.

    Returns:
        Plain JSON of both.
    """
    is_pipeline = isinstance(data[0], (tf.data.Dataset, *tensors.SEQUENCES))
    task = task or CLASSIFICATION
    told = describe_splits(data, validation_data, classes, task)
    if qat_epochs is None:
        qat_epochs = fit.default_qat_epochs(epochs)
    trained = {
        "classes": classes,
        "batch_size": None if is_pipeline else batch_size or 32,
        "epochs": epochs,
        "qat_epochs": qat_epochs,
        "optimizer": optimizers.describe(optimizer, learning_rate),
        "loss": losses.of_task(task, loss),
        "callbacks": callbacks_lib.that_train(callbacks),
    }
    if written := settings.written(type(task)):
        trained["task"] = written
    return {"data": told, "training": settings.plain({**trained, **others})}
