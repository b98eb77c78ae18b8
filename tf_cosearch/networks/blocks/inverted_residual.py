"""The inverted bottleneck (IBN) of MobileNetV2."""

from __future__ import annotations

from typing import Any

from tf_cosearch.networks.blocks import block
from tf_cosearch.networks.layer_ops import BlockOps


@block
def inverted_residual(
    ops: BlockOps,
    x: Any,
    *,
    filters: int,
    stride: int = 1,
    kernel_size: int | tuple[int, int] = 3,
    expansion: float = 6,
    groups: int = 1,
    se_ratio: float = 0,
    activation: str = "relu",
    skip: bool = True,
) -> Any:
    """Expand by 1x1, depthwise kxk, project by 1x1, add the input.

    `groups` splits both 1x1 convolutions; `se_ratio` of the input's channels
    are the squeezed ones. The input is added where shapes allow.

    Reference: Sandler et al., "MobileNetV2", arXiv 1801.04381, figure 4.
    """
    channels = ops.shape(x)[-1]
    y = x
    if expansion != 1:
        expanded = max(1, round(channels * expansion))
        y = ops.conv(
            y, expanded, groups=groups, activation=activation, name="expand"
        )
    y = ops.depthwise(y, kernel_size, stride, activation, name="depthwise")
    if se_ratio:
        squeezed = max(1, round(channels * se_ratio))
        y = ops.squeeze_excite(y, squeezed, name="se")
    y = ops.conv(y, filters, groups=groups, activation=None, name="project")
    return ops.add([x, y]) if skip and ops.shape(x) == ops.shape(y) else y
