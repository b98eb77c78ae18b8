"""What a metric must do."""

from __future__ import annotations

import functools
import math
import types
from collections.abc import Mapping
from typing import Any

import numpy as np

from tf_cosearch import metrics
from tf_cosearch.metrics.metric import Metric
from tf_cosearch.metrics.values import measured
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.pricing import Pricer
from tf_cosearch.search.space import SearchSpace
from tf_cosearch.testing.requirement import require


@functools.cache
def _space() -> SearchSpace:
    return SearchSpace.load("digits")


@functools.cache
def _pricer() -> Pricer:
    return Pricer(_space(), 64)


class MetricSuite:
    """Tests of the metric called `name`, on designs of the digits space.

    Attributes:
        name: The metric's name.
        trial: What a trial measures, for a metric of that; names and numbers,
            and the bytes of a file.
        least: The least it can be.
        most: The most it can be.
    """

    name: str
    trial: Mapping[str, Any] = types.MappingProxyType(
        {
            "accuracy_float": 0.75,
            "accuracy_qat": 0.5,
            "accuracy_int8": 0.25,
            "accuracy_supernet": 0.125,
            "accuracy_table": 0.0625,
            "tflite": bytes(1024),
        }
    )
    least: float = 0.0
    most: float = math.inf

    @property
    def metric(self) -> Metric:
        """What is registered under the name."""
        return metrics.get(self.name)

    def genomes(self) -> np.ndarray:
        """`[N, P]` designs that differ in network and accelerator."""
        genomes = _space().sample(np.random.default_rng(0), 24)
        return np.unique(_space().canonical(genomes), axis=0)

    def values(self) -> np.ndarray:
        """`[N]` what the designs come to."""
        costs = _pricer().price(self.genomes())
        if self.name in metrics.names(measured=False):
            return costs[self.name]
        rows = [dict(costs.at([n])) for n in range(len(self.genomes()))]
        return np.asarray(
            [
                measured(
                    {name: float(each[0]) for name, each in row.items()},
                    self.trial,
                )[self.name]
                for row in rows
            ]
        )

    def test_it_is_described(self) -> None:
        """A direction, a line that says what it is, a remedy, a text."""
        metric = self.metric
        require(metric.direction in ("min", "max"), f"{metric}")
        require(bool(metric.about), f"{self.name} needs a docstring.")
        require(bool(metric.remedy), f"{self.name} needs a remedy.")
        scale, symbol = metric.scale(1.0)
        require(scale > 0, f"{self.name}: 1 {metric.unit} is {scale} {symbol}")
        require(bool(metric.text(1.0)), f"{self.name} must print a number.")

    def test_it_is_one_finite_number_a_design(self) -> None:
        """Within its range."""
        values = self.values()
        require(values.shape == (len(self.genomes()),), f"{values.shape}")
        require(bool(np.isfinite(values).all()), f"{self.name}: {values}")
        inside = (values >= self.least) & (values <= self.most)
        require(
            bool(inside.all()),
            f"{self.name} must be from {self.least} to {self.most}: {values}",
        )

    def test_no_design_feels_its_neighbours(self) -> None:
        """Alone, as part of a batch and as a part cut out of it."""
        if self.name in metrics.names(measured=True):
            return
        genomes = self.genomes()
        together = _pricer().price(genomes)
        alone = [_pricer().price(g[None])[self.name][0] for g in genomes]
        np.testing.assert_allclose(together[self.name], alone, rtol=1e-5)
        rows = np.asarray([7, 2, 5])
        part = _pricer().price(genomes).at(rows).at(np.asarray([2, 0]))
        np.testing.assert_array_equal(
            part[self.name], together[self.name][rows[[2, 0]]]
        )

    def test_networks_times_accelerators_are_pairs(self) -> None:
        """Priced all with all, each is what it is by itself."""
        if self.name in metrics.names(measured=True):
            return
        split = _space().num_network_parameters
        networks, chips = np.split(self.genomes(), [split], axis=1)
        networks = np.unique(networks[:6], axis=0)
        chips = np.unique(chips[:9], axis=0)
        grid = _pricer().grid(networks, chips)[self.name]
        rows, columns = np.indices(grid.shape).reshape(2, -1)
        pairs = np.concatenate([networks[rows], chips[columns]], axis=1)
        np.testing.assert_allclose(
            grid.ravel(), _pricer().price(pairs)[self.name], rtol=1e-5
        )

    def test_a_budget_lets_the_better_pass(self) -> None:
        """The most of what should be less, the least of what should be more."""
        if self.name in metrics.names(measured=True):
            return
        costs = _pricer().price(self.genomes())
        values = costs[self.name]
        middle = float(np.median(values))
        require(middle > 0, f"A budget is positive, {self.name} is {middle}.")
        passed = Budgets(**{self.name: middle}).is_feasible(costs)
        better = values <= middle
        if self.metric.direction == "max":
            better = values >= middle
        mapped = Budgets().is_feasible(costs)
        np.testing.assert_array_equal(passed, better & mapped)
