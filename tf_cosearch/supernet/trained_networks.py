"""Networks that an earlier search trained, to hold a supernet against."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tf_cosearch import configuration
from tf_cosearch.identity import Identity
from tf_cosearch.networks.network import Network
from tf_cosearch.search import space as space_lib
from tf_cosearch.search.oracle import warm_start
from tf_cosearch.search.oracle.known_trials import KnownDesign
from tf_cosearch.search.space import SearchSpace

ACCURACY = "accuracy_int8"


class TrainedNetwork(NamedTuple):
    """A network and what its trainings reached, in the mean.

    Attributes:
        network: The network.
        accuracy: Of its int8 file.
        float_accuracy: Before it became int8; `None` if that is not known.
        seconds: That a trial of it took; `None` if that is not known.
        trials: How many there were, which differ in their accelerators.
    """

    network: Network
    accuracy: float
    float_accuracy: float | None
    seconds: float | None
    trials: int


def read(
    path: str | os.PathLike[str],
    space: SearchSpace,
    data: Mapping[str, Any] | None = None,
) -> list[TrainedNetwork]:
    """Reads the networks that an earlier search trained.

    Args:
        path: Its folder, or its trials.csv, which does not say on which data
            they were trained.
        space: The same space, a template.
        data: What `fingerprint.describe` tells of the data now.

    Returns:
        Each network once, in the order of the trials.

    Raises:
        FileNotFoundError: If there is no such search.
        ValueError: If it is of another space or other data, or is damaged.
    """
    configuration.path("trained", path)
    earlier = warm_start.read(path, space, [ACCURACY])
    if earlier.identity is not None:
        now = Identity(space_lib.describe(space), data)
        now.require_same(
            earlier.identity,
            "Trained networks must be of the data of the supernet, or "
            "accuracies cannot be compared",
            earlier.source,
            "another search",
        )
    split = space.num_network_parameters
    groups: dict[bytes, list[KnownDesign]] = {}
    for design in earlier.designs:
        genes = np.ascontiguousarray(design.genome[:split])
        groups.setdefault(genes.tobytes(), []).append(design)
    return [
        TrainedNetwork(
            space.decode(group[0].genome).network,
            float(np.mean([each.metrics[ACCURACY] for each in group])),
            _mean(group, "accuracy_float"),
            _mean(group, "seconds"),
            len(group),
        )
        for group in groups.values()
    ]


def _mean(group: Sequence[KnownDesign], name: str) -> float | None:
    """Over the trials that have measured it."""
    values = [each.metrics[name] for each in group if name in each.metrics]
    return float(np.mean(values)) if values else None
