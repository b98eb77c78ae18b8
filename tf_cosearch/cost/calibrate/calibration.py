"""Fits a few constants of an accelerator to latencies of a device.

Hardware is what vendors publish of it. What they do not publish, how much of
its peaks compiled code achieves and what starting it costs, is found here:
the constants with the least squared relative error. How well that predicts
networks nobody measured is told by leaving each network out in turn.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import optimize

from tf_cosearch import accelerators, configuration, text
from tf_cosearch.accelerators import Accelerator
from tf_cosearch.cost.calibrate.measurements import Measurement
from tf_cosearch.cost.model import estimate
from tf_cosearch.networks import workload
from tf_cosearch.networks.workload import LayerTable

CONSTANTS = {
    "memory_share": "runtime/memory_share",
    "compute_share": "runtime/compute_share",
    "bandwidth": "dram/bandwidth_gbs",
    "inference_us": "runtime/inference_us",
    "layer_us": "runtime/layer_us",
}
"""Parameters of an accelerator that can be fitted, by their short names."""

PLAUSIBLE_SHARE = 0.05
"""Assumed to be the least of a peak that compiled code achieves: what is fitted
below stands for something else."""

_ADDED = ("inference_us", "layer_us")  # the latency is linear in these
_LEAST_NETWORKS = 3
_NETWORKS_A_CONSTANT = 2
_FIRST = (4096, 256)  # points of the first grid, at most so many a side
_ZOOMED = (225, 225)  # of the grids around the best point
_AT_ONCE = 16384  # networks priced in a call, for memory's sake
_CLOSE = 1e-4  # relative distance of points at which a search ends
_DIGITS = 3  # of a fitted constant; measurements have no more
_ROWS = 32  # layers are padded to multiples, so that devices share code


class Calibration(NamedTuple):
    """Constants of a device, and how well they predict it.

    Arrays are `[N]`, one entry for each measurement.

    Attributes:
        accelerator: The accelerator with the fitted constants.
        constants: Their values by names of `CONSTANTS`.
        names: The networks.
        measured_ms: Measured latencies.
        fitted_ms: Latencies on `accelerator`.
        left_out_ms: Latencies by constants fitted to all other networks.
    """

    accelerator: Accelerator
    constants: dict[str, float]
    names: tuple[str, ...]
    measured_ms: np.ndarray
    fitted_ms: np.ndarray
    left_out_ms: np.ndarray

    @property
    def fit_error(self) -> float:
        """Mean absolute relative error of `fitted_ms`."""
        return mean_error(self.fitted_ms, self.measured_ms)

    @property
    def left_out_error(self) -> float:
        """Mean absolute relative error of `left_out_ms`."""
        return mean_error(self.left_out_ms, self.measured_ms)

    def summary(self) -> str:
        """The constants and their errors in words."""
        values = ", ".join(
            f"{CONSTANTS[name]} {value:g}"
            for name, value in self.constants.items()
        )
        return (
            f"{values}; mean absolute error {self.fit_error:.1%} on "
            f"{len(set(self.names))} networks, {self.left_out_error:.1%} when "
            "each is left out of the fit"
        )

    def table(self) -> str:
        """Each network, measured and predicted, and the constants below."""
        header = ("network", "measured", "fitted", "error", "left out", "error")
        rows = [header] + [
            (
                name,
                f"{measured:.4g} ms",
                f"{fitted:.3g} ms",
                f"{fitted / measured - 1:+.1%}",
                f"{left_out:.3g} ms",
                f"{left_out / measured - 1:+.1%}",
            )
            for name, measured, fitted, left_out in zip(
                self.names,
                self.measured_ms,
                self.fitted_ms,
                self.left_out_ms,
                strict=True,
            )
        ]
        mean = ("mean absolute error", "", "", f"{self.fit_error:.1%}", "")
        rows.append((*mean, f"{self.left_out_error:.1%}"))
        constants = [f"{k} {value:g}" for k, value in self.constants.items()]
        return "\n".join(
            [text.table(rows, "<>>>>>"), *constants, *self.remarks()]
        )

    def remarks(self) -> list[str]:
        """A line for each constant that no such hardware would have."""
        return [
            f"{name} {value:g} is not plausible: something else than "
            f"{accelerators.parameters()[CONSTANTS[name]].unit} is slow, and "
            "costs of other accelerators will be wrong. Give the accelerator "
            "a host_link, or fit --constants=link,activation_width."
            for name, value in self.constants.items()
            if name.endswith("_share") and value < PLAUSIBLE_SHARE
        ]


def mean_error(predicted: np.ndarray, measured: np.ndarray) -> float:
    """Mean absolute relative error."""
    return float(np.abs(predicted / measured - 1).mean())


class _Problem(NamedTuple):
    """What constants are searched for."""

    accelerator: Accelerator
    table: LayerTable
    depths: np.ndarray
    measured_ms: np.ndarray

    def latencies_ms(self, values: dict[str, np.ndarray]) -> np.ndarray:
        """Latencies with `[G]` values of constants each, `[G, N]`."""
        (count,) = {len(value) for value in values.values()}
        step = max(_AT_ONCE // len(self.depths), 1)
        return np.concatenate(
            [
                self._some({k: v[i : i + step] for k, v in values.items()})
                for i in range(0, count, step)
            ]
        )

    def _some(self, values: dict[str, np.ndarray]) -> np.ndarray:
        (count,) = {len(value) for value in values.values()}
        networks = len(self.depths)
        table = LayerTable(
            *(np.tile(f, (count, 1)) for f in self.table.columns())
        )
        constants = {
            CONSTANTS[name]: np.repeat(value, networks)
            for name, value in values.items()
        }
        cost = estimate(
            table, accelerators.replace(self.accelerator, constants)
        )
        return np.reshape(cost.latency_ms, (count, networks)).astype(float)


def calibrate(
    measurements: Sequence[Measurement],
    accelerator: Accelerator,
    constants: Sequence[str] | None = None,
) -> Calibration:
    """Fits constants of an accelerator to measured latencies.

    A constant that does not help to predict networks left out is refused: with
    few measurements, more constants fit them better and predict worse.

    Args:
        measurements: What was measured, at least two networks a constant and
            three in all.
        accelerator: The hardware, an `Accelerator` of numbers. Constants that
            are not fitted stay as they are.
        constants: Names of `CONSTANTS`. By default `memory_share`, and
            `bandwidth` if the weights of some network do not fit on the chip.

    Returns:
        The `Calibration`, the same for the same input.

    Raises:
        ValueError: If a constant is unknown, there are too few networks for
            the constants, networks left out are predicted no worse without
            one of them, or the device is too slow for the accelerator.
    """
    problem = _problem(measurements, accelerator)
    names = tuple(measurement.name for measurement in measurements)
    if constants is None:
        constants = _needed(problem)
    chosen = _check(constants, names)
    search = _Search(problem, chosen)
    left_out_ms = _left_out(search, names)
    _refuse_useless(problem, names, chosen, left_out_ms)
    fitted = search.fit(np.ones(len(names), bool))
    _refuse_extreme(fitted)
    values = {CONSTANTS[name]: value for name, value in fitted.items()}
    calibrated = accelerators.replace(accelerator, values)
    # What the accelerator that is written predicts, digits and all.
    cost = estimate(problem.table, calibrated)
    return Calibration(
        calibrated,
        fitted,
        names,
        problem.measured_ms,
        np.asarray(cost.latency_ms, float),
        left_out_ms,
    )


def _problem(
    measurements: Sequence[Measurement], accelerator: Accelerator
) -> _Problem:
    if not measurements:
        raise ValueError("There must be measurements. Received: none.")
    networks = [measurement.layers for measurement in measurements]
    depths = np.array([len(layers) for layers in networks])
    table = workload.pad(networks, -(-depths.max() // _ROWS) * _ROWS)
    return _Problem(
        accelerator,
        LayerTable(*table.columns()),
        depths,
        np.array([measurement.latency_ms for measurement in measurements]),
    )


def _needed(problem: _Problem) -> tuple[str, ...]:
    """The constants to fit by default."""
    cost = estimate(problem.table, problem.accelerator)
    streams_weights = np.min(cost.weight_residency) < 1
    return ("memory_share", "bandwidth")[: 1 + streams_weights]


def _check(constants: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """The constants in the order of `CONSTANTS`, if they can be fitted."""
    for name in constants:
        if name not in CONSTANTS:
            raise configuration.unknown("constant", name, CONSTANTS)
    chosen = tuple(name for name in CONSTANTS if name in constants)
    if not chosen:
        raise ValueError(
            "`constants` must name what to fit. Received: none. Known: "
            f"{', '.join(CONSTANTS)}."
        )
    networks = len(set(names))
    least = max(_LEAST_NETWORKS, _NETWORKS_A_CONSTANT * len(chosen))
    if networks < least:
        raise ValueError(
            f"To fit {', '.join(chosen)} there must be rows of at least "
            f"{least} different networks ({_NETWORKS_A_CONSTANT} a constant, "
            f"{_LEAST_NETWORKS} in all). Received: {networks}. Measure more "
            "networks, or fit fewer constants (--constants=NAME,...)."
        )
    return chosen


def _left_out(search: _Search, names: Sequence[str]) -> np.ndarray:
    """Latencies by constants that are fitted to all other networks, `[N]`."""
    labels = np.array(names)
    left_out_ms = np.empty(len(names))
    for name in dict.fromkeys(names):
        is_left_out = labels == name
        fitted = search.fit(~is_left_out)
        predicted = search.problem.latencies_ms(
            {k: np.array([value]) for k, value in fitted.items()}
        )
        left_out_ms[is_left_out] = predicted[0, is_left_out]
    return left_out_ms


def _refuse_useless(
    problem: _Problem,
    names: Sequence[str],
    constants: Sequence[str],
    left_out_ms: np.ndarray,
) -> None:
    """Refuses constants without which predictions are no worse.

    Raises:
        ValueError: If there is one.
    """
    error = mean_error(left_out_ms, problem.measured_ms)
    if len(constants) == 1:
        return
    without = {}
    for name in constants:
        rest = [other for other in constants if other != name]
        predicted_ms = _left_out(_Search(problem, rest, ideal=name), names)
        without[name] = mean_error(predicted_ms, problem.measured_ms)
    name = min(without, key=without.__getitem__)
    if without[name] <= error:
        rest = [other for other in constants if other != name]
        raise ValueError(
            "Every constant must make predictions of networks that are left "
            f"out better. Received: {', '.join(constants)}, with a mean error "
            f"of {error:.2%}; without {name} (that is, at {_ideal(name):g} "
            f"{accelerators.parameters()[CONSTANTS[name]].unit}) it is "
            f"{without[name]:.2%}. Leave it out "
            f"(--constants={','.join(rest)}), or measure more networks."
        )


def _refuse_extreme(fitted: dict[str, float]) -> None:
    """Refuses constants at the slow end of what the model holds for.

    Raises:
        ValueError: If there is one.
    """
    for name, value in fitted.items():
        held = accelerators.parameters()[CONSTANTS[name]]
        too_slow = value >= held.high if name in _ADDED else value <= held.low
        if too_slow:
            raise ValueError(
                f"The fitted {name} must lie within {held.low:g} to "
                f"{held.high:g} {held.unit}. Received: {value:g}, since the "
                "device is far slower than the accelerator. Check that "
                "latencies are in milliseconds, and the accelerator."
            )


def _ideal(name: str) -> float:
    """The value of a constant on a machine that does not have it."""
    held = accelerators.parameters()[CONSTANTS[name]]
    return held.low if name in _ADDED else held.high


class _Search:
    """Finds the constants of least squared relative error.

    A grid of points, equal factors apart, over all that the model holds for;
    then over four of its cells around the best point, and so on. Of points
    equally good the one nearest to an ideal machine is taken. Overheads, in
    which latencies are linear, are fitted at every point.

    Args:
        problem: What to fit.
        constants: What of it, names of `CONSTANTS`.
        ideal: A constant to set to its ideal value.
    """

    def __init__(
        self,
        problem: _Problem,
        constants: Sequence[str],
        ideal: str | None = None,
    ) -> None:
        self.problem = problem
        self._added = [name for name in constants if name in _ADDED]
        self._scaled = [name for name in constants if name not in _ADDED]
        self._fixed = dict.fromkeys(self._added, 0.0)
        if ideal is not None:
            self._fixed[ideal] = _ideal(ideal)
        held = accelerators.parameters()
        ranges = [held[CONSTANTS[name]] for name in self._scaled]
        self._low = np.log([h.low for h in ranges])
        self._high = np.log([h.high for h in ranges])
        self._terms = _terms(problem, self._added)
        self._reach = (self._high - self._low) / 2
        self._first = self._grid((self._low + self._high) / 2, self._reach)

    def fit(self, is_kept: np.ndarray) -> dict[str, float]:
        """Fits some of the measurements.

        Args:
            is_kept: Which ones, `[N]`.

        Returns:
            Values by name, of `ideal` as well.
        """
        side, points, missing = self._first
        reach = self._reach
        while True:
            amounts, errors = _explain(self._terms[is_kept], missing[is_kept])
            best = int(errors.argmin())
            cell = reach * 2 / (side - 1)
            if not (cell > _CLOSE).any():
                break
            reach = cell * 2
            side, points, missing = self._grid(points[best], reach, _ZOOMED)
        values = {
            **self._fixed,
            **dict(zip(self._scaled, np.exp(points[best]), strict=True)),
            **dict(zip(self._added, amounts[best], strict=True)),
        }
        return {
            name: float(f"{value:.{_DIGITS}g}")
            for name, value in values.items()
        }

    def _grid(
        self,
        centre: np.ndarray,
        reach: np.ndarray,
        count: tuple[int, int] = _FIRST,
    ) -> tuple[int, np.ndarray, np.ndarray]:
        """Prices points around a centre.

        Returns:
            Points on a side, points `[G, K]` of logarithms, and the share of
            each measurement that they leave to be explained, `[N, G]`.
        """
        axes = len(self._scaled)
        points_in_all, most = count
        side = min(max(round(points_in_all ** (1 / max(axes, 1))), 7), most)
        line = np.linspace(1, -1, side)
        grid = np.array(list(itertools.product(line, repeat=axes)))
        points = np.clip(centre + reach * grid, self._low, self._high)
        values = dict(zip(self._scaled, np.exp(points).T, strict=True))
        for name, value in self._fixed.items():
            values[name] = np.full(len(points), value)
        predicted_ms = self.problem.latencies_ms(values).T
        return (
            side,
            points,
            1 - predicted_ms / self.problem.measured_ms[:, None],
        )


def _explain(
    terms: np.ndarray, targets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Explains `[N, G]` targets by amounts `[G, K]` of `[N, K]` terms.

    Returns:
        The amounts, none negative, and what is left of each target, `[G]`.
    """
    if not terms.shape[1]:  # SciPy 1.17 crashes without terms
        return np.empty((targets.shape[1], 0)), np.linalg.norm(targets, axis=0)
    fits = [optimize.nnls(terms, target) for target in targets.T]
    amounts, errors = zip(*fits, strict=True)
    return np.array(amounts), np.array(errors)


def _terms(problem: _Problem, added: Sequence[str]) -> np.ndarray:
    """What a microsecond of each constant adds to relative latencies."""
    counts = {
        "inference_us": np.ones(len(problem.depths)),
        "layer_us": problem.depths,
    }
    columns = [counts[name] / 1e3 / problem.measured_ms for name in added]
    return np.reshape(np.array(columns).T, (len(problem.depths), len(added)))
