import numpy as np
import pytest

import tf_cosearch as cs
from tf_cosearch.benchmark.toys import ToyCost
from tf_cosearch.search.budgets import TRAINING, Budgets
from tf_cosearch.search.pricing import Pricer
from tf_cosearch.testing import ToySpace, toy_estimate

SPACE = ToySpace((4, 5, 6))


class Counted:
    """An estimate that notes the batches it is asked for."""

    def __init__(self):
        self.batches = []

    def __call__(self, shares, weights):
        self.batches.append(len(shares))
        return toy_estimate(shares, weights)


def test_batches_cost_what_singles_cost():
    genomes = SPACE.sample(np.random.default_rng(0), 37)
    price = Pricer(SPACE, 16, toy_estimate)
    together = price(genomes)
    assert {*ToyCost._fields, "power_mw"} < {*together}
    assert "model_kib" not in together  # of layers, which a toy has not
    for row, genome in enumerate(genomes):
        single = {name: values[row] for name, values in together.items()}
        assert price.of(genome) == pytest.approx(single)


@pytest.mark.parametrize(
    ("count", "batches"),
    [(0, [1]), (1, [1]), (5, [8]), (16, [16]), (17, [16] * 2), (37, [16] * 3)],
)
def test_the_cost_model_meets_few_shapes(count, batches):
    estimate = Counted()
    genomes = SPACE.sample(np.random.default_rng(0), count)
    costs = Pricer(SPACE, 16, estimate)(genomes)
    assert estimate.batches == batches
    assert all(values.shape == (count,) for values in costs.values())


def test_remembers():
    estimate = Counted()
    price = Pricer(SPACE, 16, estimate)
    genome = np.array([1, 2, 3])
    assert price.of(genome) == price.of(genome.copy())
    assert estimate.batches == [1]


def test_refuses_genomes_outside_the_space():
    with pytest.raises(ValueError, match="Gene 0"):
        Pricer(SPACE, 16, toy_estimate)([[9, 0, 0]])


def test_what_cannot_be_trained_is_beyond_any_budgets():
    space = cs.SearchSpace.load("digits", input_shape=(8, 8, 1), classes=10)
    genomes = space.sample(np.random.default_rng(0), 16)
    price = Pricer(space, 16)

    def needs(layers):
        return np.asarray(layers.params()).sum(-1)

    needed = needs(space.batch(genomes)[0])
    room = int(np.median(needed))
    before = price(genomes)
    assert TRAINING not in before
    price.limit_training(needs, int(needed.max()))
    assert not price(genomes)[TRAINING].any()
    assert not price.leaves_out
    price.limit_training(needs, room)
    after = price(genomes)
    expected = np.maximum(needed - room, 0)
    np.testing.assert_array_equal(after[TRAINING], expected)
    assert price.leaves_out
    split = space.num_network_parameters
    grid = price.grid(genomes[:, :split], genomes[:5, split:])
    np.testing.assert_array_equal(
        grid[TRAINING], np.repeat(expected[:, None], 5, axis=1)
    )
    budgets = Budgets(area_mm2=1e9)
    for costs in (after, grid):
        shape = costs["latency_ms"].shape
        fits = np.broadcast_to((expected == 0).T, shape[::-1]).T
        np.testing.assert_array_equal(budgets.is_feasible(costs), fits)
    for genome, lacks in zip(genomes, expected, strict=True):
        why = price.why_not_trained(genome)
        assert bool(why) == bool(lacks)
        assert budgets.is_feasible(price.of(genome))
    none = {**after, TRAINING: np.full(16, 2**31)}
    assert "lacks 2 GiB. Use fewer workers" in budgets.explain(none)
