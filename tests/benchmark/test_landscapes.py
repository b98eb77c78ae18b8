import dataclasses
import time
import types

import numpy as np
import pytest

from tf_cosearch import tasks
from tf_cosearch.benchmark import landscapes, synthetic
from tf_cosearch.benchmark.trainings import Trainings
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.pricing import Pricer
from tf_cosearch.search.surrogates import Encoder, log_costs


@pytest.fixture(scope="module")
def feasible():
    """Which of many random designs of each landscape are, by its name."""
    priced, found = {}, {}
    for name, landscape in landscapes.LANDSCAPES.items():
        if landscape.space_name not in priced:
            space, rng = landscape.space, np.random.default_rng(0)
            costs = Pricer(space, 256).price(space.sample(rng, 512))
            priced[landscape.space_name] = costs
        costs = priced[landscape.space_name]
        found[name] = landscape.budgets.is_feasible(costs)
    return found


def test_nine_tenths_of_a_landscape_are_infeasible(feasible):
    assert 0 < feasible["mostly_infeasible"].mean() < 0.1
    for name, mask in feasible.items():
        assert mask.mean() > 0.02, name
    assert feasible["loose_latency"].mean() > 0.4


@pytest.mark.parametrize("name", landscapes.LANDSCAPES)
def test_accuracy_depends_on_the_network_alone(name):
    landscape = landscapes.get(name)
    split = landscape.space.num_network_parameters
    rng = np.random.default_rng(1)
    first, second = landscape.space.sample(rng, 2)
    paired = first.copy()
    paired[split:] = second[split:]
    accuracy = landscape.synthetic_accuracy
    assert accuracy(first) == accuracy(paired) != accuracy(second)


def test_accuracy_is_the_formula_and_noise():
    landscape = landscapes.get("tight_latency")
    genomes = landscape.space.sample(np.random.default_rng(2), 120)
    errors = []
    for genome in genomes:
        network = landscape.space.decode(genome).network
        structure = synthetic.structure(network.blocks)
        smooth = synthetic.fit().accuracy(
            network.macs, network.params, structure
        )
        errors.append(landscape.synthetic_accuracy(genome) - smooth)
    assert np.std(errors) == pytest.approx(synthetic.NOISE, rel=0.25)
    start = time.perf_counter()
    for genome in genomes:
        landscape.synthetic_accuracy(genome)
    assert (time.perf_counter() - start) / len(genomes) < 1e-3


def test_the_features_of_the_default_do_not_span_the_random_function():
    """Linear in them, it is mostly unexplained, other than the structure."""
    random, made_up = map(landscapes.get, ("random_function", "tight_latency"))
    space, rng = random.space, np.random.default_rng(4)
    genomes = space.sample(rng, 600)
    costs = Pricer(space, 256).price(genomes)
    split = space.num_network_parameters
    sizes = log_costs(costs, ("macs", "params"))
    choices = Encoder(space.parameters[:split])(genomes[:, :split])
    unexplained = []
    for landscape in (random, made_up):
        accuracy = np.asarray(
            [landscape.synthetic_accuracy(genome) for genome in genomes]
        )
        assert accuracy.std() > 0.03
        features = np.column_stack([sizes, choices, np.ones(600)])
        known, unknown = features[:400], features[400:]
        weights = np.linalg.lstsq(known, accuracy[:400], rcond=None)[0]
        errors = accuracy[400:] - unknown @ weights
        unexplained.append(errors.var() / accuracy[400:].var())
    assert unexplained[0] > 0.3 > 2 * unexplained[1]


def test_a_design_is_evaluated():
    landscape = landscapes.get("energy")
    space = landscape.space
    found = [
        landscape.evaluate(space.values(genome))
        for genome in space.sample(np.random.default_rng(0), 30)
    ]
    assert len({evaluation.is_feasible for evaluation in found}) == 2
    for evaluation in found:
        violation = landscape.budgets.violation(evaluation.costs)
        assert evaluation.is_feasible == (violation == 0)
        if evaluation.is_feasible:
            assert evaluation.reward == evaluation.accuracy
        else:
            assert evaluation.reward < evaluation.accuracy


def test_a_soft_reward_is_hard_above_the_budgets():
    landscape = landscapes.get("three_objectives")
    limits = landscape.budgets.limits()
    inside = {name: 0.9 * limit for name, limit in limits.items()}
    over = {**inside, "latency_ms": 1.1 * limits["latency_ms"]}
    assert landscape.reward(0.7, inside) > 0.7
    assert landscape.reward(0.7, over) < 0.7


def test_a_design_that_cannot_be_mapped_is_worth_nothing(monkeypatch):
    landscape = landscapes.Landscape(
        "energy", Budgets(energy_mj=1), ("energy_mj",), 0.5
    )
    known = landscapes.get("energy")
    costs = {"latency_ms": 1.0, "energy_mj": 0.1, "area_mm2": 1.0}
    costs["memory_missing_bytes"] = 8.0
    vars(landscape)["space"] = known.space
    vars(landscape)["_pricer"] = type("P", (), {"of": lambda *_: costs})()
    values = known.space.values(
        known.space.sample(np.random.default_rng(0), 1)[0]
    )
    found = landscape.evaluate(values)
    assert (found.reward, found.is_feasible) == (0.0, False)


def test_the_hypervolume_is_a_share_of_the_box():
    landscape = landscapes.get("three_objectives")
    limits = landscape.budgets.limits()
    perfect = landscapes.Evaluation(1.0, dict.fromkeys(limits, 0.0), 1.0, {})
    worst = landscapes.Evaluation(landscape.floor, limits, 0.1, {})
    volumes = [
        landscape.hypervolume([landscape.point(evaluation)])
        for evaluation in (worst, perfect)
    ]
    assert volumes == [0, 1]
    assert landscape.hypervolume(np.zeros((0,))) == 0


@pytest.mark.parametrize("name", landscapes.LANDSCAPES)
def test_the_accelerator_held_is_within_the_budgets(name):
    landscape = landscapes.get(name)
    space, rng = landscape.space, np.random.default_rng(3)
    networks = space.sample(rng, 24)
    found = [
        landscape.evaluate({**space.values(genome), **landscape.accelerator})
        for genome in networks
    ]
    assert any(evaluation.is_feasible for evaluation in found)


def test_fingerprints_tell_landscapes_apart():
    found = {held.fingerprint for held in landscapes.LANDSCAPES.values()}
    assert len(found) == len(landscapes.LANDSCAPES)


def test_an_unknown_landscape_is_refused():
    with pytest.raises(ValueError, match="energy"):
        landscapes.get("energie")


def test_a_network_is_trained_once(monkeypatch):
    from tf_cosearch.training import fit

    trained = []

    def train(build, data, **options):
        trained.append(options)
        return types.SimpleNamespace(accuracy_int8=0.9 + len(trained) / 100)

    monkeypatch.setattr(fit, "train", train)
    landscape = dataclasses.replace(
        landscapes.get("digits"), trainings=Trainings("digits", epochs=3)
    )
    space = landscape.space
    first, second = space.sample(np.random.default_rng(0), 2)
    split = space.num_network_parameters
    paired = np.concatenate([first[:split], second[split:]])
    found = [
        landscape.evaluate(space.values(genome)).accuracy
        for genome in (first, paired, second, first)
    ]
    assert found == [0.91, 0.91, 0.92, 0.91]
    options = {"epochs": 3, "seed": 0, "task": tasks.make("classification")}
    assert trained == [options] * 2
    assert landscape.fingerprint != landscapes.get("digits").fingerprint


@pytest.mark.slow
def test_trained_accuracy_is_that_of_the_int8_file():
    landscape = dataclasses.replace(
        landscapes.get("digits"), trainings=Trainings("digits", epochs=2)
    )
    genome = landscape.space.sample(np.random.default_rng(0), 1)[0]
    found = landscape.evaluate(landscape.space.values(genome))
    images = sum(
        len(y) for _, y in landscape.trainings.inputs.validation_batches()
    )
    assert 0.3 < found.accuracy <= 1
    assert (found.accuracy * images) == pytest.approx(
        round(found.accuracy * images), abs=1e-6
    )
