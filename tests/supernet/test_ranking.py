"""How well figures rank networks, by inputs whose answer is known by hand."""

import numpy as np
import pytest
from scipy import stats

from tf_cosearch.supernet import ranking


def test_an_order_with_one_swap():
    # Of 6 pairs 5 agree and 1 does not; ranks differ by 1 twice.
    figures = {"a": [1, 2, 3, 4], "b": [4, 3, 2, 1]}
    found = ranking.compare(figures, [0.1, 0.2, 0.4, 0.3], top=1)
    assert found["a"].tau == pytest.approx(4 / 6)
    assert found["a"].spearman == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert found["a"].regret == pytest.approx(0.1)
    assert found["b"].tau == pytest.approx(-4 / 6)
    assert found["b"].regret == pytest.approx(0.3)


def test_ties_are_no_agreement():
    # 2 of 3 pairs agree; the third is tied in the figure: 2 / sqrt(2 * 3).
    found = ranking.compare({"a": [1, 1, 2]}, [0.1, 0.2, 0.3], top=1)["a"]
    assert found.tau == pytest.approx(2 / 6**0.5)


def test_what_is_the_same_for_all_ranks_nothing():
    found = ranking.compare({"a": [7, 7, 7]}, [0.1, 0.2, 0.3], top=1)["a"]
    assert found.tau == found.spearman == 0
    assert found.interval == (0, 0)
    assert found.regret == pytest.approx(0.2)  # it might train the worst


@pytest.mark.parametrize(
    ("top", "lost"), [(1, 0.3), (2, 0.2), (3, 0.2), (4, 0.0)]
)
def test_regret_takes_the_worse_of_equals(top, lost):
    figures, accuracies = [5, 5, 3, 4, 1], [0.7, 0.6, 0.9, 0.7, 0.5]
    found = ranking.regret(figures, accuracies, top)
    assert found == pytest.approx(lost)


def test_tau_is_that_of_scipy():
    rng = np.random.default_rng(1)
    for most in (2, 5, 1000):
        first, second = rng.integers(most, size=(2, 30))
        tau = stats.kendalltau(first, second).statistic
        assert ranking.kendall(first, second) == pytest.approx(tau)


def test_intervals_are_those_of_tau_over_drawn_networks():
    rng = np.random.default_rng(5)
    figures = rng.integers(6, size=12)
    accuracies = rng.integers(5, size=12) / 10
    taus = []
    draws = np.random.default_rng(3).integers(12, size=(1000, 12))
    for drawn in draws:
        tau = stats.kendalltau(figures[drawn], accuracies[drawn]).statistic
        taus.append(tau)
    found = ranking.compare({"a": figures}, accuracies, 5, seed=3)["a"]
    assert found.interval == pytest.approx(np.quantile(taus, [0.05, 0.95]))
    assert found.interval[0] < found.tau < found.interval[1]
    again = ranking.compare({"a": figures}, accuracies, 5, seed=3)["a"]
    assert again == found
    other = ranking.compare({"a": figures}, accuracies, 5, seed=4)["a"]
    assert other.interval != found.interval
    assert other.tau == found.tau


@pytest.mark.parametrize("top", [0, 3, 4])
def test_there_must_be_more_networks_than_would_be_trained(top):
    with pytest.raises(ValueError, match=r"more than would.*Received: 3"):
        ranking.compare({"a": [1, 2, 3]}, [0.1, 0.2, 0.3], top)


def test_accuracies_must_differ():
    with pytest.raises(ValueError, match=r"must differ.*3 networks of 98\.00%"):
        ranking.compare({"a": [1, 2, 3]}, [0.98, 0.98, 0.98], 1)
