"""Keeps Keras from calling the layers of a file at any length.

Keras builds a model by calling its layers as a file says. A few bytes may say
calls that never end, or that compute with constants of any size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class Layers(list[Any]):
    """Layers of a model that are gone through a number of times, at most.

    tf_keras goes through them until every call is made, for ever if two layers
    wait for each other. Each time makes a call at least.
    """

    def __init__(self, layers: list[Any], calls: int) -> None:
        super().__init__(layers)
        self._remaining = calls + len(layers) + 2

    def __iter__(self) -> Iterator[Any]:
        self._remaining -= 1
        if self._remaining < 0:
            raise ValueError("layers wait for each other's outputs")
        return super().__iter__()


def check(layers: list[Any]) -> None:
    """Refuses calls with constants alone, which Keras makes at once.

    They may take any memory and time, and a saved model has none: what they
    gave is a constant itself.

    Args:
        layers: Configurations of the layers of a model.

    Raises:
        ValueError: If there is such a call. The message lacks its subject,
            which is the file.
    """
    entries = [layer for layer in layers if isinstance(layer, dict)]
    names = set()
    for entry in entries:
        config = entry.get("config")
        inner = config.get("name") if isinstance(config, dict) else None
        names |= {str(entry.get("name", inner)), str(inner)}
    for entry in entries:
        calls = entry.get("inbound_nodes")
        for call in calls if isinstance(calls, list) else ():
            if not _reads_tensors(call, names):
                raise ValueError(
                    "must call layers with tensors of the model. Received: "
                    f"a call of {str(entry.get('name'))[:80]!r} with "
                    "constants alone. Save it again with the installed Keras."
                )


def _reads_tensors(call: Any, names: set[str]) -> bool:
    """Whether a call reads what layers of these names write."""
    pending = [call]
    while pending:
        part = pending.pop()
        if isinstance(part, dict):
            if part.get("class_name") == "__keras_tensor__":
                return True
            pending.extend(part.values())
        elif isinstance(part, list):
            if part[:1] == ["_CONSTANT_VALUE"]:
                part = part[3:]  # without the value
            elif _is_reference(part, names):
                return True
            pending.extend(part)
    return False


def _is_reference(part: list[Any], names: set[str]) -> bool:
    """Whether it is a layer, its call, and which of the outputs."""
    return (
        len(part) >= 3
        and isinstance(part[0], str)
        and part[0] in names
        and all(type(number) is int for number in part[1:3])
    )
