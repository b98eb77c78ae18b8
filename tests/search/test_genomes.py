import numpy as np
import pytest

from tf_cosearch.search import genomes
from tf_cosearch.testing import ToySpace

SPACE = ToySpace((3, 1, 4, 5), has_inactive=True)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([[0, 0, 0]], r"must be \[N, 4\] integers. Received: int64 of shape"),
        ([0, 0, 0, 0], r"must be \[N, 4\] integers"),
        ([[0.0, 0, 0, 0]], "Received: float64"),
        ([[0, 0, 4, 0]], r"Gene 2 \(gene2/units\) must be from 0 to 3. .*: 4"),
        ([[0, -1, 0, 0]], "must be from 0 to 0. Received: -1"),
    ],
)
def test_genomes_outside_the_space_are_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        genomes.check(SPACE, bad)


def test_checked_genomes_are_canonical():
    checked = genomes.check(SPACE, np.int8([[0, 0, 3, 4], [1, 0, 3, 4]]))
    assert checked.tolist() == [[0, 0, 3, 0], [1, 0, 3, 4]]
    assert checked.dtype == np.int64


def test_unseen_keeps_the_order():
    rows = np.array([[3], [1], [3], [2], [1]])
    assert genomes.unseen(rows).tolist() == [[3], [1], [2]]
    seen = {rows[1].tobytes()}
    assert genomes.unseen(rows, seen).tolist() == [[3], [2]]


@pytest.mark.parametrize("mutations", [1, 2, 3, 9])
def test_mutation_changes_as_many_genes_as_asked(mutations):
    rng = np.random.default_rng(0)
    parents = SPACE.sample(rng, 500)
    children = genomes.mutate(SPACE, rng, parents, mutations)
    assert ((children != parents).sum(axis=1) == min(mutations, 3)).all()
    assert (children < SPACE.choice_counts).all()


def test_every_gene_and_every_other_choice_is_equally_likely():
    rng = np.random.default_rng(0)
    parents = np.tile([2, 0, 1, 3], (6000, 1))
    children = genomes.mutate(SPACE, rng, parents)
    per_gene = (children != parents).sum(axis=0)
    np.testing.assert_allclose(per_gene, [2000, 0, 2000, 2000], atol=150)
    changed = np.bincount(children[children[:, 3] != 3, 3], minlength=5)
    np.testing.assert_allclose(changed, [500, 500, 500, 0, 500], atol=80)


def test_nothing_to_mutate():
    space = ToySpace((1, 1))
    parents = np.zeros((3, 2), np.int64)
    rng = np.random.default_rng(0)
    assert (genomes.mutate(space, rng, parents) == parents).all()


def test_small_spaces_are_enumerated_without_repetition():
    designs = genomes.all_designs(SPACE)
    assert len({tuple(design) for design in designs}) == len(designs)
    assert len(designs) == SPACE.size == 4 + 2 * 4 * 5


@pytest.mark.parametrize("counts", [(10,) * 20, (2,) * 13])
def test_large_spaces_are_not_enumerated(counts):
    assert genomes.all_designs(ToySpace(counts)) is None


def test_partial_designs_are_completed():
    genes = genomes.fixed_genes(SPACE, {"gene2/units": 12, "gene0/units": 11})
    assert genes == {2: 2, 0: 1}
    drawn = genomes.complete(SPACE, np.random.default_rng(0), genes, 200)
    assert (drawn[:, [0, 2]] == [1, 2]).all()
    assert set(drawn[:, 3]) == set(range(5))


def test_whole_designs_are_kept():
    genes = genomes.fixed_genes(SPACE, [1, 0, 3, 4])
    drawn = genomes.complete(SPACE, np.random.default_rng(0), genes, 5)
    assert drawn.tolist() == [[1, 0, 3, 4]] * 5


def test_designs_outside_the_space_are_refused():
    with pytest.raises(ValueError, match="Did you mean 'gene2/units'"):
        genomes.fixed_genes(SPACE, {"gene2/unit": 12})
    with pytest.raises(ValueError, match=r"one of \[10, 11, 12\]. .*: 99"):
        genomes.fixed_genes(SPACE, {"gene0/units": 99})
