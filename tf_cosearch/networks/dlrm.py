"""DLRM: a click predicted from dense features and rows of tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tf_cosearch.networks.layer_ops import BlockOps, LayerRecorder
from tf_cosearch.networks.precision import Precision
from tf_cosearch.networks.stage_values import check_value
from tf_cosearch.networks.workload import Layer


class Dlrm(NamedTuple):
    """A recommendation model of one row of each table.

    Attributes:
        features: Dense features.
        tables: Rows of each table.
        dimension: Numbers of a row.
        bottom: Units of the layers before the interaction, but for the last
            one, which has as many as a row has numbers.
        top: Units of the layers after it, but for the one that answers.
    """

    features: int
    tables: tuple[int, ...]
    dimension: int
    bottom: tuple[int, ...]
    top: tuple[int, ...]

    def layers(self, table_bits: int = 8) -> list[Layer]:
        """The rows of its layer table, in execution order.

        Args:
            table_bits: Bits of a number of a table.

        Returns:
            The rows. What goes in are dense features of 8 bits and, for each
            table, the number of a row, of 32.

        Raises:
            ValueError: If there is no format of tables of so many bits.

        Example:
        >>> rows = Dlrm(4, (100, 10), 8, (16,), (16,)).layers()
        >>> sum(row.params for row in rows) == (
        ...     110 * 8 + (4 * 16 + 16) + (16 * 8 + 8)
        ...     + (11 * 16 + 16) + (16 + 1))
        True
        """
        check_value("table_bits", table_bits, "a DLRM")
        record = LayerRecorder()
        dense = record.input(1, 1, self.features)
        numbers = [record.input(1, 1, 1, bits=32) for _ in self.tables]
        with record.at(Precision(table_bits=table_bits)):
            x = interact(
                record,
                dense,
                numbers,
                self.tables,
                self.dimension,
                self.bottom,
            )
        for index, units in enumerate(self.top, 1):
            x = record.dense(x, units, name=f"top{index}")
        record.dense(x, 1, None, name="click")
        return record.layers()


def interact(
    ops: BlockOps,
    dense: Any,
    numbers: Sequence[Any],
    tables: Sequence[int],
    dimension: int,
    bottom: Sequence[int],
) -> Any:
    """A vector of dense features, and its products with rows and of those.

    Args:
        ops: What reads it.
        dense: The dense features.
        numbers: For each table the numbers of the rows to look up.
        tables: Rows of each table.
        dimension: Numbers of a row.
        bottom: Units of the layers that dense features pass first.

    Returns:
        `dimension + n (n + 1) / 2` channels for `n` tables.

    Reference: Naumov et al., "Deep Learning Recommendation Model for
    Personalization and Recommendation Systems", arXiv 1906.00091.
    """
    for index, units in enumerate([*bottom, dimension], 1):
        dense = ops.dense(dense, units, name=f"bottom{index}")
    vectors = [
        ops.embedding(place, rows, dimension, name=f"table{index}")
        for index, (place, rows) in enumerate(
            zip(numbers, tables, strict=True), 1
        )
    ]
    return ops.dot_interaction([dense, *vectors], name="interaction")


# arXiv 1906.00091, section 5.1: about 540 million parameters. Tables are those
# of the Kaggle data by Criteo, as facebookresearch/dlrm counts them.
_KAGGLE = (
    *(1460, 583, 10131227, 2202608, 305, 24, 12517, 633, 3, 93145, 5683),
    *(8351593, 3194, 27, 14992, 5461306, 10, 5652, 2173, 4, 7046547, 18),
    *(15, 286181, 105, 142572),
)

# MLPerf: mlcommons/inference, recommendation/dlrm; numbers of rows are taken
# modulo 40 million.
_TERABYTE = (
    *(39884406, 39043, 17289, 7420, 20263, 3, 7120, 1543, 63, 38532951),
    *(2953546, 403346, 10, 2208, 11938, 155, 4, 976, 14, 39979771, 25641295),
    *(39664984, 585935, 12972, 108, 36),
)

PUBLISHED = {
    "dlrm": Dlrm(13, _KAGGLE, 16, (512, 256, 64), (512, 256)),
    "dlrm_terabyte": Dlrm(
        13, _TERABYTE, 128, (512, 256), (1024, 1024, 512, 256)
    ),
}
"""Models that are published, by name."""
