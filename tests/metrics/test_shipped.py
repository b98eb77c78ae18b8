import pytest

from tf_cosearch.metrics.values import Values

COSTS = {"latency_ms": 4.0, "energy_mj": 2.0, "area_mm2": 8.0}
COSTS |= {"utilization": 0.25, "dram_bytes": 3072.0}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("throughput_fps", 250.0),  # 1000 ms / 4 ms
        ("power_mw", 500.0),  # 2 mJ in 4 ms
        ("edp", 8.0),
        ("utilization", 0.25),
        ("dram_kib", 3.0),
    ],
)
def test_what_follows_from_costs(name, value):
    assert Values(COSTS)[name] == value
