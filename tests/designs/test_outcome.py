import types

import pytest

from tf_cosearch.designs import outcome
from tf_cosearch.search.budgets import Budgets

COSTS = {
    "latency_ms": 1.5,
    "energy_mj": 2.0,
    "area_mm2": 30.0,
    "accuracy_drop": 0.3,
    "file_kib": 12.0,
}


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({}, "area 30 mm²."),
        (
            {"latency_ms": 2, "accuracy_drop": 0.5, "file_kib": 16},
            "area 30 mm², accuracy drop 0.3 points (at most 0.5 points), "
            "file 12 KiB (at most 16 KiB).",
        ),
    ],
)
def test_what_was_measured_stands_beside_its_limit(
    monkeypatch, tmp_path, limits, told
):
    monkeypatch.setattr(outcome.report, "read_trials", lambda path: [])
    monkeypatch.setattr(outcome.picture, "plot_pareto", lambda *_, **__: None)
    description = {
        "costs": COSTS,
        "accuracies": {"accuracy_int8": 0.9, "accuracy_int8_test": 0.8},
    }
    design = types.SimpleNamespace(
        trial_id="7",
        network=None,
        is_trained=True,
        export=lambda folder, test_data: description,
    )
    said = outcome.leave(design, tmp_path, None, Budgets(**limits), "toy")
    assert said.splitlines()[0].endswith(told)
