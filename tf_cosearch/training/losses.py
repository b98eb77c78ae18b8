"""Losses of either Keras, as tf_keras weights them."""

from __future__ import annotations

from typing import Any

import keras
import tf_keras

from tf_cosearch.tasks import Classification, Task

_SPARSE = "SparseCategoricalCrossentropy"
_ADVICE = (
    "Labels are integers and outputs logits: pass "
    f"keras.losses.{_SPARSE}(from_logits=True), or leave loss out."
)


def make(given: Any) -> Any:
    """Makes the loss of a training.

    tf_keras multiplies by class and sample weights what a loss gives per
    image. An instance of Keras 3 gives the mean of the batch, so the class
    of tf_keras takes its place.

    Args:
        given: A `SparseCategoricalCrossentropy(from_logits=True)` of Keras 3
            or tf_keras, an instance of a user's own subclass of
            `tf_keras.losses.Loss`, a function from integer labels `[N]` and
            logits `[N, classes]` to losses `[N]`; or None for sparse
            categorical cross-entropy.

    Returns:
        A tf_keras loss, or the function.

    Raises:
        ValueError: If it is none of these.

    Example:
    >>> given = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    >>> isinstance(make(given), tf_keras.losses.Loss)
    True
    """
    if given is None:
        return tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    if isinstance(given, keras.losses.Loss):
        given = _rebuild(given)
    kind = type(given)
    is_keras = _is_of_keras(given) or _is_of_keras(kind)
    if kind is tf_keras.losses.SparseCategoricalCrossentropy:
        is_keras = not given.get_config()["from_logits"]
    if not callable(given) or isinstance(given, type) or is_keras:
        raise _refusal(given)
    return given


def of_task(task: Task, given: Any) -> Any:
    """Makes the loss of a training for a task.

    Args:
        task: What the network is for.
        given: What `make` takes, for a classification; else None.

    Raises:
        ValueError: If `make` refuses it, or the task has its own.
    """
    if isinstance(task, Classification):
        return make(given)
    if given is not None:
        raise ValueError(
            "loss must be left to a task that is no classification. Received: "
            f"{given!r} for {task.name}. Leave it out, or write a subclass of "
            "the task with a `loss` of its own."
        )
    return task.loss()


def make_keras3(given: Any, from_logits: bool = True) -> Any:
    """Makes the loss of a Keras 3 model that is not compiled.

    Args:
        given: What `make` takes.
        from_logits: Whether outputs are logits, and not probabilities.

    Returns:
        A Keras 3 loss, or a function.

    Raises:
        ValueError: If `make` refuses it.
    """
    made = make(given)
    if given is None:
        return keras.losses.SparseCategoricalCrossentropy(from_logits)
    if isinstance(given, keras.losses.Loss):
        return given
    return made.call if isinstance(made, tf_keras.losses.Loss) else made


def _rebuild(given: keras.losses.Loss) -> Any:
    config = given.get_config()
    # tf_keras says "auto" for the default, the mean of the batch.
    reductions = {"sum_over_batch_size": "auto", "sum": "sum"}
    if (
        type(given) is not keras.losses.SparseCategoricalCrossentropy
        or config["reduction"] not in reductions
    ):
        raise _refusal(given)
    config["reduction"] = reductions[config["reduction"]]
    config.pop("dtype", None)
    return tf_keras.losses.SparseCategoricalCrossentropy(**config)


def _is_of_keras(given: Any) -> bool:
    """Whether Keras itself offers this class or function."""
    name = getattr(given, "__name__", "")
    return any(
        getattr(library.losses, name, None) is given
        for library in (keras, tf_keras)
    )


def _refusal(given: Any) -> ValueError:
    received = repr(given)
    if isinstance(given, (keras.losses.Loss, tf_keras.losses.Loss)):
        config = given.get_config()
        settings = ", ".join(
            f"{key}={config[key]!r}"
            for key in ("from_logits", "reduction")
            if key in config
        )
        received = f"{type(given).__name__}({settings})"
    return ValueError(
        "loss must compare integer labels with logits, image by image. "
        f"Received: {received}. {_ADVICE} A loss of your own is a function "
        "of labels [N] and logits [N, classes], or a subclass of "
        "tf_keras.losses.Loss."
    )
