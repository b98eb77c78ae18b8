"""Finds and reads YAML configurations and says clearly what is wrong in one."""

from __future__ import annotations

import contextlib
import difflib
import numbers
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

_PACKAGE = pathlib.Path(__file__).parent
_SHIPPED = next(
    (
        folder
        for folder in (_PACKAGE / "configs", _PACKAGE.parent / "configs")
        if folder.is_dir()
    ),
    _PACKAGE / "configs",
)

_REASON = 300  # characters of a parser's message that help


class _StrictLoader(yaml.SafeLoader):
    """Reads plain values only, and refuses a key that is given twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                raise yaml.YAMLError(
                    f"the key {key!r} is given twice, {node.start_mark}"
                )
        return super().construct_mapping(node, deep)


def names(kind: str) -> list[str]:
    """Names of the shipped configurations of a kind.

    Args:
        kind: A folder of `configs/`, for example `accelerators`.

    Returns:
        Sorted names, without folder and ending.

    Example:
    >>> [name for name in names("accelerators") if "systolic" in name]
    ['systolic_128x128', 'systolic_32x32']
    """
    return sorted(path.stem for path in (_SHIPPED / kind).glob("*.yaml"))


def shipped(kind: str, file: str) -> pathlib.Path:
    """The path of a shipped file.

    Args:
        kind: A folder of `configs/`, for example `measurements`.
        file: Its name, with the ending.

    Returns:
        The path.
    """
    return _SHIPPED / kind / file


def load(kind: str, name_or_path: str | pathlib.Path) -> dict[str, Any]:
    """Reads a configuration by its name or path.

    Args:
        kind: A folder of `configs/`, for example `accelerators`.
        name_or_path: A shipped name, or a path that ends in `.yaml` or
            `.yml`.

    Returns:
        The mapping that the file holds.

    Raises:
        ValueError: If the name is not known, or the file holds no mapping.
        FileNotFoundError: If the path does not exist.
    """
    text = str(name_or_path)
    if text.endswith((".yaml", ".yml")):
        path = pathlib.Path(text)
        if not path.is_file():
            raise FileNotFoundError(
                f"The file must exist. Received: {text} for {kind}. "
                f"Shipped names: {', '.join(names(kind))}."
            )
    elif text in names(kind):
        path = _SHIPPED / kind / f"{text}.yaml"
    else:
        raise unknown(f"name in configs/{kind}", text, names(kind))
    try:
        content = yaml.load(path.read_text(), _StrictLoader)  # noqa: S506
    except Exception as error:  # PyYAML raises more than its own
        reason = " ".join(str(error).split())[:_REASON]
        raise ValueError(f"{path} must be YAML. Received: {reason}") from None
    if not isinstance(content, dict):
        raise ValueError(
            f"{path} must hold a mapping of keys to values. Received: "
            f"{type(content).__name__}."
        )
    return content


def unknown(what: str, received: object, known: Iterable[str]) -> ValueError:
    """An error for a name nobody knows, with the closest known one.

    Args:
        what: What kind of name it is.
        received: The name that was given.
        known: The names there are.

    Returns:
        A `ValueError` to raise.

    Example:
    >>> print(unknown("block", "conv_bm", ["conv_bn", "skip"]))
    Unknown block: 'conv_bm'. Did you mean 'conv_bn'? Known: conv_bn, skip.
    >>> print(unknown("option of analytic", "threads", []))
    Unknown option of analytic: 'threads'. Known: none.
    """
    known = sorted(map(str, known))
    closest = difflib.get_close_matches(str(received), known, n=1, cutoff=0.5)
    hint = f" Did you mean {closest[0]!r}?" if closest else ""
    return ValueError(
        f"Unknown {what}: {received!r}.{hint} Known: "
        f"{', '.join(known) or 'none'}."
    )


def check_keys(
    mapping: Mapping[str, Any],
    where: str,
    known: Iterable[str],
    required: Iterable[str] = (),
) -> None:
    """Refuses keys nobody reads, and missing ones.

    Args:
        mapping: What the file says.
        where: Which part of which file that is, for the message.
        known: Keys that may be there.
        required: Keys that must be there.

    Raises:
        ValueError: If a key is unknown or missing, or `mapping` is none.
    """
    if not isinstance(mapping, Mapping):
        raise ValueError(
            f"{where} must be a mapping of keys to values. Received: "
            f"{mapping!r}."
        )
    known = list(known)
    for key in mapping:
        if key not in known:
            raise unknown(f"key in {where}", key, known)
    for key in required:
        if key not in mapping:
            raise ValueError(
                f"Missing key in {where}: {key!r}. Received: "
                f"{', '.join(map(str, mapping)) or 'nothing'}."
            )


def number(value: object, where: str) -> float:
    """Reads a finite number; YAML takes `1e-3` for text, which is meant too.

    Args:
        value: What the file says.
        where: Which part of which file that is, for the message.

    Returns:
        The number.

    Raises:
        ValueError: If it is not a finite number.
    """
    if not isinstance(value, bool):
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            converted = float(value)  # type: ignore[arg-type]
            if abs(converted) < float("inf"):
                return converted
    raise ValueError(f"{where} must be a number. Received: {value!r}.")


def at_least(name: str, value: Any, least: int, most: int = 2**63 - 1) -> int:
    """An integer argument, checked.

    Args:
        name: Name of the argument.
        value: What was given.
        least: The smallest value allowed.
        most: The largest; what 64 bits hold unless told otherwise.

    Returns:
        The value.

    Raises:
        ValueError: If it is no integer, below, or above.
    """
    is_integer = isinstance(value, numbers.Integral)
    if isinstance(value, bool) or not is_integer or value < least:
        raise ValueError(
            f"`{name}` must be an integer of at least {least}. Received: "
            f"{value!r}."
        )
    if value > most:
        raise ValueError(
            f"`{name}` must be an integer of at most {most}. Received: "
            f"{value!r}."
        )
    return int(value)


def share(name: str, value: Any) -> float:
    """An argument between 0 and 1, checked.

    Args:
        name: Name of the argument.
        value: What was given.

    Returns:
        The value.

    Raises:
        ValueError: If it is no number, or outside.
    """
    checked = number(value, f"`{name}`")
    if not 0 <= checked <= 1:
        raise ValueError(f"`{name}` must be from 0 to 1. Received: {value!r}.")
    return checked


def path(name: str, value: Any) -> pathlib.Path:
    """An argument that is a path, checked.

    Args:
        name: Name of the argument.
        value: What was given.

    Returns:
        The path.

    Raises:
        TypeError: If it is neither text nor a path.
        ValueError: If it is empty.
    """
    if isinstance(value, str) and not value:
        raise ValueError(
            f"`{name}` must be a path. Received: ''. Use '.' for the current "
            "folder."
        )
    if isinstance(value, (str, os.PathLike)):
        return pathlib.Path(value)
    raise TypeError(f"`{name}` must be a path. Received: {value!r}.")
