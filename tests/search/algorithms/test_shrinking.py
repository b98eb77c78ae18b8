import numpy as np
import pytest

from tf_cosearch.search.algorithms import shrinking
from tf_cosearch.testing import ToySpace

SPACE = ToySpace((4, 5, 3, 6, 2, 2))


def test_the_choices_of_the_best_subspaces_stay():
    shrunk = shrinking.ShrunkSpace(SPACE)
    rng = np.random.default_rng(0)
    shrunk.shrink(rng, [1, 2], 0.4, lambda g: g[:, 1] - 9.0 * g[:, 2])
    assert [left.tolist() for left in shrunk.choices[1:3]] == [[3, 4], [0]]
    untouched = [shrunk.choices[i].size for i in (0, 3, 4, 5)]
    assert untouched == [4, 6, 2, 2]
    assert shrunk.remarks == [
        "Space shrunk to 1/7.5: gene1/units 5 to 2, gene2/units 3 to 1"
    ]


def test_the_last_position_is_decided_before_the_first():
    """Gene 1 depends on gene 2: only what gene 2 keeps counts for it."""
    shrunk = shrinking.ShrunkSpace(SPACE)

    def quality(genomes):
        alike = genomes[:, 1] == genomes[:, 2]
        return 10.0 * (genomes[:, 2] == 2) + alike

    shrunk.shrink(np.random.default_rng(0), [1, 2], 0.01, quality)
    assert [left.tolist() for left in shrunk.choices[1:3]] == [[2], [2]]


def test_what_cannot_be_said_does_not_count():
    shrunk = shrinking.ShrunkSpace(SPACE)

    def quality(genomes):
        known = (genomes[:, 0] > 0) & (genomes[:, 5] == 0)
        return np.where(known, -genomes[:, 0].astype(float), np.nan)

    shrunk.shrink(np.random.default_rng(0), [0], 0.25, quality)
    assert shrunk.choices[0].tolist() == [1]


def test_dropped_genes_are_drawn_from_what_is_left():
    shrunk = shrinking.ShrunkSpace(SPACE)
    rng = np.random.default_rng(0)
    shrunk.shrink(rng, [1], 0.4, lambda g: g[:, 1].astype(float))
    genomes = SPACE.sample(rng, 200)
    restricted = shrunk.restrict(rng, genomes)
    assert set(restricted[:, 1]) == {3, 4}
    stay = genomes[:, 1] >= 3
    np.testing.assert_array_equal(restricted[stay], genomes[stay])
    others = [0, 2, 3, 4, 5]
    np.testing.assert_array_equal(restricted[:, others], genomes[:, others])


def test_layers_are_genes_of_one_path():
    space = ToySpace((2,) * 8)
    names = ["stem/filters", "a/b1/kernel", "a/b1/width", "a/b2/kernel"]
    space.parameters = tuple(
        parameter._replace(name=name)
        for parameter, name in zip(space.parameters[:4], names, strict=True)
    )
    assert shrinking.layers(space) == [[0], [1, 2], [3]]


def test_ridge_finds_the_parts_of_an_additive_accuracy():
    rng = np.random.default_rng(0)
    parts = rng.random((6, 6))
    genomes = SPACE.sample(rng, 400)
    accuracy = parts[np.arange(6), genomes].sum(axis=1)
    estimate = shrinking.ridge(
        SPACE.choice_counts, genomes[:300], accuracy[:300]
    )
    assert estimate(genomes[300:]) == pytest.approx(accuracy[300:], abs=0.05)
