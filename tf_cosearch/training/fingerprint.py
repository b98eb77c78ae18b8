"""Tells one data set from another, without reading all of it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import tensorflow as tf

from tf_cosearch.training import inputs

SAMPLE = 256
"""Examples that are looked at."""


def describe(
    x: Any, y: Any = None, classes: int | None = None, what: str = "data"
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
    sample = inputs.batches(x[rows], y[rows], len(rows), classes)
    images, labels = next(sample.as_numpy_iterator())
    content = images.tobytes() + labels.tobytes()
    return {
        f"{what}_examples": len(x),
        f"{what}_images": list(images.shape[1:]),
        f"{what}_sample": hashlib.sha256(content).hexdigest()[:16],
    }


def conditions(
    data: tuple[Any, Any],
    validation_data: Any,
    classes: int,
    *,
    batch_size: int | None,
    **settings: Any,
) -> dict[str, Any]:
    """What trials must have in common for their accuracies to compare.

    Args:
        data: Images and labels, or a `tf.data.Dataset` and None.
        validation_data: The same, a `tf.data.Dataset`, or None.
        classes: Number of classes.
        batch_size: Images a step; the default if None, with arrays.
        **settings: Settings of the training. What is no plain value counts
            by its type.

    Returns:
        Plain JSON.
    """
    is_pipeline = isinstance(data[0], tf.data.Dataset)
    x, y = data
    told = describe(x, y, classes, "training")
    if validation_data is not None:
        is_pair = isinstance(validation_data, (tuple, list))
        x, y = validation_data if is_pair else (validation_data, None)
        told |= describe(x, y, classes, "validation")
    settings["batch_size"] = None if is_pipeline else batch_size or 32
    text = json.dumps({**told, "classes": classes, **settings}, default=_plain)
    return dict(json.loads(text))


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    return type(value).__name__
