"""A task with any loss and metric of Keras, and the rest of another task."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_cosearch import configuration, text
from tf_cosearch.tasks.class_logits import ClassLogits
from tf_cosearch.tasks.task import Source, Task, make, mean_of_parts, task

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
}
"""Metrics of Keras beside those of accuracy: more is better, 1 is most."""

_COUNTS = ("true negatives", "true positives")
"""Metrics of which more is better, and which have no end."""

Settings = str | tuple[Any, ...]
"""Of Keras: a name, or a class and pairs of argument and value."""

_OF_TRAINING = ("dtype", "fn", "name", "reduction")
_OTHERS = ("deserialize", "get", "serialize")
_OWN = ("name", "metric")
"""What other attributes of a task are, the other task says."""


@task
class Custom(Task):
    """A task like another one, but for loss and metric, which are of Keras.

    The accuracy is the metric, or `1 - metric / worst` if less of it is
    better, kept within 0 to 1. The metric itself is told beside it.

    Both compare targets with the probabilities of the other task, where it has
    such, or with what networks put out, logits, if they are told
    `from_logits=True` or are a hinge.

    Attributes:
        trained_by: The loss: a name of `tf_keras.losses`, an object of Keras 3
            or tf_keras, or `(class, (argument, value), ...)`.
        judged_by: The metric, the same of `tf_keras.metrics`.
        worst: What the metric is if a network is worth nothing. For those of
            which less is better, and no others.
        like: The task that has the head, and says what data look like: what
            `tasks.make` takes.

    Raises:
        ValueError: If there is no such loss, metric or task, `worst` does not
            fit the metric, or that has no end.

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
        for name in Task.__annotations__.keys() - {*_OWN}:
            object.__setattr__(self, name, getattr(self._like, name))
        word = _name(self.judged_by)
        if word in _COUNTS:
            raise ValueError(
                "The metric of a custom task must be a share or an error. "
                f"Received: {word}, a count. Take Recall or Precision."
            )
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
        made = _made(self.trained_by, "losses", "Loss")
        if not _takes_logits(self.trained_by):
            call, like = made.call, self._like

            def of_answers(y_true: Any, y_pred: Any) -> Any:
                return call(y_true, like.answers(y_pred))

            made.call = of_answers
        return mean_of_parts(made)

    def metrics(self, classes: int) -> list[Any]:
        """`judged_by`, as an accuracy and as it is."""
        del classes
        return [_accuracy()(self._metric(), self.worst), self._metric()]

    def _metric(self) -> Any:
        made = _made(self.judged_by, "metrics", "Metric")
        takes_logits = _takes_logits(self.judged_by)
        update, like = made.update_state, self._like

        def of_answers(y_true: Any, y_pred: Any, **weights: Any) -> Any:
            answers = y_pred if takes_logits else like.answers(y_pred)
            # By name, as some metrics take no targets.
            return update(y_true=y_true, y_pred=answers, **weights)

        made.update_state = of_answers
        return made

    def try_out(self, targets: Any, outputs: Any) -> None:
        """Refuses a loss or metric that cannot compare these.

        Args:
            targets: As loss and metric take them, `[N, ...]`.
            outputs: What a network put out for as many.

        Raises:
            ValueError: If it fails, or does not give one number an example,
                or of all.
        """
        shapes = f"targets {np.shape(targets)} and outputs {np.shape(outputs)}"
        told = f"{self.trained_by} and {self.judged_by} for {shapes}"
        try:
            losses = self.losses(targets, outputs)
            accuracy, metric = self.metrics(np.shape(outputs)[-1])
            for each in (accuracy, metric):
                each.update_state(targets, outputs)
            value = metric.result()
        except Exception as error:  # Keras and TensorFlow raise any
            reason = text.line(error, 200)
            raise ValueError(
                "Loss and metric of a custom task must compare its targets "
                f"with its outputs. Received: {told} ({reason})."
            ) from None
        if np.shape(losses)[:1] != (len(outputs),) or np.ndim(value):
            raise ValueError(
                "The loss of a custom task must be a number an example, and "
                f"its metric one of all. Received: {told}, which give shapes "
                f"{np.shape(losses)} and {np.shape(value)}. Arguments such as "
                "average='macro' may make one number of several."
            )
        if metric.name == accuracy.name:
            raise ValueError(
                "The metric of a custom task must have another name than "
                f"{accuracy.name!r}, which is told beside it. Received: "
                f"{self.judged_by}."
            )

    def answers(self, outputs: Any) -> Any:
        """Labels, if the other task has such, as any loss takes them."""
        import tensorflow as tf

        if isinstance(self._like, ClassLogits):
            return tf.argmax(outputs, -1, tf.int32)
        return self._like.answers(outputs)

    def check_stages(
        self, stages: Mapping[str, Mapping[str, Sequence[Any]]], where: str
    ) -> None:
        """As the other task."""
        self._like.check_stages(stages, where)

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
        told = () if isinstance(given, str) else given[1:]
        taken = sorted(dict(told).keys() & {*_OF_TRAINING})
        if taken:
            raise ValueError(
                f"A custom task must have {library} without {taken[0]}, which "
                f"it sets itself. Received: {given}. Leave it out."
            )
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


def _takes_logits(settings: Settings) -> bool:
    pairs = () if isinstance(settings, str) else settings[1:]
    return dict(pairs).get("from_logits") is True or "hinge" in _name(settings)


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
            self.judge.update_state(y_true=y_true, y_pred=y_pred)

        def reset_state(self) -> None:
            """Forgets all batches."""
            self.judge.reset_state()

        def result(self) -> Any:
            """The accuracy."""
            value = self.judge.result()
            if self.worst is not None:
                value = 1 - value / self.worst
            return tf.clip_by_value(value, 0.0, 1.0)

    return Accuracy
