import numpy as np
import pytest

from tf_cosearch.metrics.values import Values
from tf_cosearch.search.correction import Correction
from tf_cosearch.search.pricing import Pricer
from tf_cosearch.search.space import SearchSpace


@pytest.fixture(scope="module")
def space():
    return SearchSpace.load("digits")


@pytest.fixture(scope="module")
def pricer(space):
    return Pricer(space, 64)


@pytest.fixture(scope="module")
def genomes(space):
    return space.canonical(space.sample(np.random.default_rng(3), 40))


def board_ms(space, genome):
    """0.1 ms, 20 us a layer, 1 ms a million MACs; no accelerator matters."""
    layers = space.decode(genome).network.layers()
    macs = sum(layer.macs for layer in layers)
    return 0.1 + 0.02 * len(layers) + macs / 1e6


def learned(space, genomes, count):
    fresh = Pricer(space, 64)
    fresh.correction = Correction(["latency_ms"])
    for genome in genomes[:count]:
        fresh.learn(genome, {"latency_ms": board_ms(space, genome)})
    return fresh


def errors(space, pricer, genomes):
    predicted = pricer.price(genomes)["latency_ms"]
    measured = [board_ms(space, genome) for genome in genomes]
    return np.abs(predicted / measured - 1)


def test_without_a_measurement_the_model_decides(space, pricer, genomes):
    fresh = Pricer(space, 64)
    fresh.correction = Correction(["latency_ms"])
    np.testing.assert_array_equal(
        fresh.price(genomes)["latency_ms"], pricer.price(genomes)["latency_ms"]
    )


def test_one_measurement_is_a_ratio(space, pricer, genomes):
    fresh = learned(space, genomes, 1)
    analytic = pricer.price(genomes)["latency_ms"]
    ratio = board_ms(space, genomes[0]) / analytic[0]
    np.testing.assert_allclose(
        fresh.price(genomes)["latency_ms"], ratio * analytic
    )


def test_a_board_that_follows_no_accelerator_is_learned(space, pricer, genomes):
    few = errors(space, learned(space, genomes, 3), genomes[24:])
    many = errors(space, learned(space, genomes, 24), genomes[24:])
    assert np.median(many) < 0.02
    assert np.median(many) < np.median(few)
    ratio = Pricer(space, 64).price(genomes)["latency_ms"]
    ratio = ratio / [board_ms(space, genome) for genome in genomes]
    assert np.median(np.abs(ratio / np.median(ratio) - 1)) > 0.2


def test_networks_times_accelerators_are_predicted_alike(
    space, pricer, genomes
):
    fresh = learned(space, genomes, 12)
    split = space.num_network_parameters
    networks = np.unique(genomes[:5, :split], axis=0)
    accelerators = genomes[:4, split:]
    grid = fresh.grid(networks, accelerators)
    pairs = np.asarray([[*n, *a] for n in networks for a in accelerators])
    flat = fresh.price(pairs)
    for name in ("latency_ms", "edp", "throughput_fps", "area_mm2"):
        np.testing.assert_allclose(
            grid[name].ravel(), flat[name], rtol=1e-5, err_msg=name
        )


def test_what_follows_is_made_of_what_is_predicted(space, pricer, genomes):
    values = learned(space, genomes, 12).price(genomes)
    plain = pricer.price(genomes)
    np.testing.assert_allclose(
        values["edp"], plain["energy_mj"] * values["latency_ms"]
    )
    np.testing.assert_allclose(
        values["power_mw"], 1e3 * plain["energy_mj"] / values["latency_ms"]
    )
    np.testing.assert_array_equal(values["area_mm2"], plain["area_mm2"])
    np.testing.assert_array_equal(
        values["peak_memory_kib"], plain["peak_memory_kib"]
    )


def test_a_measured_design_costs_what_was_measured(space, pricer, genomes):
    fresh = learned(space, genomes, 12)
    costs = fresh.of(genomes[4])
    measured = board_ms(space, genomes[4])
    assert costs["latency_ms"] == measured
    assert costs["throughput_fps"] == pytest.approx(1e3 / measured)
    analytic = fresh.analytic_of(genomes[4])
    assert analytic["latency_ms"] == pytest.approx(
        pricer.of(genomes[4])["latency_ms"]
    )
    other = fresh.of(genomes[30])["latency_ms"]
    assert other == pytest.approx(
        fresh.price(genomes[30:31])["latency_ms"][0], rel=1e-6
    )


def test_what_is_learned_changes_what_was_predicted(space, pricer, genomes):
    fresh = learned(space, genomes, 3)
    before = fresh.of(genomes[30])["latency_ms"]
    for genome in genomes[3:20]:
        fresh.learn(genome, {"latency_ms": board_ms(space, genome)})
    after = fresh.of(genomes[30])["latency_ms"]
    measured = board_ms(space, genomes[30])
    assert after != before
    assert abs(after / measured - 1) < 0.05


def test_a_metric_that_is_no_cost_of_the_model_is_learned(
    space, pricer, genomes
):
    """The arena of the device is 1.5 times the peak, and 4 KiB."""
    fresh = Pricer(space, 64)
    fresh.correction = Correction(["peak_memory_kib"])
    peaks = pricer.price(genomes)["peak_memory_kib"]
    for genome, peak in zip(genomes[:12], peaks, strict=False):
        fresh.learn(genome, {"peak_memory_kib": 1.5 * peak + 4})
    np.testing.assert_allclose(
        fresh.price(genomes)["peak_memory_kib"], 1.5 * peaks + 4, rtol=1e-6
    )


def test_the_order_of_measurements_makes_no_difference(space, genomes):
    predicted = [
        learned(space, some, 8).price(genomes)["latency_ms"]
        for some in (genomes[:8], genomes[7::-1])
    ]
    np.testing.assert_array_equal(*predicted)


def test_nothing_is_predicted_to_cost_less_than_nothing():
    correction = Correction(["latency_ms"])
    for latency_ms, measured in ((1.0, 9.0), (2.0, 5.0), (3.0, 1.0)):
        correction.add(
            latency_ms,
            Values({"latency_ms": [latency_ms]}),
            {"latency_ms": measured},
        )
    costs = correction(Values({"latency_ms": [0.01, 100.0]}))["latency_ms"]
    assert (costs > 0).all()
    assert costs[1] >= costs[0]


def test_a_cost_of_0_says_nothing():
    correction = Correction(["latency_ms"])
    correction.add(0, Values({"latency_ms": [1.0]}), {"latency_ms": 0.0})
    values = Values({"latency_ms": [3.0]})
    assert correction(values)["latency_ms"] == [3.0]


def test_a_design_counts_once_and_as_it_was_trained(space, genomes):
    """Of one design alone: a ratio of 2, whoever is told of it when."""
    told = [(1.0, False), (2.0, True)]
    for order in (told, told[::-1], told * 2):
        fresh = learned(space, genomes, 0)
        analytic = fresh.analytic_of(genomes[0])["latency_ms"]
        for times, is_trained in order:
            fresh.learn(
                genomes[0], {"latency_ms": times * analytic}, is_trained
            )
        of_other = fresh.analytic_of(genomes[1])["latency_ms"]
        for genome, expected in zip(
            genomes[:2], (2 * analytic, 2 * of_other), strict=True
        ):
            assert fresh.of(genome)["latency_ms"] == pytest.approx(expected)
