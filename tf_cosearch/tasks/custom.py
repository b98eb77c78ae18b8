"""A task with any loss and metric of Keras, and the rest of another task."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_cosearch import configuration
from tf_cosearch.tasks.classification import Classification
from tf_cosearch.tasks.segmentation import Segmentation, mean_of_pixels
from tf_cosearch.tasks.task import Source, Task, make, task

MAXIMIZED = {
    "AUC",
    "BinaryIoU",
    "CosineSimilarity",
    "F1Score",
    "FBetaScore",
    "IoU",
    "MeanIoU",
    "OneHotIoU",
    "OneHotMeanIoU",
    "Precision",
    "PrecisionAtRecall",
    "R2Score",
    "Recall",
    "RecallAtPrecision",
    "SensitivityAtSpecificity",
    "SpecificityAtSensitivity",
    "TrueNegatives",
    "TruePositives",
}
"""Metrics of Keras of which more is better, beside those of accuracy."""

Settings = str | tuple[Any, ...]
"""Of Keras: a name, or a class and pairs of argument and value."""

_OF_TRAINING = ("dtype", "fn", "name", "reduction")
_OTHERS = ("deserialize", "get", "serialize")
_TOLD = ("outputs", "fewest", "reads_stages", "has_pixels", "quantizations")


@task
class Custom(Task):
    """A task like another one, but for loss and metric, which are of Keras.

    The accuracy is the metric, or `1 - metric / worst` if less of it is
    better, kept within 0 to 1. The metric itself is told beside it.

    Attributes:
        trained_by: The loss: a name of `tf_keras.losses`, an object of Keras 3
            or tf_keras, or `(class, (argument, value), ...)`.
        judged_by: The metric, the same of `tf_keras.metrics`.
        worst: What the metric is if a network is worth nothing. For those of
            which less is better, and no others.
        like: The task that has the head, and says what data look like: what
            `tasks.make` takes.

    Raises:
        ValueError: If there is no such loss, metric or task, or `worst` does
            not fit the metric.

    Example: an error of 1.5, where 6 is worth nothing.

    >>> mine = Custom("huber", "mean_absolute_error", worst=6.0)
    >>> targets = np.zeros((2, 1), np.float32)
    >>> mine.score([(targets + 1.5, targets)], 1)
    {'accuracy': 0.75, 'mean_absolute_error': 1.5}
    >>> other = Custom(("Huber", ("delta", 2.0)), "R2Score")
    >>> other.loss().get_config()["delta"], other.metric
    (2.0, 'r2 score')
    """

    trained_by: Any
    judged_by: Any
    worst: float | None = None
    like: Any = "regression"

    def __post_init__(self) -> None:
        if isinstance(self.like, Custom):
            raise ValueError(
                "`like` must be a task that is not custom itself. Received: "
                f"{self.like}."
            )
        settings = {
            "trained_by": _settings(self.trained_by, "losses", "Loss"),
            "judged_by": _settings(self.judged_by, "metrics", "Metric"),
            "like": _plain(make(_mapping(self.like))),
        }
        for name, value in settings.items():
            object.__setattr__(self, name, value)
        for name in _TOLD:
            object.__setattr__(self, name, getattr(self._like, name))
        word = _name(self.judged_by)
        if _is_maximized(self.judged_by) is (self.worst is not None):
            rule = "left out" if self.worst is not None else "given"
            more = "more" if self.worst is not None else "less"
            raise ValueError(
                f"`worst` must be {rule} for {word}, of which {more} is "
                f"better. Received: {self.worst}."
            )
        if self.worst is not None:
            worst = configuration.number(self.worst, "`worst`")
            if worst <= 0:
                raise ValueError(
                    f"`worst` must be positive. Received: {self.worst!r}."
                )
            object.__setattr__(self, "worst", worst)
            word = f"1 - {word} / {worst:g}"
        object.__setattr__(self, "metric", word)

    @property
    def _like(self) -> Task:
        return make(_mapping(self.like))

    def head(self, ops: Any, stages: Sequence[Any], **size: Any) -> Any:
        """That of the other task."""
        return self._like.head(ops, stages, **size)

    def loss(self) -> Any:
        """`trained_by`."""
        loss = _made(self.trained_by, "losses", "Loss")
        is_of_pixels = isinstance(self._like, Segmentation)
        return mean_of_pixels(loss) if is_of_pixels else loss

    def metrics(self, classes: int) -> list[Any]:
        """`judged_by`, as an accuracy and as it is."""
        del classes
        first, second = (
            _made(self.judged_by, "metrics", "Metric") for _ in range(2)
        )
        return [_accuracy()(first, self.worst), second]

    def answers(self, outputs: Any) -> Any:
        """Labels, if the other task has such, as any loss takes them."""
        import tensorflow as tf

        if isinstance(self._like, Classification | Segmentation):
            return tf.argmax(outputs, -1, tf.int32)
        return self._like.answers(outputs)

    def check_inputs(
        self, x: np.ndarray, input_shape: tuple[int, ...], what: str
    ) -> None:
        """As the other task."""
        self._like.check_inputs(x, input_shape, what)

    def check_targets(
        self,
        y: np.ndarray,
        input_shape: tuple[int, ...],
        classes: int,
        what: str,
    ) -> None:
        """As the other task."""
        self._like.check_targets(y, input_shape, classes, what)

    def inputs(self, x: Any) -> Any:
        """As the other task."""
        return self._like.inputs(x)

    def targets(self, y: Any, classes: int | None) -> Any:
        """As the other task."""
        return self._like.targets(y, classes)

    def input_shape(self, x: np.ndarray, what: str) -> tuple[int, int, int]:
        """As the other task."""
        return self._like.input_shape(x, what)

    def count(self, parts: Sequence[np.ndarray], what: str) -> int:
        """As the other task."""
        return self._like.count(parts, what)

    def strata(self, y: np.ndarray) -> np.ndarray:
        """As the other task."""
        return self._like.strata(y)

    def sources(self) -> Mapping[str, Source]:
        """As the other task."""
        return self._like.sources()


def _plain(like: Task) -> Any:
    """A task by name, or by name and pairs of option and value."""
    config = like.get_config()
    name = config.pop("name")
    return (name, *config.items()) if config else name


def _mapping(like: Any) -> Any:
    """The inverse, of what else `tasks.make` takes as it is."""
    if isinstance(like, tuple) and like:
        return {"name": like[0], **dict(like[1:])}
    return like


def _settings(given: Any, library: str, base: str) -> Settings:
    """What was given as a name, or a class and its arguments."""
    if isinstance(given, str | tuple):
        _made(given, library, base)  # which refuses what there is not
        return given
    kind = type(given)
    if kind.__module__.partition(".")[0] not in ("keras", "tf_keras"):
        raise ValueError(
            f"`{library}` of a custom task must be of Keras: a name of "
            f"tf_keras.{library}, an object, or a class and its arguments. "
            f"Received: {given!r}. For one of your own, write a subclass of "
            "Task."
        )
    # Some losses of Keras 3 leave their arguments out of the configuration.
    config = {**getattr(given, "_fn_kwargs", {}), **given.get_config()}
    pairs = sorted((k, v) for k, v in config.items() if k not in _OF_TRAINING)
    settings = (kind.__name__, *pairs)
    _made(settings, library, base)
    return settings


def _made(settings: Any, library: str, base: str) -> Any:
    """The object of tf_keras; found by its name, so that no file runs code."""
    import tf_keras

    found = getattr(tf_keras, library)
    root = getattr(found, base)
    name, *pairs = (settings,) if isinstance(settings, str) else settings
    known = [
        each
        for each in dir(found)
        if callable(getattr(found, each)) and each not in (*_OTHERS, base)
    ]
    if name not in known:
        raise configuration.unknown(f"{base.lower()} of Keras", name, known)
    made = getattr(found, name)
    if isinstance(made, type) and issubclass(made, root):
        try:
            return made(**dict(pairs))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"Arguments of {name} must be its own. Received: {pairs} "
                f"({error})."
            ) from None
    if pairs:
        raise ValueError(
            f"{name} must be a class to have arguments. Received: {pairs}."
        )
    return _of_function(base)(made)


@functools.cache
def _of_function(base: str) -> Any:
    """Makes a loss, or a metric, of a function of targets and answers."""
    import tf_keras

    if base == "Metric":
        return lambda function: tf_keras.metrics.MeanMetricWrapper(
            function, function.__name__
        )

    class Loss(tf_keras.losses.Loss):
        """A loss of a function."""

        def __init__(self, function: Any) -> None:
            super().__init__(name=function.__name__)
            self.call = function

    return Loss


def _name(settings: Settings) -> str:
    """A name, or that of a class, in words."""
    name = settings if isinstance(settings, str) else settings[0]
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower()
    return words.replace("_", " ")


def _is_maximized(settings: Settings) -> bool:
    name = _name(settings)
    return "accuracy" in name or name in map(_name, MAXIMIZED)


@functools.cache
def _accuracy() -> Any:
    """The metric that others become an accuracy by, as a class of tf_keras."""
    import tensorflow as tf
    import tf_keras

    class Accuracy(tf_keras.metrics.Metric):
        """A metric from 0 to 1, of which more is better."""

        def __init__(self, judge: Any, worst: float | None) -> None:
            super().__init__("accuracy")
            self.judge, self.worst = judge, worst

        def update_state(
            self, y_true: Any, y_pred: Any, sample_weight: Any = None
        ) -> None:
            """Adds a batch."""
            del sample_weight  # accuracies are of examples that count alike
            self.judge.update_state(y_true, y_pred)

        def reset_state(self) -> None:
            """Forgets all batches."""
            self.judge.reset_state()

        def result(self) -> Any:
            """The accuracy."""
            value = tf.reduce_mean(self.judge.result())
            if self.worst is not None:
                value = 1 - value / self.worst
            return tf.clip_by_value(value, 0.0, 1.0)

    return Accuracy
