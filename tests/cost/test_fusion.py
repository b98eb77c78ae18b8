"""Layers that are worked on together, against every other way to do it."""

import math
import random

import pytest
from reference import naive_cost, naive_fusion
from reference.cost_cases import random_chain, random_chip

from tf_cosearch import accelerators
from tf_cosearch.cost.model import estimate
from tf_cosearch.networks.workload import pad


def fusing(rng, network, layers=3):
    """A chip of too little memory that may work on some layers together."""
    values = accelerators.to_paths(random_chip(rng))
    pes = rng.choice([1, 1, 2]), rng.choice([1, 2])
    largest = max(sum(naive_cost.activations(row)) for row in network)
    room = max(largest * rng.choice([0.2, 0.5, 1.5]) / math.prod(pes), 600)
    return accelerators.from_paths(
        values
        | {
            "pe_array/columns": pes[0],
            "pe_array/rows": pes[1],
            "pe_memory/fused_layers": layers,
            "pe_memory/capacity_mib": room / 2**20,
            "pe_memory/activation_share": rng.choice([0.5, 1, 1, 1]),
            "dram/bandwidth_gbs": rng.choice([0.05, 0.1, 0.5]),
        }
    )


def check(cost, ways, clock_ghz):
    """A price is that of one of the best ways."""
    for value, name, unit in (
        (cost.latency_ms, "cycles", clock_ghz * 1e6),
        (cost.energy_mj, "pj", 1e9),
    ):
        ranges = [getattr(way, name) for way in ways]
        least, most = min(r[0] for r in ranges), max(r[1] for r in ranges)
        assert least * (1 - 1e-5) <= float(value[0]) * unit, name
        assert float(value[0]) * unit <= most * (1 + 1e-5), name


@pytest.mark.parametrize(
    "objective",
    [
        "latency",
        pytest.param("energy", marks=pytest.mark.slow),
        pytest.param("energy_delay", marks=pytest.mark.slow),
    ],
)
def test_no_way_to_cut_a_random_network_is_better(objective):
    fused = tiled = 0
    for seed in range(24):
        rng = random.Random(seed)
        layers = random_chain(rng, rng.randint(2, 4))
        chip = fusing(rng, layers, rng.choice([2, 3, 3]))
        images = rng.choice([1, 1, 2])
        cost = estimate(
            pad([layers], 4), chip, objective=objective, batch_size=images
        )
        ways = naive_fusion.estimate(layers, chip, objective, images)
        check(cost, ways, chip.process.clock_ghz)
        fused += max(ways[0].lengths) > 1
        tiled += max(ways[0].tiles) > 1
    assert fused >= 10
    assert tiled >= 5
