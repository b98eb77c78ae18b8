"""Dense features and rows of tables, multiplied in pairs."""

from __future__ import annotations

from typing import Any

from tf_cosearch import configuration
from tf_cosearch.networks.blocks import block
from tf_cosearch.networks.blocks.perceptron import refuse_stride
from tf_cosearch.networks.dlrm import interact
from tf_cosearch.networks.layer_ops import BlockOps
from tf_cosearch.tasks.recommendation import STEP, table_rows


@block
def dlrm(
    ops: BlockOps,
    x: Any,
    *,
    filters: int,
    stride: int = 1,
    tables: str = "5 3",
    dimension: int = 8,
    bottom_units: int = 16,
    bottom_layers: int = 1,
) -> Any:
    """A DLRM up to the first layer after the interaction, of `filters` units.

    Reads the columns of an example: dense features, which pass
    `bottom_layers` of `bottom_units` and one of `dimension` units, then for
    each of `tables` the number of a row of `dimension` numbers.

    Reference: Naumov et al., arXiv 1906.00091.
    """
    refuse_stride(stride, "dlrm")
    rows = table_rows(tables)
    for name, value in (
        ("dimension", dimension),
        ("bottom_units", bottom_units),
        ("bottom_layers", bottom_layers),
    ):
        configuration.at_least(name, value, int(name != "bottom_layers"), 8192)
    dense, *numbers = ops.columns(x, len(rows), STEP, name="columns")
    bottom = [bottom_units] * bottom_layers
    y = interact(ops, dense, numbers, rows, dimension, bottom)
    return ops.dense(y, filters, name="top1")
