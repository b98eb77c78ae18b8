import numpy as np
import pytest

from tf_cosearch.search import pairing
from tf_cosearch.testing import ToySpace

FEW = ToySpace((2, 2, 3, 4, 5))
MANY = ToySpace((2,) * 6 + (8,) * 6)  # 262,144 accelerators
TARGETS = np.asarray([[3, 0, 7, 5, 1, 6], [0, 0, 0, 0, 0, 7]])


def nearest(accelerators):
    """Which accelerators are nearest to the targets, those of two networks."""
    width = accelerators.shape[1]
    gaps = np.abs(accelerators - TARGETS[:, None, :width])
    return gaps.sum(axis=2).argmin(axis=1)


def test_all_of_a_few_accelerators_are_priced(caplog):
    chips = pairing.to_price(FEW, np.random.default_rng(0))
    np.testing.assert_array_equal(chips, FEW.all_accelerators())
    assert not caplog.records
    found = pairing.best(FEW, chips, nearest)
    assert found.tolist() == [[2, 0, 4], [0, 0, 0]]


def test_many_accelerators_are_sampled_and_the_best_looked_around(caplog):
    chips = pairing.to_price(MANY, np.random.default_rng(0))
    assert 0.9 * pairing.SAMPLED < len(chips) <= pairing.SAMPLED
    assert len(np.unique(chips, axis=0)) == len(chips)
    assert ((chips >= 0) & (chips < 8)).all()
    assert "262,144 accelerators" in caplog.text
    sampled = chips[nearest(chips)]
    assert not (sampled == TARGETS).all()
    np.testing.assert_array_equal(pairing.best(MANY, chips, nearest), TARGETS)


@pytest.mark.parametrize(("genes", "few"), [(5, True), (6, False)])
def test_the_limit_is_that_of_the_space(genes, few):
    space = ToySpace((2,) * genes + (8,) * genes)
    assert pairing.is_exhaustible(space) == few
    if not few:
        with pytest.raises(ValueError, match="too many"):
            space.all_accelerators()
