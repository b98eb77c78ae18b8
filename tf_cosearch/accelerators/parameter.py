"""What a field of a component may hold, and whether the search may choose."""

from __future__ import annotations

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
    """

    choices: tuple[float, ...]
    unit: str
    low: float
    high: float
    integer: bool = False
    words: tuple[str, ...] = ()


class Fixed(NamedTuple):
    """A parameter that presets set and the search leaves alone.

    Attributes:
        unit: Unit of the value.
        low: Smallest value the model holds for.
        high: Largest value the model holds for.
        integer: Whether it counts something.
    """

    unit: str
    low: float
    high: float
    integer: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """Presets set quantities only."""
        return ()

    @property
    def choices(self) -> tuple[float, ...]:
        """Nothing to choose from."""
        return ()


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
