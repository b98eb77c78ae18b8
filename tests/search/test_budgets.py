import math

import numpy as np
import pytest

from tf_cosearch.networks.workload import Layer
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.exact import best_accelerators
from tf_cosearch.search.objectives import AbsoluteDeviation, WeightedProduct


def costs(latency, energy, area):
    return {"latency_ms": latency, "energy_mj": energy, "area_mm2": area}


def test_violation_is_the_sum_of_relative_excesses():
    budgets = Budgets(latency_ms=2, energy_mj=10, area_mm2=30)
    seen = costs([2, 3, 1], [5, 15, 20], [30, 60, 29])
    np.testing.assert_allclose(budgets.violation(seen), [0, 2, 1])
    assert budgets.is_feasible(seen).tolist() == [True, False, False]


def test_a_budget_that_is_not_set_limits_nothing():
    huge = costs([1e9], [1e9], [1e9])
    assert Budgets().is_feasible(huge).tolist() == [True]
    assert Budgets(area_mm2=2e9).is_feasible(huge).tolist() == [True]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("budgets", [Budgets(), Budgets(latency_ms=5)])
def test_a_design_without_finite_costs_is_never_feasible(bad, budgets):
    seen = costs([1, 1], [1, bad], [1, 1])
    assert budgets.is_feasible(seen).tolist() == [True, False]


def test_works_on_single_numbers():
    assert Budgets(latency_ms=1).is_feasible(costs(1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    "value", [0, -1, math.nan, math.inf, "fast", True, [1]]
)
def test_rejects_what_is_no_positive_finite_number(value):
    with pytest.raises(ValueError, match=r"area_mm2 must be .* Received: "):
        Budgets(area_mm2=value)


def test_explains_the_tightest_budget_with_the_smallest_value_seen():
    budgets = Budgets(latency_ms=0.1, energy_mj=1, area_mm2=30)
    message = budgets.explain(costs([0.2, 0.4], [4, 5], [20, 29]))
    assert "latency_ms 0.1, energy_mj 1, area_mm2 30" in message
    assert "2 designs" in message
    assert "smallest energy_mj seen is 4, 4 times the budget" in message
    assert "smallest latency_ms seen is 0.2, 2 times the budget" in message
    assert message.index("energy_mj seen") < message.index("latency_ms seen")
    assert "smallest area_mm2" not in message
    assert "Raise energy_mj to 4 and latency_ms to 0.2 or more" in message
    assert "more PEs" in message


def test_explains_budgets_that_can_only_be_met_one_by_one():
    budgets = Budgets(latency_ms=1, area_mm2=10)
    message = budgets.explain(costs([1.5, 1, 0.9], [1] * 3, [10, 11, 40]))
    assert "no design meets all" in message
    assert "latency_ms 1, area_mm2 11, a joint violation of 0.1" in message
    assert "Raise area_mm2 to 11 or more" in message
    assert "fewer PEs" in message


@pytest.mark.parametrize("smallest", [0.0871234, 123.456, 7.0, 1.0004e-7])
def test_the_budget_it_advises_suffices(smallest):
    seen = costs([smallest], [1], [1])
    message = Budgets(latency_ms=smallest / 2).explain(seen)
    advised = float(message.split("Raise latency_ms to ")[1].split()[0])
    assert Budgets(latency_ms=advised).is_feasible(seen)
    assert advised < smallest * 1.02


def test_explains_designs_that_cannot_be_mapped():
    message = Budgets().explain(costs([math.nan], [1], [1]))
    assert "1 designs that cannot be mapped" in message


DROPS = {
    "latency_ms": [1.0, 1.0, 1.0],
    "energy_mj": [1.0, 1.0, 1.0],
    "area_mm2": [1.0, 1.0, 1.0],
    "accuracy_float": [0.9, 0.9, 0.8],
    "accuracy_int8": [0.9, 0.87, 0.85],
}


def test_a_budget_on_the_drop_is_in_points():
    within = Budgets(accuracy_drop=3).violation(DROPS)
    np.testing.assert_allclose(within, [0, 0, 0])
    half = Budgets(accuracy_drop=0.5).violation(DROPS)
    np.testing.assert_allclose(half, [0, 5, 0])  # twice is 1, whatever it is
    two = Budgets(accuracy_drop=2).violation(DROPS)
    np.testing.assert_allclose(two, [0, 0.5, 0])
    both = Budgets(accuracy_drop=2, latency_ms=0.5).violation(DROPS)
    np.testing.assert_allclose(both, [1, 1.5, 1])


def test_the_file_may_have_a_budget_in_kib():
    known = {**DROPS, "file_kib": [4.0, 6.0, np.nan]}
    budgets = Budgets(file_kib=4)
    np.testing.assert_allclose(budgets.violation(known), [0, 0.5, 0])
    np.testing.assert_allclose(budgets.violation(DROPS), [0, 0, 0])
    assert budgets.limits() == {}
    assert "file_kib" not in budgets.compared()
    with pytest.raises(ValueError, match="file_kib must be positive"):
        Budgets(file_kib=0)


def test_no_drop_at_all_may_be_asked_for():
    np.testing.assert_array_equal(
        Budgets(accuracy_drop=0).is_feasible(DROPS), [True, False, True]
    )


def test_before_a_trial_no_drop_is_known():
    costs = {name: DROPS[name] for name in ("latency_ms", "energy_mj")}
    costs["area_mm2"] = DROPS["area_mm2"]
    budgets = Budgets(accuracy_drop=0)
    assert budgets.is_feasible(costs).all()
    assert "accuracy_drop" not in budgets.compared()
    assert budgets.limits() == {}
    assert budgets.limits(measured=True) == {"accuracy_drop": 0}
    assert budgets != Budgets()
    assert repr(budgets) == "Budgets(accuracy_drop=0.0)"


@pytest.mark.parametrize("drop", [-0.1, float("nan"), "much", float("inf")])
def test_a_drop_below_zero_is_refused(drop):
    with pytest.raises(ValueError, match="accuracy_drop must be"):
        Budgets(accuracy_drop=drop)


def test_two_equal_accuracies_are_no_drop():
    costs = {**DROPS, "accuracy_float": np.float32([0.9, 0.87, 0.85])}
    assert (costs["accuracy_float"] > costs["accuracy_int8"]).any()
    assert Budgets(accuracy_drop=0).is_feasible(costs).all()


@pytest.mark.parametrize(
    "use",
    [
        lambda budgets: WeightedProduct(budgets),
        lambda budgets: AbsoluteDeviation(budgets),
        lambda budgets: best_accelerators(
            [Layer("conv", "conv2d", 8, 8, 8, 8, 8, 8)], budgets
        ),
    ],
)
def test_what_happens_before_a_trial_takes_no_drop(use):
    with pytest.raises(ValueError, match=r"before a trial.*accuracy_drop"):
        use(Budgets(latency_ms=1, accuracy_drop=1))


def test_rewards_relate_to_the_other_budgets():
    budgets = Budgets(latency_ms=2, accuracy_drop=1)
    reward = WeightedProduct().aimed_at(budgets)
    assert reward.targets == Budgets(latency_ms=2)
