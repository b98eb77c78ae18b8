"""What an operation of blocks must do."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from tf_cosearch.networks.importers.keras_import import from_keras
from tf_cosearch.networks.layer_ops import BlockOps, KerasBuilder, LayerRecorder
from tf_cosearch.networks.workload import Layer, to_array
from tf_cosearch.testing.requirement import require


class OperationSuite:
    """Tests of the operation called `name`; a block of it has `BlockSuite`.

    Attributes:
        name: What `ops` calls it.
        image: Height, width and channels of the image.
        numbers: How many rows a table has that the image has numbers of, which
            are integers of 32 bits then; 0 for an image of values.
    """

    name: str
    image: tuple[int, int, int] = (6, 4, 8)
    numbers: int = 0

    def call(self, ops: BlockOps, x: Any) -> Any:
        """Calls it by its defaults; override it to tell it settings.

        Args:
            ops: What reads the call.
            x: The image. An operation that refuses one gets two of a shape.

        Returns:
            What the operation writes, one tensor.
        """
        operation = getattr(ops, self.name)
        try:
            return operation(x)
        except ValueError:
            return operation([x, ops.max_pool(x, 3, name="second")])

    def rows(self) -> list[Layer]:
        """What the call costs."""
        record = LayerRecorder()
        bits = 32 if self.numbers else 8
        self.call(record, record.input(*self.image, bits))
        return record.layers()

    def models(self) -> list[Any]:
        """The call as a model of Keras 3, and of tf_keras."""
        import tf_keras

        models = []
        for kind in (keras, tf_keras):
            dtype = "int32" if self.numbers else "float32"
            x = kind.Input(self.image, dtype=dtype)
            models.append(kind.Model(x, self.call(KerasBuilder(kind), x)))
        return models

    def test_rows_are_those_of_the_built_model(self) -> None:
        """Cost and network must not disagree, in either Keras."""
        rows = self.rows()
        for model in self.models():
            read = from_keras(model)
            equal = [row.op for row in rows] == [row.op for row in read]
            require(
                equal and np.array_equal(to_array(rows), to_array(read)),
                f"{self.name}: rows {rows}, model {read}",
            )

    def test_both_kerases_compute_the_same(self) -> None:
        """A network is trained in one and handed out in the other."""
        rng = np.random.default_rng(0)
        shape = (2, *self.image)
        images: Any = rng.random(shape, np.float32)
        if self.numbers:
            images = rng.integers(0, self.numbers, shape, np.int32)
        ours, theirs = self.models()
        theirs.set_weights(ours.get_weights())
        np.testing.assert_allclose(
            np.asarray(ours(images)), theirs(images), atol=1e-5
        )
