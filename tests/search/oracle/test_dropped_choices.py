"""What a supernet's space has lost is not proposed."""

import numpy as np
import pytest

import tf_cosearch as cs
from tf_cosearch.search.oracle.options import make
from tf_cosearch.search.problem import Estimates
from tf_cosearch.search.shortlist import Shortlist
from tf_cosearch.testing import place, run_trials

KEPT = {
    "kernel_size": lambda value: value >= 5,
    "expansion": lambda value: value in (0.5, 0.7, 6),
    "block": lambda value: value != "inverted_residual",
}
"""What is left, the same at all places."""


def choices_left(space):
    """Genes by position; of a key that has nothing else left, all."""
    found = []
    for parameter in space.network_space.parameters:
        is_kept = KEPT.get(parameter.name.rpartition("/")[2], lambda value: 1)
        genes = range(len(parameter.choices))
        found.append([g for g in genes if is_kept(parameter.choices[g])])
    return [left or [0] for left in found]


def is_inside(network):
    """Of the blocks that a stage chooses."""
    return all(
        is_kept(value)
        for spec in network.blocks
        if spec.path.startswith("stage")
        for key, value in {"block": spec.block, **dict(spec.options)}.items()
        for is_kept in [KEPT.get(key, lambda value: True)]
    )


def kernels_by_place(space):
    """Other kernels are left of each block than of those beside it."""
    return [
        [place_ // 3 % len(parameter.choices)]
        if parameter.name.endswith("kernel_size")
        else [*range(len(parameter.choices))]
        for place_, parameter in enumerate(space.network_space.parameters)
    ]


def inside(space, count, choices):
    """`[count, P]` canonical designs of what is left."""
    rng = np.random.default_rng(5)
    genomes = space.sample(rng, count)
    for place_, left in enumerate(choices):
        genomes[:, place_] = rng.choice(left, count)
    return space.canonical(genomes)


def oracle_of(space, folder, algorithm, **options):
    sizes = {"networks": 32, "accelerators": 8, "limits": 8}
    if algorithm != "grey_box":
        sizes = {}
    oracle = make(
        algorithm,
        {**sizes, "proposals": 64, "seed": 0},
        space=space,
        max_trials=7,
        **options,
    )
    return place(oracle, folder)


def told(space, choices):
    accuracies = np.random.default_rng(1).random(60)
    return Estimates(inside(space, 60, choices), accuracies, choices)


def test_the_criterion_itself():
    space = cs.SearchSpace.load("hsconas", (32, 32, 3), 10)
    anything = space.sample(np.random.default_rng(0), 20)
    assert not all(is_inside(space.decode(g).network) for g in anything)
    left = inside(space, 20, choices_left(space))
    assert all(is_inside(space.decode(g).network) for g in left)


@pytest.mark.parametrize("algorithm", ["grey_box", "random"])
@pytest.mark.parametrize("name", ["hsconas", "digits"])
def test_what_is_proposed_has_choices_that_are_left(tmp_path, name, algorithm):
    shape = {"hsconas": (32, 32, 3), "digits": (8, 8, 1)}[name]
    space = cs.SearchSpace.load(name, shape, 10, "edge_tpu")
    oracle = oracle_of(space, tmp_path, algorithm)
    oracle.expect(told(space, choices_left(space)))
    run_trials(oracle, 7, lambda number, genome: 0.5 + 0.01 * number)
    finished = oracle.history.finished()
    assert len(finished) == 7
    for result in finished:
        assert is_inside(space.decode(result.genome).network)


def test_what_an_algorithm_looks_at_is_left_already(tmp_path):
    """So that the pair it chooses is the one that is tried."""
    space = cs.SearchSpace.load("hsconas", (32, 32, 3), 10)
    oracle = oracle_of(space, tmp_path, "grey_box")
    oracle.expect(told(space, kernels_by_place(space)))
    suggested = []
    suggest = oracle.algorithm.suggest

    def spy(rng, n):
        suggested.append(suggest(rng, n))
        return suggested[-1]

    oracle.algorithm.suggest = spy
    run_trials(oracle, 5, lambda number, genome: 0.5 + 0.01 * number)
    for result, pairs in zip(oracle.history.finished(), suggested, strict=True):
        np.testing.assert_array_equal(result.genome, pairs[0])


def test_what_is_left_stays_as_it_is(tmp_path):
    """Its canonical genes may be lost ones: 0.5 of 16 filters is 0.25 there."""
    space = cs.SearchSpace.load("digits")
    choices = [
        [1, 3] if parameter.name.endswith("multiplier") else [0, 1]
        for parameter in space.network_space.parameters
    ]
    oracle = oracle_of(space, tmp_path, "random")
    oracle.expect(told(space, choices))
    hold = oracle.algorithm.problem.hold
    drawn = space.sample(np.random.default_rng(0), 50)
    held = space.canonical(hold(drawn))
    assert 0 < np.mean(held[:, 1] == 0) < 1
    assert space.parameters[1].name == "stage1/width_multiplier"
    np.testing.assert_array_equal(space.canonical(hold(held)), held)


def test_what_was_estimated_is_trained_as_it_was(tmp_path):
    space = cs.SearchSpace.load("hsconas", (32, 32, 3), 10)
    oracle = oracle_of(space, tmp_path, "random")
    estimates = told(space, kernels_by_place(space))
    oracle.expect(estimates, Shortlist())
    # Positions alone do not tell: without its skips a network is inside.
    genes = estimates.genomes[:, : len(estimates.choices)]
    places = enumerate(estimates.choices)
    assert not np.all([np.isin(genes[:, i], left) for i, left in places])
    first = oracle.algorithm.suggest(np.random.default_rng(0), 7)
    run_trials(oracle, 7, lambda number, genome: 0.5)
    tried = [result.genome for result in oracle.history.finished()]
    np.testing.assert_array_equal(tried, first)


def test_what_was_to_be_tried_first_is(tmp_path):
    space = cs.SearchSpace.load("digits")
    lost = {"stage1/kernel_size": 3}
    given = make(
        "random",
        {"proposals": 64, "seed": 0, "initial_designs": [lost]},
        space=space,
        max_trials=2,
    )
    oracle = place(given, tmp_path)
    oracle.expect(told(space, choices_left(space)))
    run_trials(oracle, 2, lambda number, genome: 0.5)
    first, second = oracle.history.finished()
    assert space.values(first.genome)["stage1/kernel_size"] == 3
    assert is_inside(space.decode(second.genome).network)
