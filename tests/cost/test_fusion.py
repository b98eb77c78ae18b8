"""Layers that are worked on together, against every other way to do it."""

import math
import random

import numpy as np
import pytest
from reference import naive_cost, naive_fusion, simulator
from reference.cost_cases import random_chain, random_chip

from tf_cosearch import accelerators, configuration
from tf_cosearch.accelerators import presets
from tf_cosearch.accelerators.families.edge_tpu import EdgeTpu, mapping
from tf_cosearch.cost.costs import SCALARS
from tf_cosearch.cost.model import estimate
from tf_cosearch.cost.price_list import PriceList
from tf_cosearch.networks.spaces.template import load_network
from tf_cosearch.networks.tape import Tape, view
from tf_cosearch.networks.workload import pad
from tf_cosearch.search import exact

TILED = 19, 21, 28, 37, 51, 95, 98, 99
"""Cases that run best in several tiles, as seeds."""


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


def case(seed):
    """A random network, and a chip."""
    rng = random.Random(seed)
    layers = random_chain(rng, rng.randint(2, 4))
    return layers, fusing(rng, layers, rng.choice([2, 3, 3]))


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


def chains_of(layers, cost):
    """First and last rows of chains, and the tiles of each."""
    joined = [*cost.layers.is_joined.numpy()[0, : len(layers)], 0]
    for first in range(len(layers)):
        end = first + 1
        while joined[end]:
            end += 1
        if end > first + 1 and not joined[first]:
            yield first, end, int(cost.layers.row_tiles[0, first])


def check_walked(layers, chip, cost, images):
    """What layers of chains count is what the walks of all tiles do."""
    for first, end, tiles in chains_of(layers, cost):
        rows = layers[first:end]
        height = math.ceil(rows[-1].out_h * images / tiles)
        numbers = cost.layers.mapping.numpy()[0, first:end]
        walked, _ = simulator.walk_chain(
            rows, chip, [mapping.MAPPINGS[n] for n in numbers], height
        )
        for place, counts in enumerate(walked):
            at = (0, first + place)
            for name, field in cost.layers.traffic._asdict().items():
                assert float(field[at]) == pytest.approx(
                    images * getattr(counts, name), rel=1e-5
                ), name
            assert float(cost.layers.busy_cycles[0][at]) == pytest.approx(
                images * simulator.array_cycles(counts, chip), rel=1e-5
            )


@pytest.mark.parametrize(
    ("objective", "images"),
    [
        ("latency", 2),
        pytest.param("latency", 1, marks=pytest.mark.slow),
        pytest.param("energy", 1, marks=pytest.mark.slow),
        pytest.param("energy_delay", 2, marks=pytest.mark.slow),
    ],
)
def test_no_way_to_cut_a_random_network_is_better(objective, images):
    """And tiles of the chains, walked one after another, count the same."""
    fused = tiled = 0
    for seed in (*range(5), *TILED):
        layers, chip = case(seed)
        cost = estimate(pad([layers], 4), chip, True, objective, images)
        ways = naive_fusion.estimate(layers, chip, objective, images)
        check(cost, ways, chip.process.clock_ghz)
        check_walked(layers, chip, cost, images)
        fused += max(ways[0].lengths) > 1
        tiled += max(ways[0].tiles) > 1
    assert fused >= 9
    assert tiled >= 8


@pytest.mark.slow
def test_some_numbers_of_tiles_do_for_all():
    """Every number that an output can have rows for, tried by brute force."""
    excess = []
    for seed in TILED:
        layers, chip = case(seed)
        some = naive_fusion.estimate(layers, chip, "latency", 1)
        every = naive_fusion.estimate(
            layers, chip, "latency", 1, tiles_of=range(1, 25)
        )
        excess.append(some[0].cycles[0] / every[0].cycles[0] - 1)
    assert min(excess) >= -1e-9
    assert sum(excess) / len(excess) < 0.02


PRESETS = [
    name
    for name in configuration.names("accelerators")
    if isinstance(presets.load_accelerator(name), EdgeTpu)
]


@pytest.mark.parametrize(
    "objective",
    [
        pytest.param(objective, marks=pytest.mark.slow)
        for objective in ("latency", "energy_delay")
    ],
)
def test_it_never_costs_more(objective):
    """On no preset, whatever memory it has left; off is off beside it."""
    chips = [
        accelerators.to_paths(presets.load_accelerator(name))
        for name in PRESETS
        for _ in range(9)
    ]
    values = {
        path: np.asarray([chip[path] for chip in chips], np.float32)
        for path in chips[0]
    }
    shares = np.tile(np.repeat([1, 0.1, 0.02], 3), len(PRESETS))
    values["pe_memory/capacity_mib"] *= shares
    values["pe_memory/tile_kib"] *= shares
    values["pe_memory/fused_layers"] = np.tile([1, 2, 3], 3 * len(PRESETS))
    layers = load_network("mobilenet_v2").layers()
    table = pad([layers] * len(chips))
    cost = estimate(table, accelerators.from_paths(values), objective=objective)
    values["pe_memory/fused_layers"] = 1
    alone = estimate(
        table, accelerators.from_paths(values), objective=objective
    )
    key = cost.latency_ms.numpy()
    before = alone.latency_ms.numpy()
    if objective == "energy_delay":
        key, before = key * cost.energy_mj, before * alone.energy_mj
    one, two, three = np.reshape(key, (-1, 3)).T
    np.testing.assert_allclose(one, np.reshape(before, (-1, 3))[:, 0], 1e-6)
    assert (two <= one * (1 + 1e-6)).all()
    assert (three <= two * (1 + 1e-6)).all()
    assert (three < one * 0.99).mean() > 0.2
    missing = cost.memory_missing_bytes.numpy()
    assert (missing <= alone.memory_missing_bytes.numpy()).all()


def test_price_lists_price_what_estimate_does():
    """Accelerators that fuse side by side with those that do not."""
    networks = [case(seed)[0] for seed in TILED[:3]]
    chips = accelerators.from_paths(
        {
            "pe_array/columns": 1,
            "pe_array/rows": 1,
            "pe_memory/capacity_mib": 0.001,
            "dram/bandwidth_gbs": np.asarray([0.1, 0.1, 0.05, 0.05]),
            "pe_memory/fused_layers": np.asarray([1, 3, 3, 1]),
        }
    )
    found = PriceList(chips).costs(networks)
    for number, network in enumerate(networks):
        expected = estimate(pad([network] * 4), chips)
        for name in SCALARS:
            np.testing.assert_allclose(
                getattr(found, name)[number],
                getattr(expected, name),
                rtol=1e-6,
                err_msg=name,
            )
    assert (found.latency_ms[:, 1] < found.latency_ms[:, 0] * 0.99).any()


@pytest.mark.parametrize("family", ["systolic", "ethos_u"])
def test_other_families_have_none(family, tmp_path):
    path = tmp_path / "chip.yaml"
    path.write_text(f"family: {family}\npe_memory: {{fused_layers: 3}}\n")
    with pytest.raises(ValueError, match="pe_memory"):
        presets.load_accelerator(path)
    with pytest.raises(ValueError, match="pe_memory/fused_layers"):
        exact.all_accelerators({"pe_memory/fused_layers": [1, 3]}, family)


@pytest.mark.parametrize("layers", [0, 4, 2.5])
def test_chains_have_up_to_three_layers(layers, tmp_path):
    path = tmp_path / "chip.yaml"
    path.write_text(
        f"family: edge_tpu\npe_memory: {{fused_layers: {layers}}}\n"
    )
    with pytest.raises(ValueError, match="pe_memory/fused_layers"):
        presets.load_accelerator(path)


def test_who_alone_reads_what_is_written_before_continues():
    """Not where another branch or the host reads it, or only a half is read."""
    tape = Tape()
    image = tape.input(8, 8, 4)
    stem = tape.add("stem", "conv2d", [image], (8, 8, 8))
    left = tape.add("left", "conv2d", [stem], (8, 8, 8))
    right = tape.add("right", "conv2d", [stem], (8, 8, 8))
    both = tape.add("add", "elementwise", [right, left], (8, 8, 8))
    half = view(both, (8, 8, 4))
    some = tape.add("half", "conv2d", [half], (8, 8, 8))
    top = tape.add("top", "conv2d", [some], (8, 8, 8))
    end = tape.add("end", "conv2d", [top], (8, 8, 8))
    continues = {row.name: row.continues for row in tape.layers([end, top])}
    assert continues == {
        "stem": True,  # what comes in; of a first row nothing follows from it
        "left": False,
        "right": False,
        "add": True,
        "half": False,
        "top": True,
        "end": False,
    }
