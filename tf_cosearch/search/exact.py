"""The best accelerators for a network: all of them are priced, none guessed."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_cosearch import accelerators, configuration, metrics
from tf_cosearch.accelerators import Accelerator, families, presets
from tf_cosearch.cost.costs import SCALARS, Cost
from tf_cosearch.cost.neighbours import off_chip
from tf_cosearch.cost.price_list import PriceList
from tf_cosearch.metrics.values import Designs, Values
from tf_cosearch.networks.network import Network, layers_of
from tf_cosearch.networks.workload import Layer, pad
from tf_cosearch.search import budgets as budgets_lib
from tf_cosearch.search.budgets import Budgets


class Ranked(NamedTuple):
    """An accelerator and what the networks cost on it.

    Attributes:
        accelerator: An `Accelerator` of numbers.
        goal: What it was ranked by, summed over the networks by their use.
        costs: Scalars of `Cost` and metrics for each network, in their order.
    """

    accelerator: Accelerator
    goal: float
    costs: tuple[dict[str, float], ...]


def best_accelerators(
    networks: Network | Sequence[Layer] | Sequence[Any],
    budgets: Budgets | None = None,
    top: int = 1,
    goal: str = "latency_ms",
    weights: Sequence[float] | None = None,
    choices: Mapping[str, Sequence[float]] | None = None,
    family: str = families.DEFAULT,
) -> list[Ranked]:
    """Finds the best accelerators under budgets, by pricing all there are.

    Args:
        networks: A network or its layers; or several, which share the chip.
        budgets: Limits that every one of the networks has to meet.
        top: How many accelerators to return at most.
        goal: What it is to be best in, one of `metrics.names(measured=False)`.
            Among equals the smaller chip is first, then the one of least
            energy.
        weights: How often each network is used; the goal is the weighted sum.
        choices: Values by path, for example `{"pe_array/rows": [2, 4]}`,
            instead of those of the search space. Parameters that are not
            searched have their defaults.
        family: Which family the accelerators are of.

    Returns:
        The best, best first; fewer than `top` if fewer meet the budgets.

    Raises:
        ValueError: If an argument is not possible, or no accelerator meets
            the budgets; says what the closest one costs.

    Example:
    >>> conv = Layer("conv", "conv2d", 56, 56, 64, 56, 56, 64, 3, 3)
    >>> found = best_accelerators([conv], Budgets(area_mm2=12), top=2)
    >>> [ranked.costs[0]["area_mm2"] < 12 for ranked in found]
    [True, True]
    """
    layers = _rows(networks)
    budgets = budgets_lib.priced(budgets or Budgets(), "`budgets`")
    uses = _check(layers, top, weights)
    best_in = metrics.known_before(goal, "goal")
    chips = all_accelerators(choices or {}, family)
    priced = PriceList(chips).costs(layers)
    costs = [
        _values(priced, index, network, chips)
        for index, network in enumerate(layers)
    ]
    violation = np.sum([budgets.violation(cost) for cost in costs], 0)
    if not (violation == 0).any():
        worst = int(np.argmax([budgets.violation(c).min() for c in costs]))
        raise ValueError(budgets.explain(costs[worst]))
    total, energy = (
        np.average([cost[name] for cost in costs], 0, uses) * sum(uses)
        for name in (goal, "energy_mj")
    )
    feasible = np.flatnonzero(violation == 0)
    keys = (energy, costs[0]["area_mm2"], best_in.loss(total))
    order = feasible[np.lexsort([key[feasible] for key in keys])][:top]
    values = accelerators.to_paths(chips)
    ranked = [dict(cost.at(order)) for cost in costs]
    return [
        Ranked(
            accelerators.from_paths(
                {
                    path: _plain(np.broadcast_to(value, violation.shape)[index])
                    for path, value in values.items()
                },
                family,
            ),
            float(total[index]),
            tuple(
                {name: float(value[place]) for name, value in cost.items()}
                for cost in ranked
            ),
        )
        for place, index in enumerate(order)
    ]


def _rows(networks: Any) -> list[list[Layer]]:
    """The layers of one or several networks."""
    is_several = isinstance(networks, Sequence) and not all(
        isinstance(item, Layer) for item in networks
    )
    return [
        layers_of(each) for each in (networks if is_several else [networks])
    ]


def _check(
    layers: Sequence[Sequence[Layer]],
    top: int,
    weights: Sequence[float] | None,
) -> list[float]:
    """Checks the arguments; returns how often each network is used."""
    if isinstance(top, bool) or not isinstance(top, int) or top < 1:
        raise ValueError(
            f"`top` must be a positive whole number. Received: {top!r}."
        )
    if weights is None:
        return [1.0] * len(layers)
    uses = [configuration.number(w, "A weight") for w in weights]
    if len(uses) != len(layers) or min(uses) < 0 or not sum(uses):
        raise ValueError(
            "`weights` must be one number a network, none negative and one "
            f"positive. Received: {uses} for {len(layers)} networks."
        )
    return uses


def all_accelerators(
    choices: Mapping[str, Sequence[float]], family: str = families.DEFAULT
) -> Accelerator:
    """Every combination of choices; arrays differ fastest.

    Args:
        choices: As for `best_accelerators`.
        family: As for `best_accelerators`.

    Returns:
        An `Accelerator` of `[H]` arrays where there is a choice, of the very
        values that are chosen from.

    Raises:
        ValueError: If the family, a path or a value is not possible.
    """
    parameters = accelerators.parameters(family)
    configuration.check_keys(choices, "`choices`", parameters)
    values: dict[str, Sequence[float]] = {
        path: p.choices for path, p in parameters.items() if p.choices
    }
    values |= {
        path: [
            presets.check_value(path, value, "`choices`", family)
            for value in given
        ]
        for path, given in choices.items()
    }
    if empty := [path for path, given in values.items() if not len(given)]:
        raise ValueError(
            f"`choices` must have a value for {empty[0]}. Received: none."
        )
    # What the array does not see changes slowest, so that arrays repeat in
    # whole runs.
    outside = off_chip(family)
    paths = sorted(values, key=lambda path: path not in outside)
    grid = np.asarray(
        list(itertools.product(*(values[path] for path in paths))), np.float64
    )
    return accelerators.from_paths(
        dict(zip(paths, grid.T, strict=True)), family
    )


def _values(
    priced: Cost, index: int, layers: Sequence[Layer], chips: Accelerator
) -> Values:
    """What one of the networks comes to on all accelerators, `[H]`."""

    def designs(rows: Any) -> Designs:
        some = tf.nest.map_structure(
            lambda field: field[rows] if np.ndim(field) else field, chips
        )
        return Designs(pad([layers]).arrays(), some)

    costs = {
        name: np.asarray(getattr(priced, name)[index], np.float64)
        for name in SCALARS
    }
    return Values(costs, designs)


def _plain(value: Any) -> float:
    number = float(value)
    return int(number) if number.is_integer() else number
