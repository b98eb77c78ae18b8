import math
import pathlib

import pytest

from tf_cosearch.designs import comparison
from tf_cosearch.designs.comparison import reached
from tf_cosearch.search.budgets import Budgets

BUDGETS = Budgets(latency_ms=2.0, throughput_fps=100.0)


def trial(accuracy, latency, fps, seconds=""):
    return {
        "accuracy_int8": accuracy,
        "latency_ms": latency,
        "throughput_fps": fps,
        "seconds": seconds,
    }


def test_only_what_is_within_the_budgets_counts():
    found = reached(
        [
            trial(0.9, 1.0, 200.0, "30"),
            trial(0.95, 1.0, 99.0, "90"),
            trial(0.99, 2.1, 500.0),
        ],
        BUDGETS,
    )
    assert found[:3] == (3, 1, 0.9)
    assert found.minutes == 2.0
    # 0.9 of the accuracy, half of the time, half as many images too many.
    assert found.front == pytest.approx(0.9 * 0.5 * 0.5)


def test_a_drop_beyond_its_budget_counts_as_beyond_any():
    trials = [
        {**trial(0.9, 1.0, 200.0), "accuracy_float": 0.93},
        {**trial(0.8, 1.0, 200.0), "accuracy_float": 0.81},
    ]
    assert reached(trials, BUDGETS).accuracy == 0.9
    guarded = Budgets(latency_ms=2, accuracy_drop=2)
    assert reached(trials, guarded)[:3] == (2, 1, 0.8)


def test_the_front_is_of_all_designs_together():
    found = reached(
        [trial(0.9, 1.0, 100.0 / 0.5), trial(0.8, 0.5, 100.0 / 0.5)], BUDGETS
    )
    assert found.front == pytest.approx(0.5 * (0.9 * 0.5 + 0.8 * 0.25))
    lower = reached([trial(0.9, 1.0, 200.0)], BUDGETS, floor=0.9)
    assert lower.front == 0


def test_nothing_within_budgets_is_no_accuracy():
    found = reached([trial(0.9, 3.0, 200.0)], BUDGETS)
    assert math.isnan(found.accuracy)
    assert found.described()["accuracy"] is None
    assert "none" in comparison.table({"a": [found]})


def test_repetitions_are_told_by_mean_and_ends():
    runs = [reached([trial(a, 1.0, 200.0)], BUDGETS) for a in (0.8, 0.9)]
    words = comparison.table({"a": runs, "b": runs[:1]})
    assert "85.00% (80.00% to 90.00%)" in words
    assert "80.00%" in words.splitlines()[2]
    missing = [runs[0], reached([trial(0.9, 3.0, 200.0)], BUDGETS)]
    assert "80.00% (80.00% to 80.00%, 1 none)" in comparison.table(
        {"a": missing}
    )


@pytest.mark.parametrize("floor", [-0.1, 1.0, math.nan])
def test_wrong_floors_are_refused(floor):
    with pytest.raises(ValueError, match="from 0 to below 1"):
        reached([], BUDGETS, floor)


def test_searches_are_compared_within_budgets():
    with pytest.raises(ValueError, match=r"within budgets\. Received: none"):
        reached([], Budgets())


@pytest.mark.parametrize("pair", ["runs/a", "=runs/a", "a="])
def test_folders_have_names(pair):
    with pytest.raises(ValueError, match="must be name=folder"):
        comparison.folders([pair])


def test_names_may_come_again():
    found = comparison.folders(["a=x", "b=y", "a=z"])
    assert found == {
        "a": [pathlib.Path("x"), pathlib.Path("z")],
        "b": [pathlib.Path("y")],
    }


def test_what_an_earlier_search_trained_is_no_training_here():
    known = {**trial(0.95, 1.0, 200.0, "60"), "status": "KNOWN"}
    found = reached([known, trial(0.9, 1.0, 200.0, "30")], BUDGETS)
    assert (found.trials, found.feasible, found.minutes) == (1, 2, 0.5)
    assert found.accuracy == 0.95
