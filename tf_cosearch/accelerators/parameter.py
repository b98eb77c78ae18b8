"""What a field of a component may hold, and whether the search may choose."""

from __future__ import annotations

import math
import typing
from typing import Any, NamedTuple


class Searched(NamedTuple):
    """A parameter that the search chooses.

    Attributes:
        choices: Values to choose from, ascending.
        unit: Unit of the value.
        low: Smallest value the model holds for.
        high: Largest value the model holds for.
        integer: Whether it counts something.
        words: What 0, 1 and so on are called in files, if it is no quantity.
        exact: Whether nothing but the choices exists.
    """

    choices: tuple[float, ...]
    unit: str
    low: float
    high: float
    integer: bool = False
    words: tuple[str, ...] = ()
    exact: bool = False

    @property
    def values(self) -> tuple[float, ...]:
        """All that exist; empty where any in the range may."""
        return self.choices if self.exact else ()


class Fixed(NamedTuple):
    """A parameter that presets set and the search leaves alone.

    Attributes:
        unit: Unit of the value.
        low: Smallest value the model holds for.
        high: Largest value the model holds for.
        integer: Whether it counts something.
        values: All that exist; empty where any in the range may.
    """

    unit: str
    low: float
    high: float
    integer: bool = False
    values: tuple[float, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """Presets set quantities only."""
        return ()

    @property
    def choices(self) -> tuple[float, ...]:
        """Nothing to choose from."""
        return ()


def at_least(held: Searched | Fixed, value: float) -> float | None:
    """The least value that a parameter may hold and that is not less.

    Args:
        held: What the parameter may hold.
        value: What it should at least be.

    Returns:
        The value; `None` if there is none.

    Example:
    >>> units = Searched((8, 16, 32), "units", 1, 64, integer=True)
    >>> at_least(units, 8.8), at_least(units._replace(exact=True), 8.8)
    (9, 16)
    >>> at_least(units, 65)
    """
    if held.values:
        return min((v for v in held.values if v >= value), default=None)
    if held.integer:
        value = math.ceil(value - 1e-6)
    return value if value <= held.high else None


def fields(component: type) -> dict[str, Searched | Fixed]:
    """Reads the parameters of a component off its type hints.

    Args:
        component: A `NamedTuple` class with `Annotated` fields.

    Returns:
        What each parameter may hold, in order.
    """
    hints: dict[str, Any] = typing.get_type_hints(
        component, include_extras=True
    )
    return {
        name: hints[name].__metadata__[0]
        for name in component._fields  # type: ignore[attr-defined]
    }
