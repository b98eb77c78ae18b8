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


@pytest.mark.slow
def test_a_grid_knows_chips_as_well():
    space = space_of(chips=[1, 2, 4])
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
    ],
)
def test_chips_that_are_not_possible(chips, message):
    with pytest.raises(ValueError, match=message):
        space_of(chips=chips)


def test_a_space_of_several_chips_needs_who_prices_them(tmp_path):
    space = space_of(chips=[1, 2])
    with pytest.raises(ValueError, match="up to 2 chips"):
        cs.CoSearchTuner(space, max_trials=1, directory=tmp_path)
