import numpy as np
import pytest

from tf_cosearch.search.algorithms.random import RandomSearch
from tf_cosearch.search.algorithms.regularized_evolution import (
    RegularizedEvolution,
)
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.oracle import durable
from tf_cosearch.search.oracle.options import make
from tf_cosearch.testing import ToySpace, place, run_trials, toy_estimate

SPACE = ToySpace((6,) * 8)


def start(folder, cls=RegularizedEvolution, **kwargs):
    defaults = {"estimate": toy_estimate, "proposals": 64, "seed": 0}
    options = {**defaults, "max_trials": 200, **kwargs}
    return place(make(cls, options, space=SPACE), folder)


@pytest.mark.parametrize("mutations", [1, 2])
def test_children_differ_little_from_a_living_parent(tmp_path, mutations):
    oracle = start(
        tmp_path, population_size=5, sample_size=2, mutations=mutations
    )
    genomes = np.asarray(run_trials(oracle, 40))
    for number in range(5, 40):
        living = genomes[number - 5 : number]
        changed = (living != genomes[number]).sum(axis=1)
        assert changed.min() <= mutations


def test_the_first_designs_are_random(tmp_path):
    oracle = start(tmp_path / "1", population_size=8)
    random = start(tmp_path / "2", RandomSearch)
    genomes = run_trials(oracle, 9)
    assert genomes[:8] == run_trials(random, 8)


def test_the_best_of_the_sample_is_the_parent(tmp_path):
    oracle = start(tmp_path, population_size=6, sample_size=200)
    accuracies = [0.5, 0.6, 0.9, 0.7, 0.4, 0.8]
    genomes = run_trials(oracle, 6, lambda number, _: accuracies[number])
    best = genomes[2]
    for seed in range(5):
        children = oracle.algorithm.suggest(np.random.default_rng(seed), 64)
        changed = (children != best).sum(axis=1)
        assert set(changed) == {1, 2, 3}


def test_the_old_die_however_good_they_are(tmp_path):
    oracle = start(tmp_path, population_size=4, sample_size=100, mutations=1)
    run_trials(oracle, 12, lambda number, _: 1.0 if number == 0 else 0.1)
    first = oracle.history.finished()[0].genome
    living = [done.genome for done in oracle.history.finished()[-4:]]
    children = oracle.algorithm.suggest(np.random.default_rng(0), 64)
    distance = [(children != genome).sum(axis=1).max() for genome in living]
    assert min(distance) == 1
    assert (children != first).sum(axis=1).max() > 1


def test_failures_do_not_enter_the_population(tmp_path):
    def accuracy(number, _):
        if number % 2:
            raise ArithmeticError(f"trial {number}")
        return 0.5

    oracle = start(tmp_path, population_size=4, sample_size=2, mutations=1)
    genomes = np.asarray(run_trials(oracle, 20, accuracy))
    good = genomes[::2]
    for number in range(10, 20):
        parents = good[: -(-number // 2)][-4:]
        assert (parents != genomes[number]).sum(axis=1).min() == 1


def test_children_may_keep_either_half_of_their_parent(tmp_path):
    oracle = start(tmp_path, population_size=4, mutations=1)
    genomes = np.asarray(run_trials(oracle, 4))
    children = oracle.algorithm.suggest(np.random.default_rng(0), 64)
    parent = next(g for g in genomes if (children[0] != g).sum() == 1)
    kept_first_half = (children[:, :4] == parent[:4]).all(axis=1)
    assert 10 < kept_first_half.sum() < 54


@pytest.mark.parametrize(
    ("max_trials", "population", "sample"),
    [(3, 4, 4), (12, 4, 4), (100, 25, 12), (2000, 50, 25), (None, 50, 25)],
)
def test_population_follows_the_length_of_the_search(
    max_trials, population, sample
):
    oracle = make(RegularizedEvolution, {}, space=SPACE, max_trials=max_trials)
    algorithm = oracle.algorithm
    assert algorithm.population_size == population
    assert algorithm.sample_size == sample


@pytest.mark.parametrize(
    "name", ["population_size", "sample_size", "mutations"]
)
def test_arguments_are_checked(name):
    with pytest.raises(ValueError, match=f"`{name}` must be an integer of at"):
        RegularizedEvolution(**{name: 0})


def test_what_is_kept_is_of_a_space_that_shrinks():
    with pytest.raises(ValueError, match="no `shrink_stages`"):
        RegularizedEvolution(shrink_keep=0.5)
    assert RegularizedEvolution(shrink_stages=1).shrink_keep == 0.5


def test_beats_random_search_where_budgets_bind(tmp_path, monkeypatch):
    """Larger genes are better, by gene differently, and cost area."""
    monkeypatch.setattr(durable, "write_json", lambda path, state: None)
    gains = np.random.default_rng(1).random(len(SPACE.parameters))
    rewards = np.zeros((2, 10))
    for row, cls in enumerate((RegularizedEvolution, RandomSearch)):
        for seed in range(10):
            oracle = start(
                tmp_path / f"{row}{seed}",
                cls,
                budgets=Budgets(area_mm2=4.0),
                max_trials=80,
                seed=seed,
            )
            run_trials(oracle, 80, lambda _, genome: float(genome @ gains))
            done = oracle.history.finished()
            rewards[row, seed] = max(finished.reward for finished in done)
    assert (rewards[0] > rewards[1]).sum() >= 8
    assert rewards[0].mean() > rewards[1].mean() + rewards[1].std()


def test_children_of_two_parents_have_the_genes_of_both(tmp_path):
    oracle = start(
        tmp_path, population_size=2, sample_size=1, crossover_probability=1
    )
    parents = np.asarray(run_trials(oracle, 2))
    differ = (parents[0] != parents[1]).sum()
    mixed = 0
    for seed in range(8):
        children = oracle.algorithm.suggest(np.random.default_rng(seed), 64)
        changed = (children[:, None] != parents).sum(axis=2).min(axis=1)
        mixed += ((changed > 3) & (changed < differ)).sum()
    assert mixed > 20


def test_the_space_shrinks_where_the_estimate_says(tmp_path):
    def accuracy(_, genome):
        return 0.5 + 0.05 * float(genome[3]) + 0.01 * float(genome[2])

    options = {
        "population_size": 25,
        "shrink_stages": 2,
        "shrink_keep": 0.5,
        "max_trials": 60,
    }
    oracle = start(tmp_path, **options)
    genomes = run_trials(oracle, 60, accuracy)
    first, second = oracle.algorithm.remarks
    assert first == "Space shrunk to 1/2: gene3/units 6 to 3"
    assert second == "Space shrunk to 1/2: gene2/units 6 to 3"
    assert all(genome[3] >= 3 for genome in genomes[25:])
    again = start(tmp_path, **options)
    again.reload()
    assert again.algorithm.remarks == oracle.algorithm.remarks


def test_shrinking_is_off_by_default(tmp_path):
    oracle = start(tmp_path, population_size=4)
    run_trials(oracle, 20)
    assert oracle.algorithm.remarks == []
