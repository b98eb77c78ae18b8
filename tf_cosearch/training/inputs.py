"""What a Keras user passes to `fit`, checked and made into pipelines."""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from tf_cosearch import configuration
from tf_cosearch.tasks import CLASSIFICATION, Task

LARGEST = 2**31 - 1
"""Of numbers of examples, batches and epochs."""

_LARGEST = np.finfo(np.float32).max


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The data of a training, ready for `training.fit.train`.

    Images are float32 `[N, H, W, C]` (uint8 was scaled to 0..1), targets what
    the task has, integer labels `[N]` of a classification; a third element, if
    there is one, is the sample weight.

    Attributes:
        train: From a seed and an epoch, training batches of that epoch and,
            without end, of those after it. Their order follows from both
            numbers, so that a training resumes where it was. A pipeline of
            the user's is one epoch long and passed through: its shuffling is
            the user's affair.
        validation: Batches in their order.
        steps: Training batches an epoch.
        class_weight: Weight of each class in the loss, or None.
        samples: Batches to try a model on before it is trained; of arrays
            with the least and the largest target.
        batch_size: Examples of the largest training batch, as far as known.
    """

    train: Callable[[int, int], tf.data.Dataset]
    validation: tf.data.Dataset
    steps: int
    class_weight: Mapping[int, float] | None = None
    samples: Sequence[tuple[np.ndarray, ...]] = ()
    batch_size: int = 32

    def validation_batches(self) -> Iterator[tuple[np.ndarray, ...]]:
        """Yields the validation batches as NumPy arrays."""
        return self.validation.as_numpy_iterator()

    def describe(self) -> list[str]:
        """Shapes, types and sizes, to tell one data set from another."""
        specs = (self.train(0, 0).element_spec, self.validation.element_spec)
        sizes = (self.steps, int(self.validation.cardinality()))
        return [str(each) for each in (*specs, *sizes, self.class_weight)]


def prepare(
    x: Any,
    y: Any = None,
    *,
    input_shape: tuple[int, ...],
    classes: int,
    validation_data: Any = None,
    validation_split: float = 0.0,
    batch_size: int | None = None,
    class_weight: Mapping[int, float] | None = None,
    task: Task = CLASSIFICATION,
) -> Inputs:
    """Checks the data and makes pipelines of it.

    Args:
        x: Images `[N, H, W, C]`, or `[N, H, W]` for one channel, or a batched
            `tf.data.Dataset` of (images, labels) or (images, labels, sample
            weights). Pixels of uint8 are scaled to 0..1.
        y: Integer labels `[N]` or `[N, 1]`, or one-hot `[N, classes]`, or what
            another task takes; None with a `tf.data.Dataset`.
        input_shape: (height, width, channels) of the networks.
        classes: Labels are in [0, classes).
        validation_data: A pair of arrays or a batched `tf.data.Dataset`.
        validation_split: Fraction at the end of the arrays to validate on.
        batch_size: Images a step, 32 unless told; arrays only.
        class_weight: Weight of each class in the loss, 0 or more.
        task: What the networks are for.

    Returns:
        Pipelines for training and validation.

    Raises:
        ValueError: If arguments contradict each other or `check` fails.
    """
    is_pipeline = isinstance(x, tf.data.Dataset)
    if is_pipeline and batch_size is not None:
        raise ValueError(
            "batch_size must not be given with a tf.data.Dataset. Received: "
            f"batch_size={batch_size}. Batch the data set itself: "
            "dataset.batch(size)."
        )
    size = 32
    if batch_size is not None:
        size = configuration.at_least("batch_size", batch_size, 1, LARGEST)
    if validation_data is None:
        x, y, validation_data = _split(x, y, validation_split)
    elif validation_split is not None and validation_split != 0:
        raise ValueError(
            "validation_split must not be given beside validation_data. "
            f"Received: validation_split={validation_split!r}. Leave one out."
        )
    if isinstance(validation_data, tf.data.Dataset):
        validation_data = (validation_data, None)
    if not isinstance(validation_data, (tuple, list)) or (
        len(validation_data) != 2
    ):
        raise ValueError(
            "validation_data must be a pair (x, y) or a tf.data.Dataset. "
            f"Received: {type(validation_data).__name__}."
        )
    xv, yv = validation_data
    largest = check(x, y, input_shape, classes, "training data", task)
    check(xv, yv, input_shape, classes, "validation data", task)
    if class_weight is not None and not task.takes_class_weight:
        raise ValueError(
            "class_weight must be for a task whose labels are one class each. "
            f"Received: it for {task.name}. Leave it out."
        )
    check_class_weight(class_weight, classes)
    if task.has_pixels:
        _warn_unscaled(x)
    if is_pipeline:
        pipeline = batches(x, None, size, classes, task=task)
        return Inputs(
            train=lambda seed, epoch: pipeline,
            validation=batches(xv, yv, size, classes, task=task),
            steps=count(x),
            class_weight=class_weight,
            batch_size=largest,
        )
    return Inputs(
        train=lambda seed, epoch: batches(
            x, y, size, classes, (seed, epoch), task
        ),
        validation=batches(xv, yv, size, classes, task=task),
        steps=-(-len(x) // size),
        class_weight=class_weight,
        batch_size=min(size, largest),
    )


def batches(
    x: Any,
    y: Any = None,
    batch_size: int = 32,
    classes: int | None = None,
    shuffle: tuple[int, int] | None = None,
    task: Task = CLASSIFICATION,
) -> tf.data.Dataset:
    """Batches of float32 images and integer labels, or what a task has.

    Args:
        x: Images `[N, H, W, C]` or `[N, H, W]`, or a batched
            `tf.data.Dataset`, which is not batched again.
        y: Labels, or None with a `tf.data.Dataset`.
        batch_size: Images a batch.
        classes: Width of one-hot labels, if labels may be one-hot.
        shuffle: Seed and first epoch: arrays come epoch after epoch without
            end, each in an order that the seed and its number decide.
            Without, they come once and as they are.
        task: What the networks are for.

    Returns:
        A prefetching `tf.data.Dataset` of (images, labels[, weights]).
    """

    def normalize(x: Any, y: Any, *weights: Any) -> tuple[Any, ...]:
        return (task.inputs(x), task.targets(y, classes), *weights)

    if isinstance(x, tf.data.Dataset):
        return x.map(normalize, tf.data.AUTOTUNE).prefetch(2)
    x, y = tf.convert_to_tensor(x), tf.convert_to_tensor(y)
    # Shuffling numbers, then gathering a batch at once, is much cheaper than
    # shuffling images one by one.
    if shuffle is None:
        numbers = tf.data.Dataset.range(len(x)).batch(batch_size)
    else:
        numbers = endless_order(len(x), batch_size, *shuffle)
    return numbers.map(
        lambda rows: normalize(tf.gather(x, rows), tf.gather(y, rows))
    ).prefetch(2)


def endless_order(
    count: int, batch_size: int, seed: int, epoch: int
) -> tf.data.Dataset:
    """Batches of row numbers, from an epoch on."""

    def order(number: Any) -> tf.data.Dataset:
        rows = tf.random.experimental.stateless_shuffle(
            tf.range(count), (seed, number)
        )
        return tf.data.Dataset.from_tensor_slices(rows).batch(batch_size)

    return (
        tf.data.Dataset.counter(epoch)
        .flat_map(order)
        .apply(
            tf.data.experimental.assert_cardinality(
                tf.data.INFINITE_CARDINALITY
            )
        )
    )


def check(
    x: Any,
    y: Any,
    input_shape: tuple[int, ...],
    classes: int,
    what: str,
    task: Task = CLASSIFICATION,
) -> int:
    """Refuses data that a network could not learn from.

    A `tf.data.Dataset` is read through once.

    Args:
        x: Images `[N, H, W, C]` or `[N, H, W]`, or a `tf.data.Dataset` of
            batches.
        y: Labels, or None with a `tf.data.Dataset`.
        input_shape: (height, width, channels) of the networks.
        classes: Labels are in [0, classes).
        what: What the data is, for the message.
        task: What the networks are for.

    Returns:
        Images of the largest batch; of arrays, all.

    Raises:
        ValueError: If shapes, values, labels or lengths are wrong, or there
            is nothing.
    """
    if not isinstance(x, tf.data.Dataset):
        if y is None:
            raise ValueError(
                f"{what} must have labels. Received: y=None. Pass integer "
                "labels [N]."
            )
        images = as_array(x, f"Images of the {what}")
        labels = as_array(y, f"Labels of the {what}")
        _check_batch(images, labels, input_shape, classes, what, task)
        _check_strata({*task.strata(labels)}, task, what)
        return len(images)
    if y is not None:
        raise ValueError(
            f"{what} must have its labels in the tf.data.Dataset. Received: "
            f"y of type {type(y).__name__}. Leave y out."
        )
    spec = x.element_spec
    if (
        not isinstance(spec, tuple)
        or len(spec) not in (2, 3)
        or not all(isinstance(part, tf.TensorSpec) for part in spec)
    ):
        raise ValueError(
            f"{what} must yield (images, labels) or (images, labels, sample "
            f"weights). Received: {spec}."
        )
    if spec[1].shape.rank == 0:
        raise ValueError(
            f"{what} must be batched. Received: single images of shape "
            f"{spec[0].shape}. Use dataset.batch(size)."
        )
    if x.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError(
            f"{what} must end. Received: an infinite tf.data.Dataset. Use "
            "dataset.take(steps) for epochs of that many batches."
        )
    largest, strata = 0, set[int]()
    for images, labels, *weights in x.as_numpy_iterator():
        _check_batch(images, labels, input_shape, classes, what, task)
        strata.update(task.strata(labels))
        for weight in weights:
            _check_sample_weight(weight, len(images), what)
        largest = max(largest, len(images))
    if not largest:
        raise ValueError(f"{what} must not be empty. Received: no batches.")
    _check_strata(strata, task, what)
    return largest


def as_array(value: Any, what: str) -> np.ndarray:
    """One array of examples, unless their shapes differ.

    Args:
        value: An array, or what NumPy makes one of.
        what: What it is, for the message.

    Raises:
        ValueError: If they do.
    """
    told = "an array of objects"
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        told, array = str(error), np.empty(0, object)
    if array.dtype == object and array.ndim:  # else it is no example
        raise ValueError(
            f"{what} must be one array of numbers, where all examples have "
            f"one shape. Received: {told}. Resize or pad them, and use "
            "np.stack."
        )
    return array


def _check_batch(
    x: np.ndarray,
    y: np.ndarray,
    input_shape: tuple[int, ...],
    classes: int,
    what: str,
    task: Task,
) -> None:
    task.check_inputs(x, input_shape, what)
    if not y.ndim or len(x) != len(y) or not len(x):
        labels = f"{len(y)} labels" if y.ndim else f"the single label {y}"
        raise ValueError(
            f"{what} must have one label per image, and at least one. "
            f"Received: {len(x)} images and {labels}."
        )
    task.check_targets(y, input_shape, classes, what)


def _check_strata(strata: set[int], task: Task, what: str) -> None:
    if len(strata) < task.fewest_strata:
        raise ValueError(
            f"Targets of the {what} must be of {task.fewest_strata} kinds, as "
            f"{task.metric} of one is not defined. Received: {min(strata)} "
            "alone. Take examples of both."
        )


def _check_sample_weight(weight: np.ndarray, count: int, what: str) -> None:
    if weight.shape not in {(count,), (count, 1)}:
        raise ValueError(
            f"Sample weights of the {what} must be one number an image, [N]. "
            f"Received: shape {weight.shape} beside {count} images."
        )
    if (
        weight.dtype.kind not in "fiub"
        or not ((weight >= 0) & (weight <= _LARGEST)).all()
    ):
        raise ValueError(
            f"Sample weights of the {what} must be finite numbers of 0 or "
            f"more. Received: {weight.dtype} from {weight.min()} to "
            f"{weight.max()}."
        )


def check_class_weight(
    class_weight: Mapping[int, float] | None, classes: int
) -> None:
    """Refuses weights that are not one of each class.

    Args:
        class_weight: Class -> weight, or None.
        classes: How many there are.

    Raises:
        ValueError: If a class has no weight, or one that is no number.
    """
    if class_weight is not None and (
        not isinstance(class_weight, Mapping)
        or set(class_weight) != set(range(classes))
    ):
        raise ValueError(
            f"class_weight must map each of 0 to {classes - 1} to a weight. "
            f"Received: {class_weight!r}."
        )
    for weight in (class_weight or {}).values():
        if not isinstance(weight, numbers.Real) or not 0 <= weight < math.inf:
            raise ValueError(
                "Weights of class_weight must be finite numbers of 0 or more. "
                f"Received: {weight!r}."
            )


def _warn_unscaled(x: Any) -> None:
    if isinstance(x, tf.data.Dataset):
        x = next(iter(x.as_numpy_iterator()))[0]
    x = np.asarray(x)
    # Standardized pixels exceed 2 as well, but go below 0 too.
    if x.dtype != np.uint8 and x.max() > 2 and x.min() >= 0:
        logging.warning(
            "Pixels look unscaled: %s from %g to %g, %g in the mean. Only "
            "uint8 is scaled to 0..1; divide the images, for example by 255.",
            x.dtype,
            x.min(),
            x.max(),
            x.mean(),
        )


def _split(x: Any, y: Any, fraction: float) -> tuple[Any, Any, Any]:
    if fraction is None or np.array_equal(fraction, 0):
        raise ValueError(
            "There must be data to validate on. Received: neither "
            "validation_data nor validation_split. Pass one, for example "
            "validation_split=0.2."
        )
    if isinstance(x, tf.data.Dataset):
        raise ValueError(
            "validation_split needs arrays. Received: a tf.data.Dataset. "
            "Pass validation_data=dataset."
        )
    if not isinstance(fraction, numbers.Real) or not 0 < fraction < 1:
        raise ValueError(
            f"validation_split must be between 0 and 1. Received: {fraction!r}."
        )
    x = as_array(x, "Images of the training data")
    y = as_array(y, "Labels of the training data")
    if not x.ndim or not y.ndim:
        raise ValueError(
            "x and y must hold images and a label for each. Received: x of "
            f"shape {x.shape} and y of shape {y.shape}. Pass integer labels "
            "[N]."
        )
    start = int(len(x) * (1 - fraction))
    return x[:start], y[:start], (x[start:], y[start:])


def count(pipeline: tf.data.Dataset) -> int:
    """How many batches a pipeline yields in an epoch."""
    known = int(pipeline.cardinality())
    return known if known >= 0 else sum(1 for _ in pipeline)
