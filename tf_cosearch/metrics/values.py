"""What designs come to, metric by metric, computed when it is asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from tf_cosearch import metrics
from tf_cosearch.accelerators import Accelerator
from tf_cosearch.metrics.metric import Metric
from tf_cosearch.networks.workload import LayerTable


class Designs(NamedTuple):
    """What metrics may ask of designs beside their costs.

    Attributes:
        layers: `LayerTable` of `[..., L]` arrays.
        accelerator: `Accelerator` of `[...]` arrays or numbers.
    """

    layers: LayerTable
    accelerator: Accelerator


class Values(Mapping[str, np.ndarray]):
    """Numbers of designs by name: costs, and all metrics that follow.

    Iterates over all that there are; only what is looked up is computed, once.

    Args:
        given: Numbers by name, all of one shape `[...]`.
        designs: Makes what they are of, for rows of the first axis; without
            it there are no metrics of layers or accelerators.
        trial: What a trial measured by name; without it there are no metrics
            of that.
        rows: Which rows of the designs the numbers are of; by default all.

    Example:
    >>> values = Values({"latency_ms": [1.0, 4.0], "energy_mj": [2.0, 2.0]})
    >>> values["power_mw"]
    array([2000.,  500.])
    >>> "power_mw" in list(values), "area_mm2" in list(values)
    (True, False)
    """

    def __init__(
        self,
        given: Mapping[str, Any],
        designs: Callable[[Any], Designs] | None = None,
        trial: Mapping[str, Any] | None = None,
        rows: np.ndarray | None = None,
    ) -> None:
        self._computed = {name: np.asarray(v) for name, v in given.items()}
        self._shape = np.broadcast_shapes(
            *(values.shape for values in self._computed.values())
        )
        self._designs, self._rows = designs, rows
        self._sources: dict[str, Any] = {}
        if trial is not None:
            self._sources["trial"] = trial

    @classmethod
    def of(cls, costs: Mapping[str, Any]) -> Values:
        """Numbers by name, with all that follows from them."""
        return costs if isinstance(costs, Values) else cls(costs)

    def at(self, rows: Any) -> Values:
        """Those of some designs.

        Args:
            rows: Their indices, or booleans, on the first axis.

        Returns:
            Their values.
        """
        here = self._rows
        if here is None:
            here = np.arange(self._shape[0])
        return Values(
            {name: values[rows] for name, values in self._computed.items()},
            self._designs,
            self._sources.get("trial"),
            here[rows],
        )

    def replaced(self, numbers: Mapping[str, Any]) -> Values:
        """The same designs with other numbers, and what follows from these.

        Args:
            numbers: By name, of the shape of the others.

        Returns:
            Their values.

        Example:
        >>> values = Values({"latency_ms": [1.0], "energy_mj": [3.0]})
        >>> values["edp"], values.replaced({"latency_ms": [2.0]})["edp"]
        (array([3.]), array([6.]))
        """
        kept = {
            name: values
            for name, values in self._computed.items()
            if not metrics.chain(name) & numbers.keys()
        }
        values = Values({**kept, **numbers}, self._designs, rows=self._rows)
        values._sources = self._sources  # of the same designs
        return values

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._computed:
            if name not in self:
                raise KeyError(name)
            self._computed[name] = self._compute(metrics.get(name))
        return self._computed[name]

    def __contains__(self, name: object) -> bool:
        if name in self._computed or name not in metrics.names():
            return name in self._computed
        return all(
            each in self.sources or (each != name and each in self)
            for each in metrics.get(str(name)).inputs
        )

    def __iter__(self) -> Iterator[str]:
        names = dict.fromkeys([*self._computed, *metrics.names()])
        return (name for name in names if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _compute(self, metric: Metric) -> np.ndarray:
        inputs = [
            self.source(name) if name in metrics.SOURCES else self[name]
            for name in metric.inputs
        ]
        numbers = np.asarray(metric.function(*inputs))
        rule = f"The metric {metric.name} must be one number a design"
        if numbers.dtype.kind not in "fiub":
            raise TypeError(f"{rule}. Received: {numbers!r}.")
        try:
            return np.broadcast_to(1.0 * numbers, self._shape)
        except ValueError:
            raise ValueError(
                f"{rule}, an array of shape {self._shape} or one that "
                f"broadcasts to it. Received: one of {numbers.shape}. Sum "
                "over layers with .sum(-1)."
            ) from None

    @property
    def sources(self) -> set[str]:
        """Which of `metrics.SOURCES` there are."""
        of_designs = Designs._fields if self._designs is not None else ()
        return {*self._sources, *of_designs}

    def source(self, name: str) -> Any:
        """What metrics are made of beside numbers: one of `sources`."""
        if name not in self._sources and self._designs is not None:
            rows = slice(None) if self._rows is None else self._rows
            self._sources |= self._designs(rows)._asdict()
        return self._sources[name]


def measured(
    costs: Mapping[str, Any],
    trial: Mapping[str, Any],
    designs: Callable[[Any], Designs] | None = None,
) -> dict[str, float]:
    """What a trial says of its design.

    Args:
        costs: What is known of the design before.
        trial: What was measured by name, and the int8 file as `tflite`.
        designs: As of `Values`, of this design alone: one row.

    Returns:
        A number for each metric of a trial but those that are NaN, which this
        one did not measure.

    Example:
    >>> measured({"latency_ms": 2.0}, {"tflite": bytes(2048)})
    {'file_kib': 2.0}
    """
    one = {name: np.atleast_1d(value) for name, value in costs.items()}
    values = Values(one, designs, trial)
    numbers = {
        name: float(values[name][0])
        for name in metrics.names(measured=True)
        if name in values
    }
    return {name: v for name, v in numbers.items() if not math.isnan(v)}
