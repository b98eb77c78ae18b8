"""Settings of a training as plain values, by which trainings are told apart."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import types
from collections.abc import Mapping
from typing import Any

import numpy as np

from tf_cosearch.identity import CLASS

DEPTH = 3
"""Objects in objects in objects: what is further inside counts by its class."""

_DIGITS = 16

_PACKAGE = __name__.partition(".")[0]


def plain(value: Any, depth: int = DEPTH) -> Any:
    """What a setting is, as JSON, the same in every process.

    Args:
        value: Numbers, words, arrays, containers; objects, of which the
            configuration and the public attributes count; functions, of which
            the code, the defaults and what they use from outside count.
        depth: Objects within objects that are looked into.

    Returns:
        Numbers, words, lists and dictionaries. Arrays and code are hashed.

    Example:
    >>> plain({"epochs": np.int64(3), "rate": np.float32(0.1)})
    {'epochs': 3, 'rate': 0.1}
    >>> plain(functools.partial(max, 2))
    {'class': 'max', 'arguments': [2]}
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float) and abs(value) < 1e38:
        single = np.float32(value)  # as optimizers keep their numbers
        value = single if single == value else float(value)
    if isinstance(value, (float, np.floating)):
        return float(str(value))  # 0.1 is no float32
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(key): plain(each, depth) for key, each in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted((plain(each, depth) for each in value), key=str)
    if isinstance(value, (list, tuple)):
        return [plain(each, depth) for each in value]
    name = getattr(value, "__qualname__", type(value).__qualname__)
    if depth == 0 or isinstance(value, type):
        return {CLASS: name}
    if isinstance(value, np.ndarray):
        content = [str(value.dtype), value.shape, value.tolist()]
        return {CLASS: name, "content": _hash(content)}
    if isinstance(value, functools.partial):
        given = {"arguments": value.args, **value.keywords}
        return {**plain(value.func, depth), **plain(given, depth - 1)}
    if isinstance(value, types.MethodType):
        return {**plain(value.__func__, depth), **plain(value.__self__, depth)}
    if isinstance(value, types.FunctionType):
        used = plain(_used(value), depth - 1)
        return {CLASS: name, "code": _hash(_code(value.__code__)), **used}
    return {CLASS: name, **plain(_settings(value), depth - 1)}


def written(kind: type) -> dict[str, Any]:
    """What a class of a user's own does, by the names of its members.

    Args:
        kind: The class.

    Returns:
        Its methods and constants and those of its bases, as `plain` has
        them; none of this package, of which the version counts.
    """
    members: dict[str, Any] = {}
    for each in reversed(kind.__mro__[:-1]):
        if each.__module__.partition(".")[0] == _PACKAGE:
            continue
        for name, value in vars(each).items():
            is_made = name.startswith(("__", "_abc_"))
            if is_made and name != "__post_init__":
                continue
            if isinstance(value, property):
                value = value.fget
            elif isinstance(value, functools.cached_property):
                value = value.func
            members[name] = plain(getattr(value, "__func__", value))
    return members


def _settings(value: Any) -> dict[str, Any]:
    """The configuration and public attributes of an object."""
    config = {}
    if hasattr(value, "get_config"):
        try:
            config = dict(value.get_config())
        except NotImplementedError:  # a class of one's own need not have one
            config = {}
    # Keras numbers names by what was made before.
    config.pop("name", None)
    public = {
        name: each
        for name, each in getattr(value, "__dict__", {}).items()
        if not name.startswith("_") and name not in ("name", "verbose")
    }
    return {**public, **config}


def _used(function: types.FunctionType) -> dict[str, Any]:
    """Defaults, and what a function uses from around it, by name."""
    used: dict[str, Any] = {
        name: function.__globals__[name]
        for name in function.__code__.co_names
        if isinstance(
            function.__globals__.get(name), (bool, int, float, str, tuple)
        )
    }
    cells = zip(
        function.__code__.co_freevars, function.__closure__ or (), strict=True
    )
    for name, cell in cells:
        with contextlib.suppress(ValueError):  # not set yet
            used[name] = cell.cell_contents
    if function.__defaults__ or function.__kwdefaults__:
        used["defaults"] = [function.__defaults__, function.__kwdefaults__]
    return used


def _code(code: types.CodeType) -> list[Any]:
    constants = [
        _code(each) if isinstance(each, types.CodeType) else _constant(each)
        for each in code.co_consts
    ]
    return [code.co_code.hex(), constants, code.co_names]


def _constant(value: Any) -> Any:
    return plain(value) if isinstance(value, (set, frozenset)) else repr(value)


def _hash(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
