"""Finds the constants of devices by which networks take as long as measured.

Constants are logarithms here, side by side, so that a step is a factor. What is
made least are squared logarithms of predicted by measured latencies, of which
those beyond 10 % count by their size alone: the same chip, measured again by
others, differs by 5 to 20 %, and no single row should bend all others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import optimize
from scipy.stats import qmc

from tf_cosearch import accelerators
from tf_cosearch.accelerators import Accelerator
from tf_cosearch.cost.calibrate.constants import CONSTANTS
from tf_cosearch.cost.calibrate.measurements import Measurement
from tf_cosearch.cost.costs import Cost
from tf_cosearch.cost.model import estimate
from tf_cosearch.networks import workload

_TOLD = 0.01  # a constant e times as large changes predictions at least so much
_OUTLIER = 0.1  # logarithm of predicted by measured, from which on it is one
_DIGITS = 3  # of a fitted constant; measurements have no more
_SPREAD = 16  # points that a search may begin with
_SHARES = (0.2, 0.4, 0.6)  # of the ranges of all constants, where it does too
_STEP = 1e-3  # of a logarithm, for slopes
_ROWS = 32  # layers are padded to multiples, so that devices share code


class Fit:
    """Constants of devices, and what they predict.

    Attributes:
        constants: Names of `CONSTANTS`, in their order.
        keys: A constant each: its name, or of a host `device: name`.
        labels: Device and network of each row, `[N]`.
        measured_ms: What was measured, `[N]`.

    Args:
        measured: What was measured, by device.
        chips: What is known of each device.
        constants: Names of `CONSTANTS`.
    """

    def __init__(
        self,
        measured: Mapping[str, Sequence[Measurement]],
        chips: Mapping[str, Accelerator],
        constants: Sequence[str],
    ) -> None:
        self.constants = [name for name in CONSTANTS if name in constants]
        self._measured, self._chips = measured, chips
        self.keys = [
            key
            for name in self.constants
            for key in (
                [name]
                if CONSTANTS[name].is_shared
                else [f"{device}: {name}" for device in measured]
            )
        ]
        held = [CONSTANTS[name_of(key)] for key in self.keys]
        self._low = np.log([constant.low for constant in held])
        self._high = np.log([constant.high for constant in held])
        rows = [m for rows in measured.values() for m in rows]
        self.labels = [(d, m.name) for d in measured for m in measured[d]]
        self.measured_ms = np.asarray([m.latency_ms for m in rows])
        deepest = -(-max(len(m.layers) for m in rows) // _ROWS) * _ROWS
        self._tables = {
            device: [
                np.asarray(column)
                for column in workload.pad(
                    [m.layers for m in rows], deepest
                ).columns()
            ]
            for device, rows in measured.items()
        }

    def also(self, name: str) -> Fit:
        """The same with one more constant."""
        return Fit(self._measured, self._chips, [*self.constants, name])

    def without(self, name: str, is_ideal: bool) -> Fit:
        """The same with a constant that is not fitted: ideal, or as it was."""
        rest = [other for other in self.constants if other != name]
        paths = CONSTANTS[name].ideal_paths() if is_ideal else {}
        chips = {
            device: accelerators.replace(chip, paths)
            for device, chip in self._chips.items()
        }
        return Fit(self._measured, chips, rest)

    def by_device(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """Values of all rows, `[N]`, as those of each device."""
        ends = np.cumsum([len(rows) for rows in self._measured.values()])
        parts = np.split(values, ends[:-1])
        return dict(zip(self._measured, parts, strict=True))

    def values(self, logs: np.ndarray) -> dict[str, float]:
        """Constants by their keys, in as many digits as are written."""
        return {
            key: float(f"{np.exp(log):.{_DIGITS}g}")
            for key, log in zip(self.keys, logs, strict=True)
        }

    def accelerators(self, values: dict[str, float]) -> dict[str, Accelerator]:
        """What each device is by these constants."""
        return {
            device: accelerators.replace(chip, self._paths(device, values))
            for device, chip in self._chips.items()
        }

    def _paths(self, device: str, values: Mapping[str, Any]) -> dict[str, Any]:
        return {
            path: value
            for key, value in values.items()
            if ": " not in key or key.startswith(f"{device}: ")
            for path in CONSTANTS[name_of(key)].paths
        }

    def predict(self, logs: np.ndarray) -> np.ndarray:
        """Latencies of all rows in ms by `[G, K]` constants, `[G, N]`."""
        costs = self._costs(logs)
        shape = len(logs), -1
        parts = [np.reshape(cost.latency_ms, shape) for cost in costs]
        return np.concatenate(parts, 1).astype(float)

    def missing_bytes(self, logs: np.ndarray) -> np.ndarray:
        """What memory and registers lack for each row, at `[K]` constants."""
        result: np.ndarray = np.concatenate(
            [
                np.asarray(cost.memory_missing_bytes)
                + np.asarray(cost.register_missing_bytes)
                for cost in self._costs(logs[None])
            ]
        )
        return result

    def _costs(self, logs: np.ndarray) -> Iterator[Cost]:
        """Costs of each device's rows by `[G, K]` constants, `[G * N]`."""
        values = dict(zip(self.keys, np.exp(logs).T, strict=True))
        for device, columns in self._tables.items():
            rows = len(columns[0])
            table = workload.LayerTable(
                *(np.tile(column, (len(logs), 1)) for column in columns)
            )
            paths = {
                path: np.repeat(value, rows)
                for path, value in self._paths(device, values).items()
            }
            chips = accelerators.replace(self._chips[device], paths)
            yield estimate(table, chips)

    def errors(self, logs: np.ndarray) -> np.ndarray:
        """Logarithms of predicted by measured latencies, `[G, N]`."""
        result: np.ndarray = np.log(self.predict(logs) / self.measured_ms)
        return result

    def least(
        self, is_kept: np.ndarray | None = None, near: np.ndarray | None = None
    ) -> np.ndarray:
        """The constants that fit best, as logarithms, `[K]`.

        A search goes downhill. As a rate that is high enough to hide behind
        another has no slope, it does so from several points.

        Args:
            is_kept: Which rows count, `[N]`; all by default.
            near: Where to begin, if something close is known.

        Returns:
            The constants.
        """
        if is_kept is None:
            is_kept = np.ones(len(self.labels), bool)
        starts = self._starts(is_kept) if near is None else [near]
        found = [self._downhill(is_kept, start) for start in starts]
        result: np.ndarray = min(found, key=lambda fit: float(fit.cost)).x
        return result

    def _starts(self, is_kept: np.ndarray) -> list[np.ndarray]:
        reach = self._high - self._low
        spread = qmc.Halton(len(self.keys), scramble=False).random(_SPREAD)
        best = self._best(self._low + spread * reach, is_kept)
        return [best, *(self._low + share * reach for share in _SHARES)]

    def near(self, other: Fit, logs: np.ndarray) -> np.ndarray:
        """A point by what another fit found of other constants.

        Args:
            other: A fit of the same rows.
            logs: What it found.

        Returns:
            Those of both as they were; what is new where it fits best.
        """
        known = dict(zip(other.keys, logs, strict=True))
        shares = np.linspace(0.05, 0.95, _SPREAD)[:, None]
        points = self._low + shares * (self._high - self._low)
        for index, key in enumerate(self.keys):
            if key in known:
                points[:, index] = known[key]
        return self._best(points, np.ones(len(self.labels), bool))

    def _best(self, points: np.ndarray, is_kept: np.ndarray) -> np.ndarray:
        """The point, of `[G, K]`, that fits best."""
        misfit = _misfit(self.errors(points)[:, is_kept])
        best: np.ndarray = points[np.argmin(misfit)]
        return best

    def misfit(self, logs: np.ndarray) -> float:
        """What is made least, at `[K]` constants."""
        return float(_misfit(self.errors(logs[None]))[0])

    def _downhill(self, is_kept: np.ndarray, start: np.ndarray) -> Any:
        return optimize.least_squares(
            lambda logs: self.errors(logs[None])[0, is_kept],
            np.clip(start, self._low + 1e-6, self._high - 1e-6),
            lambda logs: self.slopes(logs)[is_kept],
            (self._low, self._high),
            loss="soft_l1",
            f_scale=_OUTLIER,
            xtol=1e-4,
            ftol=1e-4,
            max_nfev=60,
        )

    def left_out(self, near: np.ndarray) -> np.ndarray:
        """Latencies by constants fitted to all other networks, `[N]`.

        Args:
            near: Constants fitted to all.

        Returns:
            Milliseconds of each row by a fit without the rows of its network
            on its device.
        """
        left_out_ms = np.empty(len(self.labels))
        for label in dict.fromkeys(self.labels):
            is_out = np.asarray([other == label for other in self.labels])
            logs = self.least(~is_out, near)
            left_out_ms[is_out] = self.predict(logs[None])[0, is_out]
        return left_out_ms

    def slopes(self, logs: np.ndarray) -> np.ndarray:
        """What a constant changes of logarithms of latencies, `[N, K]`."""
        step = _STEP * np.eye(len(logs))
        moved = logs + np.concatenate([step, -step])
        more, less = np.split(self.errors(moved), 2)
        result: np.ndarray = (more - less).T / (2 * _STEP)
        return result

    def ends(self, logs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which constants are the least, and which the most there may be."""
        return logs < self._low + 0.01, logs > self._high - 0.01

    def mixed(self, logs: np.ndarray) -> tuple[list[str], float]:
        """Constants that may be anything together.

        Args:
            logs: Where they are fitted, `[K]`.

        Returns:
            Keys, none if rows tell all apart; and what of a latency changes
            while they do by a factor of e.
        """
        is_low, is_high = self.ends(logs)
        is_inside = ~is_low & ~is_high
        slopes = self.slopes(logs)[:, is_inside]
        if not slopes.size:
            return [], 1.0
        _, strengths, directions = np.linalg.svd(slopes, full_matrices=False)
        told = float(strengths[-1] / np.sqrt(len(slopes)))
        keys = np.asarray(self.keys)[is_inside]
        if told >= _TOLD:
            return [], told
        return list(keys[np.abs(directions[-1]) > 0.3]), told


def _misfit(errors: np.ndarray) -> np.ndarray:
    """The soft absolute value of `[G, N]` errors, summed, as SciPy has it."""
    total: np.ndarray = (np.hypot(1, errors / _OUTLIER) - 1).sum(1)
    return total


def name_of(key: str) -> str:
    """The constant of a key.

    Example:
    >>> name_of("usb: link")
    'link'
    """
    return key.split(": ")[-1]
