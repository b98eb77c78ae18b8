"""What a block does, as a value: options that change nothing show as equal."""

from __future__ import annotations

import functools
from typing import Any

from tf_cosearch.networks.layer_ops import LayerRecorder, Operation
from tf_cosearch.networks.network import BlockSpec


class _Log(LayerRecorder):
    """Rows of a layer table and, as no row shows all, what was called."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, Operation, Any]] = []

    def read(self, operation: Operation, x: Any, name: str) -> Any:
        tensors = tuple(x) if isinstance(x, list) else x
        self.calls.append((name, operation, tensors))
        return super().read(operation, x, name)


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
        done.append((tuple(log.layers()), tuple(log.calls)))
    return tuple(done)


def is_nothing(done: tuple[Any, ...]) -> bool:
    """Whether a block with this effect hands an input of its width on."""
    return bool(done[0] == ((), ()))


def rows(done: tuple[Any, ...]) -> int:
    """Most rows that a block with this effect has in a layer table."""
    return max(len(layers) for layers, _ in done)
