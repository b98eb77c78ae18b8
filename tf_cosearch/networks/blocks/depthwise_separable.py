"""The depthwise separable convolution of MobileNet."""

from __future__ import annotations

from typing import Any

from tf_cosearch.networks.blocks import block
from tf_cosearch.networks.layer_ops import BlockOps


@block
def depthwise_separable(
    ops: BlockOps,
    x: Any,
    *,
    filters: int,
    stride: int = 1,
    kernel_size: int | tuple[int, int] = 3,
    groups: int = 1,
    activation: str = "relu",
) -> Any:
    """Depthwise kxk, then 1x1, each with an activation.

    `groups` splits the 1x1 convolution.

    Reference: Howard et al., "MobileNets", arXiv 1704.04861, figure 3.
    """
    y = ops.depthwise(x, kernel_size, stride, activation, name="depthwise")
    return ops.conv(
        y, filters, groups=groups, activation=activation, name="pointwise"
    )
