"""Numbers to be predicted, any number of them for an image."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from absl import logging

from tf_cosearch.tasks.task import Task, require_numbers, task

_FAR = 10.0
"""Means or spreads of targets that small learning rates do not reach."""


@task
class Regression(Task):
    """Numbers for an image; the accuracy is the share of variance explained.

    It is the coefficient of determination, the mean over targets, or 0 where
    that is negative: 1 is perfect, 0 is no better than the mean. A target that
    does not vary counts 0. `mean_absolute_error_int8` is told beside it. All
    targets share one scale of int8, so they should be about as large: subtract
    the mean of each, and divide by its deviation.

    Example: off by one each, where targets are by two from their mean.

    >>> answers, targets = [[1.0], [3.0]], [[0.0], [4.0]]
    >>> Regression().score([(answers, targets)], 1)  # 1 - 2 / 8
    {'accuracy': 0.75, 'mean_absolute_error': 1.0}
    """

    metric: ClassVar[str] = "share of variance explained"
    fewest: ClassVar[int] = 1

    def head(
        self,
        ops: Any,
        stages: Sequence[Any],
        *,
        image: tuple[int, int, int],
        classes: int,
        dropout: float,
    ) -> Any:
        """The means of all channels, then a dense layer."""
        del image
        return ops.classify(stages[-1], classes, dropout, name="logits")

    def loss(self) -> Any:
        """The mean squared error."""
        import tf_keras

        return tf_keras.losses.MeanSquaredError()

    def metrics(self, classes: int) -> list[Any]:
        """The variance explained, and the mean absolute error."""
        import tf_keras

        return [
            _explained()(classes),
            tf_keras.metrics.MeanAbsoluteError("mean_absolute_error"),
        ]

    def check_targets(
        self,
        y: np.ndarray,
        input_shape: tuple[int, ...],
        classes: int,
        what: str,
    ) -> None:
        """Accepts numbers `[N, targets]`, or `[N]` for one target."""
        del input_shape
        shape = (1,) if y.ndim == 1 else y.shape[1:]
        if shape != (classes,):
            raise ValueError(
                f"Targets of the {what} must be numbers [N, {classes}]. "
                f"Received: shape {y.shape}. Change the targets, or classes, "
                "which is how many there are."
            )
        require_numbers(y, f"Targets of the {what}")
        spread, mean = float(np.std(y)), float(np.mean(y))
        if "training" in what and max(spread, abs(mean)) > _FAR:
            logging.warning(
                "Targets look unscaled: %g in the mean, and %g from that. "
                "Subtract the mean of each, and divide by its deviation.",
                mean,
                spread,
            )

    def targets(self, y: Any, classes: int | None) -> Any:
        """Numbers `[N, targets]`, float32."""
        del classes
        import tensorflow as tf

        y = tf.cast(y, tf.float32)
        return y[:, tf.newaxis] if y.shape.rank == 1 else y

    def count(self, parts: Sequence[np.ndarray], what: str) -> int:
        """Numbers of an example."""
        for y in parts:
            if y.ndim > 2:
                raise ValueError(
                    f"{what} must hold targets [N] or [N, targets]. Received: "
                    f"labels of shape {y.shape}. Choose other data, or another "
                    "task."
                )
            require_numbers(y, f"Targets of {what}")
        return max(1 if y.ndim == 1 else y.shape[1] for y in parts)


@functools.cache
def _explained() -> Any:
    """The metric, as a class of tf_keras, which is read when needed."""
    import tensorflow as tf
    import tf_keras

    class Explained(tf_keras.metrics.Metric):
        """The share of variance explained, in sums of float64."""

        def __init__(self, classes: int) -> None:
            super().__init__("accuracy", "float64")
            self.count = self._sum("count", ())
            self.total = self._sum("total", (classes,))
            self.squares = self._sum("squares", (classes,))
            self.errors = self._sum("errors", (classes,))

        def _sum(self, name: str, shape: tuple[int, ...]) -> Any:
            return self.add_weight(
                name, shape, initializer="zeros", dtype="float64"
            )

        def update_state(
            self, y_true: Any, y_pred: Any, sample_weight: Any = None
        ) -> None:
            """Adds a batch."""
            del sample_weight  # accuracies are of examples that count alike
            targets = tf.cast(y_true, tf.float64)
            answers = tf.cast(y_pred, tf.float64)
            self.count.assign_add(tf.cast(tf.shape(targets)[0], tf.float64))
            self.total.assign_add(tf.reduce_sum(targets, 0))
            self.squares.assign_add(tf.reduce_sum(targets**2, 0))
            self.errors.assign_add(tf.reduce_sum((targets - answers) ** 2, 0))

        def reset_state(self) -> None:
            """Forgets all batches."""
            for variable in self.variables:
                variable.assign(tf.zeros_like(variable))

        def result(self) -> Any:
            """The mean over targets."""
            around = self.squares - tf.math.divide_no_nan(
                self.total**2, self.count
            )
            # Sums are exact to 1e-16 of the squares, and so no better.
            varies = around > 1e-12 * self.squares
            shares = tf.where(varies, 1 - self.errors / around, 0)
            mean = tf.reduce_mean(shares)
            return tf.maximum(mean, 0)

    return Explained
