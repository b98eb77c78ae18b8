"""Experiments on trainings of their own, which take no time here."""

import pathlib
import zlib

import numpy as np
import pytest

from tf_cosearch.benchmark import trainings
from tf_cosearch.experiments import (
    Setting,
    hsconas,
    places,
    space_fits_hardware,
    trained,
    use_cases_differ,
)
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.pricing import Pricer

SETTING = Setting(data="digits", seeds=1)


@pytest.fixture(autouse=True)
def made_up(monkeypatch):
    """Accuracies from 0.5 to 1 that follow from the network alone."""

    def measure(how, network):
        return 0.5 + zlib.crc32(repr(network).encode()) % 1000 / 2000

    for kind in (trainings.Trainings, trainings.SharedTrainings):
        monkeypatch.setattr(kind, "measure", measure)


@pytest.mark.slow
def test_a_share_of_random_designs_is_within_a_limit():
    space = trained.landscape(
        "small", trained.small_space(), trained.trainings(SETTING)
    ).space
    area = Budgets(area_mm2=60)
    most = trained.limit(space, "latency_ms", 0.2, area)
    genomes = space.sample(np.random.default_rng(7), 1024)
    both = Budgets(latency_ms=most, area_mm2=60)
    share = both.is_feasible(Pricer(space, 1024)(genomes)).mean()
    assert share == pytest.approx(0.2, abs=0.04)
    assert f"{most:.2g}" == f"{most:g}"
    with pytest.raises(ValueError, match=r"20% of random designs must be wit"):
        trained.limit(space, "latency_ms", 0.2, Budgets(area_mm2=1.5))


@pytest.mark.slow
def test_both_landscapes_have_room_for_the_baseline_chip():
    for place in trained.latency_and_energy(SETTING).values():
        space, split = place.space, place.space.num_network_parameters
        genomes = space.sample(np.random.default_rng(0), 1024)
        values = {**space.values(genomes[0]), **place.accelerator}
        genomes[:, split:] = space.genome(values)[split:]
        within = place.budgets.is_feasible(Pricer(space, 1024)(genomes))
        assert within.mean() > 0.01


@pytest.mark.slow
def test_a_design_of_another_task_is_the_same_choices():
    cases = use_cases_differ._cases(SETTING)
    assert list(cases)[4:] == ["segmentation", "keywords"]
    assert [case.space.task.name for case in cases.values()] == [
        *["classification"] * 4,
        "segmentation",
        "keyword_spotting",
    ]
    rng = np.random.default_rng(0)
    winners = {
        name: case.space.sample(rng, 1)[0] for name, case in cases.items()
    }
    rows = use_cases_differ._swapped(cases, winners, 3)
    known = {(row["case"], row["design_of"]): row for row in rows}
    assert len(known) == 36
    row = known["segmentation", "keywords"]
    values = cases["keywords"].space.values(winners["keywords"])
    place = cases["segmentation"]
    genome = place.space.genome(values)
    assert row["accuracy"] == place.accuracy(genome)
    own = place.accuracy(winners["segmentation"])
    assert row["lost"] == pytest.approx(100 * (own - row["accuracy"]))
    assert row["seed"] == 3
    hardware = use_cases_differ._hardware(cases, winners)["keywords"]
    assert hardware == {name: values[name] for name in hardware}
    assert len(hardware) == 7


def searched(*accuracies):
    """Rows of a seed each: of the three spaces in their order."""
    return [
        {
            "network": name,
            "seed": seed,
            "accuracy": each,
            "limit_ms": 0.01,
            "fused_early": 0.75,
            "fused_late": 0.25,
        }
        for seed, of_seed in enumerate(accuracies)
        for name, each in zip(space_fits_hardware.SPACES, of_seed, strict=True)
    ]


def test_the_space_of_both_blocks_has_to_be_ahead_on_most_seeds():
    judge = space_fits_hardware._trained_verdict
    holds, told = judge(searched((0.7, 0.8, 0.9), (0.8, 0.7, 0.85)))
    assert holds
    assert "evolved +7.50 points from the better" in told
    assert "ahead on 2 of 2 seeds" in told
    assert "75% fused in the first half and 25% in the second" in told
    holds, told = judge(searched((0.7, 0.8, 0.9), (0.8, 0.9, 0.9)))
    assert not holds
    assert "ahead on 1 of 2 seeds" in told


def test_a_small_space_has_fewer_and_narrower_blocks():
    stage = {"filters": 24, "stride": 2, "repeats": [1, 2, 3]}
    content = {
        "stages": [stage, {"filters": 40}, *[{**stage, "repeats": 4}] * 5],
        "head": {"filters": 1280, "dropout": 0.2},
    }
    small = space_fits_hardware._small(content)
    assert small["stages"][0] == {**stage, "filters": 12, "repeats": [1, 2]}
    assert small["stages"][1] == {"filters": 20, "repeats": [1]}
    assert small["stages"][2]["repeats"] == [2]
    assert len(small["stages"]) == 5
    assert small["head"] == {"filters": 256, "dropout": 0.2}
    assert stage["filters"] == 24


@pytest.mark.slow
def test_networks_of_one_factor_are_among_those_of_a_supernet():
    ten, one = hsconas._shared(SETTING)
    assert one.budgets == ten.budgets
    assert one.trainings is ten.trainings  # one supernet
    genome = one.space.sample(np.random.default_rng(0), 1)[0]
    values = one.space.values(genome)
    factors = {
        p.name: 1.0 for p in ten.space.parameters if "expansion" in p.name
    }
    same = ten.space.genome({**values, **factors})
    networks = [
        each.decode(of).network
        for each, of in ((one.space, genome), (ten.space, same))
    ]
    assert networks[0] == networks[1]
    assert one.accuracy(genome) == ten.accuracy(same)


def test_verdicts_say_whose_accuracies_they_are():
    assert places.accuracies(SETTING) == (
        "trained on 1,079 examples of digits for 3 epochs"
    )


def test_a_verdict_on_a_supernet_says_how_long_that_was_trained(monkeypatch):
    def measured(place, seed, trials, options):
        return {"reward": 0.5, "gap": 0.1}

    monkeypatch.setattr(hsconas, "_measured", measured)
    monkeypatch.setattr(trained, "limit", lambda *args: 1.0)
    verdict = hsconas.hsconas(SETTING).verdict
    ten, _ = hsconas._shared(SETTING)
    assert f"for {ten.trainings.epochs} epochs" in verdict
    assert " for 3 epochs" not in verdict


def test_data_that_cannot_be_trained_on_are_refused(tmp_path):
    for data, error, message in (
        ("digit", ValueError, "Did you mean 'digits'"),
        (f"idx:{tmp_path / 'none'}", FileNotFoundError, "none"),
        ("scenes:10", ValueError, "--task=segmentation"),
    ):
        with pytest.raises(error, match=message):
            trained.require(Setting(data=data, folder=pathlib.Path(tmp_path)))
    assert not list(tmp_path.iterdir())
