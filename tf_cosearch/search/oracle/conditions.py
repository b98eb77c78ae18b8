"""What trials must have in common, so that one ranking of them makes sense."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

_CLASS = "class"


def require_same(
    before: Mapping[str, Any] | None,
    now: Mapping[str, Any],
    rule: str,
    source: str | os.PathLike[str],
    remedy: str,
) -> None:
    """Makes sure that trials were trained alike.

    Args:
        before: What those of an earlier search have in common; `None` if it
            does not say.
        now: The same of this search.
        rule: What must hold, for the message.
        source: Where the earlier ones are.
        remedy: What to do otherwise.

    Raises:
        ValueError: If they differ; says in what.
    """
    told = [
        text
        for name, value in (before or {}).items()
        for text in differences(name, value, now.get(name))
    ]
    if told:
        raise ValueError(
            f"{rule}. Received: {source}, with {'; '.join(told)}. Use the "
            f"same, or {remedy}."
        )


def differences(name: str, before: Any, now: Any) -> list[str]:
    """Says in what two settings differ, as deep inside as can be.

    Args:
        name: Of the setting.
        before: Plain JSON, in which an object has the key `class`.
        now: The same.

    Returns:
        A text each.

    Example:
    >>> before = {"class": "Adam", "learning_rate": 0.001, "beta_1": 0.9}
    >>> differences("optimizer", before, {**before, "learning_rate": 0.1})
    ['optimizer.learning_rate=0.001, not 0.1']
    >>> differences("optimizer", before, {"class": "SGD"})
    ['optimizer=Adam, not SGD']
    """
    if isinstance(before, dict) and isinstance(now, dict):
        if before.get(_CLASS) == now.get(_CLASS):
            return [
                text
                for key in {**before, **now}
                for text in differences(
                    f"{name}.{key}", before.get(key), now.get(key)
                )
            ]
    elif _are_alike(before, now):
        return [
            text
            for place, pair in enumerate(zip(before, now, strict=True))
            for text in differences(f"{name}[{place}]", *pair)
        ]
    if before == now:
        return []
    return [f"{name}={_short(before)}, not {_short(now)}"]


def _are_alike(before: Any, now: Any) -> bool:
    """Whether both are as many objects."""
    both = [before, now]
    if not all(isinstance(each, list) for each in both):
        return False
    are_objects = all(isinstance(e, dict) for each in both for e in each)
    return are_objects and len(before) == len(now)


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return value.get(_CLASS, value)
    if isinstance(value, list):
        return f"[{', '.join(str(_short(each)) for each in value)}]"
    return value
