"""Verdicts on rows that are made up: each can be that it does not hold."""

import numpy as np
import pytest

from tf_cosearch import experiments
from tf_cosearch.experiments import (
    Setting,
    codesign_edp,
    fast_and_slow,
    hsconas,
    joint_beats_separate,
    low_precision,
    space_fits_hardware,
    use_cases_differ,
)


def searched(
    seed, violations=0, volume=0.3, landscape="energy", needed=4, **rewards
):
    """Rows of a seed, where the reward is 0.5 unless told."""
    return [
        {
            "landscape": landscape,
            "searched": kind,
            "seed": seed,
            "trials": 16,
            "violations": violations,
            "trials_needed": needed if kind == "joint" else 16,
            "best_reward": rewards.get(kind, 0.5),
            "hypervolume": volume,
            "energy_mj": 3.0 if kind == "network" else 2.0,
        }
        for kind in joint_beats_separate.SEARCHED
    ]


def test_seeds_on_which_joint_is_never_as_good_count_in_the_median():
    rows = [
        row
        for seed, needed in enumerate((5, np.inf, np.inf))
        for row in searched(seed, needed=needed, joint=0.6)
    ]
    _, told = joint_beats_separate._verdict(rows)
    assert "as good as the separate ones on few (on 1 of 3 seeds)" in told
    rows += searched(3, needed=9) + searched(4, needed=7)
    _, told = joint_beats_separate._verdict(rows)
    assert "after 9 trials (on 3 of 5 seeds)" in told


def test_joint_has_to_be_ahead_on_most_seeds_of_each_landscape():
    ahead = [row for n in range(3) for row in searched(n, joint=0.6)]
    holds, told = joint_beats_separate._verdict(ahead)
    assert holds
    assert "+10.00 points of reward (ahead on 3 of 3 seeds)" in told
    assert "+0.000 of hypervolume (on 0)" in told
    assert "0 of 240 trials of all searches over budget" in told
    assert (
        "as good as the separate ones after 4 trials (on 3 of 3 seeds)" in told
    )
    assert "1.50 times that of a joint design" in told
    one = searched(0, joint=0.6) + searched(1, joint=0.9, network=0.91)
    holds, told = joint_beats_separate._verdict(one)
    assert not holds  # the median is ahead
    assert "+4.50 points of reward (ahead on 1 of 2 seeds)" in told
    other = searched(0, landscape="latency", joint=0.6, phased=0.7) + ahead
    holds, told = joint_beats_separate._verdict(other)
    assert not holds
    assert "-10.00 points of reward (ahead on 0 of 1 seeds)" in told


def test_joint_does_not_hold_where_all_are_equal_or_have_nothing():
    assert not joint_beats_separate._verdict(searched(0))[0]
    never = searched(0, volume=0.0, needed=float("inf"))
    holds, told = joint_beats_separate._verdict(never)
    assert not holds
    assert "as good as the separate ones never" in told
    assert "+0.000 of hypervolume" in told


def test_trials_over_budget_are_counted_and_forbid_that_joint_holds():
    holds, told = joint_beats_separate._verdict(
        searched(0, violations=2, joint=0.6)
    )
    assert not holds
    assert "10 of 80 trials of all searches over budget" in told


def test_nested_is_compared_and_is_no_separate_search():
    holds, told = joint_beats_separate._verdict(
        searched(0, joint=0.6, nested=0.7)
    )
    assert holds
    assert "-10.00 points from nested (on 0)" in told


def evolved(whole, shrinking, one, ten):
    """Rows of each seed: two rewards, and two distances from the target."""
    return [
        {"searched": kind, "seed": seed, "reward": reward, "gap": gap}
        for kind, rewards, gaps in (
            ("whole space", whole, [0.0] * len(whole)),
            ("shrinking", shrinking, [0.0] * len(whole)),
            ("factor 1", [0.5] * len(one), one),
            ("ten factors", [0.5] * len(ten), ten),
        )
        for seed, (reward, gap) in enumerate(zip(rewards, gaps, strict=True))
    ]


@pytest.mark.parametrize(
    ("rows", "holds"),
    [
        (evolved([0.5, 0.5], [0.6, 0.6], [0.2, 0.2], [0.1, 0.1]), True),
        (evolved([0.5, 0.5], [0.5, 0.5], [0.2, 0.2], [0.1, 0.1]), False),
        (evolved([0.5, 0.5], [0.6, 0.6], [0.2, 0.2], [0.2, 0.2]), False),
        (evolved([0.5, 0.5], [0.9, 0.4], [0.2, 0.2], [0.1, 0.1]), False),
        (evolved([0.5, 0.5], [0.6, 0.6], [0.2, 0.2], [0.0, 0.3]), False),
    ],
)
def test_an_evolution_is_helped_on_most_seeds_or_not(rows, holds):
    assert hsconas._verdict(rows, "")[0] == holds


def test_how_often_an_evolution_is_helped_is_told():
    rows = evolved([0.5, 0.5], [0.9, 0.4], [0.2, 0.2], [0.0, 0.3])
    told = hsconas._verdict(rows, "on paper")[1]
    assert "+15.00 points of F on paper (ahead on 1 of 2 seeds)" in told
    assert "15.0% from the target, with one 20.0% (ten are nearer on 1)" in told
    assert "F +0.00 points on made-up accuracies (ahead on 0)" in told


def swaps(lost, factors=(1.5,), over=0, seed=0):
    """Swaps within a budget that lose so much, some over it, and of chips."""
    of = {"case": "a", "design_of": "b"}
    own = {"case": "a", "design_of": "a", "within": True, "lost": 0.0}
    row = {"kind": "search", "seed": seed}
    within = [{**row, **of, "within": True, "lost": each} for each in lost]
    beyond = {**row, **of, "within": False, "lost": 5.0}
    chips = [{"kind": "chip", **of, "lost": factor} for factor in factors]
    return [{**row, **own}, *within, *[beyond] * over, *chips]


DIFFERENT = [np.asarray([True, False, True, False])]


@pytest.mark.parametrize(
    ("rows", "differing", "holds"),
    [
        (swaps([1.0, 1.0, 0.0]), DIFFERENT, True),
        (swaps([1.0, 0.0]), DIFFERENT, False),
        (swaps([0.0, -1.0], over=9), DIFFERENT, False),
        (swaps([], over=9), DIFFERENT, False),
        (swaps([1.0] * 3) + swaps([0.0, 0.0], seed=1), DIFFERENT, False),
        (swaps([1.0], [1.0, 1.09, 1.5]), DIFFERENT, False),
        (swaps([1.0], [1.0, 1.2, 1.5]), DIFFERENT, True),
        (swaps([1.0]), [np.zeros(4, bool)], False),
    ],
)
def test_use_cases_differ_by_what_is_within_budgets_and_beyond_a_margin(
    rows, differing, holds
):
    assert use_cases_differ._verdict(rows, differing)[0] == holds


def test_what_swaps_cost_is_told_of_those_within_the_budget():
    told = use_cases_differ._verdict(swaps([2.0, 0.0], over=3), DIFFERENT)[1]
    assert told.startswith(
        "in 3 of 5 swaps the design of another case is over budget, 1 of the "
        "2 within it lose accuracy, 1.00 points in the median of these (most "
        "of them do on 0 of 1 seeds); winners differ in 2 of 4 hardware choices"
    )
    assert "more than 1.1 in 1 of 1 swaps" in told
    told = use_cases_differ._verdict(swaps([], over=3), DIFFERENT)[1]
    assert "in 3 of 3 swaps" in told
    assert "over budget, none is within it;" in told


def stages(network, *ratios):
    return [
        {
            "network": network,
            "chip": "chip",
            "stage": f"stage{number}",
            "time": ratio,
            "macs": 3.0,
        }
        for number, ratio in enumerate(ratios, 1)
    ]


def test_every_network_and_chip_is_judged_and_the_failing_are_named():
    first = stages("first", 0.5, 0.7, 1.1, 1.3)
    holds, told = space_fits_hardware._verdict(first)
    assert holds
    assert "0.60 times as long as depthwise ones in the first half of " in told
    assert "first on chip, 1.20 times in the second (faster in stage1" in told
    for ratios in ((0.5, 0.9), (1.1, 1.3), (1.0, 1.3), (0.9, 1.0), (1.3, 0.5)):
        rows = first + stages("second", *ratios)
        holds, told = space_fits_hardware._verdict(rows)
        assert not holds
        assert told.endswith("; not so: second on chip")


def test_the_long_form_is_judged_by_the_long_form(monkeypatch):
    def measured(network, chip):
        is_other = (network.name, chip) == ("efficientnet_b0", "edge_tpu_v2")
        return [
            {**row, "chip": chip}
            for row in stages(network.name, 2.0 if is_other else 0.5, 1.5)
        ]

    monkeypatch.setattr(space_fits_hardware, "_stages", measured)
    asked = experiments.get("space_fits_hardware").function
    assert asked(Setting(is_short=True)).holds
    found = asked(Setting(is_short=False))
    assert not found.holds
    assert found.verdict.endswith("not so: efficientnet_b0 on edge_tpu_v2")


def test_learning_is_ahead_of_random_where_it_saves_more():
    found = {"constrained_bayesian": [2.0, 4.0], "random": [2.0, 1.0]}
    told = codesign_edp._compared(found)
    assert told["constrained_bayesian_saving"] == pytest.approx(100 * 2 / 3)
    assert told["random_saving"] == pytest.approx(100 / 3)
    assert told["seeds_ahead"] == 1
    assert not codesign_edp._holds([told], 2)
    assert codesign_edp._holds([{**told, "seeds_ahead": 2}], 2)
    less = {**told, "seeds_ahead": 2, "constrained_bayesian_saving": 0.0}
    assert not codesign_edp._holds([{**told, "seeds_ahead": 2}, less], 2)


def test_bits_are_within_what_may_be_lost_seed_by_seed():
    lost = [(0.05, 0.05, 5), (0.06, 0.0, 5), (-9.0, 0.06, 5), (0.0, 0.0, 8)]
    rows = []
    for seed, (eight, guarded, kib) in enumerate(lost):
        for bits, percent, size in (
            ("tables 8, layers 8", eight, 8),
            (low_precision.GUARDED, guarded, kib),
        ):
            row = {"bits": bits, "lost_percent": percent, "weights_kib": size}
            rows.append({"seed": seed, **row})
    assert low_precision._within(rows) == [True, False, False, False]


def test_all_three_have_to_be_gained_on_a_seed():
    names = ("throughput_gain", "energy_gain", "fewer_trainings")
    gained = [(5, 5, 2), (0, 5, 2), (5, 0, 2), (5, 5, 1)]
    rows = [
        {"algorithm": "grey_box", **dict(zip(names, each, strict=True))}
        for each in gained
    ]
    other = {**rows[0], "algorithm": "two_level"}
    ahead = fast_and_slow._ahead([*rows, other])
    assert ahead == [True, False, False, False]
