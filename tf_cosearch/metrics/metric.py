"""What a metric is: a name, a unit, a direction, and how to compute it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from tf_cosearch import configuration

DIRECTIONS = ("min", "max")

_THOUSANDTH = re.compile("m[A-Za-z]")  # ms, mJ, mW
_SQUARE = {"mm2": "mm²"}
_BYTES = ("B", "KiB", "MiB", "GiB")


@dataclasses.dataclass(frozen=True)
class Metric:
    """One thing that designs are judged by.

    Attributes:
        name: What it is called everywhere: in budgets, columns, flags.
        unit: Unit of its values; empty for a plain number.
        direction: `min` if less is better, `max` if more is.
        function: Computes it of its `inputs`, see `metrics`.
        inputs: Names of what it is made of, in the order of the parameters.
        about: What it is, in a line.
        remedy: What to add to a space in which a budget on it is out of
            reach.
        format: How to print a number; `.1%` prints a share in percent.
        always_compared: Whether it is part of the Pareto front of every
            search, not only of those that have a budget on it.
    """

    name: str
    unit: str
    direction: str
    function: Callable[..., Any]
    inputs: tuple[str, ...] = ()
    about: str = ""
    remedy: str = "other networks or accelerators"
    format: str = ".3g"
    always_compared: bool = False

    def __post_init__(self) -> None:
        if self.direction not in DIRECTIONS:
            raise configuration.unknown(
                f"direction of {self.name}", self.direction, DIRECTIONS
            )
        for name in ("unit", "remedy", "format"):
            if not isinstance(getattr(self, name), str):
                raise TypeError(
                    f"`{name}` of {self.name} must be text. Received: "
                    f"{getattr(self, name)!r}."
                )
        try:
            format(0.5, self.format)
        except ValueError:
            raise ValueError(
                f"`format` of {self.name} must be one of a number. Received: "
                f"{self.format!r}. Use, for example, '.3g' or '.1%'."
            ) from None

    @property
    def is_limited_above(self) -> bool:
        """Whether a budget on it is the most it may be, not the least."""
        return self.direction == "min"

    def loss(self, values: Any) -> Any:
        """The same as numbers of which less is better.

        Example:
        >>> Metric("fps", "1/s", "max", print).loss(30.0)
        -30.0
        """
        return values if self.is_limited_above else -values

    def share(self, values: Any, limit: float) -> np.ndarray:
        """How much of a budget is used: 1 is all of it, more is too much.

        Half as much of what should be more uses twice the budget.

        Args:
            values: In the metric's unit.
            limit: The budget, positive.

        Returns:
            Shares in the shape of the values; infinite for nothing of what
            should be more.

        Example:
        >>> Metric("latency", "ms", "min", print).share([1.0, 4.0], 2.0)
        array([0.5, 2. ])
        >>> Metric("fps", "1/s", "max", print).share([1000.0, 250.0], 500.0)
        array([0.5, 2. ])
        """
        values = np.asarray(values)
        if self.is_limited_above:
            return values / limit
        with np.errstate(divide="ignore"):
            return np.where(values <= 0, np.inf, limit / values)

    def scale(self, value: float) -> tuple[float, str]:
        """The unit in which a value is easily read.

        Args:
            value: In the metric's own unit.

        Returns:
            The factor to that unit, and its symbol.

        Example:
        >>> Metric("latency_ms", "ms", "min", print).scale(0.00022)
        (1000.0, 'µs')
        """
        if self.format.endswith("%"):
            return 100.0, "%"
        if self.unit in _BYTES:
            own = step = _BYTES.index(self.unit)
            while step < len(_BYTES) - 1 and value >= 1024.0 ** (
                step + 1 - own
            ):
                step += 1
            while step > 0 and value < 1024.0 ** (step - own):
                step -= 1
            return 1024.0 ** (own - step), _BYTES[step]
        if not _THOUSANDTH.fullmatch(self.unit):
            return 1.0, _SQUARE.get(self.unit, self.unit)
        symbol = self.unit[1:]
        if value >= 1e3:
            return 1e-3, symbol
        for scale, prefix in ((1.0, "m"), (1e3, "µ")):
            if value * scale >= 0.1:
                return scale, prefix + symbol
        return 1e6, f"n{symbol}"

    def text(self, value: float) -> str:
        """A value as it is printed, with a unit in which it is easily read.

        Args:
            value: In the metric's own unit.

        Example:
        >>> latency = Metric("latency_ms", "ms", "min", print)
        >>> latency.text(0.00022), latency.text(1500)
        ('0.22 µs', '1.5 s')
        >>> Metric("sparsity", "", "max", print, format=".1%").text(0.25)
        '25.0%'
        """
        if self.format.endswith("%"):
            return f"{value:{self.format}}"
        scale, symbol = self.scale(value)
        scaled = value * scale
        is_long = self.format == ".3g" and scaled >= 999.5
        return f"{scaled:{',.0f' if is_long else self.format}} {symbol}".strip()

    @property
    def word(self) -> str:
        """The name without its unit, for headings.

        Example:
        >>> Metric("peak_memory_kib", "KiB", "min", print).word
        'peak memory'
        """
        unit = f"_{self.unit.lower()}"
        return self.name.removesuffix(unit).replace("_", " ")

    def heading(self, largest: float) -> str:
        """The word with the unit that a column or axis of values is in.

        Example:
        >>> Metric("area_mm2", "mm2", "min", print).heading(30.0)
        'area (mm²)'
        """
        symbol = self.scale(largest)[1]
        return f"{self.word} ({symbol})" if symbol else self.word
