"""What a network costs over several chips, were it cut as finely as one likes.

That takes no more than what it costs on each chip alone, so that designs are
screened by it; `pipeline.partition` is exact. Of a chip that takes `L` for the
network, `F` of which to begin any part of it, a stage with the share `s` of
the work takes `F + s (L - F)`. All stages take equally long, so

    period T = (1 + sum of F / (L - F)) / (sum of 1 / (L - F)),

but no less than the longest `F`, as each chip has a row at least. Within that
period chips that do the work sooner have as much of it as they can.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np


class Kind(NamedTuple):
    """Alike chips of pipelines; arrays that broadcast to each other.

    Attributes:
        count: How many there are; 0 is possible.
        latency_ms: Of the whole network on one.
        energy_mj: Of the whole network on one.
        area_mm2: Of one.
        start_ms: What any part of a network takes on it, at least.
        idle_mw: What it takes while it does nothing.
    """

    count: Any
    latency_ms: Any
    energy_mj: Any
    area_mm2: Any
    start_ms: Any
    idle_mw: Any


def over(kinds: Sequence[Kind]) -> dict[str, np.ndarray]:
    """What pipelines of some kinds of chips cost.

    Args:
        kinds: Of the chips; their order does not count here.

    Returns:
        `latency_ms`, `energy_mj`, `area_mm2`, `throughput_fps`, `power_mw`.

    Example:
    Chips that take 3 and 6 ms have two thirds and one third of the work. One
    that takes 4 ms for whatever it does leaves all to the first.

    >>> first = Kind(1, 3.0, 9.0, 1.0, 0.0, 0.0)
    >>> costs = over([first, Kind(1, 6.0, 3.0, 1.0, 0.0, 0.0)])
    >>> [round(float(costs[n]), 6) for n in ("throughput_fps", "latency_ms",
    ...     "energy_mj")]
    [500.0, 4.0, 7.0]
    >>> costs = over([first, Kind(1, 6.0, 3.0, 1.0, 4.0, 0.0)])
    >>> float(costs["throughput_fps"]), float(costs["latency_ms"])
    (250.0, 7.0)
    """
    columns = [
        np.broadcast_arrays(*(np.asarray(field, np.float64) for field in kind))
        for kind in kinds
    ]
    shape = np.broadcast_shapes(*(column[0].shape for column in columns))
    count, latency, energy, area, start, idle = (
        np.stack([np.broadcast_to(each, shape) for each in field])
        for field in zip(*columns, strict=True)
    )
    work = np.maximum(latency - start, 1e-12)
    with np.errstate(divide="ignore", invalid="ignore"):
        period = 1 + (count * start / work).sum(0)
        period = period / (count / work).sum(0)
        period = np.maximum(period, np.where(count > 0, start, 0).max(0))
        room = count * np.clip((period - start) / work, 0, 1)
        order = np.argsort(work, axis=0, kind="stable")
        before = np.cumsum(np.take_along_axis(room, order, 0), axis=0)
        before = np.take_along_axis(before, np.argsort(order, axis=0), 0) - room
        share = np.clip(1 - before, 0, room)
        active = energy - idle * latency / 1e3
        spent = np.where(share > 0, share * active, 0).sum(0)
        spent = spent + (count * idle).sum(0) * period / 1e3
        busy = np.where(share > 0, share * work, 0) + count * start
        return {
            "latency_ms": busy.sum(0),
            "energy_mj": spent,
            "area_mm2": (count * area).sum(0),
            "throughput_fps": 1e3 / period,
            "power_mw": spent * 1e3 / period,
        }
