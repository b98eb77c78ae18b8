import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tf_cosearch.search import pareto

POINTS = arrays.arrays(
    np.float64,
    st.tuples(st.integers(1, 12), st.integers(1, 4)),
    elements=st.integers(0, 4).map(float),
)


def brute_force(points):
    dominated = [
        any((q <= p).all() and (q < p).any() for q in points) for p in points
    ]
    return ~np.array(dominated)


@settings(max_examples=100, deadline=None)
@given(POINTS)
def test_front_is_what_the_definition_says(points):
    np.testing.assert_array_equal(
        pareto.non_dominated(points), brute_force(points)
    )


@settings(max_examples=50, deadline=None)
@given(POINTS)
def test_volume_counts_the_unit_cells_below(points):
    reference = np.full(points.shape[1], 4.0)
    axes = [np.arange(4)] * points.shape[1]
    cells = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, points.shape[1])
    covered = [(points <= cell).all(axis=1).any() for cell in cells]
    assert pareto.hypervolume(points, reference) == sum(covered)


def test_nan_is_not_on_the_front_and_dominates_nothing():
    points = [[np.nan, 0.0], [1.0, 1.0], [np.nan, np.nan]]
    assert pareto.non_dominated(points).tolist() == [False, True, False]
    assert pareto.hypervolume(points, [2, 2]) == 1.0
    assert pareto.hypervolume(np.zeros((0, 3)), [1, 1, 1]) == 0.0


def test_thousands_of_points_take_no_time():
    points = np.random.default_rng(0).random((5000, 4))
    started = time.process_time()
    mask = pareto.non_dominated(points)
    assert time.process_time() - started < 3
    assert 50 < mask.sum() < 1500


def metrics(accuracy, latency, energy=1.0, area=1.0):
    return {
        "accuracy_int8": accuracy,
        "latency_ms": latency,
        "energy_mj": energy,
        "area_mm2": area,
    }


def test_archive_keeps_what_nothing_beats():
    archive = pareto.ParetoArchive()
    assert archive.add("slow", metrics(0.9, 3))
    assert archive.add("fast", metrics(0.8, 1))
    assert not archive.add("beaten", metrics(0.8, 2))
    assert archive.add("tie", metrics(0.8, 1))
    assert [name for name, _ in archive.front] == ["slow", "fast", "tie"]
    assert archive.add("best", metrics(0.95, 0.5))
    assert [name for name, _ in archive.front] == ["best"]


def test_archive_ignores_nan():
    archive = pareto.ParetoArchive()
    assert not archive.add("nan", metrics(float("nan"), 1))
    assert not archive.add("inf", metrics(0.5, float("inf")))
    assert archive.front == []
    assert archive.hypervolume(metrics(0, 4)) == 0


def test_archive_keeps_what_else_is_known_and_finite():
    archive = pareto.ParetoArchive("val_accuracy")
    good = {**metrics(0, 1), "val_accuracy": np.float32(0.5)}
    archive.add("0", {**good, "accuracy_float": float("nan")})
    ((trial_id, kept),) = archive.front
    assert trial_id == "0"
    assert "accuracy_float" not in kept
    assert json.loads(json.dumps(kept, allow_nan=False)) == kept


def test_archive_volume_has_accuracy_as_gain():
    archive = pareto.ParetoArchive()
    archive.add("0", metrics(0.5, 1, 1, 1))
    volume = archive.hypervolume(metrics(0.0, 3, 2, 11))
    assert volume == pytest.approx(0.5 * 2 * 1 * 10)
