"""What is learned of the difference between measured and analytic costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tf_cosearch.metrics.values import Values


class Correction:
    """Predicts what an evaluator would measure, from what the model says.

    Args:
        names: Metrics that are measured; none of them is corrected before
            there is a measurement.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.names = tuple(names)
        self._logs: dict[str, list[float]] = {name: [] for name in names}

    def add(
        self, analytic: Mapping[str, float], measured: Mapping[str, float]
    ) -> None:
        """Learns from one design.

        Args:
            analytic: What the model says of it.
            measured: What was measured.
        """
        for name in self.names:
            if measured.get(name, 0) > 0 and analytic[name] > 0:
                ratio = measured[name] / analytic[name]
                self._logs[name].append(float(np.log(ratio)))

    def __call__(self, values: Values) -> Values:
        """Values of designs as they would be measured."""
        numbers = {
            name: values[name] * np.exp(np.median(self._logs[name]))
            for name in self.names
            if self._logs[name]
        }
        return values.replaced(numbers) if numbers else values
