"""Hyperparameters of KerasTuner as choices."""

import keras_tuner
import numpy as np
import pytest

from tf_cosearch.networks.spaces import choices
from tf_cosearch.networks.spaces.choices import Choices


def values(declare):
    hp = keras_tuner.HyperParameters()
    declare(hp)
    return choices.values_of(hp.space[0])


def test_words_numbers_and_constants():
    assert values(lambda hp: hp.Choice("a", ["x", "y"])) == ("x", "y")
    assert values(lambda hp: hp.Choice("a", [4, 2])) == (4, 2)
    assert set(values(lambda hp: hp.Boolean("a"))) == {False, True}
    assert values(lambda hp: hp.Fixed("a", 0.5)) == (0.5,)
    assert values(lambda hp: hp.Int("a", 6, 13, step=3)) == (6, 9, 12)
    assert values(lambda hp: hp.Int("a", 3, 5)) == (3, 4, 5)
    assert values(lambda hp: hp.Int("a", 2, 32, step=2, sampling="log")) == (
        2,
        4,
        8,
        16,
        32,
    )
    np.testing.assert_allclose(
        values(lambda hp: hp.Float("a", 0, 1, step=0.25)),
        [0, 0.25, 0.5, 0.75, 1],
    )


def test_a_range_is_a_grid_as_its_sampling_says():
    linear = values(lambda hp: hp.Float("a", -1.0, 1.0))
    np.testing.assert_allclose(linear, np.linspace(-1, 1, choices.GRID))
    rates = values(lambda hp: hp.Float("a", 1e-5, 1e-1, sampling="log"))
    ratios = np.divide(rates[1:], rates[:-1])
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-4)
    assert (rates[0], rates[-1]) == (1e-5, 1e-1)
    back = values(lambda hp: hp.Float("a", 1.0, 8.0, sampling="reverse_log"))
    np.testing.assert_allclose(back, 9 - np.asarray(rates_of(1, 8))[::-1], 1e-5)
    whole = values(lambda hp: hp.Int("a", 1, 1000, sampling="log"))
    assert (whole[0], whole[-1]) == (1, 1000)
    assert all(isinstance(value, int) for value in whole)


def rates_of(low, high):
    return np.geomspace(low, high, choices.GRID)


def test_the_default_value_is_a_choice():
    rates = values(
        lambda hp: hp.Float("a", 1e-4, 1e-2, sampling="log", default=3e-4)
    )
    assert 3e-4 in rates
    assert list(rates) == sorted(rates)


def test_of_very_many_values_an_even_part_is_taken():
    taken = values(lambda hp: hp.Int("a", 0, 1_000_000))
    assert len(taken) == choices.MOST_VALUES
    assert (taken[0], taken[-1]) == (0, 1_000_000)
    gaps = np.diff(taken)
    assert gaps.max() - gaps.min() <= 1


@pytest.fixture
def nested():
    """A kind; of one of them a width; of large widths a rate."""
    hp = keras_tuner.HyperParameters()
    hp.Choice("kind", ["plain", "wide"])
    with hp.conditional_scope("kind", ["wide"]):
        hp.Int("width", 1, 3)
        with hp.conditional_scope("width", [2, 3]):
            hp.Float("rate", 0.1, 0.2, step=0.1)
    hp.Boolean("bias", parent_name="kind", parent_values=["plain"])
    return Choices(hp.space)


def test_conditions_decide_what_makes_a_difference(nested):
    assert nested.settle((0, 2, 1, 1)) == (
        (0, 0, 0, 1),
        (True, False, False, True),
    )
    assert nested.settle((1, 0, 1, 1)) == (
        (1, 0, 0, 0),
        (True, True, False, False),
    )
    assert nested.settle((1, 2, 1, 1))[0] == (1, 2, 1, 0)
    assert nested.values((1, 0, 1, 1)) == {"kind": "wide", "width": 1}
    assert nested.free((0, 2, 1, 1)) == (True, False, False, True)


def test_count_is_that_of_all_settled_genes(nested):
    counts = [len(parameter.choices) for parameter in nested.parameters]
    genes = np.stack(np.unravel_index(range(np.prod(counts)), counts), axis=1)
    settled = {nested.settle(tuple(row))[0] for row in genes.tolist()}
    assert nested.count() == len(settled) == 2 + 1 + 2 * 2


def test_a_name_under_two_conditions_is_one_parameter():
    hp = keras_tuner.HyperParameters()
    hp.Choice("kind", ["small", "large"])
    with hp.conditional_scope("kind", ["small"]):
        hp.Int("units", 1, 2)
    with hp.conditional_scope("kind", ["large"]):
        hp.Int("units", 8, 10)
    both = Choices(hp.space)
    assert both.parameters[1].choices == (1, 2, 8, 9, 10)
    assert both.values((0, 4)) == {"kind": "small", "units": 1}
    assert both.values((1, 4)) == {"kind": "large", "units": 10}
    assert both.count() == 2 + 3


def test_probes_show_every_word_under_its_conditions(nested):
    shown = [nested.values(probe) for probe in nested.probes((0, 0, 0, 0))]
    assert {"kind": "wide", "width": 3, "rate": 0.1} in shown
    assert any(values.get("rate") == 0.2 for values in shown)
    assert any(values.get("bias") is True for values in shown)
