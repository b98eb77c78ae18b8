"""How fast the cost model is, with a baseline of the same run beside it.

Each function answers one question and returns numbers by name. Times on a busy
machine differ from run to run, so compare within one; those of processor time
(`..._per_core_second`) differ less.
"""

from __future__ import annotations

import os
import resource
from typing import Any

import numpy as np
import tensorflow as tf

from tf_cosearch import accelerators, environment, machine
from tf_cosearch.accelerators.families.edge_tpu import mapping
from tf_cosearch.benchmark import machine_limits, own_models
from tf_cosearch.benchmark.random_tables import (
    random_accelerators,
    random_layers,
)
from tf_cosearch.benchmark.stopwatch import seconds
from tf_cosearch.cost import kernels
from tf_cosearch.cost.model import estimate
from tf_cosearch.cost.price_list import PriceList
from tf_cosearch.networks.network import Network
from tf_cosearch.networks.workload import LayerTable, pad
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.exact import all_accelerators, best_accelerators
from tf_cosearch.search.space import SearchSpace

_SAMPLE = 16_384  # candidates of a space that `estimate` is timed with
_PROPOSALS = 16
_MANY, _SHORT = 512, 2000  # networks and accelerators of a short list


def measure(
    space: SearchSpace,
    network: Network,
    candidates: int = 1_000_000,
    layers: int = 48,
    quick: bool = False,
) -> dict[str, Any]:
    """Answers all of the questions.

    Args:
        space: Of `in_space`.
        network: Of `exact_hardware`.
        candidates: Of `general`, 300 or more.
        layers: Of each of them.
        quick: Whether there are fewer repetitions, fewer rows of `scaling`,
            and no `own_models`.

    Returns:
        What each function gives under its name, and as `machine` what
        `machine_limits.compare` gives.
    """
    repeat = 3 if quick else 7
    rates = general(candidates, layers, repeat)
    return {
        "general": rates,
        "exact_hardware": exact_hardware(network, repeat),
        "in_space": in_space(space, repeat),
        "scaling": scaling(repeat, quick),
        "own_models": None if quick else own_models.proposals(_PROPOSALS),
        "machine": machine_limits.compare(rates),
    }


def general(candidates: int, depth: int, repeat: int) -> dict[str, float]:
    """Random layers, each network on a random accelerator of its own.

    Args:
        candidates: How many, 300 or more.
        depth: Layers of each.
        repeat: How often each thing is timed.

    Returns:
        Rates of `estimate`, and as `graph_...` of the same model in the
        TensorFlow graph, uncompiled; what the first call takes, and memory.
    """
    layers, chips = (
        random_layers(candidates, depth),
        random_accelerators(candidates),
    )
    first = _part((layers, chips), slice(300))
    first_call, first_core = seconds(lambda: estimate(*first))
    wall, core = seconds(lambda: estimate(layers, chips), repeat)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    small = [
        _part((layers, chips), slice(begin, begin + kernels.SMALL))
        for begin in range(0, 4 * kernels.SMALL, kernels.SMALL)
    ]

    def graph() -> None:
        for batch in small:
            estimate(*batch)

    graph()
    return {
        "candidates_per_second": candidates / wall,
        "candidates_per_core_second": candidates / core,
        "graph_candidates_per_second": 4
        * kernels.SMALL
        / seconds(graph, repeat)[0],
        "peak_memory_bytes": float(peak),
        "table_bytes": float(sum(f.nbytes for f in layers.columns())),
        "first_call_seconds": first_call,
        "first_call_core_seconds": first_core,
        "candidates": candidates,
        "layers": depth,
        "mappings": len(mapping.MAPPINGS),
    }


def in_space(space: SearchSpace, repeat: int) -> dict[str, float]:
    """Networks of a space, on all of its accelerators or on a short list.

    Args:
        space: The space.
        repeat: How often each thing is timed.

    Returns:
        Rates of a `PriceList`, of 20 networks on all accelerators and as
        `shortlist_...` of 512 on 2,000; as `estimate_...` that of `estimate`.
    """
    networks, chips = _networks(space, 20), all_accelerators({})
    PriceList(_part(chips, slice(10))).costs(networks[:1])  # compiles
    prices: Any = None

    def build() -> None:
        nonlocal prices
        prices = PriceList(chips)
        prices.costs(networks)

    building = seconds(build)[0]
    count = len(networks) * space.num_accelerators
    sample = space.batch(space.sample(np.random.default_rng(1), _SAMPLE))
    estimate(*sample)
    shortlisted, shortlist = (
        _networks(space, _MANY),
        PriceList(random_accelerators(_SHORT)),
    )
    shortlist_first = seconds(lambda: shortlist.costs(shortlisted))[0]
    return {
        "candidates_per_second": count
        / seconds(lambda: prices.costs(networks), repeat)[0],
        "estimate_candidates_per_second": _SAMPLE
        / seconds(lambda: estimate(*sample), repeat)[0],
        "shortlist_candidates_per_second": _MANY
        * _SHORT
        / seconds(lambda: shortlist.costs(shortlisted), repeat)[0],
        "shortlist_first_seconds": shortlist_first,
        "price_list_seconds": building,
        "candidates": count,
        "different_layers": prices.num_layers,
        "different_arrays": prices.num_arrays,
    }


def exact_hardware(network: Network, repeat: int) -> dict[str, float]:
    """The best accelerators of one network.

    Args:
        network: The network.
        repeat: How often each thing is timed.

    Returns:
        Seconds of `best_accelerators`, and as `estimate_seconds` of
        `estimate` of all accelerators.
    """
    budgets = Budgets(latency_ms=1.0, area_mm2=60.0)

    def run() -> None:
        best_accelerators(network, budgets, top=10)

    first = seconds(run)[0]
    again = seconds(run, 2 * repeat + 1)[0]
    chips = all_accelerators({})
    count = len(accelerators.to_paths(chips)["pe_array/rows"])
    row = pad([network.layers()])
    table = LayerTable(*(np.repeat(f, count, 0) for f in row.columns()))
    estimate(table, chips)
    return {
        "seconds": again,
        "first_seconds": first,
        "estimate_seconds": seconds(lambda: estimate(table, chips), repeat)[0],
        "accelerators": count,
        "layers": len(network.layers()),
    }


def scaling(repeat: int, quick: bool = False) -> list[dict[str, float]]:
    """How the rate of `estimate` changes as one thing does.

    Args:
        repeat: How often each thing is timed.
        quick: Whether only batches differ, not layers, threads and mappings.

    Returns:
        A row for each setting, with its rates.
    """
    rows = []
    usual, depth = 32768, 48

    def add(batch: int = usual, layers: int = depth, **settings: Any) -> None:
        tables = random_layers(batch, layers), random_accelerators(batch)
        estimate(*tables)
        wall, core = seconds(lambda: estimate(*tables), repeat)
        rows.append(
            {
                "batch": batch,
                "layers": layers,
                "mappings": len(mapping.MAPPINGS),
                "threads": machine.threads(),
                **settings,
                "candidates_per_second": batch / wall,
                "candidates_per_core_second": batch / core,
                "layers_per_core_second": batch * layers / core,
            }
        )

    largest = usual // 4 if quick else 4 * usual
    for batch in sorted((1, 64, 256, 2048, usual, largest)):
        add(batch)
    if quick:
        return rows
    for layers in (16, 50, 96):
        add(usual, layers)
    with environment.kept("OMP_NUM_THREADS"):
        os.environ["OMP_NUM_THREADS"] = "1"
        add(threads=1)
    mappings = mapping.MAPPINGS
    try:
        for count in (6, 12):
            mapping.MAPPINGS = mappings[:count]
            kernels.forget()
            add()
    finally:
        mapping.MAPPINGS = mappings
        kernels.forget()
    return rows


def _part(batch: Any, rows: slice) -> Any:
    """Some candidates of a batch; what is one number for all stays."""
    return tf.nest.map_structure(
        lambda field: field[rows] if np.ndim(field) else field, batch
    )


def _networks(space: SearchSpace, count: int) -> list[np.ndarray]:
    """Layers of random networks of a space."""
    genomes = space.sample(np.random.default_rng(0), count)
    return [
        space.network_space.rows(tuple(genes))
        for genes in genomes[:, : space.num_network_parameters].tolist()
    ]
