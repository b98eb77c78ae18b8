"""What tasks share whose networks put out a logit a class."""

from __future__ import annotations

import math
from typing import Any

from tf_cosearch.tasks.task import Task


class ClassLogits(Task):
    """A task of classes, of an image or of each of its pixels."""

    def losses(self, targets: Any, outputs: Any) -> Any:
        """The cross-entropies, with labels or with probabilities."""
        import tensorflow as tf

        if len(targets.shape) < len(outputs.shape):
            return tf.nn.sparse_softmax_cross_entropy_with_logits(
                targets, outputs
            )
        return tf.nn.softmax_cross_entropy_with_logits(targets, outputs)

    def answers(self, outputs: Any) -> Any:
        """Probabilities."""
        import tensorflow as tf

        return tf.nn.softmax(outputs)

    def guess(self, classes: int) -> float:
        """As if all classes were as likely."""
        return math.log(classes)
