"""A plain convolution."""

from __future__ import annotations

from typing import Any

from tf_cosearch.networks.blocks import block
from tf_cosearch.networks.layer_ops import BlockOps


@block
def conv_bn(
    ops: BlockOps,
    x: Any,
    *,
    filters: int,
    stride: int = 1,
    kernel_size: int | tuple[int, int] = 3,
    groups: int = 1,
    activation: str = "relu",
) -> Any:
    """Convolution, batch normalisation, activation."""
    return ops.conv(
        x, filters, kernel_size, stride, groups, activation, name="conv"
    )
