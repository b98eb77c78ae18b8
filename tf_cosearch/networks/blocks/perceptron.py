"""A dense layer over all that it reads."""

from __future__ import annotations

from typing import Any

from tf_cosearch.networks.blocks import block
from tf_cosearch.networks.layer_ops import BlockOps


@block
def perceptron(
    ops: BlockOps,
    x: Any,
    *,
    filters: int,
    stride: int = 1,
    activation: str = "relu",
) -> Any:
    """`filters` units, a vector, whatever the image; so there is no stride."""
    refuse_stride(stride, "perceptron")
    return ops.dense(x, filters, activation, name="dense")


def refuse_stride(stride: int, block: str) -> None:
    """Refuses a step of what puts out a vector.

    Raises:
        ValueError: If it is not 1.
    """
    if stride != 1:
        raise ValueError(
            f"A {block} puts out a vector, so that its stride must be 1. "
            f"Received: {stride}."
        )
