"""What is learned of the difference between measured and analytic costs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import optimize

from tf_cosearch.metrics.values import Values

FEWEST = 3
"""Measurements from which a sum is fitted; fewer give one ratio."""

_OF_COST = ("macs", "params", "dram_bytes", "energy_mj")


class Correction:
    """Predicts what an evaluator would measure, from what the model says.

    A cost is taken to be a sum of what it may consist of: a share of what the
    analytic model says, a constant, and so much for each layer, each number
    that a layer puts out, each multiply-accumulate, parameter, byte to and
    from DRAM, and mJ. No summand is negative. Their sizes minimise the squares
    of the relative errors of all measurements so far.

    So a device that does not follow the searched accelerator is learned as
    well as one that does, and larger networks are never predicted to be
    faster. `tools/benchmark_correction.py` says how well that predicts.

    Args:
        names: Metrics that are measured; what is predicted of them is what
            the model says, before there is a measurement.

    Example: a device that takes twice the time of the model, and 1 ms more.

    >>> correction = Correction(["latency_ms"])
    >>> for latency_ms in (1.0, 2.0, 4.0, 8.0):
    ...     correction.add(
    ...         f"a design of {latency_ms} ms",
    ...         Values({"latency_ms": [latency_ms]}),
    ...         {"latency_ms": 2 * latency_ms + 1},
    ...     )
    >>> correction(Values({"latency_ms": [3.0, 5.0]}))["latency_ms"].round(6)
    array([ 7., 11.])
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.names = tuple(names)
        self._rows: dict[str, dict[Hashable, tuple[np.ndarray, float]]] = {
            name: {} for name in names
        }
        self._sizes: dict[str, np.ndarray] = {}

    def add(
        self,
        design: Hashable,
        analytic: Values,
        measured: Mapping[str, float],
    ) -> None:
        """Learns from one design, which counts once however often it comes.

        Args:
            design: What tells it from others.
            analytic: What the model says of it, `[1]` each.
            measured: What was measured.
        """
        for name in self.names:
            if measured.get(name, 0) > 0 and analytic[name][0] > 0:
                terms = np.ravel(_terms(analytic, name))
                self._rows[name][design] = terms, measured[name]
                self._sizes.pop(name, None)

    def __call__(self, values: Values) -> Values:
        """Values of designs as they would be measured.

        Args:
            values: What the model says, `[...]` each.

        Returns:
            The same with other numbers for `names`, and what follows.
        """
        numbers = {
            name: self._predict(values, name)
            for name in self.names
            if self._rows[name]
        }
        return values.replaced(numbers) if numbers else values

    def _predict(self, values: Values, name: str) -> np.ndarray:
        if name not in self._sizes:
            terms, measured = zip(*self._rows[name].values(), strict=True)
            self._sizes[name] = _fit(terms, measured)
        predicted = 0.0
        for size, term in zip(
            self._sizes[name], _terms(values, name), strict=True
        ):
            predicted = predicted + size * term
        return np.broadcast_to(predicted, values[name].shape)


def _terms(values: Values, name: str) -> list[Any]:
    """What a cost may be a sum of; each broadcasts to `[...]`.

    The same for all designs of a space, as they have the same costs.
    """
    terms: list[Any] = [values[name], np.ones_like(values[name])]
    terms += [values[each] for each in _OF_COST if each in values]
    if "layers" in values.sources:
        layers = values.source("layers")
        outputs = layers.out_h * layers.out_w * layers.out_c
        terms += [
            layers.is_layer.sum(-1),
            (outputs * layers.is_layer).sum(-1),
        ]
    return terms


def _fit(terms: Sequence[np.ndarray], measured: Sequence[float]) -> np.ndarray:
    """The size of each term, to the bit in whichever order they came."""
    rows = np.asarray(terms, np.float64)
    order = np.lexsort(rows.T)
    rows, values = rows[order], np.asarray(measured)[order]
    if len(values) < FEWEST:
        ratio = np.exp(np.median(np.log(values / rows[:, 0])))
        return np.append(ratio, np.zeros(rows.shape[1] - 1))
    scales = rows.mean(axis=0)
    scales = np.where(scales > 0, scales, 1.0)
    weighted = rows / scales / values[:, None]
    sizes, _ = optimize.nnls(weighted, np.ones(len(values)))
    return np.asarray(sizes / scales)
