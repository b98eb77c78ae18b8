"""The blocks that networks are made of, one file each, found by scan.

A block is a function

    @block
    def my_block(ops, x, *, filters, stride=1, kernel_size=3, ...):

of `ops` (see `BlockOps`) and a tensor. Its keyword arguments are the keys that
stages of a search space may set or search. Other packages register theirs by
the same decorator.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import Any

from tf_cosearch import configuration
from tf_cosearch.networks.precision import Precision

Block = Callable[..., Any]

_BLOCKS: dict[str, Block] = {}


def block(function: Block) -> Block:
    """Registers a block under the name of its function.

    Args:
        function: Takes `ops`, a tensor, and keyword-only `filters`, `stride`
            and its own options, which have defaults.

    Returns:
        The function.

    Raises:
        ValueError: If another function has the name.
        TypeError: If the signature is not that of a block.
    """
    name = function.__name__
    other = _BLOCKS.get(name)
    if other is not None and other.__module__ != function.__module__:
        raise ValueError(
            f"Block {name!r} is already registered by {other.__module__}. "
            "Choose another function name."
        )
    keys = inspect.signature(function).parameters
    if not {"filters", "stride"} <= set(keys):
        raise TypeError(
            "A block must take `filters` and `stride` by keyword. Received: "
            f"{name}{inspect.signature(function)}."
        )
    _BLOCKS[name] = function
    return function


def get(name: Any) -> Block:
    """The block of a name.

    Raises:
        ValueError: If there is none.
    """
    if not isinstance(name, str) or name not in _BLOCKS:
        raise configuration.unknown("block", name, _BLOCKS)
    return _BLOCKS[name]


def names() -> list[str]:
    """Sorted names of all blocks."""
    return sorted(_BLOCKS)


def options(name: str) -> dict[str, Any]:
    """The options of a block besides `filters` and `stride`, with defaults.

    The bits of its layers are options of every block.

    Example:
    >>> [*options("conv_bn").items()][:3]
    [('kernel_size', 3), ('groups', 1), ('activation', 'relu')]
    """
    return dict(_options(get(name))) | Precision()._asdict()


@functools.cache
def _options(function: Block) -> dict[str, Any]:
    return {
        key: parameter.default
        for key, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        and key not in ("filters", "stride")
    }


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
