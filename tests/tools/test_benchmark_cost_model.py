import json

import pytest


@pytest.mark.slow
def test_quick_json_has_every_figure_and_its_baseline(call):
    result = call(
        "benchmark_cost_model",
        "--quick",
        "--format=json",
        "--candidates=20000",
    )
    assert result.code == 0, result.err
    found = json.loads(result.out)
    general, exact = found["general"], found["exact_hardware"]
    assert (
        general["candidates_per_second"]
        > general["graph_candidates_per_second"]
    )
    for name in ("peak_memory_bytes", "first_call_seconds"):
        assert general[name] > 0
    assert general["candidates_per_core_second"] > 0
    space = found["in_space"]
    for name in ("candidates_per_second", "shortlist_candidates_per_second"):
        assert space[name] > space["estimate_candidates_per_second"] > 0
    # Other tests may have compiled what the first call needs.
    for name in ("seconds", "first_seconds", "estimate_seconds"):
        assert exact[name] > 0
    assert len(found["scaling"]) >= 6
    assert 0 < found["machine"]["share_of_arithmetic"] < 1
