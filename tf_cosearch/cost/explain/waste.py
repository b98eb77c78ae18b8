"""What of the array a layer leaves idle.

A dimension of a layer that does not fill the units it is spread over could be
larger at no cost. How much larger is found by bisection with the cost model
itself, whatever its mappings are: multiply-accumulates grow with the dimension
and cannot exceed the peak, which bounds it from above. The DRAM is kept out of
the way, as a layer on its own has other traffic than in its network.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from tf_cosearch import accelerators
from tf_cosearch.accelerators import Accelerator, families
from tf_cosearch.cost.model import estimate
from tf_cosearch.networks.workload import Layer, pad

WELL_USED = 0.9
"""From this share of the peak on, nothing is said to be wasted."""

_MUCH = 1.05  # the least room worth a word


def find_waste(
    layers: Sequence[Layer],
    accelerator: Accelerator,
    utilization: np.ndarray,
    rows: Sequence[int],
) -> dict[int, str]:
    """Says what of the array layers leave idle, for those that leave much.

    Args:
        layers: `L` rows of one network.
        accelerator: An `Accelerator` of numbers.
        utilization: Share of the peak that each achieves, `[L]`.
        rows: Which of them to look at.

    Returns:
        Words by row; nothing for a layer that wastes little.

    Example:
    >>> layer = Layer("d", "depthwise_conv2d", 64, 64, 256, 64, 64, 256,
    ...     3, 3, groups=256)
    >>> find_waste([layer], accelerators.default(), np.asarray([0.25]), [0])
    {0: 'depthwise feeds 4 of 64 SIMD units a lane, each 1 of 4 products'}
    """
    rows = [r for r in rows if layers[r].macs and utilization[r] < WELL_USED]
    if not rows:
        return {}
    family = families.of(accelerator)
    held = accelerators.parameters(families.name_of(accelerator))
    chip = accelerators.replace(
        accelerator, {path: held[path].high for path in family.relief["dram"]}
    )

    def times(sizes: np.ndarray, dimension: str) -> np.ndarray:
        grown = [
            _grown(layers[row], dimension, int(size))
            for row, size in zip(rows, sizes, strict=True)
        ]
        table = pad([[layer] for layer in grown])
        busy = estimate(table, chip, per_layer=True).layers.busy_cycles
        return np.max([cycles.numpy()[:, 0] for cycles in busy[:-1]], 0)

    found: dict[int, list[tuple[float, str]]] = {row: [] for row in rows}
    for dimension in ("channels", "inputs", "out_h", "out_w"):
        sizes = np.asarray([_size(layers[row], dimension) for row in rows])
        before = times(sizes, dimension) * (1 + 1e-6)
        fits, exceeds = sizes, (sizes / utilization[rows]).astype(int) + 2
        while (exceeds - fits > 1).any():
            middle = (fits + exceeds) // 2
            free = times(middle, dimension) <= before
            fits = np.where(free, middle, fits)
            exceeds = np.where(free, exceeds, middle)
        for row, size, room in zip(rows, sizes, fits, strict=True):
            if room >= _MUCH * size:
                words = _room_words(
                    layers[row], dimension, size, room, accelerator
                )
                found[row].append((room / size, words))
    return {
        row: ", or ".join(words for _, words in sorted(ways)[::-1][:2])
        for row, ways in found.items()
        if ways
    }


def _size(layer: Layer, dimension: str) -> int:
    if dimension == "channels":
        return layer.out_c if layer.groups == 1 else layer.groups
    if dimension == "inputs":
        return layer.in_c // layer.groups
    return int(getattr(layer, dimension))


def _grown(layer: Layer, dimension: str, size: int) -> Layer:
    """The layer with another size of one dimension."""
    each_in, each_out = layer.in_c // layer.groups, layer.out_c // layer.groups
    changed: dict[str, Any] = {}
    if dimension == "inputs":  # depthwise is no longer depthwise with more
        changed = {"op": "conv2d", "in_c": size * layer.groups}
    elif dimension == "channels" and layer.groups == 1:
        changed = {"out_c": size}
    elif dimension == "channels":
        changed = {"groups": size}
        changed |= {"in_c": size * each_in, "out_c": size * each_out}
    else:
        axis = dimension[-1]
        steps = (size - _size(layer, dimension)) * getattr(
            layer, f"stride_{axis}"
        )
        changed = {dimension: size}
        changed[f"in_{axis}"] = getattr(layer, f"in_{axis}") + steps
    return dataclasses.replace(layer, **changed)


def _room_words(
    layer: Layer, dimension: str, size: int, room: int, chip: Accelerator
) -> str:
    depthwise = layer.groups == layer.in_c > 1
    if dimension == "inputs" and depthwise:
        return families.of(chip).depthwise_words(chip)
    noun = {
        "channels": "groups" if layer.groups > 1 else "output channels",
        "inputs": "input channels" + " a group" * (layer.groups > 1),
        "out_h": "rows",
        "out_w": "columns",
    }[dimension]
    if dimension == "channels" and depthwise:
        noun = "channels"
    return f"{size} {noun} take the time of {room}"
