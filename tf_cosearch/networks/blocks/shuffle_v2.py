"""The unit of ShuffleNetV2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tf_cosearch.networks.blocks import block
from tf_cosearch.networks.layer_ops import BlockOps


@block
def shuffle_v2(
    ops: BlockOps,
    x: Any,
    *,
    filters: int,
    stride: int = 1,
    kernel_size: int | tuple[int, int] = 3,
    expansion: float = 1,
    activation: str = "relu",
) -> Any:
    """Half of the channels through 1x1, depthwise kxk, 1x1; then a shuffle.

    Between its 1x1 convolutions the branch has `expansion` times as many
    channels as the half that it ends in.

    Reference: Ma et al., "ShuffleNet V2", arXiv 1807.11164, figure 3 (c), (d).
    """
    middle = max(1, round(filters // 2 * expansion))

    def branch(y: Any) -> Any:
        y = ops.conv(y, middle, activation=activation, name="expand")
        y = ops.depthwise(y, kernel_size, stride, None, name="depthwise")
        return ops.conv(y, filters // 2, activation=activation, name="project")

    return halved(ops, x, filters, stride, kernel_size, activation, branch)


def halved(
    ops: BlockOps,
    x: Any,
    filters: int,
    stride: int,
    kernel_size: int | tuple[int, int],
    activation: str,
    branch: Callable[[Any], Any],
) -> Any:
    """Lets a branch make one half of the channels, and shuffles both.

    The other half is that of the input. Where stride or width change, it is a
    depthwise and a 1x1 convolution of the whole input, and the branch reads
    all of it, too.

    Args:
        ops: What to call.
        x: The input.
        filters: Channels of both halves, an even number.
        stride: Of the depthwise convolution, and of the branch.
        kernel_size: Of the depthwise convolution.
        activation: After the 1x1 convolution.
        branch: Makes `filters // 2` channels of what it is given.

    Returns:
        The output.
    """
    # TFLite runs branches in the order of their names, and so do the rows.
    if stride == 1 and ops.shape(x)[-1] == filters:
        half, y = ops.split(x)
    else:
        y = x
        with ops.scope("branch1"):
            half = ops.depthwise(x, kernel_size, stride, None, name="depthwise")
            half = ops.conv(
                half, filters // 2, activation=activation, name="project"
            )
    with ops.scope("branch2"):
        y = branch(y)
    return ops.channel_shuffle(ops.concat([half, y]), name="shuffle")
