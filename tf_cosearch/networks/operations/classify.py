"""The end of an image classifier."""

from __future__ import annotations

from typing import Any

from tf_cosearch.networks.layer_ops import (
    KerasBuilder,
    LayerRecorder,
    Operation,
    operation,
)
from tf_cosearch.networks.tape import TensorShape


@operation
class Classify(Operation):
    """Global average pooling, dropout, dense layer with logits.

    Attributes:
        classes: Number of logits.
        dropout: Share of the averages dropped in training.
    """

    classes: int
    dropout: float = 0.0

    def keras(self, build: KerasBuilder, x: Any, name: str) -> Any:
        """The logits, `[N, classes]`."""
        layers = build.keras.layers
        y = layers.GlobalAveragePooling2D(name=build.path("pool"))(x)
        if self.dropout:
            y = layers.Dropout(self.dropout, name=build.path("dropout"))(y)
        return layers.Dense(self.classes, name=build.path(name))(y)

    def rows(
        self, record: LayerRecorder, x: TensorShape, name: str
    ) -> TensorShape:
        """Dropout is a layer of training only."""
        y = record.global_pool(x, name="pool")
        return record.row(name, "dense", [y], (1, 1, self.classes))
