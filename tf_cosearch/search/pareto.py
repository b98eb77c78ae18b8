"""What no other design beats: the Pareto front and its volume."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import moocore
import numpy as np

from tf_cosearch import metrics


def non_dominated(points: Any) -> np.ndarray:
    """Finds the points that no other point dominates.

    A point dominates another if it is nowhere larger and somewhere smaller.
    Equal points do not dominate each other, so all of them stay. A point with
    a NaN is never part of the front and dominates nothing.

    Args:
        points: `[N, M]` objectives, each to be minimised.

    Returns:
        `[N]` booleans.

    Example:
    >>> non_dominated([[1, 4], [2, 2], [2, 3], [4, 1]])
    array([ True,  True, False,  True])
    """
    points = np.asarray(points, np.float64)
    mask = ~np.isnan(points).any(axis=1)
    if mask.any():
        mask[mask] = moocore.is_nondominated(points[mask], keep_weakly=True)
    return mask


def hypervolume(points: Any, reference: Any) -> float:
    """The volume that a front dominates, up to a reference point.

    Args:
        points: `[N, M]` objectives, each to be minimised. Points that are not
            below the reference in all of them, or have a NaN, add nothing.
        reference: `[M]`, worse than every point that should count.

    Returns:
        The volume; 0 without points.

    Example: two boxes of 3 x 1 and 1 x 3 that share 1 x 1.

    >>> hypervolume([[1, 3], [3, 1]], [4, 4])
    5.0
    """
    reference = np.asarray(reference, np.float64)
    points = np.asarray(points, np.float64).reshape(-1, reference.size)
    points = points[(points < reference).all(axis=1)]
    return moocore.hypervolume(points, ref=reference) if len(points) else 0.0


class ParetoArchive:
    """The designs that no other beats in accuracy and all costs together.

    Args:
        accuracy: Name of the metric to maximise.
        costs: Names of the others, see `Budgets.compared`.

    Example:
    >>> archive = ParetoArchive()
    >>> costs = {"latency_ms": 1.0, "energy_mj": 1.0, "area_mm2": 1.0}
    >>> archive.add("0", {"accuracy_int8": 0.9, **costs})
    True
    >>> archive.add("1", {"accuracy_int8": 0.8, **costs})
    False
    >>> [trial_id for trial_id, _ in archive.front]
    ['0']
    """

    def __init__(
        self,
        accuracy: str = "accuracy_int8",
        costs: Sequence[str] = ("latency_ms", "energy_mj", "area_mm2"),
    ) -> None:
        self.accuracy = accuracy
        self.costs = tuple(costs)
        self._front: dict[str, dict[str, float]] = {}

    @property
    def front(self) -> list[tuple[str, dict[str, float]]]:
        """Pairs of trial id and metrics, the most accurate first."""
        return sorted(
            self._front.items(), key=lambda item: -item[1][self.accuracy]
        )

    def add(self, trial_id: str, values: Mapping[str, float]) -> bool:
        """Considers a design.

        Args:
            trial_id: What to call it. A known one is replaced.
            values: The accuracy, the costs, and whatever else should be kept
                with them.

        Returns:
            Whether it is part of the front now. It is not if the accuracy or
            a cost is not finite; a tie is.
        """
        if not np.isfinite(self._point(values)).all():
            return False
        known = {name: float(value) for name, value in values.items()}
        self._front[trial_id] = {
            name: value for name, value in known.items() if math.isfinite(value)
        }
        mask = non_dominated(self.points())
        self._front = {
            name: kept
            for (name, kept), keep in zip(
                self._front.items(), mask, strict=True
            )
            if keep
        }
        return trial_id in self._front

    def points(self) -> np.ndarray:
        """The front as `[N, 1 + costs]` losses, -accuracy first."""
        rows = [self._point(known) for known in self._front.values()]
        return np.asarray(rows, np.float64).reshape(-1, 1 + len(self.costs))

    def hypervolume(self, reference: Mapping[str, float]) -> float:
        """The volume between the front and a reference.

        Args:
            reference: The accuracy and the costs of a design worse than all
                that should count, for example accuracy 0 and the budgets.

        Returns:
            The product of accuracy, ms, mJ, mm2 and the units of further
            costs that the front dominates.
        """
        return hypervolume(self.points(), self._point(reference))

    def _point(self, values: Mapping[str, float]) -> list[float]:
        return [-values[self.accuracy], *metrics.losses(values, self.costs)]
