"""Which of some classes an image is of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from tf_cosearch.tasks.class_logits import ClassLogits
from tf_cosearch.tasks.task import require_examples, task


@task
class Classification(ClassLogits):
    """A label an image; the accuracy is the share of right ones.

    Example:
    >>> outputs = np.asarray([[0.1, 2.0], [0.5, 0.2], [1.0, 3.0]])
    >>> Classification().score([(outputs, np.asarray([1, 0, 0]))], 2)
    {'accuracy': 0.6666666666666666}
    """

    takes_class_weight: ClassVar[bool] = True

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
        """The cross-entropy of labels and logits."""
        import tf_keras

        return tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def metrics(self, classes: int) -> list[Any]:
        """The share of right labels."""
        del classes
        import tf_keras

        return [tf_keras.metrics.SparseCategoricalAccuracy("accuracy")]

    def score(self, batches: Iterable[Any], classes: int) -> dict[str, float]:
        """Counts right labels, in whole numbers."""
        del classes
        right = total = 0
        for outputs, labels, *_ in batches:
            answers = np.asarray(outputs).argmax(-1)
            right += int(np.sum(answers == np.asarray(labels).ravel()))
            total += len(answers)
        require_examples(total)
        return {"accuracy": right / total}

    def check_targets(
        self,
        y: np.ndarray,
        input_shape: tuple[int, ...],
        classes: int,
        what: str,
    ) -> None:
        """Accepts labels `[N]` or `[N, 1]`, and one-hot `[N, classes]`."""
        del input_shape
        if y.ndim == 2 and y.shape[1] == classes and classes > 1:
            if not (np.isin(y, (0, 1)).all() and (y.sum(1) == 1).all()):
                raise ValueError(
                    f"One-hot labels of the {what} must have a single 1. "
                    "Received: other rows. Soft labels are not supported."
                )
            return
        if y.ndim != 1 and y.shape[1:] != (1,):
            raise ValueError(
                f"Labels of the {what} must be integers [N] or one-hot [N, "
                f"{classes}]. Received: shape {y.shape}."
            )
        if y.dtype.kind not in "fiub" or not np.array_equal(y, np.trunc(y)):
            raise ValueError(
                f"Labels of the {what} must be integers. Received: {y.dtype} "
                f"such as {y.ravel()[0]!r}."
            )
        if y.min() < 0 or y.max() >= classes:
            raise ValueError(
                f"Labels of the {what} must be in [0, {classes}). Received: "
                f"{y.min()} to {y.max()}. Change the labels or classes."
            )

    def targets(self, y: Any, classes: int | None) -> Any:
        """Labels `[N]`, int32."""
        import tensorflow as tf

        if y.shape.rank == 2:
            y = tf.argmax(y, 1) if y.shape[1] == classes != 1 else y[:, 0]
        return tf.cast(y, tf.int32)

    def count(self, parts: Sequence[np.ndarray], what: str) -> int:
        """One more than the largest label, or as many as one-hot ones have."""
        return max(self._count(y, what) for y in parts)

    def _count(self, y: np.ndarray, what: str) -> int:
        is_number = y.dtype.kind in "fiub" and np.isfinite(y).all()
        if not is_number or (y % 1).any():
            raise ValueError(
                f"Labels of {what} must be integers. Received: {y.dtype} such "
                f"as {y[:3].tolist()}."
            )
        if y.ndim == 2 and y.shape[1] > 1:
            return int(y.shape[1])
        return int(np.max(y, initial=0)) + 1

    def strata(self, y: np.ndarray) -> np.ndarray:
        """The labels."""
        is_one_hot = y.ndim == 2 and y.shape[1] > 1
        return y.argmax(-1) if is_one_hot else y.ravel()


CLASSIFICATION = Classification()
"""What networks are for unless told."""
