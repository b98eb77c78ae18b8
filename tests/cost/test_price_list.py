import numpy as np
import pytest
import tensorflow as tf

from tf_cosearch import accelerators
from tf_cosearch.cost import price_list
from tf_cosearch.cost.model import Cost, estimate
from tf_cosearch.cost.price_list import PriceList
from tf_cosearch.networks.workload import Layer, pad
from tf_cosearch.search.space import SearchSpace


@pytest.fixture(scope="module")
def networks():
    space = SearchSpace.load("evolved", input_shape=(96, 96, 3))
    genomes = space.sample(np.random.default_rng(0), 2)
    return [space.decode(genome).network.layers() for genome in genomes]


def chips(count, seed, **fixed):
    rng = np.random.default_rng(seed)
    values = {
        path: rng.choice(held.choices, count).astype(np.float32)
        for path, held in accelerators.parameters().items()
        if held.choices
    }
    values |= {
        "dram/onload_share": rng.choice([0.0, 0.5, 1.0], count),
        "runtime/inference_us": rng.choice([0.0, 20.0], count),
        "runtime/layer_us": rng.choice([0.0, 0.5], count),
        "runtime/memory_share": rng.choice([1.0, 0.01], count),
        "pe_memory/weight_share": rng.choice([0.0, 0.3, 1.0], count),
        **fixed,
    }
    return accelerators.from_paths(values)


@pytest.mark.parametrize(
    "objective",
    ["latency", pytest.param("energy", marks=pytest.mark.slow)],
)
def test_a_network_costs_what_estimate_says(networks, objective):
    """Whether it stays on the chip, spills, or streams its weights."""
    some = chips(60, 1)
    prices = PriceList(networks, some, objective)
    for index, network in enumerate(networks):
        expected = estimate(pad([network] * 60), some, objective=objective)
        found = prices.cost(index)
        assert 0.05 < np.mean(expected.weight_residency.numpy() < 1) < 0.95
        for name in Cost._fields[:-2]:
            np.testing.assert_allclose(
                getattr(found, name).numpy(),
                getattr(expected, name).numpy(),
                rtol=3e-6,
                atol=1e-6,
                err_msg=name,
            )


def test_a_single_layer_is_first_and_last(networks):
    conv = Layer("conv", "conv2d", 16, 16, 32, 16, 16, 8, 3, 3)
    some = chips(20, 2)
    found = PriceList([[conv]], some).cost(0)
    expected = estimate(pad([[conv]] * 20), some)
    for name in ("latency_ms", "energy_mj", "dram_bytes", "utilization"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), rtol=3e-6
        )


def test_what_repeats_is_priced_once(networks):
    """Equal layers under other names; accelerators that differ off chip."""
    conv = Layer("one", "conv2d", 8, 8, 16, 8, 8, 16)
    other = Layer("two", "conv2d", 8, 8, 16, 8, 8, 16, held_elements=9)
    dense = Layer("dense", "dense", 1, 1, 10, 1, 1, 1024)
    hardware = accelerators.from_paths(
        {
            "dram/bandwidth_gbs": np.asarray([5, 5, 10, 10, 20.0]),
            "pe_array/rows": np.asarray([2, 4, 2, 4, 2.0]),
        }
    )
    prices = PriceList([[conv, other, dense], [other]], hardware)
    assert (prices.num_layers, prices.num_arrays) == (2, 2)


@pytest.mark.slow
def test_more_accelerators_than_are_worked_on_at_a_time(monkeypatch):
    monkeypatch.setattr(price_list, "WIDTH", 16)
    for cached in (price_list._compiled_map, price_list._compiled_sum):
        cached.cache_clear()
    conv = Layer("conv", "conv2d", 16, 16, 32, 16, 16, 8, 3, 3)
    some = chips(37, 3)
    found = PriceList([[conv] * 3], some).cost(0)
    expected = estimate(pad([[conv] * 3] * 37), some)
    np.testing.assert_allclose(found.latency_ms, expected.latency_ms, rtol=3e-6)
    for cached in (price_list._compiled_map, price_list._compiled_sum):
        cached.cache_clear()


def test_networks_must_have_layers():
    for networks in ([], [[]]):
        with pytest.raises(ValueError, match="one layer or more"):
            PriceList(networks, accelerators.Accelerator())


def test_numbers_are_one_accelerator():
    conv = Layer("conv", "conv2d", 8, 8, 16, 8, 8, 16)
    cost = PriceList([[conv]], accelerators.Accelerator()).cost(0)
    assert isinstance(cost.latency_ms, tf.Tensor)
    assert cost.latency_ms.shape == (1,)
