import itertools

import numpy as np
import pytest

from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.oracle.screening import Screen
from tf_cosearch.search.pricing import Pricer
from tf_cosearch.testing import ToySpace, toy_estimate


def screen(space, budgets, tried=()):
    return Screen(space, Pricer(space, 256, toy_estimate), budgets, tried)


def test_admits_new_feasible_designs_once_and_in_order():
    space = ToySpace((11,))
    tried = [np.array([7])]
    admit = screen(space, Budgets(latency_ms=1.55), tried).admit
    genomes, costs = admit(np.array([[9], [2], [7], [5], [9]]))
    assert genomes.tolist() == [[9], [5]]
    np.testing.assert_allclose(costs["latency_ms"], [1.1, 1.5])
    genomes, _ = admit(np.array([[9], [6]]))
    assert genomes.tolist() == [[6]]
    assert len(admit(np.array([[9], [6]]))[0]) == 0


def test_descends_into_a_region_that_chance_does_not_hit():
    space = ToySpace((10,) * 12)
    budgets = Budgets(latency_ms=1.08)
    rng = np.random.default_rng(0)
    random = Pricer(space, 4096, toy_estimate)(space.sample(rng, 4096))
    assert not budgets.is_feasible(random).any()
    narrow = screen(space, budgets)
    found = [narrow.admit(round_)[0] for round_ in narrow.wider(rng, 2048)]
    assert sum(map(len, found)) > 0


def test_looks_around_what_was_tried():
    space = ToySpace((10,) * 12)
    tried = [np.full(12, 9)]
    near = screen(space, Budgets(latency_ms=1.05), tried)
    rng = np.random.default_rng(0)
    first = next(itertools.islice(near.wider(rng, 256), 1))
    assert len(near.admit(first)[0]) > 10


def test_a_small_space_is_proposed_completely():
    space = ToySpace((3, 4))
    designs = np.argwhere(np.ones((3, 4)))
    rounds = list(
        screen(space, Budgets()).wider(np.random.default_rng(0), 5, designs)
    )
    assert len(rounds) == 1
    assert sorted(rounds[0].tolist()) == designs.tolist()


def test_explains_everything_it_has_seen():
    space = ToySpace((11,))
    tight = screen(space, Budgets(area_mm2=0.5))
    tight.admit(np.array([[9]]))
    tight.admit(np.array([[0], [5]]))
    assert "3 designs" in tight.explain()
    assert "smallest area_mm2 seen is 1," in tight.explain()


def test_refuses_genomes_outside_the_space():
    with pytest.raises(ValueError, match="must be from 0 to 10"):
        screen(ToySpace((11,)), Budgets()).admit(np.array([[11]]))
