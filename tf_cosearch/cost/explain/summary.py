"""The cost of one network on one accelerator, by layer, as plain values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_cosearch import accelerators
from tf_cosearch.accelerators import Accelerator, families, power
from tf_cosearch.accelerators.family import Family
from tf_cosearch.cost import fallback
from tf_cosearch.cost.costs import Cost, bounds, energy_parts
from tf_cosearch.cost.model import estimate
from tf_cosearch.networks.workload import Layer, pad


def summarize(
    layers: Sequence[Layer],
    accelerator: Accelerator,
    objective: str = "latency",
    batch_size: int = 1,
) -> dict[str, Any]:
    """Estimates one network and explains it layer by layer.

    Args:
        layers: The rows of the network.
        accelerator: An `Accelerator` of numbers.
        objective: What mappings are chosen by, as for `estimate`.
        batch_size: Images that are worked on together.

    Returns:
        `latency_ms`, `energy_mj`, `area_mm2`, `macs`, `params`, `peak_tops`,
        `utilization`, `dram_bytes`, `weight_residency`, `energy_parts_mj`,
        `unfit` (why it cannot run, or `None`), `cpu_ms` of what the host
        runs, its `cpu_operators`, the `compiler` whose list of operations
        says so, and `layers`, a list with the same for each layer beside its
        name, operation, what it `runs_on`, `cycles`, what it is `bound` by,
        its `mapping`, whether it is `fused` with the layer before,
        `busy_cycles` by component, `fixed_cycles` and `traffic_bytes`.

    Raises:
        ValueError: If there are no layers, or they cost more than a float32
            can say.

    Example:
    >>> dense = Layer("dense", "dense", 1, 1, 1024, 1, 1, 1024)
    >>> summary = summarize([dense], accelerators.default())
    >>> summary["macs"], summary["layers"][0]["bound"]
    (1048576, 'interconnect')
    """
    if not layers:
        raise ValueError("A network must have layers. Received: none.")
    falls = fallback.on_cpu(layers, accelerator)
    here = fallback.on_chip(layers, falls)
    cost = tf.nest.map_structure(
        np.asarray,  # numbers are taken out of it one by one
        estimate(
            pad([here or [fallback.NOTHING]]),
            accelerator,
            True,
            objective,
            batch_size,
        ),
    )
    if not np.isfinite([cost.latency_ms[0], cost.energy_mj[0]]).all():
        largest = max(layers, key=lambda layer: layer.macs)
        raise ValueError(
            "A network must have a cost that is a number. Received: "
            f"{batch_size * largest.macs:.3g} multiply-accumulates in "
            f"{largest.name!r}. Check the extents of its layers and the batch."
        )
    by_layer = cost.layers
    family, names = families.of(accelerator), bounds(accelerator)
    parts = energy_parts(accelerator)
    busy = np.stack([cycles[0] for cycles in by_layer.busy_cycles])
    rows = [
        {
            "name": layer.name,
            "op": layer.op,
            "runs_on": "accelerator",
            "macs": batch_size * layer.macs,
            "params": layer.params,
            "cycles": float(by_layer.cycles[0, row]),
            "latency_ms": float(by_layer.latency_ms[0, row]),
            "energy_mj": float(by_layer.energy_mj[0, row]),
            "utilization": float(by_layer.utilization[0, row]),
            "bound": names[int(busy[:, row].argmax())],
            "dram_bytes": float(by_layer.dram_bytes[0, row]),
            "mapping": family.describe(
                int(by_layer.mapping[0, row]),
                (
                    math.ceil(layer.out_h / float(by_layer.row_tiles[0, row])),
                    layer.out_w,
                    math.ceil(
                        layer.out_c / float(by_layer.out_c_tiles[0, row])
                    ),
                ),
            ),
            "fused": bool(by_layer.is_joined[0, row]),
            "energy_parts_mj": _by_name(
                parts, by_layer.energy_parts_mj, (0, row)
            ),
            "busy_cycles": _by_name(names, by_layer.busy_cycles, (0, row)),
            "fixed_cycles": float(by_layer.fixed_cycles[0, row]),
            "traffic_bytes": {
                _short(name): float(moved[0, row])
                for name, moved in by_layer.traffic._asdict().items()
            },
        }
        for row, layer in enumerate(here)
    ]
    costs = {
        "latency_ms": float(cost.latency_ms[0]),
        "energy_mj": float(cost.energy_mj[0]),
        "area_mm2": float(cost.area_mm2[0]),
        "macs": batch_size * sum(layer.macs for layer in layers),
        "params": sum(layer.params for layer in layers),
        "peak_tops": float(accelerators.peak_tops(accelerator)),
        "utilization": float(cost.utilization[0]),
        "dram_bytes": float(cost.dram_bytes[0]),
        "weight_residency": float(cost.weight_residency[0]),
        "energy_parts_mj": _by_name(parts, cost.energy_parts_mj, 0),
        "unfit": _unfit(here, cost, family),
        "cpu_ms": 0.0,
        "cpu_operators": [],
        "compiler": family.compiler,
        "layers": rows,
    }
    if any(falls):
        moved = [_short(name) for name in by_layer.traffic._fields]
        _add_cpu(costs, layers, falls, accelerator, batch_size, moved)
    return costs


def _add_cpu(
    costs: dict[str, Any],
    layers: Sequence[Layer],
    falls: Sequence[bool],
    accelerator: Accelerator,
    batch_size: int,
    moved: Sequence[str],
) -> None:
    """Puts what the host runs between what the accelerator does."""
    priced, rows = iter(costs["layers"]), []
    idle = [float(np.asarray(mw)) for mw in power.idle_power(accelerator)]
    parts = dict.fromkeys(energy_parts(accelerator), 0.0)
    chip_ms = costs["latency_ms"]
    for layer, falls_back in zip(layers, falls, strict=True):
        if not falls_back:
            rows.append(next(priced))
            continue
        ms = batch_size * fallback.cpu_ms(layer, accelerator)
        taken = parts | dict(
            zip(power.PARTS, (mw * ms / 1e3 for mw in idle), strict=True)
        )
        rows.append(
            {
                "name": layer.name,
                "op": layer.op,
                "runs_on": "cpu",
                "macs": batch_size * layer.macs,
                "params": layer.params,
                "cycles": 0.0,
                "latency_ms": ms,
                "energy_mj": sum(taken.values()),
                "utilization": 0.0,
                "bound": "cpu",
                "dram_bytes": 0.0,
                "mapping": f"{layer.operator}, left to the host",
                "fused": False,
                "energy_parts_mj": taken,
                "busy_cycles": dict.fromkeys(bounds(accelerator), 0.0),
                "fixed_cycles": 0.0,
                "traffic_bytes": dict.fromkeys(moved, 0.0),
            }
        )
        costs["cpu_ms"] += ms
        costs["latency_ms"] += ms
        costs["energy_mj"] += sum(taken.values())
        for name in power.PARTS:
            costs["energy_parts_mj"][name] += taken[name]
    costs["layers"] = rows
    costs["utilization"] *= chip_ms / costs["latency_ms"]
    costs["cpu_operators"] = list(
        dict.fromkeys(
            layer.operator
            for layer, falls_back in zip(layers, falls, strict=True)
            if falls_back
        )
    )


def _short(name: str) -> str:
    return name.removesuffix("_bytes")


def _by_name(
    names: Sequence[str], tensors: Sequence[Any], index: Any
) -> dict[str, float]:
    return {
        name: float(tensor[index])
        for name, tensor in zip(names, tensors, strict=True)
    }


def _unfit(layers: Sequence[Layer], cost: Cost, family: Family) -> str | None:
    """Why the network cannot run, or `None` if it can."""
    missing = cost.layers.missing_bytes[0, : len(layers)]
    if missing.any():
        row = int(missing.argmax())
        return (
            f"layer {layers[row].name} needs {missing[row] / 1024:.4g} KiB "
            f"more {family.memory_noun} for two tiles of one row"
        )
    lacking = float(cost.register_missing_bytes[0])
    if lacking and any(layer.macs for layer in layers):
        return (
            f"a register file needs {lacking / 1024:.4g} KiB more for two "
            "accumulators a SIMD unit"
        )
    return None
