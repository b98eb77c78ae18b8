"""Data for a user's own model: what Keras' `fit` takes, one tensor in and out.

Unlike images for a template, values stay as they are: nothing is scaled.
"""

from __future__ import annotations

import hashlib
import math
import numbers
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tf_keras

from tf_cosearch import configuration
from tf_cosearch.training import inputs
from tf_cosearch.training.inputs import Inputs

ARGUMENTS = ("sample_weight", "shuffle", "steps_per_epoch", "validation_steps")
"""What `search` takes for an own model alone."""

SAMPLE = 256
"""Examples that data are told by."""

SEQUENCES = (keras.utils.PyDataset, tf_keras.utils.Sequence)
"""Batches of either Keras that are told by a number."""


def prepare(
    x: Any,
    y: Any = None,
    *,
    batch_size: int | None = None,
    sample_weight: Any = None,
    class_weight: Mapping[int, float] | None = None,
    shuffle: bool = True,
    steps_per_epoch: int | None = None,
    validation_data: Any = None,
    validation_split: float = 0.0,
    validation_steps: int | None = None,
) -> Inputs:
    """Checks the data and makes pipelines of it.

    Args:
        x: An array `[N, ...]`, or a batched `tf.data.Dataset`, `PyDataset` or
            `Sequence` of (inputs, targets) or (inputs, targets, sample
            weights).
        y: Targets `[N, ...]`; None if `x` yields them.
        batch_size: Examples a step, 32 unless told; arrays only.
        sample_weight: Weights `[N]` in the loss; arrays only.
        class_weight: Weight of each class in the loss.
        shuffle: Whether arrays come in another order each epoch.
        steps_per_epoch: Training batches an epoch; all of them unless told.
        validation_data: A pair or triple of arrays, or what else `x` may be.
        validation_split: Fraction at the end of the arrays to validate on.
        validation_steps: Batches to validate on; all of them unless told.

    Returns:
        Pipelines for training and validation.

    Raises:
        TypeError: If data are of a kind that cannot be read again and again.
        ValueError: If arguments contradict each other, or data are empty,
            not finite, or of different lengths.
    """
    if not isinstance(shuffle, bool):
        raise TypeError(
            f"shuffle must be True or False. Received: {shuffle!r}."
        )
    for name, steps in (
        ("batch_size", batch_size),
        ("steps_per_epoch", steps_per_epoch),
        ("validation_steps", validation_steps),
    ):
        if steps is not None:
            configuration.at_least(name, steps, 1, inputs.LARGEST)
    size = 32 if batch_size is None else int(batch_size)
    train = _source(x, y, sample_weight, what="training data")
    if isinstance(train, tf.data.Dataset) and batch_size is not None:
        raise ValueError(
            "batch_size must not be given with batches. Received: batch_size="
            f"{batch_size} beside {type(x).__name__}. Batch the data itself."
        )
    if validation_data is None:
        train, validation = _split(train, validation_split)
    else:
        if validation_split:
            raise ValueError(
                "validation_split must not be given beside validation_data. "
                f"Received: {validation_split!r}. Leave one out."
            )
        is_arrays = isinstance(validation_data, (tuple, list))
        if is_arrays and len(validation_data) not in (2, 3):
            raise ValueError(
                "validation_data must be (x, y), (x, y, sample_weight) or "
                f"batches. Received: {len(validation_data)} elements."
            )
        parts = validation_data if is_arrays else (validation_data,)
        validation = _source(*parts, what="validation data")
    _check_class_weight(class_weight)
    samples = (_sample(train), _sample(validation))
    validation = _once(validation, size, validation_steps)
    if isinstance(train, tf.data.Dataset):
        return _of_pipeline(
            train, validation, steps_per_epoch, class_weight, samples
        )
    count = -(-len(train[0]) // size)
    steps = steps_per_epoch or count

    def pipeline(seed: int, epoch: int) -> tf.data.Dataset:
        first, rest = divmod(epoch * steps, count)
        order = (
            inputs.endless_order(len(train[0]), size, seed, first)
            if shuffle
            else tf.data.Dataset.range(len(train[0])).batch(size).repeat()
        )
        return _gather(train, order.skip(rest)).prefetch(2)

    return Inputs(
        train=pipeline,
        validation=validation,
        steps=steps,
        class_weight=class_weight,
        samples=samples,
        batch_size=min(size, len(train[0])),
    )


def batches(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """Batches of data to measure on, in their order.

    Args:
        x: What `prepare` takes.
        y: The same.
        sample_weight: The same.

    Returns:
        A `tf.data.Dataset`.

    Raises:
        TypeError, ValueError: As `prepare`.
    """
    return _once(_source(x, y, sample_weight, what="test data"), 32, None)


def describe(
    x: Any, y: Any = None, sample_weight: Any = None, what: str = "data"
) -> dict[str, Any]:
    """What tells data from others, as `fingerprint.describe` does of images.

    Args:
        x: What `prepare` takes.
        y: The same.
        sample_weight: The same.
        what: Begins the keys.

    Returns:
        Plain JSON.
    """
    source = _source(x, y, sample_weight, what=what)
    if isinstance(source, tf.data.Dataset):
        return {
            f"{what}_batches": int(source.cardinality()),
            f"{what}_elements": str(source.element_spec),
        }
    size = len(source[0])
    rows = np.unique(np.linspace(0, size - 1, SAMPLE).astype(int))
    content = b"".join(array[rows].tobytes() for array in source)
    return {
        f"{what}_examples": size,
        f"{what}_shapes": [list(array.shape[1:]) for array in source],
        f"{what}_sample": hashlib.sha256(content).hexdigest()[:16],
    }


def _of_pipeline(
    train: tf.data.Dataset,
    validation: tf.data.Dataset,
    steps_per_epoch: int | None,
    class_weight: Mapping[int, float] | None,
    samples: Sequence[tuple[np.ndarray, ...]],
) -> Inputs:
    is_endless = train.cardinality() == tf.data.INFINITE_CARDINALITY
    if is_endless and steps_per_epoch is None:
        raise ValueError(
            "training data must end. Received: an infinite tf.data.Dataset. "
            "Pass steps_per_epoch."
        )
    if steps_per_epoch is not None and not is_endless:
        # So that an epoch goes on where the one before ended.
        train = train.repeat().apply(
            tf.data.experimental.assert_cardinality(
                tf.data.INFINITE_CARDINALITY
            )
        )
    return Inputs(
        train=lambda seed, epoch: train,
        validation=validation,
        steps=steps_per_epoch or inputs.count(train),
        class_weight=class_weight,
        samples=samples,
        batch_size=len(samples[0][0]),
    )


def _sample(source: Any) -> tuple[np.ndarray, ...]:
    """A batch that shows what does not fit; of labels those at the ends."""
    if isinstance(source, tf.data.Dataset):
        return next(iter(source.take(1).as_numpy_iterator()))
    y = source[1].reshape(len(source[1]), -1)
    ends = [y.min(axis=1).argmin(), y.max(axis=1).argmax()]
    rows = np.union1d(ends, np.arange(min(32, len(y))))
    return tuple(array[rows] for array in source)


def _source(x: Any, y: Any = None, weight: Any = None, *, what: str) -> Any:
    """Arrays as a tuple, all else as a pipeline of batches."""
    if isinstance(x, (tf.data.Dataset, *SEQUENCES)):
        for name, value in (("y", y), ("sample_weight", weight)):
            if value is not None:
                raise ValueError(
                    f"{what} must have its {name} in the batches. Received: "
                    f"{name} beside {type(x).__name__}. Leave it out."
                )
        pipeline = x if isinstance(x, tf.data.Dataset) else of_sequence(x)
        return _checked_pipeline(pipeline, what)
    if isinstance(x, (Iterator, Mapping)) or callable(getattr(x, "send", None)):
        raise TypeError(
            f"{what} must be one array, a tf.data.Dataset or a PyDataset, "
            "which every design can read again. Received: "
            f"{type(x).__name__}. Use tf.data.Dataset.from_generator."
        )
    if x is None or y is None:
        raise ValueError(
            f"{what} must have inputs and targets. Received: "
            f"{'x' if x is None else 'y'}=None."
        )
    arrays = tuple(
        _numbers(value, name, what)
        for value, name in ((x, "x"), (y, "y"), (weight, "sample_weight"))
        if value is not None
    )
    sizes = [len(array) if array.ndim else 0 for array in arrays]
    if len(set(sizes)) > 1 or not sizes[0]:
        raise ValueError(
            f"{what} must have a target, and a weight if any, for each input, "
            f"and at least one. Received: {' and '.join(map(str, sizes))}."
        )
    return arrays


def _numbers(value: Any, name: str, what: str) -> np.ndarray:
    """An array of finite numbers; what is float becomes float32."""
    array = inputs.as_array(value, f"{name} of the {what}")
    if array.dtype.kind not in "fiub":
        raise ValueError(
            f"{name} of the {what} must be numbers. Received: {array.dtype}."
        )
    if array.dtype.kind == "f":
        array = array.astype(np.float32)
        if not np.isfinite(array).all():
            raise ValueError(
                f"{name} of the {what} must be finite in float32. Received: "
                f"{int((~np.isfinite(array)).sum())} values that are not."
            )
    return array


def for_tf_keras(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `fit` without batches that only Keras 3 takes."""
    return {
        name: of_sequence(value) if isinstance(value, SEQUENCES) else value
        for name, value in arguments.items()
    }


def of_sequence(sequence: Any) -> tf.data.Dataset:
    """The batches of a `PyDataset` or `Sequence`, as both Kerases take them.

    Args:
        sequence: Of batches (inputs, targets[, sample weights]).

    Returns:
        A pipeline that reads it again in each epoch.
    """

    def read() -> Iterator[tuple[np.ndarray, ...]]:
        for number in range(len(sequence)):
            yield tuple(map(np.asarray, sequence[number]))
        if hasattr(sequence, "on_epoch_end"):
            sequence.on_epoch_end()

    if not len(sequence):
        raise ValueError("A PyDataset must have batches. Received: none.")
    signature = tuple(
        tf.TensorSpec((None, *part.shape[1:]), part.dtype)
        for part in map(np.asarray, sequence[0])
    )
    return tf.data.Dataset.from_generator(
        read, output_signature=signature
    ).apply(tf.data.experimental.assert_cardinality(len(sequence)))


def _checked_pipeline(pipeline: tf.data.Dataset, what: str) -> tf.data.Dataset:
    spec = pipeline.element_spec
    if (
        not isinstance(spec, tuple)
        or len(spec) not in (2, 3)
        or not all(isinstance(part, tf.TensorSpec) for part in spec)
    ):
        raise ValueError(
            f"{what} must yield (inputs, targets) or (inputs, targets, sample "
            f"weights), one tensor each. Received: {spec}."
        )
    if spec[0].shape.rank == 0 or spec[1].shape.rank == 0:
        raise ValueError(
            f"{what} must be batched. Received: elements of {spec}. Use "
            "dataset.batch(size)."
        )
    first = next(iter(pipeline.take(1).as_numpy_iterator()), None)
    if first is None or not len(first[0]):
        raise ValueError(f"{what} must not be empty. Received: no batches.")
    for part, name in zip(first, ("x", "y", "sample_weight"), strict=False):
        _numbers(part, name, what)
    return pipeline.map(lambda *parts: tuple(map(_float, parts)))


def _float(tensor: Any) -> Any:
    return tf.cast(tensor, tf.float32) if tensor.dtype.is_floating else tensor


def _gather(arrays: tuple[Any, ...], rows: tf.data.Dataset) -> tf.data.Dataset:
    tensors = [tf.convert_to_tensor(array) for array in arrays]
    return rows.map(lambda part: tuple(tf.gather(t, part) for t in tensors))


def _once(source: Any, size: int, steps: int | None) -> tf.data.Dataset:
    """Validation batches in their order."""
    if isinstance(source, tf.data.Dataset):
        if source.cardinality() == tf.data.INFINITE_CARDINALITY and not steps:
            raise ValueError(
                "validation data must end. Received: an infinite "
                "tf.data.Dataset. Pass validation_steps."
            )
    else:
        rows = tf.data.Dataset.range(len(source[0])).batch(size)
        source = _gather(source, rows)
    return source.take(steps or -1).prefetch(2)


def _split(train: Any, fraction: float) -> tuple[Any, Any]:
    if isinstance(train, tf.data.Dataset) or not fraction:
        raise ValueError(
            "There must be data to validate on. Received: "
            f"validation_split={fraction!r} and no validation_data. Pass "
            "validation_data, or with arrays validation_split=0.2."
        )
    if not isinstance(fraction, numbers.Real) or not 0 < fraction < 1:
        raise ValueError(
            f"validation_split must be between 0 and 1. Received: {fraction!r}."
        )
    start = math.floor(len(train[0]) * (1 - float(fraction)))
    if not 0 < start < len(train[0]):
        raise ValueError(
            "validation_split must leave examples on both sides. Received: "
            f"{fraction!r} of {len(train[0])}."
        )
    return tuple(a[:start] for a in train), tuple(a[start:] for a in train)


def _check_class_weight(class_weight: Mapping[int, float] | None) -> None:
    if class_weight is None:
        return
    if not isinstance(class_weight, Mapping) or not class_weight:
        raise ValueError(
            "class_weight must map classes to weights. Received: "
            f"{class_weight!r}."
        )
    for weight in class_weight.values():
        if not isinstance(weight, numbers.Real) or not 0 <= weight < math.inf:
            raise ValueError(
                "Weights of class_weight must be finite numbers of 0 or more. "
                f"Received: {weight!r}."
            )
