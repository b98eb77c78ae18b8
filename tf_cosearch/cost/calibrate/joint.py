"""Fits one chip behind several hosts at once.

What is on the chip is the same behind every host, so that it cannot hide in
the link of one: its constants and its driver's are shared, those of links are
each host's own. The squared logarithms of predicted by measured latencies of
all rows together are made least.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import optimize

from tf_cosearch import accelerators, configuration, text
from tf_cosearch.accelerators import Accelerator, families
from tf_cosearch.cost.calibrate.measurements import Measurement
from tf_cosearch.cost.model import estimate
from tf_cosearch.networks import workload


class Constant(NamedTuple):
    """What can be fitted.

    Attributes:
        paths: Parameters of an accelerator that have its value.
        low: The least that is plausible, more than 0.
        high: The most that is plausible.
        is_shared: Whether it is of the chip or its driver, or of each host.
    """

    paths: tuple[str, ...]
    low: float
    high: float
    is_shared: bool


CONSTANTS = {
    "activation_width": Constant(
        ("interconnect/activation_width_bytes",), 4, 4096, True
    ),
    "ring_width": Constant(("interconnect/ring_width_bytes",), 1, 256, True),
    "tile_kib": Constant(("pe_memory/tile_kib",), 16, 2048, True),
    "layer_us": Constant(("runtime/layer_us",), 0.01, 50, True),
    "link": Constant(
        ("host_link/input_gbs", "dram/bandwidth_gbs"), 0.05, 8, False
    ),
    "output": Constant(("host_link/output_gbs",), 0.01, 8, False),
    "bandwidth": Constant(("dram/bandwidth_gbs",), 0.05, 100, False),
    "inference_us": Constant(("runtime/inference_us",), 0.1, 5000, True),
}
"""What can be fitted, by short names. A `link` is that to the host where the
chip has no DRAM: images and streamed weights cross it alike."""

_TOLD = 0.01  # a constant e times as large changes predictions at least so much
_DIGITS = 3


class JointCalibration(NamedTuple):
    """What was fitted, and how well it predicts; arrays by device, `[N]`.

    Attributes:
        accelerators: The accelerator of each device.
        constants: Values by name; those of a host by `device: name`.
        names: Networks by device.
        measured_ms: Latencies that were measured.
        fitted_ms: Latencies by the constants.
        left_out_ms: Latencies by constants fitted without the rows of that
            network on that device.
    """

    accelerators: dict[str, Accelerator]
    constants: dict[str, float]
    names: dict[str, tuple[str, ...]]
    measured_ms: dict[str, np.ndarray]
    fitted_ms: dict[str, np.ndarray]
    left_out_ms: dict[str, np.ndarray]

    def errors(self, device: str) -> tuple[np.ndarray, np.ndarray]:
        """Absolute relative errors of a device, given and left out."""
        measured = self.measured_ms[device]
        return (
            np.abs(self.fitted_ms[device] / measured - 1),
            np.abs(self.left_out_ms[device] / measured - 1),
        )

    def of_device(self, device: str) -> dict[str, float]:
        """The constants of a device, the shared ones first."""
        own = f"{device}: "
        return {
            name.removeprefix(own): value
            for name, value in self.constants.items()
            if ": " not in name or name.startswith(own)
        }

    def summary(self, device: str) -> str:
        """The constants of a device and its errors in words."""
        values = ", ".join(
            f"{CONSTANTS[name].paths[0]} {value:g}"
            for name, value in self.of_device(device).items()
        )
        given, left_out = self.errors(device)
        others = [d for d in self.accelerators if d != device]
        together = f", fitted with {', '.join(others)}" if others else ""
        return (
            f"{values}{together}; mean absolute error {given.mean():.1%} on "
            f"{len(given)} rows, {left_out.mean():.1%} when each network is "
            "left out of the fit"
        )

    def table(self) -> str:
        """Each row, measured and predicted, and the constants below."""
        cells = [("", "measured", "fitted", "error", "left out", "error")]
        for device, names in self.names.items():
            given, left_out = self.errors(device)
            cells.append((device, "", "", "", "", ""))
            columns = (self.measured_ms, self.fitted_ms, self.left_out_ms)
            for name, measured, fitted, other in zip(
                names, *(column[device] for column in columns), strict=True
            ):
                cells.append(
                    (
                        f"  {name}",
                        f"{measured:.4g} ms",
                        f"{fitted:.3g} ms",
                        f"{fitted / measured - 1:+.1%}",
                        f"{other:.3g} ms",
                        f"{other / measured - 1:+.1%}",
                    )
                )
            cells.append(
                (
                    "  mean absolute error",
                    "",
                    "",
                    f"{given.mean():.1%}",
                    "",
                    f"{left_out.mean():.1%}",
                )
            )
        constants = [f"{k} {value:g}" for k, value in self.constants.items()]
        return "\n".join([text.table(cells, "<>>>>>"), *constants])


def calibrate_jointly(
    measured: Mapping[str, Sequence[Measurement]],
    chips: Mapping[str, Accelerator],
    constants: Sequence[str],
) -> JointCalibration:
    """Fits constants to the rows of several devices with the same chip.

    Args:
        measured: What was measured, by device.
        chips: What is known of each device, `Accelerator`s of numbers.
            Constants that are not fitted stay as they are.
        constants: Names of `CONSTANTS`.

    Returns:
        The `JointCalibration`, the same for the same input. Of a constant at
        the end of what is plausible a warning says so.

    Raises:
        ValueError: If a constant is unknown, a device has too few rows for its
            constants, or none, or the rows cannot tell constants apart.
    """
    for name in constants:
        if name not in CONSTANTS:
            raise configuration.unknown("constant", name, CONSTANTS)
    if not constants:
        raise ValueError(
            "`constants` must name what to fit. Received: none. Known: "
            f"{', '.join(CONSTANTS)}."
        )
    if set(measured) != set(chips) or not all(measured.values()):
        with_rows = [device for device, rows in measured.items() if rows]
        raise ValueError(
            "Every device that is fitted must have measurements and an "
            f"accelerator. Received: measurements of {with_rows}, "
            f"accelerators of {list(chips)}."
        )
    _check_families(chips, constants)
    fit = _Fit(measured, chips, constants)
    fit.check_rows()
    everything = np.ones(len(fit.labels), bool)
    best = fit.least(everything, None)
    fit.check_told_apart(best)
    left_out_ms = np.empty(len(fit.labels))
    for label in dict.fromkeys(fit.labels):
        is_out = np.asarray([other == label for other in fit.labels])
        other = fit.least(~is_out, best)
        left_out_ms[is_out] = fit.predict(other[None])[0, is_out]
    values = fit.values(best)
    _warn_of_ends(values)
    made = fit.accelerators(values)
    fitted_ms = fit.predict(np.log(list(values.values()))[None])[0]
    return JointCalibration(
        made,
        values,
        {d: tuple(m.name for m in rows) for d, rows in measured.items()},
        fit.by_device(fit.measured_ms),
        fit.by_device(fitted_ms),
        fit.by_device(left_out_ms),
    )


def _check_families(
    chips: Mapping[str, Accelerator], constants: Sequence[str]
) -> None:
    """Refuses constants of components that an accelerator does not have."""
    for device, chip in chips.items():
        family = families.name_of(chip)
        held = accelerators.parameters(family)
        fitting = [
            name
            for name, constant in CONSTANTS.items()
            if all(path in held for path in constant.paths)
        ]
        missing = [name for name in constants if name not in fitting]
        if missing:
            raise ValueError(
                "Constants must be of components that the accelerator has. "
                f"Received: {', '.join(missing)} for {device}, of the family "
                f"{family}. It has {', '.join(fitting)}."
            )


class _Fit:
    """Constants as logarithms, side by side, and what they predict."""

    def __init__(
        self,
        measured: Mapping[str, Sequence[Measurement]],
        chips: Mapping[str, Accelerator],
        constants: Sequence[str],
    ) -> None:
        self._measured, self._chips = measured, chips
        self.keys = [
            key
            for name in constants
            for key in (
                [name]
                if CONSTANTS[name].is_shared
                else [f"{device}: {name}" for device in measured]
            )
        ]
        self._hints = [CONSTANTS[key.split(": ")[-1]] for key in self.keys]
        self._low = np.log([hint.low for hint in self._hints])
        self._high = np.log([hint.high for hint in self._hints])
        rows = [m for rows in measured.values() for m in rows]
        self.labels = [(d, m.name) for d in measured for m in measured[d]]
        self.measured_ms = np.asarray([m.latency_ms for m in rows])
        deepest = max(len(m.layers) for m in rows)
        self._tables = {
            device: [
                np.asarray(column)
                for column in workload.pad(
                    [m.layers for m in rows], deepest
                ).columns()
            ]
            for device, rows in measured.items()
        }

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
            for path in CONSTANTS[key.split(": ")[-1]].paths
        }

    def predict(self, logs: np.ndarray) -> np.ndarray:
        """Latencies of all rows in ms by `[G, K]` constants, `[G, N]`."""
        values = dict(zip(self.keys, np.exp(logs).T, strict=True))
        parts = []
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
            cost = estimate(table, chips)
            parts.append(np.reshape(cost.latency_ms, (len(logs), rows)))
        return np.concatenate(parts, 1).astype(float)

    def least(self, is_kept: np.ndarray, near: np.ndarray | None) -> np.ndarray:
        """Constants of least squared error on some rows, as logarithms.

        A search goes downhill from some constants; a rate that is high enough
        to hide behind another has no slope, so the first begins low as well.
        """
        reach = self._high - self._low
        starts = [self._low + share * reach for share in (0.2, 0.4, 0.6)]
        if near is not None:
            starts = [near]
        found = [self._downhill(is_kept, start) for start in starts]
        result: np.ndarray = min(found, key=lambda fit: float(fit.cost)).x
        return result

    def _downhill(self, is_kept: np.ndarray, start: np.ndarray) -> Any:
        measured = self.measured_ms[is_kept]

        def errors(logs: np.ndarray) -> Any:
            predicted_ms: np.ndarray = self.predict(logs[None])[0]
            return np.log(predicted_ms[is_kept] / measured)

        def slopes(logs: np.ndarray) -> np.ndarray:
            return self.slopes(logs)[is_kept]

        return optimize.least_squares(
            errors,
            np.clip(start, self._low + 1e-6, self._high - 1e-6),
            slopes,
            (self._low, self._high),
            xtol=1e-5,
            ftol=1e-5,
            max_nfev=60,
        )

    def slopes(self, logs: np.ndarray) -> np.ndarray:
        """What a constant changes of logarithms of latencies, `[N, K]`."""
        step = 1e-3
        moved = logs + step * np.concatenate(
            [np.eye(len(logs)), -np.eye(len(logs))]
        )
        more, less = np.split(np.log(self.predict(moved)), 2)
        result: np.ndarray = (more - less).T / (2 * step)
        return result

    def check_rows(self) -> None:
        """Raises an error for a device with too few rows."""
        shared = sum(hint.is_shared for hint in self._hints)
        for device, rows in self._measured.items():
            own = sum(key.startswith(f"{device}: ") for key in self.keys)
            least = own + -(-shared // len(self._measured)) + 1
            if len({m.name for m in rows}) < least:
                raise ValueError(
                    f"To fit {', '.join(self.keys)} there must be rows of at "
                    f"least {least} different networks of each device. "
                    f"Received: {len({m.name for m in rows})} of {device}. "
                    "Measure more networks, or fit fewer constants."
                )

    def check_told_apart(self, logs: np.ndarray) -> None:
        """Raises an error for constants that may be anything together."""
        is_inside = (logs > self._low + 1e-3) & (logs < self._high - 1e-3)
        slopes = self.slopes(logs)[:, is_inside]
        if not slopes.size:
            return
        _, strengths, directions = np.linalg.svd(slopes, full_matrices=False)
        told = strengths[-1] / np.sqrt(len(slopes))
        if told < _TOLD:
            keys = np.asarray(self.keys)[is_inside]
            mixed = keys[np.abs(directions[-1]) > 0.3]
            raise ValueError(
                "Measurements must tell the constants apart. Received: rows "
                f"in which {' and '.join(mixed)} can change "
                f"{'together' if len(mixed) > 1 else 'as it likes'} by a "
                f"factor of 2.7 while latencies change by {told:.2%}. Measure "
                "networks that differ in what it stands for, or leave "
                f"{mixed[-1].split(': ')[-1]} out."
            )


def _warn_of_ends(values: Mapping[str, float]) -> None:
    for key, value in values.items():
        hint = CONSTANTS[key.split(": ")[-1]]
        is_at_end = not hint.low * 1.01 < value < hint.high * 0.99
        if is_at_end:
            warnings.warn(
                f"The fitted {key}, {value:g}, is at the end of what is "
                f"plausible, {hint.low:g} to {hint.high:g}: the rows do not "
                "need it, or something else is slow.",
                stacklevel=3,
            )
