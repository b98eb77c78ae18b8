"""What a model was compiled with, read the same way from either Keras."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tf_keras


class Compiled:
    """Loss and metrics of a compiled model.

    Args:
        model: A compiled model of either Keras, with one output.
        batch: Of its data: inputs, targets, and maybe sample weights. Losses
            and metrics know what they are only after they have seen some.

    Attributes:
        metrics: Name -> metric, as the model's `evaluate` names them.

    Raises:
        ValueError: If the batch does not fit model, loss and metrics.
    """

    def __init__(self, model: Any, batch: Any) -> None:
        self._is_tf_keras = isinstance(model, tf_keras.Model)
        if self._is_tf_keras:
            self._loss, self._metrics = (
                model.compiled_loss,
                model.compiled_metrics,
            )
        else:
            self._loss, self._metrics = (
                model._compile_loss,
                model._compile_metrics,
            )
        x, y, *weights = batch
        try:
            outputs = model(x, training=False)
            self.loss(tf.convert_to_tensor(y), outputs, *weights)
            self.update(outputs, y, *weights)
        except Exception as error:  # losses and metrics raise what they like
            raise ValueError(
                "Data must fit the model, its loss and its metrics. Received: "
                f"inputs of shape {np.shape(x)} and targets of shape "
                f"{np.shape(y)}, with {type(error).__name__}: "
                f"{' '.join(str(error).split())[:300]}"
            ) from error
        plain, weighted = self._split()
        self.metrics = dict(
            zip(self.results(), [*plain, *weighted], strict=True)
        )
        self.reset()

    def loss(self, y: Any, outputs: Any, weight: Any = None) -> Any:
        """The loss of a batch, without regularization."""
        return self._loss(y, outputs, weight)

    def update(self, outputs: Any, y: Any, weight: Any = None) -> None:
        """Shows a batch to the metrics."""
        if self._metrics is None:
            return
        y, outputs = map(tf.convert_to_tensor, (y, outputs))
        self._metrics.update_state(y, outputs, weight)

    def results(self) -> dict[str, Any]:
        """The values of the metrics by name."""
        if self._metrics is None:
            return {}
        if self._is_tf_keras:
            plain, weighted = self._split()
            return {each.name: each.result() for each in plain + weighted}
        results: dict[str, Any] = self._metrics.result()
        return results

    def reset(self) -> None:
        """Lets the metrics forget what they have seen."""
        if self._metrics is not None:
            self._metrics.reset_state()

    def compile_copy(self, model: tf_keras.Model, optimizer: Any) -> None:
        """Compiles a copy in tf_keras with the very same loss and metrics.

        Args:
            model: An uncompiled tf_keras model with the same outputs.
            optimizer: Of tf_keras.
        """
        plain, weighted = (
            [each if self._is_tf_keras else _Metric(each) for each in part]
            for part in self._split()
        )
        model.compile(
            optimizer, _Loss(self), metrics=plain, weighted_metrics=weighted
        )

    def _split(self) -> tuple[list[Any], list[Any]]:
        """The metrics without sample weights, and those with."""
        if self._metrics is None:
            return [], []
        if self._is_tf_keras:
            plain = self._metrics.unweighted_metrics
            weighted = self._metrics.weighted_metrics
        else:
            plain, weighted = (
                [each for of_one in part if of_one for each in of_one.metrics]
                for part in (
                    self._metrics._flat_metrics,
                    self._metrics._flat_weighted_metrics,
                )
            )
        return (
            [each for each in plain or () if each is not None],
            [each for each in weighted or () if each is not None],
        )


class _Loss(tf_keras.losses.Loss):
    """The loss of another model, reduced as that reduces it."""

    def __init__(self, source: Compiled) -> None:
        super().__init__(name="loss")
        self._source = source

    def __call__(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> Any:
        return self._source.loss(y_true, y_pred, sample_weight)


class _Metric(tf_keras.metrics.Metric):
    """A metric of Keras 3 in a model of tf_keras."""

    def __init__(self, source: keras.metrics.Metric) -> None:
        super().__init__(name=source.name)
        self._source = source

    @tf.autograph.experimental.do_not_convert
    def update_state(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        self._source.update_state(y_true, y_pred, sample_weight)

    def result(self) -> Any:
        return self._source.result()

    def reset_state(self) -> None:
        self._source.reset_state()


def is_compiled(model: Any) -> bool:
    """Whether a model of either Keras has an optimizer and a loss."""
    name = "_is_compiled" if isinstance(model, tf_keras.Model) else "compiled"
    return bool(getattr(model, name))
