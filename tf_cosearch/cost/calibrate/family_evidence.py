"""Compares families of accelerators with the tools that speak for them.

`configs/measurements` has, for a family, `<family>_layers.csv` or
`<family>_networks.csv`: cycles that a tool counted, the preset it counted them
for and, under paths such as `array/rows`, what was different. A new family
needs no more than such a file.
"""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from tf_cosearch import accelerators, configuration
from tf_cosearch.accelerators import Accelerator, families, presets
from tf_cosearch.cost.calibrate.drawn_networks import draw
from tf_cosearch.cost.model import estimate
from tf_cosearch.networks.importers import layers_csv
from tf_cosearch.networks.workload import Layer, pad

SEEN = "seen"
"""Rows that formulas were found with; all others were compared afterwards."""


class Comparison(NamedTuple):
    """What a tool counted of layers or networks; arrays are `[N]`, in cycles.

    Attributes:
        family: The family.
        tool: Which tool in which version.
        preset: The preset.
        what: `layers` or `networks`.
        role: Whether they are `seen` or `left out`.
        theirs: By the tool.
        ours: By the cost model; of layers on the chip alone, without DRAM.
    """

    family: str
    tool: str
    preset: str
    what: str
    role: str
    theirs: np.ndarray
    ours: np.ndarray

    def summary(self) -> dict[str, Any]:
        """What it says in a few numbers."""
        errors = np.abs(self.ours / self.theirs - 1)
        return {
            **dict(zip(self._fields[:5], self[:5], strict=True)),
            "rows": len(errors),
            "median_error": float(np.median(errors)),
            "mean_error": float(errors.mean()),
            "worst_error": float(errors.max()),
            "kendall_tau": float(
                stats.kendalltau(self.ours, self.theirs).statistic
            ),
        }


def compare() -> list[Comparison]:
    """All comparisons for which there are measurements.

    Returns:
        One for each preset, and for rows that were seen and left out.
    """
    compared = []
    for family in families.names():
        for what in ("layers", "networks"):
            path = configuration.shipped("measurements", f"{family}_{what}.csv")
            if path.is_file():
                compared += _compare(family, what, path)
    return compared


def _compare(family: str, what: str, path: pathlib.Path) -> list[Comparison]:
    _, numbered = layers_csv.read_rows(path)
    rows = [row for _, row in numbered]
    layers: list[Sequence[Layer]]
    if what == "layers":
        layers = [(layer,) for layer in layers_csv.read_layers_csv(path)]
    else:
        columns = ("network", "input_px", "seed")
        layers = [_layers(*(row[name] for name in columns)) for row in rows]
    groups: dict[tuple[str, str, str], list[int]] = {}
    for index, row in enumerate(rows):
        key = row["tool"], row["preset"], row.get("role") or SEEN
        groups.setdefault(key, []).append(index)
    return [
        Comparison(
            family,
            *key[:2],
            what,
            key[2],
            np.asarray([float(rows[i]["cycles"]) for i in chosen]),
            _cycles(
                [layers[i] for i in chosen],
                _chips(key[1], [rows[i] for i in chosen]),
                what,
            ),
        )
        for key, chosen in groups.items()
    ]


@functools.cache
def _layers(name: str, input_px: str, seed: str) -> tuple[Layer, ...]:
    """The layers of the network of a row, which several presets share."""
    network = draw(name, int(input_px), int(seed) if seed else None)
    return tuple(network.layers())


def _chips(preset: str, rows: Sequence[dict[str, str]]) -> Accelerator:
    """The preset with what is different in each row."""
    chip = presets.load_accelerator(preset)
    family = families.name_of(chip)
    return accelerators.replace(
        chip,
        {
            path: np.asarray(
                [
                    presets.check_value(path, row[path], preset, family)
                    for row in rows
                ],
                np.float32,
            )
            for path in accelerators.parameters(family)
            if path in rows[0]
        },
    )


def _cycles(
    layers: Sequence[Sequence[Layer]], chips: Accelerator, what: str
) -> np.ndarray:
    cost = estimate(pad(list(layers)), chips, per_layer=True)
    if what == "layers":
        busy = [cycles.numpy()[:, 0] for cycles in cost.layers.busy_cycles[:-1]]
        return np.rint(np.max(busy, 0)).astype(float)
    clock_ghz = np.asarray(chips.process.clock_ghz, float)
    return np.asarray(cost.latency_ms, float) * clock_ghz * 1e6
