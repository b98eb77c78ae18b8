"""Accelerators: what their families share, a component a file.

A parameter is a field of its component, which says whether it is searched.
"""

from __future__ import annotations

from typing import Any

from tf_cosearch.accelerators import families, parameter
from tf_cosearch.accelerators.family import Accelerator
from tf_cosearch.accelerators.parameter import Fixed, Searched

__all__ = [
    "Accelerator",
    "default",
    "from_paths",
    "parameters",
    "peak_tops",
    "replace",
    "to_paths",
]


def parameters(family: str = families.DEFAULT) -> dict[str, Searched | Fixed]:
    """All parameters of the accelerators of a family by their paths.

    Args:
        family: One of `families.names()`.

    Returns:
        What each may hold, for example under `pe_array/rows`.

    Raises:
        ValueError: If there is no such family.

    Example:
    >>> parameters()["pe_array/rows"].choices
    (1, 2, 4, 6, 8)
    """
    return {
        f"{component}/{name}": hint
        for component, default in default(family)._asdict().items()
        for name, hint in parameter.fields(type(default)).items()
    }


def default(family: str = families.DEFAULT) -> Accelerator:
    """The baseline of a family.

    Raises:
        ValueError: If there is no such family.
    """
    accelerator: Accelerator = families.get(family).accelerator()
    return accelerator


def from_paths(
    values: dict[str, Any], family: str = families.DEFAULT
) -> Accelerator:
    """Builds an accelerator from values by path; the rest is the baseline's.

    Args:
        values: Values under paths such as `pe_array/rows`; numbers, or `[B]`
            arrays for a batch.
        family: Which family it is of.

    Returns:
        The `Accelerator`.
    """
    return replace(default(family), values)


def replace(accelerator: Accelerator, values: dict[str, Any]) -> Accelerator:
    """An accelerator with other values by path, as for `from_paths`."""
    for path, value in values.items():
        component, name = path.split("/")
        replaced = getattr(accelerator, component)._replace(**{name: value})
        accelerator = accelerator._replace(**{component: replaced})
    return accelerator


def to_paths(accelerator: Accelerator) -> dict[str, Any]:
    """The values of an accelerator by path, the inverse of `from_paths`."""
    return {
        f"{component}/{name}": value
        for component, fields in accelerator._asdict().items()
        for name, value in fields._asdict().items()
    }


def peak_tops(accelerator: Accelerator) -> Any:
    """Peak in 10^12 operations a second; a multiply-accumulate is two.

    Example:
    >>> round(float(peak_tops(default())), 1)
    26.2
    """
    macs = accelerator.macs_per_cycle() * accelerator.process.clock_ghz
    return 2 * macs / 1e3
