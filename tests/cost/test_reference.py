"""The cost model against a second one: float64, one layer at a time."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import naive_cost
from reference.cost_cases import random_chip, random_layer

from tf_cosearch.accelerators import presets
from tf_cosearch.cost.model import estimate
from tf_cosearch.networks.spaces.template import load_network
from tf_cosearch.networks.workload import pad


def check(layers, chip, objective="latency", batch_size=1, depth=None):
    cost = estimate(
        pad([layers], depth), chip, objective=objective, batch_size=batch_size
    )
    expected = naive_cost.estimate(layers, chip, objective, batch_size)
    for name in ("latency_ms", "energy_mj", "utilization"):
        least, most = getattr(expected, name)
        value = float(getattr(cost, name)[0])
        assert least * (1 - 1e-5) <= value <= most * (1 + 1e-5), name
    assert float(cost.area_mm2[0]) == pytest.approx(expected.area_mm2, rel=1e-5)
    # The share that is streamed is what float32 leaves of a difference.
    assert float(cost.dram_bytes[0]) == pytest.approx(
        expected.dram_bytes,
        rel=1e-5,
        abs=1e-6 * expected.stored_bytes,
    )


@pytest.mark.parametrize(
    "examples", [12, pytest.param(120, marks=pytest.mark.slow)]
)
def test_random_networks(examples):
    @settings(max_examples=examples, deadline=None, derandomize=True)
    @given(
        seed=st.integers(0, 2**32),
        depth=st.integers(1, 5),
        objective=st.sampled_from(["latency", "energy", "energy_delay"]),
        batch_size=st.sampled_from([1, 3]),
    )
    def attempt(seed, depth, objective, batch_size):
        rng = random.Random(seed)
        layers = [random_layer(rng) for _ in range(depth)]
        check(layers, random_chip(rng), objective, batch_size, depth=8)

    attempt()


@pytest.mark.parametrize("name", ["mobilenet_v2", "efficientnet_edgetpu_s"])
@pytest.mark.parametrize("chip", ["edge_tpu", "edge_tpu_v2", "edge_tpu_v3"])
def test_networks_on_presets(name, chip):
    layers = load_network(name).layers()
    check(layers, presets.load_accelerator(chip))
