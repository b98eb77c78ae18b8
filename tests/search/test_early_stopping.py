import numpy as np
import pytest

from tf_cosearch.search import early_stopping, objectives
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.early_stopping import (
    Curve,
    MedianStopping,
    SuccessiveHalving,
)

HARD = objectives.get("hard", Budgets(latency_ms=10.0))


def costs(scale):
    return {"latency_ms": scale, "energy_mj": scale, "area_mm2": scale}


def ended(accuracies, scale=1.0, final=0.9, stopped=False):
    return Curve(accuracies, costs(scale), final, stopped)


def test_median_rule_is_that_of_the_paper():
    rule = MedianStopping(startup=3, grace=0)
    averages = [[0.2, 0.4, 0.6], [0.5, 0.5, 0.5], [0.8, 0.8, 0.8]]
    others = [(np.asarray(each), True) for each in averages]
    # The median of 0.4, 0.5 and 0.8; the best so far has to be below it.
    assert rule(np.asarray([0.1, 0.49, 0.2]), others)
    assert not rule(np.asarray([0.1, 0.5, 0.2]), others)
    # Running trials do not count.
    running = [*others[:2], (np.asarray(averages[2]), False)]
    assert not rule(np.asarray([0.1, 0.1, 0.1]), running)


def test_median_rule_waits():
    rule = MedianStopping(startup=2, grace=1)
    others = [(np.asarray([0.9]), True)] * 2
    assert not rule(np.asarray([0.1]), others)
    others = [(np.asarray([0.9, 0.9]), True)] * 2
    assert rule(np.asarray([0.1, 0.1]), others)
    assert not rule(np.asarray([0.1, 0.1]), others[:1])


def test_halving_decides_at_rungs_and_keeps_one_of_eta():
    rule = SuccessiveHalving(eta=3, first=1)
    values = [np.full(9, each) for each in (0.1, 0.2, 0.3, 0.4, 0.5)]

    def loses(mine, epochs, others=values):
        return rule(np.full(epochs, mine), [(v, False) for v in others])

    # Two of six go on, one of five.
    assert not loses(0.45, 3)
    assert not loses(0.6, 9)
    assert loses(0.35, 3)
    assert loses(0.35, 1)
    assert loses(0.35, 9)
    assert not any(loses(0.0, epochs) for epochs in (2, 4, 5, 6, 7, 8))
    assert loses(0.45, 3, values[1:])
    # Fewer than eta have got there.
    assert not loses(0.0, 3, values[:1])


def test_small_networks_of_the_front_are_not_stopped():
    rule = MedianStopping(startup=3, grace=0)
    others = [ended([0.9, 0.9], scale) for scale in (2.0, 3.0, 4.0)]
    small = Curve([0.3, 0.4], costs(1.0))
    assert not early_stopping.is_losing(rule, HARD, small, others)
    # Cheaper in one of its costs is enough.
    small = Curve([0.3, 0.4], {**costs(5.0), "energy_mj": 1.9})
    assert not early_stopping.is_losing(rule, HARD, small, others)
    beaten = Curve([0.3, 0.4], costs(2.5))
    assert early_stopping.is_losing(rule, HARD, beaten, others)
    # Dominated, but not below the median.
    good = Curve([0.3, 0.4], costs(2.5))
    cheap = [ended([0.5, 0.5], 2.0), *[ended([0.1, 0.2], 1.0)] * 3]
    assert not early_stopping.is_losing(rule, HARD, good, cheap)


def test_rewards_are_compared_not_accuracies():
    rule = MedianStopping(startup=1, grace=0)
    soft = objectives.WeightedProduct(Budgets(latency_ms=1.0), p=-1.0, q=-1.0)
    fast = ended([0.4], 0.1)
    # As accurate as the other one is not enough: it is ten times slower.
    slow = Curve([0.39], costs(1.0))
    assert early_stopping.is_losing(rule, soft, slow, [fast])
    faster = ended([0.45], 1.0), Curve([0.4], costs(0.5))
    assert not early_stopping.is_losing(rule, soft, faster[1], [faster[0]])


def test_trials_that_did_not_go_as_far_do_not_count():
    rule = MedianStopping(startup=1, grace=0)
    trial = Curve([0.3, 0.3], costs(2.0))
    short = ended([0.9], stopped=True)
    assert not early_stopping.is_losing(rule, HARD, trial, [short])
    assert not early_stopping.is_losing(rule, HARD, trial, [])


def test_the_forecast_adds_what_others_gained():
    trial = Curve([0.2, 0.5], costs(3.0))
    others = [
        ended([0.3, 0.6, 0.8], 1.0, final=0.9),
        ended([0.3, 0.7, 0.8], 9.0, final=0.8),
        ended([0.3, 0.7, 0.9], 9.0, final=0.9),
        ended([0.1, 0.1], 1.0, final=0.1, stopped=True),
        Curve([0.9, 0.9], costs(1.0)),
    ]
    assert early_stopping.forecast(trial, others) == pytest.approx(0.7)
    # It stays dominated.
    close = Curve([0.2, 0.59], costs(3.0))
    others[0] = ended([0.3, 0.6, 0.8], 1.0, final=0.65)
    assert early_stopping.forecast(close, others) == pytest.approx(0.65)
    assert early_stopping.forecast(close, others[3:]) is None


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: early_stopping.get("medain"), "Did you mean 'median'"),
        (lambda: early_stopping.get(3), "a name, a rule or None. Received: 3"),
        (lambda: MedianStopping(startup=0), "startup"),
        (lambda: MedianStopping(grace=-1), "grace"),
        (lambda: SuccessiveHalving(eta=1), "eta"),
        (lambda: SuccessiveHalving(first=0), "first"),
    ],
)
def test_wrong_rules_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()


def test_rules_are_found():
    assert early_stopping.get("median") == MedianStopping()
    assert early_stopping.get("halving") == SuccessiveHalving()
    assert early_stopping.get(None) is None
    own = SuccessiveHalving(eta=4)
    assert early_stopping.get(own) is own
