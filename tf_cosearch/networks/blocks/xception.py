"""The unit of ShuffleNetV2 with three separable convolutions, as Xception's."""

from __future__ import annotations

from typing import Any

from tf_cosearch.networks.blocks import block
from tf_cosearch.networks.blocks.shuffle_v2 import halved
from tf_cosearch.networks.layer_ops import BlockOps


@block
def xception(
    ops: BlockOps,
    x: Any,
    *,
    filters: int,
    stride: int = 1,
    expansion: float = 1,
    activation: str = "relu",
) -> Any:
    """Half of the channels through three times depthwise 3x3 and 1x1.

    The first two 1x1 convolutions have `expansion` times as many channels as
    the half that the branch ends in. The first depthwise one has the stride.

    Reference: Guo et al., "Single Path One-Shot Neural Architecture Search
    with Uniform Sampling", arXiv 1904.00420, whose choice block it is; Chollet,
    "Xception", arXiv 1610.02357.
    """
    half = filters // 2
    middle = max(1, round(half * expansion))

    def branch(y: Any) -> Any:
        for i, (step, channels) in enumerate(
            ((stride, middle), (1, middle), (1, half)), start=1
        ):
            y = ops.depthwise(y, 3, step, None, name=f"depthwise{i}")
            y = ops.conv(
                y, channels, activation=activation, name=f"pointwise{i}"
            )
        return y

    return halved(ops, x, filters, stride, 3, activation, branch)
