"""No block at all: what makes the depth of a stage a choice."""

from __future__ import annotations

from typing import Any

from tf_cosearch.networks.blocks import block
from tf_cosearch.networks.layer_ops import BlockOps


@block
def skip(ops: BlockOps, x: Any, *, filters: int, stride: int = 1) -> Any:
    """Hands its input on.

    Raises:
        ValueError: If the block would have to change the shape.
    """
    if stride != 1 or ops.shape(x)[-1] != filters:
        raise ValueError(
            "`skip` must not change the shape. Received: "
            f"{ops.shape(x)[-1]} to {filters} channels, stride {stride}. Use "
            "it after the first block of a stage."
        )
    return x
