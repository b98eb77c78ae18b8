"""Fits a few constants of accelerators to latencies of devices.

Hardware is what vendors publish of it. What they do not publish, how wide its
paths are and what a host and a start cost, is found here. One chip may be
behind several hosts: what is on the chip, and what its driver takes, is the
same then, so that it cannot hide in the link of one. How well that predicts
networks nobody measured is told by leaving each network out in turn.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from tf_cosearch import accelerators, text
from tf_cosearch.accelerators import Accelerator
from tf_cosearch.cost import fallback
from tf_cosearch.cost.calibrate import constants as known
from tf_cosearch.cost.calibrate.constants import CONSTANTS
from tf_cosearch.cost.calibrate.fit import Fit, name_of
from tf_cosearch.cost.calibrate.measurements import Measurement

_LEAST_NETWORKS = 3
_NETWORKS_A_CONSTANT = 2
_FAR = 2  # times as long, or as short, as fitted: more than a model is off by
_APART = 1.2  # of the slowest and the fastest row: else their order is noise
_OF_HOST = ("host_link/", "dram/", "runtime/cpu_")  # hosts of a chip differ


class Calibration(NamedTuple):
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
        """The constants of a device."""
        return {
            name_of(key): value
            for key, value in self.constants.items()
            if ": " not in key or key.startswith(f"{device}: ")
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
        return "\n".join(
            [
                text.table(cells, "<>>>>>"),
                *constants,
                *self.stayed(),
                *self.remarks(),
            ]
        )

    def stayed(self) -> list[str]:
        """A line for each device, of what could be fitted and was not."""
        lines = []
        for device, chip in self.accelerators.items():
            values = accelerators.to_paths(chip)
            kept = [
                f"{name} {float(values[CONSTANTS[name].paths[0]]):g}"
                for name in known.plausible(self.accelerators)
                if name not in self.of_device(device)
            ]
            if kept:
                lines.append(f"{device} as it was: {', '.join(kept)}")
        return lines

    def remarks(self) -> list[str]:
        """A line for each constant that no such hardware would have.

        Also for each row that is far from what is fitted, for each device whose
        rows are in the opposite order, and for what differs between
        accelerators that were fitted as one chip.
        """
        said = [
            known.remark(name_of(key), value)
            for key, value in self.constants.items()
        ]
        return [
            *(line for line in said if line),
            *self._far(),
            *self._reversed(),
            *self._differences(),
        ]

    def _far(self) -> list[str]:
        return [
            f"{device}: {name} took {measured:.4g} ms, and {fitted:.3g} ms as "
            "fitted. Check the row, its unit and the accelerator: what was "
            "fitted to such rows predicts no others."
            for device, names in self.names.items()
            for name, measured, fitted in zip(
                names,
                self.measured_ms[device],
                self.fitted_ms[device],
                strict=True,
            )
            if not 1 / _FAR < fitted / measured < _FAR
        ]

    def _reversed(self) -> list[str]:
        return [
            f"{device}: what is fitted to be slower was mostly measured to be "
            "faster. Check that every latency stands in the row of its network."
            for device, measured in self.measured_ms.items()
            if measured.max() > _APART * measured.min()
            and stats.kendalltau(measured, self.fitted_ms[device]).statistic < 0
        ]

    def _differences(self) -> list[str]:
        chips = [accelerators.to_paths(c) for c in self.accelerators.values()]
        paths = dict.fromkeys(path for chip in chips for path in chip)
        differ = [
            f"{path} {' and '.join(f'{chip.get(path, 0):g}' for chip in chips)}"
            for path in paths
            if not path.startswith(_OF_HOST)
            and len({float(chip.get(path, 0)) for chip in chips}) > 1
        ]
        if not differ:
            return []
        devices = " and ".join(self.accelerators)
        return [
            f"{devices} were fitted as one chip, and differ in "
            f"{', '.join(differ)}. Make these alike, or fit them apart."
        ]


def calibrate(
    measured: Mapping[str, Sequence[Measurement]],
    chips: Mapping[str, Accelerator],
    constants: Sequence[str] | None = None,
) -> Calibration:
    """Fits constants to the rows of a device, or of several with one chip.

    A constant that does not help to predict networks left out is refused: with
    few measurements, more constants fit them better and predict worse.

    Args:
        measured: What was measured, by device.
        chips: What is known of each device, `Accelerator`s of numbers.
            Constants that are not fitted stay as they are.
        constants: Names of `CONSTANTS`. By default those that `choose` finds.

    Returns:
        The `Calibration`, the same for the same input. Of a constant at the
        fast end of what there may be a warning says so.

    Raises:
        ValueError: If a constant is unknown or of another family, a device has
            too few networks for its constants, or none, the rows cannot tell
            constants apart, networks left out are predicted no worse without
            one of them, a device is too slow for its accelerator, has no room
            for a network, or leaves operations of one to its host.
    """
    if set(measured) != set(chips) or not all(measured.values()):
        with_rows = [device for device, rows in measured.items() if rows]
        raise ValueError(
            "Every device that is fitted must have measurements and an "
            f"accelerator. Received: measurements of {with_rows}, "
            f"accelerators of {list(chips)}."
        )
    _refuse_hosts(measured, chips)
    is_chosen = constants is None
    if constants is None:
        constants = choose(measured, chips)
    constants = known.check(chips, constants)
    _check_count(measured, constants)
    fit = Fit(measured, chips, constants)
    logs = fit.least()
    _refuse_misfits(fit, logs)
    values = fit.values(logs)
    _refuse_extreme(fit, logs)
    _refuse_mixed(fit, logs)
    left_out_ms = fit.left_out(logs)
    if not is_chosen:
        error = mean_error(left_out_ms, fit.measured_ms)
        _refuse_useless(fit, logs, error)
    _warn_of_ends(fit, logs)
    # What the accelerators that are written predict, digits and all.
    fitted_ms = fit.predict(np.log(list(values.values()))[None])[0]
    return Calibration(
        fit.accelerators(values),
        values,
        {d: tuple(m.name for m in rows) for d, rows in measured.items()},
        fit.by_device(fit.measured_ms),
        fit.by_device(fitted_ms),
        fit.by_device(left_out_ms),
    )


def _refuse_hosts(
    measured: Mapping[str, Sequence[Measurement]],
    chips: Mapping[str, Accelerator],
) -> None:
    for device, rows in measured.items():
        for row in rows:
            falls = fallback.on_cpu(row.layers, chips[device])
            left = [
                layer.operator or layer.op
                for layer, falls_back in zip(row.layers, falls, strict=True)
                if falls_back
            ]
            if left:
                raise ValueError(
                    "A network must run on the accelerator, or the constants "
                    f"would stand for its host. Received: {row.name} on "
                    f"{device}, which leaves to the host "
                    f"{', '.join(dict.fromkeys(left))}. Leave the row out."
                )


def choose(
    measured: Mapping[str, Sequence[Measurement]],
    chips: Mapping[str, Accelerator],
) -> list[str]:
    """The constants that rows can tell apart, of those that are plausible.

    One after the other is added, the one that leaves the least error first, as
    long as rows tell it from the others and predictions of networks left out
    are better with it; then one that helps no more goes again. What is not
    fitted is as the accelerator has it.

    Args:
        measured: What was measured, by device.
        chips: What is known of each device.

    Returns:
        Names of `CONSTANTS`.

    Raises:
        ValueError: If rows tell none, or there are too few networks for one.
    """
    left, error = known.plausible(chips), np.inf
    _check_count(measured, left[:1])
    fit, logs = Fit(measured, chips, ()), np.empty(0)
    while True:
        more = [fit.also(name) for name in left]
        more = [one for one in more if not _lacks(measured, one.constants)]
        if not more:
            break
        found = [(one, one.least(near=one.near(fit, logs))) for one in more]
        added, at = min(found, key=lambda pair: pair[0].misfit(pair[1]))
        [name] = set(added.constants) - set(fit.constants)
        left.remove(name)
        if np.any(added.ends(at)) or added.mixed(at)[0]:
            continue
        better = mean_error(added.left_out(at), added.measured_ms)
        if better >= error:
            continue
        fit, logs, error = added, at, better
        # As it will be: what is not fitted stays as the accelerator has it.
        useless = _useless(fit, logs, error, is_ideal=False)
        if useless is not None:
            name, error = useless
            rest = fit.without(name, is_ideal=False)
            fit, logs = rest, rest.least(near=rest.near(fit, logs))
    if not fit.constants:
        raise ValueError(
            "Measurements must tell at least one of "
            f"{', '.join(known.plausible(chips))} within its range. Received: "
            "rows that tell none. Check the accelerator and that latencies are "
            "in milliseconds, or say what to fit (--constants=NAME,...)."
        )
    return fit.constants


def mean_error(predicted: np.ndarray, measured: np.ndarray) -> float:
    """Mean absolute relative error."""
    return float(np.abs(predicted / measured - 1).mean())


def _lacks(
    measured: Mapping[str, Sequence[Measurement]], constants: Sequence[str]
) -> tuple[str, int, int] | None:
    """A device with too few networks, how many it has and should have."""
    shared = sum(CONSTANTS[name].is_shared for name in constants)
    own = len(constants) - shared
    each = _NETWORKS_A_CONSTANT * own
    each += -(-_NETWORKS_A_CONSTANT * shared // len(measured))
    least = max(_LEAST_NETWORKS, each)
    for device, rows in measured.items():
        networks = len({m.name for m in rows})
        if networks < least:
            return device, networks, least
    return None


def _check_count(
    measured: Mapping[str, Sequence[Measurement]], constants: Sequence[str]
) -> None:
    """Raises an error for a device with too few networks."""
    lacking = _lacks(measured, constants)
    if lacking is not None:
        device, networks, least = lacking
        raise ValueError(
            f"To fit {', '.join(constants)} there must be rows of at least "
            f"{least} different networks of each device "
            f"({_NETWORKS_A_CONSTANT} a constant, {_LEAST_NETWORKS} in all). "
            f"Received: {networks} of {device}. Measure more networks, or fit "
            "fewer constants (--constants=NAME,...)."
        )


def _refuse_misfits(fit: Fit, logs: np.ndarray) -> None:
    """Raises an error for a network that an accelerator has no room for."""
    for (device, name), missing in zip(
        fit.labels, fit.missing_bytes(logs), strict=True
    ):
        if missing > 0:
            raise ValueError(
                "An accelerator must have room for what was measured on it. "
                f"Received: {name} on {device}, which lacks "
                f"{missing / 1024:.3g} KiB. tools/estimate.py says of which "
                "memory; give the accelerator what the device has."
            )


def _refuse_mixed(fit: Fit, logs: np.ndarray) -> None:
    """Raises an error for constants that may be anything together."""
    mixed, told = fit.mixed(logs)
    if mixed:
        together = "together" if len(mixed) > 1 else "as it likes"
        name = name_of(mixed[-1])
        rest = ",".join(other for other in fit.constants if other != name)
        hint = f" (--constants={rest})" if rest else ""
        raise ValueError(
            "Measurements must tell the constants apart. Received: rows in "
            f"which {' and '.join(mixed)} can change {together} by a factor of "
            f"2.7 while latencies change by {told:.2%}. Measure networks that "
            f"differ in what it stands for, or leave {name} out{hint}."
        )


def _useless(
    fit: Fit, logs: np.ndarray, error: float, is_ideal: bool
) -> tuple[str, float] | None:
    """A constant without which predictions of networks left out are no worse.

    Args:
        fit: What is fitted.
        logs: The constants.
        error: The mean error of networks left out.
        is_ideal: Whether without it is without its limit, or as it was.

    Returns:
        The one that helps least, and the error without it; or none.
    """
    found = {}
    for name in fit.constants if len(fit.constants) > 1 else ():
        rest = fit.without(name, is_ideal)
        at = rest.least(near=rest.near(fit, logs))
        found[name] = mean_error(rest.predict(at[None])[0], rest.measured_ms)
        if found[name] <= error:  # what is left out is predicted worse
            found[name] = mean_error(rest.left_out(at), rest.measured_ms)
    name = min(found, key=found.__getitem__, default="")
    return (name, found[name]) if name and found[name] <= error else None


def _refuse_useless(fit: Fit, logs: np.ndarray, error: float) -> None:
    """Raises an error for a constant without which predictions are no worse."""
    useless = _useless(fit, logs, error, is_ideal=True)
    if useless is not None:
        name, without = useless
        constant = CONSTANTS[name]
        rest = [other for other in fit.constants if other != name]
        unit = accelerators.parameters()[constant.paths[0]].unit
        raise ValueError(
            "Every constant must make predictions of networks that are left "
            f"out better. Received: {', '.join(fit.constants)}, with a mean "
            f"error of {error:.2%}; without {name} (that is, at "
            f"{constant.ideal():g} {unit}) it is {without:.2%}. Leave it out "
            f"(--constants={','.join(rest)}; it then stays as the accelerator "
            "has it), or measure more networks."
        )


def _refuse_extreme(fit: Fit, logs: np.ndarray) -> None:
    """Raises an error for constants at the slow end of what there may be."""
    for key, is_low, is_high in zip(fit.keys, *fit.ends(logs), strict=True):
        constant = CONSTANTS[name_of(key)]
        if is_high if constant.is_added else is_low:
            unit = accelerators.parameters()[constant.paths[0]].unit
            raise ValueError(
                f"The fitted {key} must lie within {constant.low:g} to "
                f"{constant.high:g} {unit}. Received: the slow end, since the "
                "device is far slower than the accelerator. Check that "
                "latencies are in milliseconds, and the accelerator."
            )


def _warn_of_ends(fit: Fit, logs: np.ndarray) -> None:
    for key, value, *at_end in zip(
        fit.keys, fit.values(logs).values(), *fit.ends(logs), strict=True
    ):
        if any(at_end):
            constant = CONSTANTS[name_of(key)]
            warnings.warn(
                f"The fitted {key}, {value:g}, is at the end of what is "
                f"plausible, {constant.low:g} to {constant.high:g}: the rows "
                "do not need it, or something else is slow.",
                stacklevel=3,
            )
