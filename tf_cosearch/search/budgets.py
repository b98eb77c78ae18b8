"""Limits on what a design may cost."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tf_cosearch import configuration

MISSING = {
    "pe_memory_missing_bytes": "PE memory",
    "register_file_missing_bytes": "register file",
}
"""Costs that say what a design lacks to be mapped at all."""


def _budget(remedy: str) -> Any:
    return dataclasses.field(default=None, metadata={"remedy": remedy})


@dataclasses.dataclass(frozen=True)
class Budgets:
    """The most that a design may cost; `None` is no limit.

    Attributes:
        latency_ms: Milliseconds of one inference.
        energy_mj: Millijoules of one inference.
        area_mm2: Square millimetres of the accelerator.

    Raises:
        ValueError: If a budget is not a positive, finite number.

    Example:
    >>> budgets = Budgets(latency_ms=2, area_mm2=30)
    >>> costs = {"latency_ms": [1.0, 3.0], "energy_mj": [9.0, 9.0],
    ...          "area_mm2": [30.0, 45.0]}
    >>> budgets.violation(costs)
    array([0., 1.])
    >>> budgets.is_feasible(costs)
    array([ True, False])
    """

    latency_ms: float | None = _budget(
        "smaller networks, or accelerators with more PEs, compute lanes, "
        "SIMD units or I/O bandwidth"
    )
    energy_mj: float | None = _budget(
        "smaller networks, or accelerators with more on-chip memory"
    )
    area_mm2: float | None = _budget(
        "accelerators with fewer PEs, compute lanes or SIMD units, or less "
        "memory"
    )

    def __post_init__(self) -> None:
        for name, limit in self.limits().items():
            number = configuration.number(limit, f"The budget {name}")
            if number <= 0:
                raise ValueError(
                    f"The budget {name} must be positive. Received: {limit}. "
                    "Leave it out for no limit."
                )
            object.__setattr__(self, name, number)

    def limits(self) -> dict[str, float]:
        """The budgets that are set, by the name of their cost."""
        values = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
        }
        return {
            name: value for name, value in values.items() if value is not None
        }

    def violation(self, costs: Mapping[str, Any]) -> np.ndarray:
        """By how much designs exceed the budgets.

        Args:
            costs: `[N]` numbers for each of `latency_ms`, `energy_mj` and
                `area_mm2`; other entries are ignored.

        Returns:
            `[N]`, the sum of the relative excesses: 0 is feasible, 0.5 is,
            for example, one budget exceeded by half. A design that lacks
            memory for some layer, or without finite costs, cannot be mapped:
            it violates even no budgets, infinitely.
        """
        columns = self._columns(costs)
        total: np.ndarray = np.zeros(np.shape(columns["latency_ms"]))
        for name, limit in self.limits().items():
            total = total + np.maximum(columns[name] / limit - 1, 0)
        mapped = np.all(np.isfinite(list(columns.values())), axis=0)
        for name in MISSING:
            mapped &= np.asarray(costs.get(name, 0.0)) == 0
        return np.where(mapped, total, np.inf)

    def is_feasible(self, costs: Mapping[str, Any]) -> np.ndarray:
        """Which designs meet every budget: `[N]` booleans."""
        return self.violation(costs) == 0

    def explain(self, costs: Mapping[str, Any]) -> str:
        """Says why no design of a sample is feasible, and what to change.

        Args:
            costs: What the designs cost, as for `violation`; none feasible.

        Returns:
            The text of an error. If one budget alone is out of reach, it has
            the smallest value seen; if each alone can be met, but not
            together, the design that comes closest to it.
        """
        violation = self.violation(costs)
        mapped = np.isfinite(violation)
        received = f"Received: {mapped.size:,} designs"
        if not mapped.any():
            lacks = " and ".join(
                f"{np.min(costs[name]) / 1024:.3g} KiB more {memory}"
                for name, memory in MISSING.items()
                if np.min(costs.get(name, 0.0)) > 0
            )
            needs = f", as even the least needs {lacks}" if lacks else ""
            return (
                f"Some design must fit its accelerator. {received} that cannot "
                f"be mapped{needs}. Add smaller networks or larger "
                "accelerators."
            )
        columns = {k: v[mapped] for k, v in self._columns(costs).items()}
        over = {  # tightest budget first
            name: columns[name].min()
            for name, limit in sorted(
                self.limits().items(),
                key=lambda item: item[1] / columns[item[0]].min(),
            )
            if columns[name].min() > limit
        }
        if over:
            seen = "; ".join(
                f"the smallest {name} seen is {value:.3g}, "
                f"{value / self.limits()[name]:.3g} times the budget"
                for name, value in over.items()
            )
        else:
            closest = int(np.argmin(violation[mapped]))
            over = {
                name: columns[name][closest]
                for name, limit in self.limits().items()
                if columns[name][closest] > limit
            }
            spent = ", ".join(
                f"{name} {columns[name][closest]:.3g}" for name in self.limits()
            )
            seen = (
                "each budget is met by some of them, but no design meets all: "
                f"the closest has {spent}, a joint violation of "
                f"{violation[mapped][closest]:.2g}"
            )
        limits = ", ".join(f"{k} {v:.6g}" for k, v in self.limits().items())
        return (
            f"Some design must meet the budgets ({limits}). {received}; "
            f"{seen}. {self._remedies(over)}"
        )

    def _remedies(self, over: Mapping[str, float]) -> str:
        hints = {f.name: f.metadata["remedy"] for f in dataclasses.fields(self)}
        raised = " and ".join(
            f"{name} to {_round_up(value)}" for name, value in over.items()
        )
        added = "; ".join(hints[name] for name in over)
        return f"Raise {raised} or more, or add to the space: {added}."

    def _columns(self, costs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        return {
            field.name: np.asarray(costs[field.name], np.float64)
            for field in dataclasses.fields(self)
        }


def given(budgets: Any, what: str = "`budgets`") -> Budgets | None:
    """An argument that is `Budgets` or None, checked.

    Args:
        budgets: What was given.
        what: Names it in the message.

    Returns:
        The same.

    Raises:
        ValueError: If it is something else.
    """
    if budgets is None or isinstance(budgets, Budgets):
        return budgets
    raise ValueError(
        f"{what} must be a Budgets. Received: {budgets!r}. Pass, for example, "
        "Budgets(latency_ms=2, area_mm2=30)."
    )


def _round_up(value: float) -> str:
    """Three digits that are not below the value, so that they suffice."""
    step = 10.0 ** (math.floor(math.log10(value)) - 2)
    return f"{math.ceil(value / step) * step:.4g}"
