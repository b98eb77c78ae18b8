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
    ("limits", "bits", "told"),
    [
        ({}, {"a": {"weights": 8, "activations": 8}}, "area 30 mm²."),
        (
            {},
            {
                "a": {"weights": 4, "activations": 8},
                "b": {"weights": 8, "activations": 16},
                "c": {"weights": 4, "activations": 16},
                "pool": {"activations": 8},
            },
            "area 30 mm², weights of 4 bits in 2 of 3 layers, activations of "
            "16 bits in 2 of 4 layers.",
        ),
        (
            {"latency_ms": 2, "accuracy_drop": 0.5, "file_kib": 16},
            {},
            "area 30 mm², accuracy drop 0.3 points (at most 0.5 points), "
            "file 12 KiB (at most 16 KiB).",
        ),
    ],
)
def test_what_was_measured_and_other_bits_stand_beside_costs(
    monkeypatch, tmp_path, limits, bits, told
):
    monkeypatch.setattr(outcome.report, "read_trials", lambda path: [])
    monkeypatch.setattr(outcome.picture, "plot_pareto", lambda *_, **__: None)
    description = {
        "costs": COSTS,
        "accuracies": {"accuracy_int8": 0.9, "accuracy_int8_test": 0.8},
        "bits": bits,
    }
    design = types.SimpleNamespace(
        trial_id="7",
        network=None,
        is_trained=True,
        export=lambda folder, test_data: description,
    )
    said = outcome.leave(design, tmp_path, None, Budgets(**limits), "toy")
    assert said.splitlines()[0].endswith(told)
