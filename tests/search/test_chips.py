"""Designs of several chips in a space, and what they are thought to cost."""

import numpy as np
import pytest

import tf_cosearch as cs
from tf_cosearch.accelerators import pipelines
from tf_cosearch.search import genomes as genomes_lib
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.correction import Correction
from tf_cosearch.search.hardware import as_chosen
from tf_cosearch.search.oracle.screening import Screen
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


def test_what_a_user_writes_of_chips_is_found_among_names():
    """Where one choice is a name, numbers and blanks mean what they did."""
    space = space_of(chips=DIFFERENT)
    values = space.values(space.sample(np.random.default_rng(0), 1)[0])
    for said, gene in ((2, 1), ("own+own", 1), ("own + edge_tpu_v2", 2)):
        assert space.genome({**values, "chips": said})[-1] == gene
        given = genomes_lib.fixed_genes(space, {"chips": said})
        assert [*given.values()] == [gene]
        assert (
            as_chosen("chips", space.parameters[-1].choices, str(said))
            == (space.parameters[-1].choices[gene])
        )
    numbers = space_of(chips=[1, 2])
    assert numbers.genome({**values, "chips": "own+own"})[-1] == 1
    for wrong in (3, "own+coral_usb", True, [2]):
        with pytest.raises(ValueError, match="chips must be one of"):
            space.genome({**values, "chips": wrong})


MIXED = [1, "own+coral_usb"]


def test_what_chips_that_differ_are_thought_to_cost():
    """Close to how they are cut; `coral_usb` waits for its link."""
    space = space_of(chips=[1, "own+coral_usb", "own+edge_tpu_v2+own"])
    genomes = np.repeat(space.sample(np.random.default_rng(0), 1), 3, axis=0)
    genomes[:, -1] = range(3)
    found = Pricer(space, 8)(genomes)
    for place, genome in enumerate(genomes):
        design = space.decode(genome)
        cut = cs.partition(
            design.network,
            pipelines.of(design.chips, design.accelerator),
            cs.Link.of(design.accelerator),
        )
        area = pytest.approx(cut.area_mm2, rel=1e-5)
        assert found["area_mm2"][place] == area
        power = cut.energy_mj * cut.throughput_fps
        for name, real in (
            ("latency_ms", cut.latency_ms),
            ("energy_mj", cut.energy_mj),
            ("throughput_fps", cut.throughput_fps),
            ("power_mw", power),
        ):
            assert 0.6 < found[name][place] / real < 1.6, (design.chips, name)


def test_no_design_is_refused_that_may_meet_a_budget():
    """Neither by a little too high a prediction nor by a false correction."""
    space = space_of(chips=MIXED)
    genomes = np.repeat(space.sample(np.random.default_rng(0), 1), 2, axis=0)
    genomes[:, -1] = range(2)
    pricer = Pricer(space, 8)
    pricer.correction = Correction(["latency_ms", "throughput_fps"])
    pricer.learn(genomes[0], {"latency_ms": 1e3, "throughput_fps": 1.0})
    alone, alike = pricer.forecast(genomes)
    assert alone["latency_ms"].tolist() == alike["latency_ms"].tolist()
    pricer.ask = lambda genome: None
    predicted, at_best = pricer.forecast(genomes)
    analytic = pricer.analytic(genomes)
    for name, factor in (("latency_ms", 0.5), ("throughput_fps", 2.0)):
        assert at_best[name][0] == predicted[name][0] != analytic[name][0]
        np.testing.assert_allclose(
            at_best[name][1:], factor * analytic[name][1:]
        )
    budgets = Budgets(latency_ms=float(analytic["latency_ms"][1:].max()))
    admitted, _ = Screen(space, pricer, budgets).admit(genomes)
    assert admitted.tolist() == genomes[1:].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("chips", [[1, 2, 4], [1, "own+coral_usb", 3]])
def test_a_grid_knows_chips_as_well(chips):
    space = space_of(chips=chips)
    genomes = space.sample(np.random.default_rng(0), 6)
    pricer, split = Pricer(space, 8), space.num_network_parameters
    grid = pricer.grid(genomes[:1, :split], genomes[:, split:])
    same = np.repeat(genomes[:1], 6, axis=0)
    same[:, split:] = genomes[:, split:]
    for name in ("throughput_fps", "latency_ms", "energy_mj", "area_mm2"):
        np.testing.assert_allclose(grid[name][0], pricer(same)[name], rtol=1e-5)


@pytest.mark.parametrize(
    ("chips", "message"),
    [
        ([1, 1], "chips in space digits must be a list of different values"),
        ([], "chips in space digits must be a list of different values"),
        ([0, 1], "`chips` must be an integer of at least 1"),
        (2.5, "`chips` must be an integer"),
        (65, "`chips` must be an integer of at most 64. Received: 65"),
        ("coral_usb", r"must have own, .*Write, for example, own\+coral_usb"),
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
