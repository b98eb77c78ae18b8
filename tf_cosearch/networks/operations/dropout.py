"""Dropout, which is there in training alone."""

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
class Dropout(Operation):
    """Drops a share of the numbers in training.

    Attributes:
        rate: The share; 0 drops none.

    Example:
    >>> record = LayerRecorder()
    >>> x = record.input(4, 4, 8)
    >>> record.dropout(x, 0.2) == x, record.layers()
    (True, [])
    """

    rate: float

    def keras(self, build: KerasBuilder, x: Any, name: str) -> Any:
        """A Dropout, if it drops any."""
        if not self.rate:
            return x
        return build.keras.layers.Dropout(self.rate, name=build.path(name))(x)

    def rows(
        self, record: LayerRecorder, x: TensorShape, name: str
    ) -> TensorShape:
        """None."""
        return x
