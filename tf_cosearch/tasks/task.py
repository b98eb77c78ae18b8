"""What a task is: the end of a network, its loss, its metric and its data."""

from __future__ import annotations

import abc
import dataclasses
import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np

from tf_cosearch import configuration

Splits = dict[str, tuple[Any, Any]]
"""Inputs and targets of `train`, and if they are there of `val` and `test`."""

Source = Callable[[str, tuple[int, int] | None], Splits]
"""Reads data, told what follows the colon, and the size to bring images to."""

Kind = TypeVar("Kind", bound="type[Task]")

_LARGEST = np.finfo(np.float32).max

_TASKS: dict[str, type[Task]] = {}


class Task(abc.ABC):
    """What networks are for.

    A subclass is made a frozen dataclass by `task`: its annotated attributes
    are options, plain values that tell one such task from another. Networks
    read and write images `[N, height, width, channels]`, whatever data are.

    Attributes:
        name: What it is called.
        metric: What its accuracy is, in words.
        fewest: The least number of these.
        fewest_strata: How many `strata` its metric takes to be defined.
        reads_stages: Whether `head` reads more than the last stage.
        has_pixels: Whether inputs are pixels, which should be about 0 to 1.
        quantizations: How its networks may become int8, the default first.
        takes_class_weight: Whether `fit` may weight the loss by class.
    """

    name: ClassVar[str]
    metric: ClassVar[str] = "accuracy"
    fewest: ClassVar[int] = 2
    fewest_strata: ClassVar[int] = 1
    reads_stages: ClassVar[bool] = False
    has_pixels: ClassVar[bool] = True
    quantizations: ClassVar[tuple[str, ...]] = ("aware", "after_training")
    takes_class_weight: ClassVar[bool] = False

    @abc.abstractmethod
    def head(
        self,
        ops: Any,
        stages: Sequence[Any],
        *,
        image: tuple[int, int, int],
        classes: int,
        dropout: float,
    ) -> Any:
        """Ends a network, by operations that all of its readings have.

        Args:
            ops: A `BlockOps`.
            stages: What each stage puts out, the last one last. Where an
                operation reads that and an earlier one, that comes first, as
                rows are in the order of the first inputs.
            image: Height, width and channels of what the network reads.
            classes: How many numbers to put out, of an image or a pixel.
            dropout: Share of features dropped in training.

        Returns:
            The tensor of the answers, of a last layer named `logits`.
        """

    @abc.abstractmethod
    def loss(self) -> Any:
        """A tf_keras loss of targets and outputs, weighted by example.

        Its `call` gives a number an example, `[N]`, see `mean_of_parts`.
        """

    @abc.abstractmethod
    def metrics(self, classes: int) -> list[Any]:
        """Metrics of tf_keras, of targets and outputs.

        The first is called `accuracy`, whatever it is: a score from 0, which
        is of no use, to 1, which is perfect. Others are told with a trial.

        Args:
            classes: Numbers that a network puts out.
        """

    def score(self, batches: Iterable[Any], classes: int) -> dict[str, float]:
        """Measures answers, whoever gave them, a .tflite file for example.

        Args:
            batches: Of (outputs, targets, ...), arrays `[N, ...]`; further
                elements are ignored.
            classes: Numbers that the network puts out.

        Returns:
            Its metrics by name, `accuracy` first.

        Raises:
            ValueError: If there are no batches.
        """
        metrics = self.metrics(classes)
        count = 0
        for outputs, targets, *_ in batches:
            count += len(outputs)
            for metric in metrics:
                metric.update_state(targets, outputs)
        require_examples(count)
        return {metric.name: float(metric.result()) for metric in metrics}

    def losses(self, targets: Any, outputs: Any) -> Any:
        """The loss of each example, `[N]` or `[N, ...]`, for a supernet.

        Args:
            targets: Of the data, or what `answers` made of a teacher's.
            outputs: Of a network, a tensor.
        """
        return self.loss().call(targets, outputs)

    def answers(self, outputs: Any) -> Any:
        """What outputs of a network teach another one."""
        return outputs

    def guess(self, classes: int) -> float | None:
        """The loss of answers that know nothing; None if data decide it."""
        del classes
        return None

    def check_stages(
        self, stages: Mapping[str, Mapping[str, Sequence[Any]]], where: str
    ) -> None:
        """Refuses a space whose networks cannot do this.

        Args:
            stages: For each stage, by its name, what each key of it may be.
            where: What the space is called, for the message.

        Raises:
            ValueError: If they lack something.
        """
        del stages, where

    def check_inputs(
        self, x: np.ndarray, input_shape: tuple[int, ...], what: str
    ) -> None:
        """Refuses inputs that a network cannot read.

        Args:
            x: Images `[N, H, W, C]`, or `[N, H, W]` for one channel.
            input_shape: Of the networks.
            what: What they are of, for the message.

        Raises:
            ValueError: If shape or values are wrong.
        """
        height, width, channels = input_shape
        shape = (*x.shape[1:], 1) if x.ndim == 3 else x.shape[1:]
        if x.ndim not in (3, 4) or (x.ndim == 3 and channels != 1):
            raise ValueError(
                f"Images of the {what} must be [N, {height}, {width}, "
                f"{channels}]. Received: shape {x.shape}."
            )
        if shape != tuple(input_shape):
            raise ValueError(
                f"Images of the {what} must be [N, {height}, {width}, "
                f"{channels}], the input_shape of the search space. Received: "
                f"shape {x.shape}. Resize the images or change input_shape."
            )
        require_numbers(x, f"Images of the {what}")

    @abc.abstractmethod
    def check_targets(
        self,
        y: np.ndarray,
        input_shape: tuple[int, ...],
        classes: int,
        what: str,
    ) -> None:
        """Refuses targets that a network could not learn.

        Args:
            y: As the user gave them, `[N, ...]`, as many as inputs, 1 or more.
            input_shape: Of the networks.
            classes: Numbers that they put out.
            what: What they are of, for the message.

        Raises:
            ValueError: If shape or values are wrong.
        """

    def inputs(self, x: Any) -> Any:
        """Inputs as networks read them: float32 `[N, H, W, C]`.

        Args:
            x: A tensor of what `check_inputs` accepts. Pixels of uint8 are
                scaled to 0..1.
        """
        import tensorflow as tf

        scale = 255.0 if x.dtype == tf.uint8 else 1.0
        x = tf.cast(x, tf.float32) / scale
        return x[..., tf.newaxis] if x.shape.rank == 3 else x

    @abc.abstractmethod
    def targets(self, y: Any, classes: int | None) -> Any:
        """Targets as loss and metrics take them.

        Args:
            y: A tensor of what `check_targets` accepts.
            classes: Numbers that networks put out, as far as known.
        """

    def input_shape(self, x: np.ndarray, what: str) -> tuple[int, int, int]:
        """Height, width and channels of what networks of a data set read.

        Args:
            x: All inputs of a part of it; one channel has an axis.
            what: Its name, for the message.

        Raises:
            ValueError: If they are no images.
        """
        if x.ndim != 4:
            raise ValueError(
                f"{what} must hold images [N, H, W] or [N, H, W, C]. Received: "
                f"an array of shape {x.shape}."
            )
        return x.shape[1], x.shape[2], x.shape[3]

    @abc.abstractmethod
    def count(self, parts: Sequence[np.ndarray], what: str) -> int:
        """How many numbers the networks of a data set put out.

        Args:
            parts: All targets, those of each of its splits.
            what: Its name, for the message.

        Raises:
            ValueError: If they are none of this task.
        """

    def strata(self, y: np.ndarray) -> np.ndarray:
        """A whole number for each target, `[N]`.

        Parts of a data set have as large a share of each.
        """
        return np.zeros(len(y), int)

    def sources(self) -> Mapping[str, Source]:
        """Data that this task reads in its own way, by what is before a colon.

        A split that is missing is taken from the training data.
        """
        return {}

    def get_config(self) -> dict[str, Any]:
        """Its name and options as plain values, for JSON."""
        options = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)  # type: ignore[arg-type]
        }
        return {"name": self.name, **options}


def task(kind: Kind) -> Kind:
    """Registers a task: `KeywordSpotting` is called `keyword_spotting`.

    Args:
        kind: A subclass of `Task` whose annotated attributes are its options.
            It is made a frozen dataclass.

    Returns:
        The class.

    Raises:
        TypeError: If it is no task.
        ValueError: If the name is taken.
    """
    if not isinstance(kind, type) or not issubclass(kind, Task):
        raise TypeError(
            f"A task must be a subclass of `Task`. Received: {kind!r}."
        )
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
    other = _TASKS.get(name)
    if other is not None and other.__module__ != kind.__module__:
        raise ValueError(
            f"Task {name!r} is already registered by {other.__module__}. "
            "Choose another class name."
        )
    kind.name = name
    _TASKS[name] = dataclasses.dataclass(frozen=True)(kind)
    return kind


def names() -> list[str]:
    """Sorted names of all tasks."""
    return sorted(_TASKS)


def get(name: Any) -> type[Task]:
    """The class of a task.

    Args:
        name: One of `names()`.

    Raises:
        ValueError: If there is none of that name.
    """
    if not isinstance(name, str) or name not in _TASKS:
        raise configuration.unknown("task", name, _TASKS)
    return _TASKS[name]


def make(given: Any) -> Task:
    """Makes a task.

    Args:
        given: A name, a mapping of `name` and options, a registered class, or
            a task.

    Raises:
        ValueError: If it is none, its class is not registered, or an option
            is not known or possible.

    Example:
    >>> make("classification").get_config()
    {'name': 'classification'}
    >>> make({"name": "classification"}) == make("classification")
    True
    """
    if isinstance(given, Task):
        kind = type(given)
        # A subclass has its parent's name until it is registered itself.
        if _TASKS.get(getattr(kind, "name", "")) is not kind:
            raise ValueError(
                "A task must be of a class under @cs.task, by which a run and "
                f"a design name it. Received: a {kind.__qualname__} of "
                f"{kind.__module__}, which is not, or was defined again since. "
                "Put the line above it, and make the task anew."
            )
        return given
    if isinstance(given, type) and given in _TASKS.values():
        return given()
    if isinstance(given, str):
        given = {"name": given}
    if not isinstance(given, Mapping) or "name" not in given:
        raise ValueError(
            "A task must be a name, a mapping of `name` and options, or a "
            f"Task. Received: {given!r}. Known names: {', '.join(names())}."
        )
    kind = get(given["name"])
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    configuration.check_keys(
        given,
        f"the task {kind.name}",
        ["name", *(field.name for field in fields)],
        [f.name for f in fields if f.default is dataclasses.MISSING],
    )
    options = {
        key: _constant(value) for key, value in given.items() if key != "name"
    }
    return kind(**options)


def _constant(value: Any) -> Any:
    """Tasks are told from each other by value, so that none may change."""
    if isinstance(value, list | tuple):
        return tuple(map(_constant, value))
    return value


def require_numbers(x: np.ndarray, what: str) -> None:
    """Refuses arrays of anything but numbers that are finite in float32.

    Raises:
        ValueError: If there are others.
    """
    if x.dtype.kind not in "fiub":
        raise ValueError(f"{what} must be numbers. Received: {x.dtype}.")
    # Networks take float32, in which larger numbers are infinite.
    if x.dtype.kind == "f" and not (np.abs(x) <= _LARGEST).all():
        raise ValueError(
            f"{what} must be finite in float32. Received: "
            f"{int((~(np.abs(x) <= _LARGEST)).sum())} values of NaN or "
            "infinity, or beyond."
        )


def require_examples(count: int) -> None:
    """Refuses to measure nothing.

    Raises:
        ValueError: If there are no examples.
    """
    if not count:
        raise ValueError(
            "There must be images to measure accuracy on. Received: none."
        )


def mean_of_parts(loss: Any) -> Any:
    """A loss of examples, `[N]`, which may be weighted, of one of their parts.

    tf_keras would broadcast a weight an example along another axis.

    Args:
        loss: Of tf_keras, whose `call` returns `[N]` or `[N, ...]`.
    """
    return _mean_of_parts()(loss)


@functools.cache
def _mean_of_parts() -> Any:
    import tensorflow as tf
    import tf_keras

    class MeanOfParts(tf_keras.losses.Loss):
        """The mean over all of an example, such as the pixels of an image."""

        def __init__(self, of_part: Any) -> None:
            super().__init__()
            self.of_part = of_part

        def call(self, y_true: Any, y_pred: Any) -> Any:
            """Losses `[N]`."""
            losses = self.of_part.call(y_true, y_pred)
            return tf.reduce_mean(losses, tf.range(1, tf.rank(losses)))

        def get_config(self) -> dict[str, Any]:
            """That of the loss of a part."""
            return dict(self.of_part.get_config())

    return MeanOfParts
