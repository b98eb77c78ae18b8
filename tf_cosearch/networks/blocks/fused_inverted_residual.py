"""The fused inverted bottleneck of EfficientNet-EdgeTPU."""

from __future__ import annotations

from typing import Any

from tf_cosearch.networks.blocks import block
from tf_cosearch.networks.layer_ops import BlockOps


@block
def fused_inverted_residual(
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
    stride_at: str = "expand",
) -> Any:
    """Expand by a full kxk convolution, project by 1x1, add the input.

    One convolution stands for the inverted bottleneck's first two: more
    arithmetic, but all of it feeds the reduction of the array. `groups` splits
    the kxk convolution. With `expansion` 1 only the projection is left.
    `stride_at` says which of the two convolutions steps.

    Reference: Gupta and Akin, "Accelerator-aware Neural Network Design using
    AutoML", arXiv 2003.02838.
    """
    channels = ops.shape(x)[-1]
    y = x
    projects_stride = stride if stride_at == "project" else 1
    if expansion != 1:
        y = ops.conv(
            y,
            max(1, round(channels * expansion)),
            kernel_size,
            stride // projects_stride,
            groups,
            activation,
            name="expand",
        )
    else:
        projects_stride = stride
    if se_ratio:
        squeezed = max(1, round(channels * se_ratio))
        y = ops.squeeze_excite(y, squeezed, name="se")
    y = ops.conv(
        y, filters, stride=projects_stride, activation=None, name="project"
    )
    return ops.add([x, y]) if skip and ops.shape(x) == ops.shape(y) else y
