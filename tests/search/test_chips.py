"""Designs of several chips in a space, and what they are thought to cost."""

import numpy as np
import pytest

import tf_cosearch as cs
from tf_cosearch.search.pricing import Pricer

FEW = {
    "pe_array/rows": [2, 4],
    "pe_array/columns": 2,
    "pe_array/lanes": 2,
    "pe_array/simd_units": 32,
    "pe_memory/capacity_mib": 1,
    "register_file/capacity_kib": 32,
    "dram/bandwidth_gbs": 20,
}


def space_of(**more):
    return cs.SearchSpace.load("digits", accelerator={**FEW, **more})


def test_chips_are_a_gene():
    space, without = space_of(chips=[1, 2, 4]), space_of()
    assert space.num_accelerators == 3 * without.num_accelerators == 6
    assert (space.most_chips, without.most_chips) == (4, 1)
    genome = space.sample(np.random.default_rng(0), 1)[0]
    genome[-2:] = 1, 2
    candidate = space.decode(genome)
    assert candidate.chips == space.values(genome)["chips"] == 4
    assert candidate.accelerator.pe_array.rows == 4
    assert without.decode(genome[:-1]).chips == 1
    assert space.genome(space.values(genome)).tolist() == genome.tolist()
    assert space.fingerprint != space_of(chips=[1, 2, 3]).fingerprint
    genome[-1] = 0
    assert space_of(chips=2).decode(genome).chips == 2


def test_a_space_file_may_say_how_many(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "input_shape: [8, 8, 3]\nclasses: 10\nstem: {filters: 8}\n"
        "stages: [{block: conv_bn, filters: [8, 16]}]\n"
        "accelerator: {chips: [2, 3]}\n"
    )
    space = cs.SearchSpace.load(path)
    assert space.parameters[-1].choices == (2, 3)
    # A preset is all of the hardware: one chip.
    assert cs.SearchSpace.load(path, accelerator="edge_tpu").most_chips == 1
    kept = cs.SearchSpace.load(path, accelerator={"pe_array/rows": 2})
    assert kept.most_chips == 3


def test_what_several_chips_are_thought_to_cost():
    """Area by chips is exact; throughput that of equal stages."""
    space = space_of(chips=[1, 2, 4])
    genomes = space.sample(np.random.default_rng(0), 6)
    genomes[:, -1] = [0, 1, 2, 0, 1, 2]
    alone, chips = genomes.copy(), np.asarray([1, 2, 4, 1, 2, 4])
    alone[:, -1] = 0
    pricer = Pricer(space, 8)
    one, several = pricer(alone), pricer(genomes)
    np.testing.assert_allclose(several["area_mm2"], chips * one["area_mm2"])
    np.testing.assert_allclose(
        several["throughput_fps"], chips * one["throughput_fps"]
    )
    np.testing.assert_allclose(several["power_mw"], chips * one["power_mw"])
    np.testing.assert_allclose(several["latency_ms"], one["latency_ms"])


DIFFERENT = [1, 2, "own+edge_tpu_v2", "edge_tpu_v2 + own", "own+coral_usb+own"]


def test_chips_that_differ_are_a_gene_and_their_order_counts():
    space = space_of(chips=DIFFERENT)
    assert space.parameters[-1].choices == (
        "own",
        "own+own",
        "own+edge_tpu_v2",
        "edge_tpu_v2+own",
        "own+coral_usb+own",
    )
    assert (space.num_accelerators, space.most_chips) == (10, 3)
    genome = space.sample(np.random.default_rng(0), 1)[0]
    found = []
    for gene in range(5):
        genome[-1] = gene
        values = space.values(genome)
        assert space.genome(values).tolist() == genome.tolist()
        found.append(space.decode(genome).chips)
    assert found == [1, 2, *space.parameters[-1].choices[2:]]
    entry = space.hyperparameters().space[-1]
    assert entry.values == list(space.parameters[-1].choices)
    again = space_of(chips=list(space.parameters[-1].choices))
    assert again.fingerprint == space.fingerprint
    other = space_of(chips=[*DIFFERENT[:3], "own+edge_tpu_v3"])
    assert other.fingerprint != space.fingerprint


def test_what_chips_that_differ_are_thought_to_cost():
    """Area is their sum; throughput the sum of what each has alone."""
    space = space_of(chips=DIFFERENT)
    genomes = np.repeat(space.sample(np.random.default_rng(0), 1), 5, axis=0)
    genomes[:, -1] = range(5)
    found = Pricer(space, 8)(genomes)
    candidate = space.decode(genomes[0])
    rows = cs.pad([candidate.network.layers()])
    own, v2, usb = (
        cs.estimate(rows, chip)
        for chip in (
            candidate.accelerator,
            cs.load_accelerator("edge_tpu_v2"),
            cs.load_accelerator("coral_usb"),
        )
    )
    sets = ([own], [own] * 2, [own, v2], [v2, own], [own, usb, own])
    for place, chips in enumerate(sets):
        area = sum(float(chip.area_mm2[0]) for chip in chips)
        rate = sum(1e3 / float(chip.latency_ms[0]) for chip in chips)
        assert found["area_mm2"][place] == pytest.approx(area, rel=1e-5)
        assert found["throughput_fps"][place] == pytest.approx(rate, rel=1e-5)
        power = rate * float(own.energy_mj[0])
        assert found["power_mw"][place] == pytest.approx(power, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("chips", [[1, 2, 4], [1, "own+edge_tpu_v2", 3]])
def test_a_grid_knows_chips_as_well(chips):
    space = space_of(chips=chips)
    genomes = space.sample(np.random.default_rng(0), 6)
    pricer, split = Pricer(space, 8), space.num_network_parameters
    grid = pricer.grid(genomes[:1, :split], genomes[:, split:])
    same = np.repeat(genomes[:1], 6, axis=0)
    same[:, split:] = genomes[:, split:]
    for name in ("area_mm2", "throughput_fps", "latency_ms", "power_mw"):
        np.testing.assert_allclose(grid[name][0], pricer(same)[name], rtol=1e-5)


@pytest.mark.parametrize(
    ("chips", "message"),
    [
        ([1, 1], "chips in space digits must be a list of different values"),
        ([], "chips in space digits must be a list of different values"),
        ([0, 1], "`chips` must be an integer of at least 1"),
        (2.5, "`chips` must be an integer"),
        (65, "`chips` must be an integer of at most 64. Received: 65"),
        ("coral_usb", "`chips` must be an integer"),
        ([1, "own+coral_usd"], "chip in 'own.coral_usd'.*mean 'coral_usb'"),
        ("own+", r"Unknown chip in 'own\+'"),
        ("coral_usb+coral_usb", "must have own, which is searched"),
        ("+".join(["own"] * 65), "64 chips or fewer"),
        ([2, "own+own"], "list of different values"),
    ],
)
def test_chips_that_are_not_possible(chips, message):
    with pytest.raises(ValueError, match=message):
        space_of(chips=chips)


def test_a_space_of_several_chips_needs_who_prices_them(tmp_path):
    space = space_of(chips=[1, 2])
    with pytest.raises(ValueError, match="up to 2 chips"):
        cs.CoSearchTuner(space, max_trials=1, directory=tmp_path)
