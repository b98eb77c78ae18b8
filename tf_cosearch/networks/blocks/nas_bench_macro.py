"""The layer of NAS-Bench-Macro: nothing, or one of two inverted bottlenecks."""

from __future__ import annotations

from typing import Any

from tf_cosearch import configuration
from tf_cosearch.networks.blocks import block
from tf_cosearch.networks.blocks.inverted_residual import inverted_residual
from tf_cosearch.networks.layer_ops import BlockOps

_BOTTLENECKS = {1: (3, 3), 2: (5, 6)}  # kernel and expansion


@block
def nas_bench_macro(
    ops: BlockOps,
    x: Any,
    *,
    filters: int,
    stride: int = 1,
    operator: int = 1,
) -> Any:
    """What a digit of NAS-Bench-Macro stands for.

    `operator` 0 hands its input on, by a 1x1 convolution without activation
    where the shape changes; 1 is an inverted bottleneck with kernel 3 and
    expansion 3, 2 one with kernel 5 and expansion 6.

    Reference: Su et al., "Prioritized Architecture Sampling with Monto-Carlo
    Tree Search", arXiv 2103.11922; github.com/xiusu/NAS-Bench-Macro.
    """
    configuration.at_least("operator", operator, 0, max(_BOTTLENECKS))
    if operator in _BOTTLENECKS:
        kernel_size, expansion = _BOTTLENECKS[operator]
        return inverted_residual(
            ops,
            x,
            filters=filters,
            stride=stride,
            kernel_size=kernel_size,
            expansion=expansion,
        )
    if stride == 1 and ops.shape(x)[-1] == filters:
        return x
    return ops.conv(x, filters, 1, stride, activation=None, name="identity")
