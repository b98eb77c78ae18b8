"""Limits on what a design may cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tf_cosearch import configuration, metrics
from tf_cosearch.metrics.values import Values

MISSING = {
    "memory_missing_bytes": "memory on the chip",
    "register_missing_bytes": "register file",
}
"""Costs that say what a design lacks to be mapped at all."""

MEASURED = ("accuracy_drop", "file_kib")
"""What only a trial can tell, and yet may have a budget."""

_DROP = "accuracy_drop"

_ROUNDING = 1e-4
"""Points that an accuracy of float32 may be off by."""

TRAINING = "training_missing_bytes"
"""Memory of this machine that a design lacks to be trained."""


class Budgets:
    """What a design may cost at most, or has to reach at least.

    A budget on a metric of which less is better is the most a design may have
    of it, any other the least. A metric without one is not limited.

    Only a trial can tell `accuracy_drop`, in points, and `file_kib`: budgets
    on them, of which the first may be 0, hold of designs that were measured.

    Args:
        **limits: A positive number for each metric that has a budget, one of
            `metrics.names(measured=False)`, `accuracy_drop` or `file_kib`.
            `None` is no limit.

    Raises:
        ValueError: If there is no such metric, only a trial can tell it, or a
            budget is not a positive, finite number.

    Example:
    >>> budgets = Budgets(latency_ms=2, area_mm2=30)
    >>> costs = {"latency_ms": [1.0, 3.0], "energy_mj": [9.0, 9.0],
    ...          "area_mm2": [30.0, 45.0]}
    >>> budgets.violation(costs)
    array([0., 1.])
    >>> budgets.is_feasible(costs)
    array([ True, False])
    >>> Budgets(throughput_fps=500).is_feasible(costs)
    array([ True, False])
    >>> costs |= {"accuracy_float": [0.9, 0.9], "accuracy_int8": [0.9, 0.88]}
    >>> Budgets(accuracy_drop=0.5).violation(costs)  # (2 - 0.5) / 0.5
    array([0., 3.])
    """

    def __init__(self, **limits: float | None) -> None:
        numbers = {}
        for name, limit in limits.items():
            if name not in MEASURED:
                metrics.known_before(name, "budget")
            if limit is None:
                continue
            number = configuration.number(limit, f"The budget {name}")
            if name == _DROP and number < 0:
                raise ValueError(
                    f"The budget {name} must be 0 or more points. Received: "
                    f"{limit}. Leave it out for no limit."
                )
            if name != _DROP and number <= 0:
                raise ValueError(
                    f"The budget {name} must be positive. Received: {limit}. "
                    "Leave it out for no limit."
                )
            numbers[name] = number
        # In one order, whoever names them in another.
        self._all = {
            name: numbers[name] for name in metrics.names() if name in numbers
        }
        self._limits = {
            name: limit
            for name, limit in self._all.items()
            if name not in MEASURED
        }

    def __repr__(self) -> str:
        limits = ", ".join(f"{k}={v!r}" for k, v in self._all.items())
        return f"Budgets({limits})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Budgets) and self._all == other._all

    def __hash__(self) -> int:
        return hash(tuple(self._all.items()))

    def limits(self, measured: bool = False) -> dict[str, float]:
        """The budgets by their metric.

        Args:
            measured: Also those on what only a trial can tell.
        """
        return dict(self._all if measured else self._limits)

    def excess(self, known: Mapping[str, Any]) -> np.ndarray:
        """By how much designs exceed the budgets on what trials measure.

        Args:
            known: `[N]` numbers by name; what there are none of, and what is
                NaN, exceeds nothing.

        Returns:
            `[N]`, or one number: the sum of what is too much, each of what is
            allowed; points too much where no drop is allowed.
        """
        values = Values.of(known)
        total: np.ndarray = np.zeros(())
        for name in MEASURED:
            if name in self._all and name in values:
                limit = self._all[name]
                over = values[name] - limit
                least = _ROUNDING if name == _DROP else 0.0
                total = total + np.where(over > least, over, 0) / (limit or 1)
        return total

    def compared(self) -> tuple[str, ...]:
        """What designs are compared by, beside their accuracy.

        Returns:
            The metrics that are always compared, and those with a budget.

        Example:
        >>> Budgets(throughput_fps=500).compared()
        ('latency_ms', 'energy_mj', 'area_mm2', 'throughput_fps')
        """
        return tuple(
            name
            for name in metrics.names()
            if name in self._limits or metrics.get(name).always_compared
        )

    def violation(self, costs: Mapping[str, Any]) -> np.ndarray:
        """By how much designs exceed the budgets.

        Args:
            costs: `[N]` numbers for each of `compared()`, or for what these
                are made of.

        Returns:
            `[N]`, the sum of the relative excesses: 0 is feasible, 0.5 is,
            for example, one budget exceeded by half. A design that lacks
            memory for some layer, or without finite costs, cannot be mapped,
            and one may lack memory to be trained in: it violates even no
            budgets, infinitely.
        """
        values = Values.of(costs)
        columns = self._columns(values)
        total: np.ndarray = np.zeros(())
        for name, limit in self._limits.items():
            share = metrics.get(name).share(columns[name], limit)
            total = total + np.maximum(share - 1, 0)
        total = total + self.excess(values)
        return np.where(_is_possible(values, columns), total, np.inf)

    def is_feasible(self, costs: Mapping[str, Any]) -> np.ndarray:
        """Which designs meet every budget: `[N]` booleans."""
        return self.violation(costs) == 0

    def explain(self, costs: Mapping[str, Any]) -> str:
        """Says why no design of a sample is feasible, and what to change.

        Args:
            costs: What the designs cost, as for `violation`; none feasible.

        Returns:
            The text of an error. If one budget alone is out of reach, it has
            the best value seen; if each alone can be met, but not together,
            the design that comes closest to it.
        """
        values = Values.of(costs)
        columns = self._columns(values)
        mapped = _is_possible(values, columns)
        received = f"Received: {mapped.size:,} designs"
        missing = np.asarray(values.get(TRAINING, np.zeros(1)))
        if not mapped.any() and missing.min() > 0:
            return (
                "Some design must be one that this machine has memory to "
                f"train. {received}, of which even the least lacks "
                f"{missing.min() / 2**30:.2g} GiB. {MORE_MEMORY}, or add "
                "smaller networks."
            )
        if not mapped.any():
            lacks = " and ".join(
                f"{np.min(values[name]) / 1024:.3g} KiB more {memory}"
                for name, memory in MISSING.items()
                if np.min(values.get(name, np.zeros(1))) > 0
            )
            needs = f", as even the least needs {lacks}" if lacks else ""
            return (
                f"Some design must fit its accelerator. {received} that cannot "
                f"be mapped{needs}. Add smaller networks or larger "
                "accelerators."
            )
        columns = {name: column[mapped] for name, column in columns.items()}
        shares = {
            name: metrics.get(name).share(columns[name], limit)
            for name, limit in self._limits.items()
        }
        order = sorted(shares, key=lambda name: -shares[name].min())
        over = [name for name in order if shares[name].min() > 1]
        if over:  # the tightest budget first
            best = {name: int(shares[name].argmin()) for name in over}
            seen = "; ".join(
                f"the {_BEST[metrics.get(name).direction]} {name} seen is "
                f"{columns[name][row]:.3g}, "
                + (
                    f"{shares[name][row]:.3g} times the budget"
                    if metrics.get(name).is_limited_above
                    else f"{1 / shares[name][row]:.3g} of the budget"
                )
                for name, row in best.items()
            )
        else:
            violation = self.violation(values)[mapped]
            closest = int(np.argmin(violation))
            best = {
                name: closest for name in shares if shares[name][closest] > 1
            }
            spent = ", ".join(
                f"{name} {columns[name][closest]:.3g}" for name in shares
            )
            seen = (
                "each budget is met by some of them, but no design meets all: "
                f"the closest has {spent}, a joint violation of "
                f"{violation[closest]:.2g}"
            )
        limits = ", ".join(f"{k} {v:.6g}" for k, v in self._limits.items())
        advice = {name: columns[name][row] for name, row in best.items()}
        return (
            f"Some design must meet the budgets ({limits}). {received}; "
            f"{seen}. {_remedies(advice)}"
        )

    def _columns(self, values: Values) -> dict[str, np.ndarray]:
        for name in self._limits:
            if name not in values:
                raise ValueError(
                    f"A budget on {name} must be on what follows from costs "
                    "and designs. Received: costs without "
                    f"{', '.join(sorted(metrics.sources(name) - {*values}))}. "
                    "Let the estimate tell these, too."
                )
        return {
            name: np.asarray(values[name], np.float64)
            for name in self.compared()
        }


MORE_MEMORY = "Use fewer workers, smaller batches or a machine with more memory"
"""What to do about trainings that do not fit."""

_BEST = {"min": "smallest", "max": "largest"}


def _is_possible(
    values: Values, columns: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Which fit their accelerators and this machine, and have finite costs."""
    mapped = np.all(np.isfinite(list(columns.values())), axis=0)
    for name in (*MISSING, TRAINING):
        if name in values:
            mapped &= np.asarray(values[name]) == 0
    return np.asarray(mapped)


def _remedies(over: Mapping[str, float]) -> str:
    """What to change so that these values are within the budgets."""
    changed: dict[str, list[str]] = {}
    for name, value in over.items():
        is_most = metrics.get(name).is_limited_above
        verb = "Raise" if is_most else "lower"
        changed.setdefault(verb, []).append(
            f"{name} to {_rounded(value, math.ceil if is_most else math.floor)}"
        )
    told = " and ".join(
        f"{verb} {' and '.join(names)} or "
        f"{'more' if verb == 'Raise' else 'less'}"
        for verb, names in changed.items()
    )
    added = "; ".join(dict.fromkeys(metrics.get(n).remedy for n in over))
    return f"{told[0].upper()}{told[1:]}, or add to the space: {added}."


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


def priced(budgets: Budgets, what: str) -> Budgets:
    """Budgets that are all on what is known before a trial, checked.

    Args:
        budgets: What was given.
        what: Names it in the message.

    Returns:
        The same.

    Raises:
        ValueError: If one is on what only a trial can tell.
    """
    for name in budgets.limits(measured=True).keys() - budgets.limits().keys():
        raise ValueError(
            f"{what} must be on what is known before a trial. Received: "
            f"{name}. Give it to the search as one of its budgets."
        )
    return budgets


def _rounded(value: float, towards: Callable[[float], int]) -> str:
    """Three digits on the side of the value where they suffice."""
    if value <= 0:
        return "0"
    step = 10.0 ** (math.floor(math.log10(value)) - 2)
    return f"{towards(value / step) * step:.4g}"
