"""What a block does, as a value: options that change nothing show as equal."""

from __future__ import annotations

import functools
from typing import Any

from tf_cosearch.networks.layer_ops import LayerRecorder
from tf_cosearch.networks.network import BlockSpec
from tf_cosearch.networks.tape import TensorShape


class _Log(LayerRecorder):
    """Rows of a layer table and, what no row shows, the activations."""

    def __init__(self) -> None:
        super().__init__()
        self.activations: list[tuple[str, str | None]] = []

    def _activate(
        self, x: TensorShape, activation: str | None, name: str
    ) -> TensorShape:
        self.activations.append((name, activation))
        return super()._activate(x, activation, name)


@functools.cache
def effect(
    block: str, options: tuple[tuple[str, Any], ...], width: int, stride: int
) -> tuple[Any, ...]:
    """What a block does with an input of its own width and with another.

    Args:
        block: Name of the block.
        options: Its options, as sorted pairs of key and value.
        width: Channels of its input.
        stride: Its stride where the width changes.

    Returns:
        A value that is equal for blocks that do the same.
    """
    done = []
    contexts = {(width, 1): None, (2 * width, stride): None}
    for filters, step in contexts if block != "skip" else [(width, 1)]:
        log = _Log()
        spec = BlockSpec("", block, filters, step, options)
        spec.apply(log, log.input(8, 8, width))
        done.append((tuple(log.layers()), tuple(log.activations)))
    return tuple(done)


def rows(done: tuple[Any, ...]) -> int:
    """Most rows that a block with this effect has in a layer table."""
    return max(len(layers) for layers, _ in done)
