"""Layers that are worked on together, against every other way to do it."""

import dataclasses
import math
import random

import numpy as np
import pytest
import tensorflow as tf
from reference import naive_cost, naive_fusion, simulator
from reference.cost_cases import random_chain, random_chip

from tf_cosearch import accelerators, configuration
from tf_cosearch.accelerators import presets
from tf_cosearch.accelerators.families.edge_tpu import EdgeTpu, mapping
from tf_cosearch.cost import cuts, fusion, model
from tf_cosearch.cost.costs import SCALARS
from tf_cosearch.cost.model import estimate
from tf_cosearch.cost.price_list import PriceList
from tf_cosearch.networks.loops import loops_of
from tf_cosearch.networks.spaces.template import load_network
from tf_cosearch.networks.tape import Tape, view
from tf_cosearch.networks.workload import Layer, LayerTable, pad
from tf_cosearch.search import exact

TILED = 19, 21, 33, 51, 61, 95, 101, 125
"""Cases that run best in several tiles, as seeds."""

SEEDS = (*range(5), *TILED)

UNJOINED = 5, 13, 18, 21
"""Cases that another division of the memory would help with nothing fused."""


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
        walked, read = simulator.walk_chain(
            rows, chip, [mapping.MAPPINGS[n] for n in numbers], height
        )
        assert read_by(rows, chip, tiles // images) == read
        for place, counts in enumerate(walked):
            at = (0, first + place)
            for name, field in cost.layers.traffic._asdict().items():
                assert float(field[at]) == pytest.approx(
                    images * getattr(counts, name), rel=1e-5
                ), name
            assert float(cost.layers.busy_cycles[0][at]) == pytest.approx(
                images * simulator.array_cycles(counts, chip), rel=1e-5
            )


def read_by(rows, chip, tiles):
    """Rows of its input that the model has a chain read, of one image."""
    table = LayerTable(*(tf.constant(f, tf.float32) for f in pad([rows])))
    loops, room = loops_of(table), model.expand(as_tensors(chip)).room()
    chain = fusion.chains(table, loops, room, len(rows), tiles)
    _, part, _ = fusion.part_of(table, chain, 0, len(rows))
    return round(float(part.read_again[0, 0]) * rows[0].in_h)


def as_tensors(chip):
    """A chip of numbers as a batch of one."""
    return tf.nest.map_structure(
        lambda field: tf.constant([field], tf.float32), chip
    )


@pytest.mark.parametrize(
    ("objective", "images", "seeds"),
    [
        ("latency", 2, (0, TILED[0])),
        pytest.param("latency", 2, SEEDS, marks=pytest.mark.slow),
        pytest.param("latency", 1, SEEDS, marks=pytest.mark.slow),
        pytest.param("energy", 1, SEEDS, marks=pytest.mark.slow),
        pytest.param("energy_delay", 2, SEEDS, marks=pytest.mark.slow),
    ],
)
def test_no_way_to_cut_a_random_network_is_better(objective, images, seeds):
    """And tiles of the chains, walked one after another, count the same."""
    fused = tiled = 0
    for seed in seeds:
        layers, chip = case(seed)
        cost = estimate(pad([layers], 4), chip, True, objective, images)
        ways = naive_fusion.estimate(layers, chip, objective, images)
        check(cost, ways, chip.process.clock_ghz)
        check_walked(layers, chip, cost, images)
        found = list(chains_of(layers, cost))
        fused += bool(found)
        tiled += any(tiles > images for *_, tiles in found)
    assert fused >= len(seeds) // 2
    assert tiled >= len(seeds) // 2


def fused_and_not(cases):
    """Costs of two images on each chip, and where it may fuse nothing."""
    values = [accelerators.to_paths(chip) for _, chip in cases]
    values += [each | {"pe_memory/fused_layers": 1} for each in values]
    chips = accelerators.from_paths(
        {path: np.asarray([v[path] for v in values]) for path in values[0]}
    )
    table = pad([layers for layers, _ in cases] * 2, 4)
    cost = estimate(table, chips, True, "latency", 2)
    return [
        np.split(np.asarray(field), 2)
        for field in (
            cost.latency_ms,
            cost.energy_mj,
            cost.dram_bytes,
            tf.reduce_max(cost.layers.is_joined, -1),
        )
    ]


def test_tiles_of_what_comes_and_of_streamed_weights_need_room_too():
    """512 x 8 x 1024 to 32 channels, to 8, on a PE of 40 KiB.

    A tile of a sixteenth is 256 KiB of inputs, the weights 32 KiB.
    """
    first = Layer("first", "conv2d", 512, 8, 32, 512, 8, 1024)
    then = Layer("then", "conv2d", 512, 8, 8, 512, 8, 32, continues=True)
    chips = [
        accelerators.from_paths(
            {
                "pe_array/columns": 1,
                "pe_array/rows": 1,
                "pe_memory/capacity_mib": kib / 1024,
                "dram/bandwidth_gbs": 0.5,
                "pe_memory/fused_layers": 3,
            }
        )
        for kib in (40, 80)
    ]
    cases = [([first, then], chip) for chip in chips] + [case(TILED[0])]
    _, _, (dram, alone), joined = fused_and_not(cases)
    assert (dram[0], joined[0][0]) == (alone[0], 0)
    # With room for two rows of 8 KiB beside the weights it is worth it.
    assert dram[1] < alone[1] * 0.96
    assert joined[0][1] == 1


@pytest.mark.slow
def test_memory_is_divided_anew_for_chains_alone():
    """What cannot be joined costs as much as with nothing fused."""
    cases = [case(seed) for seed in UNJOINED]
    cases = [
        ([dataclasses.replace(row, continues=False) for row in layers], chip)
        for layers, chip in cases
    ]
    for fused, alone in fused_and_not([*cases, case(TILED[0])]):
        np.testing.assert_array_equal(fused[:-1], alone[:-1])


@pytest.mark.parametrize("of_pairs", [1, 3])
def test_equally_good_cuts_are_told_apart(of_pairs):
    """By what is compared then: 2 a row alone, 1 or 3 a row in a pair."""
    costs = np.ones((2, 1, len(cuts.PARTS), 4))
    costs[1] = of_pairs
    costs[1, :, 0] = 2
    may = [
        tf.constant([[length == 2] * 3 + [False]])
        for length, _ in cuts.WAYS[1:]
    ]
    parts = cuts._best_cut(tf.constant(costs), may).numpy()[0]
    places = [cuts.PARTS[int(part)][1] for part in parts]
    assert places == ([0, 1, 0, 1] if of_pairs == 1 else [0] * 4)


def test_a_tile_has_to_fit_each_part_of_the_chip():
    """A chain of two 3x3 layers of 5 x 5 x 4 on 2 x 2 PEs, in 1 tile or 2.

    A PE has 3 columns and reads 5. Of a whole map it works on 3 rows and reads
    7 of each layer; of a tile of 3 rows on 2, of 6, and on 3 inside, of 7.
    """
    conv = Layer("conv", "conv2d", 5, 5, 4, 5, 5, 4, k_h=3, k_w=3)
    rows = [conv, dataclasses.replace(conv, continues=True)]
    table = LayerTable(*(tf.constant(f, tf.float32) for f in pad([rows])))
    for needed, tiles in ((2 * 140 + 60, 1), (140 + 120 + 48, 2)):
        for more in (0, -4):
            chip = accelerators.from_paths(
                {
                    "pe_array/columns": 2,
                    "pe_array/rows": 2,
                    "pe_memory/fused_layers": 3,
                    "pe_memory/tile_kib": (needed + more) / 1024,
                }
            )
            room = model.expand(as_tensors(chip)).room()
            chain = fusion.chains(table, loops_of(table), room, 2, tiles)
            assert bool(fusion.fits(chain, room)[0, 0]) == (more == 0)


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


@pytest.mark.slow
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
