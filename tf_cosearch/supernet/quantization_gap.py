"""How far the int8 accuracies of paths are from those of int8 files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tf_cosearch.networks.network import Network
from tf_cosearch.supernet import ranking
from tf_cosearch.supernet.evaluation import Evaluator


def spread(accuracies: Sequence[float], count: int) -> list[int]:
    """Places of networks from the worst to the best, at equal distances.

    Args:
        accuracies: Of all networks.
        count: How many to take.

    Raises:
        ValueError: If there are not as many, or fewer than two are asked for.

    Example:
    >>> spread([0.3, 0.1, 0.5, 0.2, 0.4], 3)
    [1, 0, 2]
    """
    if not 2 <= count <= len(accuracies):
        raise ValueError(
            "Of networks whose int8 file is compared there must be 2 or more, "
            f"and as many as were trained at most. Received: {count} of "
            f"{len(accuracies)}. Ask for another number, or train more."
        )
    order = np.argsort(accuracies, kind="stable")
    places = np.linspace(0, len(order) - 1, count).round().astype(int)
    return [int(place) for place in order[places]]


def measure(
    evaluator: Evaluator,
    networks: Sequence[Network],
    accuracies: Sequence[float],
    on_file: Callable[[int], None] = lambda done: None,
) -> dict[str, Any]:
    """Makes int8 files of the slices of networks, and compares.

    Args:
        evaluator: Of the supernet.
        networks: Of its space.
        accuracies: What `Evaluator.accuracy` gave for each.
        on_file: Told how many files are measured.

    Returns:
        Accuracies of the `files`; the `mean` and the `largest` distance from
        those given, as shares of the images; and Kendall's `tau` of both.
    """
    files = []
    for network in networks:
        files.append(evaluator.file_accuracy(network))
        on_file(len(files))
    apart = np.abs(np.subtract(files, accuracies))
    return {
        "accuracies": list(accuracies),
        "files": files,
        "mean": float(apart.mean()),
        "largest": float(apart.max()),
        "tau": ranking.kendall(accuracies, files),
    }
