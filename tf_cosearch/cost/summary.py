"""The cost of one network on one accelerator, by layer, as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tf_cosearch.accelerators import Accelerator
from tf_cosearch.cost import mapping
from tf_cosearch.cost.model import BOUNDS, ENERGY_PARTS, estimate
from tf_cosearch.networks.workload import Layer, pad


def summarize(
    layers: Sequence[Layer], accelerator: Accelerator
) -> dict[str, Any]:
    """Estimates one network and explains it layer by layer.

    Args:
        layers: The rows of the network.
        accelerator: An `Accelerator` of numbers.

    Returns:
        `latency_ms`, `energy_mj`, `area_mm2`, `macs`, `params`, `peak_tops`,
        `utilization`, `dram_bytes`, `weight_residency`, `energy_parts_mj` and
        `layers`, a list with the same for each layer beside its name,
        operation, `cycles`, what it is `bound` by and its `mapping`.

    Raises:
        ValueError: If there are no layers.

    Example:
    >>> dense = Layer("dense", "dense", 1, 1, 1024, 1, 1, 1024)
    >>> summary = summarize([dense], Accelerator())
    >>> summary["macs"], summary["layers"][0]["bound"]
    (1048576, 'interconnect')
    """
    if not layers:
        raise ValueError("A network must have layers. Received: none.")
    cost = estimate(pad([layers]), accelerator, per_layer=True)
    by_layer = cost.layers
    busy = np.stack([cycles.numpy()[0] for cycles in by_layer.busy_cycles])
    rows = [
        {
            "name": layer.name,
            "op": layer.op,
            "macs": layer.macs,
            "params": layer.params,
            "cycles": float(by_layer.cycles[0, row]),
            "latency_ms": float(by_layer.latency_ms[0, row]),
            "energy_mj": float(by_layer.energy_mj[0, row]),
            "utilization": float(by_layer.utilization[0, row]),
            "bound": BOUNDS[int(busy[:, row].argmax())],
            "dram_bytes": float(by_layer.dram_bytes[0, row]),
            "mapping": mapping.describe(int(by_layer.mapping[0, row])),
        }
        for row, layer in enumerate(layers)
    ]
    return {
        "latency_ms": float(cost.latency_ms[0]),
        "energy_mj": float(cost.energy_mj[0]),
        "area_mm2": float(cost.area_mm2[0]),
        "macs": sum(layer.macs for layer in layers),
        "params": sum(layer.params for layer in layers),
        "peak_tops": float(accelerator.peak_tops()),
        "utilization": float(cost.utilization[0]),
        "dram_bytes": float(cost.dram_bytes[0]),
        "weight_residency": float(cost.weight_residency[0]),
        "energy_parts_mj": {
            name: float(part[0])
            for name, part in zip(
                ENERGY_PARTS, cost.energy_parts_mj, strict=True
            )
        },
        "layers": rows,
    }
