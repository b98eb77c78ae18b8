import numpy as np
import pytest

from tf_cosearch import accelerators
from tf_cosearch.cost.model import estimate
from tf_cosearch.cost.transfers import Transfers
from tf_cosearch.networks.workload import Layer, pad, to_array

SMALL = [Layer("conv", "conv2d", 8, 8, 16, 8, 8, 8, k_h=3, k_w=3)]
LARGE = [
    Layer("wide", "conv2d", 56, 56, 96, 56, 56, 64, k_h=3, k_w=3),
    Layer("deep", "conv2d", 28, 28, 320, 56, 56, 96, 3, 3, 2, 2),
    Layer("head", "dense", 1, 1, 1000, 1, 1, 250880),
]
NETWORKS = [SMALL, LARGE]


def chips(**columns):
    paths = {name.replace("__", "/"): v for name, v in columns.items()}
    return accelerators.from_paths(
        {path: np.asarray(v, np.float32) for path, v in paths.items()}
    )


def transfers(machines):
    rooms = np.broadcast_arrays(*map(np.float32, machines.room()))
    return Transfers([to_array(network) for network in NETWORKS], rooms)


@pytest.fixture(scope="module")
def machines():
    return chips(
        pe_memory__capacity_mib=[0.01, 0.5, 4, 4, 4, 64],
        pe_memory__activation_share=[1, 1, 0, 1, 1, 1],
        pe_memory__weight_share=[1, 1, 1, 0.5, 1, 1],
        dram__onload_share=[0, 0.5, 0, 0, 1, 0],
        host_link__input_gbs=[0, 0, 0, 1, 0, 1],
        pe_memory__whole_layers=[0, 1, 1, 1, 0, 0],
        pe_memory__padded_weights=[0, 0, 1, 0, 1, 0],
        pe_memory__tile_kib=[0, 8, 0, 0, 16, 0],
    )


def test_every_pair_moves_what_estimate_says(machines):
    moved = transfers(machines)
    count = len(machines.pe_memory.capacity_mib)
    for index, network in enumerate(NETWORKS):
        cost = estimate(pad([network] * count), machines, per_layer=True)
        pairs = moved.index[index]
        for name, expected in (
            ("dram_bytes", cost.dram_bytes),
            ("residency", cost.weight_residency),
        ):
            found = getattr(moved, name)[pairs]
            np.testing.assert_allclose(found, expected, rtol=1e-6)
        steady = moved.steady_bytes[pairs].sum(1) + moved.edge_bytes[pairs]
        np.testing.assert_allclose(steady, cost.dram_bytes, rtol=1e-6)
        assert moved.macs[index, 0] == cost.macs[0]
        assert moved.params[index, 0] == cost.params[0]


@pytest.mark.parametrize("path", ["dram__onload_share", "host_link__input_gbs"])
def test_memories_that_hold_a_network_are_one_but_for_how_images_come(path):
    """But not for the network that only one of them holds."""
    moved = transfers(
        chips(
            pe_memory__capacity_mib=[4, 4, 64, 64],
            **{path: [0, 1, 0, 1]},
        )
    )
    small, large = moved.index
    assert small[0] == small[2] != small[1] == small[3]
    assert len(set(large)) == 4
    assert len(moved.dram_bytes) == 6


def test_excess_is_what_dram_takes_longer_than_the_array(machines):
    moved = transfers(machines)
    rows = np.asarray([[0, 0, 0], [1, 2, 3]])
    rng = np.random.default_rng(0)
    priced = rng.uniform(1e3, 3e5, (4, 5)).astype(np.float32)
    dram = rng.uniform(0.02, 0.3, 5).astype(np.float32)
    for memory in range(len(machines.dram.onload_share)):
        found = np.zeros((2, 5), np.float32)
        moved.add_excess(memory, rows, priced, dram, found)
        expected = np.zeros_like(found)
        for index, network in enumerate(NETWORKS):
            steady = moved.steady_bytes[moved.index[index, memory]]
            for layer in range(len(network)):
                cycles = steady[layer] * dram - priced[rows[index, layer]]
                expected[index] += np.maximum(cycles, 0)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        if memory == 0:
            assert (found[1] > 0).all()  # nothing stays: weights are streamed
