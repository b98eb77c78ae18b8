"""Compares the cost model with measured devices and with ZigZag."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from tf_cosearch import accelerators, configuration
from tf_cosearch.accelerators import Accelerator
from tf_cosearch.accelerators.presets import load_accelerator
from tf_cosearch.cost.calibrate import baseline
from tf_cosearch.cost.calibrate.calibration import calibrate
from tf_cosearch.cost.calibrate.devices import GROUPS
from tf_cosearch.cost.calibrate.fit import Fit
from tf_cosearch.cost.model import estimate
from tf_cosearch.networks import stacks, workload
from tf_cosearch.networks.importers import layers_csv

ZIGZAG = "zigzag_edge_tpu_like"
"""Preset of the template that ZigZag was run on."""

TRAP = (
    "pixel4",
    "efficientnet_lite0 224 px",
    "mobilenet_edgetpu_dm1.0 224 px",
)
"""A device and two networks, the first slower in spite of fewer operations.

It has depthwise convolutions where the other has dense ones.
"""

KINDS = ("ours", "left_out", "baseline")
"""Predictions of each row: of the preset, of a fit to the other networks, and
of the plain baseline."""

NOTABLE = 0.05
"""Relative difference from ZigZag that asks for a reason."""

_PADDING = "their array pads positions"
_ONE_PORT = "weights share our DRAM port"

REASONS = {
    _PADDING: (
        "Their template fixes the unrolling to 8 x 8 channels x 4 x 4 "
        "positions, which pads 14 x 14 or 7 x 7 outputs to multiples of 4; our "
        "mapper may deal channels to PEs instead."
    ),
    _ONE_PORT: (
        "Our one DRAM interface moves weights after inputs and outputs; they "
        "overlap at least a part of them."
    ),
}
"""Why we differ from ZigZag, in a few words and in a sentence."""


class DeviceComparison(NamedTuple):
    """Networks on a device; arrays are `[N]`, latencies in milliseconds.

    Attributes:
        device: The device.
        preset: Its preset.
        names: The networks.
        measured: What was measured.
        fitted: What the preset predicts.
        left_out: What it predicts if it is fitted to the other networks only.
        baseline: What the plain baseline predicts, fitted likewise.
        residency: Share of the weights that stays on the chip.
        sources: Who measured each.
        again: The preset as the measurements have it now.
    """

    device: str
    preset: str
    names: tuple[str, ...]
    measured: np.ndarray
    fitted: np.ndarray
    left_out: np.ndarray
    baseline: np.ndarray
    residency: np.ndarray
    sources: tuple[str, ...]
    again: Accelerator


class ZigZagComparison(NamedTuple):
    """Layers on ZigZag's template; arrays are `[N]`, in cycles.

    Attributes:
        names: The layers.
        theirs: By ZigZag.
        ours: By our model.
        reasons: Why we differ by more than `NOTABLE`, else empty.
        sources: Which of its versions says so.
    """

    names: tuple[str, ...]
    theirs: np.ndarray
    ours: np.ndarray
    reasons: tuple[str, ...]
    sources: tuple[str, ...]


def compare_devices() -> list[DeviceComparison]:
    """Compares the presets of devices with what was measured on them.

    Returns:
        A comparison for each of `devices.DEVICES`.
    """
    compared = []
    for group in GROUPS:
        measured, chips = group.read(), group.load()
        result = calibrate(measured, chips, group.constants)
        for device, preset in group.presets.items():
            rows = measured[device]
            cost = estimate(
                workload.pad([m.layers for m in rows]), chips[device]
            )
            compared.append(
                DeviceComparison(
                    device,
                    preset,
                    result.names[device],
                    result.measured_ms[device],
                    np.asarray(cost.latency_ms, float),
                    result.left_out_ms[device],
                    baseline.left_out(rows, chips[device]),
                    np.asarray(cost.weight_residency),
                    tuple(m.source for m in rows),
                    result.accelerators[device],
                )
            )
    return compared


def compare_zigzag(
    path: str | pathlib.Path | None = None,
) -> ZigZagComparison:
    """Compares layers on ZigZag's template with what ZigZag says of them.

    Args:
        path: CSV of layers with `latency_cycles`, by default the shipped one.

    Returns:
        The comparison.
    """
    path = pathlib.Path(
        path or configuration.shipped("measurements", f"{ZIGZAG}_layers.csv")
    )
    layers = layers_csv.read_layers_csv(path)
    _, numbered = layers_csv.read_rows(path)
    answers = [row for _, row in numbered]
    accelerator = load_accelerator(ZIGZAG)
    table = workload.pad([[layer] for layer in layers])
    by_layer = estimate(table, accelerator, per_layer=True).layers
    ours = np.asarray(by_layer.cycles[:, 0], float)
    reasons = []
    for layer, row, cycles, array_cycles in zip(
        layers, answers, ours, by_layer.busy_cycles[0][:, 0], strict=True
    ):
        weights = accelerator.dram.cycles(
            layer.params, accelerator.process.clock_ghz
        )
        reasons.append(_reason(row, cycles, float(array_cycles), weights))
    return ZigZagComparison(
        tuple(f"{row['net']} {row['name']}" for row in answers),
        np.array([float(row["latency_cycles"]) for row in answers]),
        ours,
        tuple(reasons),
        tuple(row["tool"] for row in answers),
    )


def _reason(
    row: dict[str, str], cycles: float, array_cycles: float, weights: float
) -> str:
    """Why our cycles differ from those of a row of ZigZag's."""
    theirs = float(row["latency_cycles"])
    error = cycles / theirs - 1
    if abs(error) <= NOTABLE:
        return ""
    if error < 0 and array_cycles < float(row["ideal_temporal_cycles"]):
        return _PADDING
    if (cycles - weights) / theirs - 1 <= NOTABLE:
        return _ONE_PORT
    return "another reason"


def rows(
    devices: Sequence[DeviceComparison], zigzag: ZigZagComparison
) -> list[dict[str, Any]]:
    """Both comparisons as one table.

    Args:
        devices: What `compare_devices` gave.
        zigzag: What `compare_zigzag` gave.

    Returns:
        A row for each network and layer: `machine`, `workload`, `unit`,
        `reference` (measured, or ZigZag's), `ours`, `left_out`, `baseline`,
        their relative errors `ours_error` and so on, `part` of the rows of a
        machine, `source` of the reference, and `reason`. What does not apply
        is `None`.
    """
    table = []
    for compared in devices:
        columns = zip(*compared[2:-1], strict=True)
        for name, reference, *predictions, residency, source in columns:
            row = _row(compared.device, name, "ms", reference, predictions)
            part = _part(name, residency)
            table.append({**row, "part": part, "source": source})
    for name, theirs, ours, reason, source in zip(*zigzag, strict=True):
        row = _row(ZIGZAG, name, "cycles", theirs, [ours, None, None])
        table.append({**row, "source": source, "reason": reason or None})
    return table


def _row(
    machine: str,
    name: str,
    unit: str,
    reference: float,
    predictions: Sequence[float | None],
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "machine": machine,
        "workload": name,
        "unit": unit,
        "reference": float(reference),
    }
    for kind, value in zip(KINDS, predictions, strict=True):
        row[kind] = row[f"{kind}_error"] = None
        if value is not None:
            row[kind] = float(value)
            row[f"{kind}_error"] = float(value / reference - 1)
    return {**row, "part": None, "source": None, "reason": None}


def _part(name: str, residency: float) -> str | None:
    """Which rows of a machine a stack belongs to; no network does.

    Example:
    >>> _part("dense_stack_1660", 0.7), _part("vgg16 224 px", 0.1)
    ('dense stacks, weights streamed', None)
    """
    if not stacks.is_stack(name):
        return None
    weights = "stay" if residency == 1 else "streamed"
    return f"{name.split('_')[0]} stacks, weights {weights}"


def summarize(
    devices: Sequence[DeviceComparison], zigzag: ZigZagComparison
) -> dict[str, Any]:
    """What both comparisons say, in a few numbers.

    Args:
        devices: What `compare_devices` gave.
        zigzag: What `compare_zigzag` gave.

    Returns:
        `devices`: mean and median absolute errors and Kendall's tau by
        device, and for `all` rows, of `ours` (as fitted), `left_out` and
        `baseline` (both of
        networks left out). `order`: whether `TRAP`, of which the first is
        slower, is in order by each of them. `zigzag`: `median_error`,
        `mean_error`, `kendall_tau` and, by reason, how many layers differ by
        more than `NOTABLE`.
    """
    fields = ("fitted", "left_out", "baseline")
    kinds = dict(zip(KINDS, fields, strict=True))
    errors = {
        compared.device: {
            kind: np.abs(getattr(compared, field) / compared.measured - 1)
            for kind, field in kinds.items()
        }
        for compared in devices
    }
    errors["all"] = {
        kind: np.concatenate([known[kind] for known in errors.values()])
        for kind in kinds
    }
    taus = {
        compared.device: {
            kind: _tau(getattr(compared, field), compared.measured)
            for kind, field in kinds.items()
        }
        for compared in devices
    }
    measured = np.concatenate([compared.measured for compared in devices])
    taus["all"] = {
        kind: _tau(
            np.concatenate([getattr(c, field) for c in devices]), measured
        )
        for kind, field in kinds.items()
    }
    device, slower, faster = TRAP
    [trap] = [compared for compared in devices if compared.device == device]
    places = [trap.names.index(name) for name in (slower, faster)]
    difference = zigzag.ours / zigzag.theirs - 1
    return {
        "devices": {
            machine: {
                kind: {
                    "mean": float(values.mean()),
                    "median": float(np.median(values)),
                    "kendall_tau": taus[machine][kind],
                }
                for kind, values in known.items()
            }
            for machine, known in errors.items()
        },
        "order": {
            kind: bool(np.diff(getattr(trap, field)[places])[0] < 0)
            for kind, field in kinds.items()
        },
        "zigzag": {
            "median_error": float(np.median(np.abs(difference))),
            "mean_error": float(np.abs(difference).mean()),
            "kendall_tau": _tau(zigzag.ours, zigzag.theirs),
            "reasons": {
                reason: zigzag.reasons.count(reason)
                for reason in sorted(set(filter(None, zigzag.reasons)))
            },
        },
    }


def _tau(one: np.ndarray, other: np.ndarray) -> float:
    """Kendall's tau: 1 where both have the same order."""
    return float(stats.kendalltau(one, other).statistic)


ASSUMED = {
    "pe_array/input_streams": (1, 4, 16, 64),
    "pe_array/vector_units": (1, 2, 64),
}
"""Parameters that no vendor publishes, and what they might be."""


def vary_assumptions() -> list[dict[str, Any]]:
    """How well devices are predicted if what is assumed were different.

    Returns:
        For each of `GROUPS` and value of `ASSUMED` a row: `devices`,
        `parameter`, `value`, `mean_error` and `median_error` of networks left
        out of a fit of the constants of the group.
    """
    table = []
    for group in GROUPS:
        measured, chips = group.read(), group.load()
        for path, values in ASSUMED.items():
            for value in values:
                other = {
                    device: accelerators.replace(chip, {path: value})
                    for device, chip in chips.items()
                }
                fit = Fit(measured, other, group.constants)
                left_out_ms = fit.left_out(fit.least())
                errors = np.abs(left_out_ms / fit.measured_ms - 1)
                table.append(
                    {
                        "devices": " and ".join(group.presets),
                        "parameter": path,
                        "value": value,
                        "mean_error": float(errors.mean()),
                        "median_error": float(np.median(errors)),
                    }
                )
    return table
