import keras_tuner
import numpy as np
import pytest

from tf_cosearch.search import objectives
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.objectives import AbsoluteDeviation, WeightedProduct

COSTS = {
    "latency_ms": np.array([1.0, 2.0, 4.0]),
    "energy_mj": np.array([1.0, 1.0, 10.0]),
    "area_mm2": np.array([60.0, 30.0, 60.0]),
}


def test_hard_form_divides_by_the_excess():
    reward = WeightedProduct(Budgets(latency_ms=2, area_mm2=30))
    np.testing.assert_allclose(
        reward(np.array([0.8, 0.8, 0.8]), COSTS), [0.4, 0.8, 0.2]
    )


def test_soft_form_trades_on_both_sides_of_the_target():
    reward = WeightedProduct(Budgets(latency_ms=2), form="soft")
    np.testing.assert_allclose(
        reward(0.8, COSTS), [0.8 * 2**0.07, 0.8, 0.8 * 2**-0.07]
    )


def test_exponents_are_parameters():
    reward = WeightedProduct(Budgets(latency_ms=2), "hard", p=-1, q=-2)
    np.testing.assert_allclose(reward(1.0, COSTS), [2, 1, 0.25])


def test_energy_can_be_the_target_and_others_contribute_nothing():
    reward = WeightedProduct(Budgets(energy_mj=5))
    np.testing.assert_allclose(reward(0.5, COSTS), [0.5, 0.5, 0.25])
    assert WeightedProduct()(0.5, COSTS) == 0.5


def test_absolute_form_pays_for_distance_on_both_sides():
    reward = AbsoluteDeviation(Budgets(latency_ms=2), beta=-0.2)
    np.testing.assert_allclose(reward(0.8, COSTS), [0.7, 0.8, 0.6])
    both = AbsoluteDeviation(Budgets(latency_ms=2, energy_mj=1), beta=-0.1)
    np.testing.assert_allclose(both(0.8, COSTS), [0.75, 0.8, -0.2])


def test_absolute_form_aims_at_the_latency_budget_alone():
    budgets = Budgets(latency_ms=3, area_mm2=30)
    reward = objectives.get("absolute", budgets)
    assert reward == AbsoluteDeviation(Budgets(latency_ms=3))
    own = AbsoluteDeviation(Budgets(energy_mj=1))
    assert objectives.get(own, budgets) == own
    with pytest.raises(ValueError, match="must have a target"):
        objectives.get("absolute", Budgets(area_mm2=30))


@pytest.mark.parametrize("beta", [0.1, float("nan")])
def test_beta_must_be_a_penalty(beta):
    with pytest.raises(ValueError, match="beta must be"):
        AbsoluteDeviation(beta=beta)


def test_targets_default_to_the_budgets():
    budgets = Budgets(latency_ms=3)
    assert objectives.get("soft", budgets).targets == budgets
    assert objectives.get(WeightedProduct(p=-1), budgets).p == -1
    own = WeightedProduct(Budgets(area_mm2=1))
    assert objectives.get(own, budgets) is own


def test_unknown_form_names_the_closest():
    with pytest.raises(ValueError, match=r"'sofd'. Did you mean 'soft'\?"):
        objectives.get("sofd", Budgets())


@pytest.mark.parametrize("kind", [WeightedProduct, AbsoluteDeviation])
@pytest.mark.parametrize("targets", [0, {"latency_ms": 1}])
def test_targets_must_be_budgets(kind, targets):
    with pytest.raises(ValueError, match="`targets` must be a Budgets"):
        kind(targets)


@pytest.mark.parametrize("exponent", [float("nan"), "steep"])
def test_exponents_must_be_numbers(exponent):
    with pytest.raises(ValueError, match="exponent q must be a number"):
        WeightedProduct(q=exponent)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (None, "accuracy_int8"),
        ("accuracy_qat", "accuracy_qat"),
        ("val_accuracy", "val_accuracy"),
        (keras_tuner.Objective("f1", "max"), "f1"),
    ],
)
def test_the_accuracy_is_any_metric_to_maximise(given, name):
    found = objectives.accuracy_objective(given)
    assert (found.name, found.direction) == (name, "max")


@pytest.mark.parametrize("given", ["val_loss", ["val_accuracy", "val_loss"]])
def test_the_accuracy_must_be_one_metric_to_maximise(given):
    with pytest.raises(ValueError, match="one metric to maximise"):
        objectives.accuracy_objective(given)


@pytest.mark.parametrize("name", ["auc", "r2_score", "f1_score", "io_u"])
def test_metrics_of_an_own_model_are_maximised(name):
    found = objectives.accuracy_objective(f"{name}_int8")
    assert found.direction == "max"


@pytest.mark.parametrize("name", ["loss", "mae", "mean_squared_error"])
def test_errors_of_an_own_model_are_no_accuracy(name):
    with pytest.raises(ValueError, match="to maximise"):
        objectives.accuracy_objective(f"{name}_int8")
