"""The families of accelerators: a folder each, found by scan."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

from tf_cosearch import configuration
from tf_cosearch.accelerators.family import Accelerator, Family

DEFAULT = "edge_tpu"
"""The family of what does not name one."""

_FAMILIES: dict[str, Family] = {}


def register(name: str, family: Family) -> None:
    """Adds a family.

    Args:
        name: What presets and spaces call it.
        family: What it is.

    Raises:
        ValueError: If the name, or the class of its accelerators, is taken.
    """
    for known, other in _FAMILIES.items():
        is_same = other.accelerator is family.accelerator
        if known == name or is_same:
            raise ValueError(
                "A family must have a name and accelerators of its own. "
                f"Received: {name!r}, where there is {known!r}."
            )
    _FAMILIES[name] = family


def get(name: Any) -> Family:
    """The family of a name.

    Raises:
        ValueError: If there is none.
    """
    if not isinstance(name, str) or name not in _FAMILIES:
        raise configuration.unknown("family of accelerators", name, _FAMILIES)
    return _FAMILIES[name]


def names() -> list[str]:
    """Sorted names of all families."""
    return sorted(_FAMILIES)


def name_of(accelerator: Accelerator) -> str:
    """The name of the family that an accelerator is of.

    Raises:
        TypeError: If it is of none.
    """
    for name, family in _FAMILIES.items():
        if family.accelerator is type(accelerator):
            return name
    raise TypeError(
        "`accelerator` must be of a family of accelerators: "
        f"{', '.join(names())}. Received: {type(accelerator).__name__}."
    )


def of(accelerator: Accelerator) -> Family:
    """The family that an accelerator is of.

    Raises:
        TypeError: If it is of none.
    """
    return _FAMILIES[name_of(accelerator)]


def relations() -> list[Mapping[str, int]]:
    """Those of all families, see `Family.relations`."""
    return [
        relation
        for family in _FAMILIES.values()
        for relation in family.relations.values()
    ]


for _module in pkgutil.iter_modules(__path__):
    register(
        _module.name,
        importlib.import_module(f"{__name__}.{_module.name}").FAMILY,
    )
