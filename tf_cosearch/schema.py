"""Checks what was read from JSON against the type that it must have.

A type is one of `typing`: a `TypedDict`, `dict[str, ...]`, `list[...]`, a
union, a `Literal`, or a plain type. What has passed can be used as that type
says, so that nobody else has to ask what a file holds.
"""

from __future__ import annotations

import functools
import types
import typing
from typing import Any

_SHOWN = 60  # characters of a value that help


def check(value: Any, kind: Any, where: str = "it") -> None:
    """Refuses a value that is not of a type, at any depth.

    Whole numbers pass for `float`, `true` and `false` only for `bool`. Of a
    `TypedDict`, further keys are let pass.

    Args:
        value: What `json.load` returned.
        kind: The type.
        where: What the value is, for the message.

    Raises:
        ValueError: If it is not; says where.

    Example:
    >>> check({"epochs": [1, 2.5]}, dict[str, list[float]])
    >>> check({"epochs": [1, "2"]}, dict[str, list[float]])
    Traceback (most recent call last):
        ...
    ValueError: it['epochs'][1] must be float. Received: '2'.
    """
    inner = typing.get_args(kind)
    origin = typing.get_origin(kind)
    if typing.is_typeddict(kind):
        _require(isinstance(value, dict), value, "an object", where)
        for key in sorted(kind.__required_keys__):
            _require(key in value, list(value), f"with {key!r}", where)
        for key, each in _fields(kind).items():
            if key in value:
                check(value[key], each, f"{where}[{key!r}]")
    elif origin is dict:
        _require(isinstance(value, dict), value, "an object", where)
        for key, each in value.items():
            check(each, inner[1], f"{where}[{key!r}]")
    elif origin is list:
        _require(isinstance(value, list), value, "a list", where)
        for index, each in enumerate(value):
            check(each, inner[0], f"{where}[{index}]")
    elif origin in (types.UnionType, typing.Union):
        _require(any(_is(value, each) for each in inner), value, kind, where)
    elif origin is typing.Literal:
        _require(any(value == each for each in inner), value, inner, where)
    elif kind is not Any:
        _require(_is_plain(value, kind), value, kind.__name__, where)


def _require(holds: bool, value: Any, what: Any, where: str) -> None:
    if not holds:
        told = repr(value)
        if len(told) > _SHOWN:
            told = f"{told[:_SHOWN]}..."
        raise ValueError(f"{where} must be {what}. Received: {told}.")


def _is(value: Any, kind: Any) -> bool:
    try:
        check(value, kind)
    except ValueError:
        return False
    return True


def _is_plain(value: Any, kind: type) -> bool:
    if kind is float and type(value) is int:
        return abs(value) < 2**1023  # more is no float
    return type(value) is kind


@functools.cache
def _fields(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)
