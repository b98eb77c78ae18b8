import itertools

import numpy as np
import pytest

from tf_cosearch import accelerators
from tf_cosearch.cost import price_list, transfers
from tf_cosearch.cost.costs import Cost
from tf_cosearch.cost.model import estimate
from tf_cosearch.cost.price_list import PriceList
from tf_cosearch.networks.workload import Layer, pad, to_array
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
        "host_link/input_gbs": rng.choice([0.0, 0.4], count),
        "host_link/output_gbs": rng.choice([0.0, 0.1], count),
        "host_link/instruction_bytes": rng.choice([0.0, 2800.0], count),
        "runtime/inference_us": rng.choice([0.0, 20.0], count),
        "process/clocked_share": rng.choice([0.0, 0.5], count),
        "host_link/byte_pj": rng.choice([0.0, 1e4], count),
        "host_link/idle_mw": rng.choice([0.0, 300.0], count),
        "dram/byte_pj": rng.choice([5.0, 70.0], count),
        "dram/idle_mw": rng.choice([0.0, 30.0], count),
        "runtime/layer_us": rng.choice([0.0, 0.5], count),
        "runtime/memory_share": rng.choice([1.0, 0.01], count),
        "pe_memory/weight_share": rng.choice([0.0, 0.3, 1.0], count),
        "pe_memory/whole_layers": rng.choice([0.0, 1.0], count),
        "pe_memory/padded_weights": rng.choice([0.0, 1.0], count),
        "pe_memory/tile_kib": rng.choice([0.0, 0.0, 64.0], count),
        "interconnect/activation_width_bytes": rng.choice([0.0, 0.5], count),
        "interconnect/ring_width_bytes": rng.choice([0.0, 4.0], count),
        **fixed,
    }
    return accelerators.from_paths(values)


@pytest.mark.parametrize(
    "objective",
    ["latency", pytest.param("energy", marks=pytest.mark.slow)],
)
def test_networks_cost_what_estimate_says(networks, objective):
    """Whether they stay on the chip, spill, or stream their weights."""
    some = chips(60, 1)
    found = PriceList(some, objective).costs(networks)
    for index, network in enumerate(networks):
        expected = estimate(pad([network] * 60), some, objective=objective)
        assert 0.05 < np.mean(expected.weight_residency.numpy() < 1) < 0.95
        for name in Cost._fields[:-2]:
            np.testing.assert_allclose(
                getattr(found, name)[index],
                getattr(expected, name).numpy(),
                rtol=1e-6,
                atol=1e-6,
                err_msg=name,
            )


def test_every_parameter_is_felt_where_all_stays_on_the_chip(networks):
    """Also those of the memories, whatever the search space holds fixed."""
    rng = np.random.default_rng(4)
    some = chips(
        40,
        4,
        **{
            "pe_memory/capacity_mib": rng.choice([2.0, 16.0], 40),
            "pe_memory/activation_share": rng.choice([0.0, 0.2, 1.0], 40),
            "pe_memory/width_bytes": rng.choice([16.0, 256.0], 40),
            "interconnect/width_bytes": rng.choice([8.0, 64.0], 40),
            "process/clock_ghz": rng.choice([0.5, 1.0], 40),
            "process/node_nm": rng.choice([16.0, 22.0], 40),
        },
    )
    found = PriceList(some).costs(networks[:1])
    expected = estimate(pad(networks[:1] * 40), some)
    for name in ("latency_ms", "energy_mj", "dram_bytes", "utilization"):
        np.testing.assert_allclose(
            getattr(found, name)[0], getattr(expected, name), rtol=1e-6
        )


def test_a_single_layer_is_first_and_last():
    conv = Layer("conv", "conv2d", 16, 16, 32, 16, 16, 8, 3, 3)
    some = chips(20, 2)
    found = PriceList(some).costs([[conv]])
    expected = estimate(pad([[conv]] * 20), some)
    for name in ("latency_ms", "energy_mj", "dram_bytes", "utilization"):
        np.testing.assert_allclose(
            getattr(found, name)[0], getattr(expected, name), rtol=1e-6
        )


def test_split_multipliers_are_used_as_estimate_says():
    layers = [
        Layer("a", "conv2d", 16, 16, 32, 16, 16, 8, 3, 3),
        Layer("b", "conv2d", 16, 16, 64, 16, 16, 32, weight_bits=4, repeats=3),
        Layer("c", "dense", 1, 1, 10, 1, 1, 64, activation_bits=4),
    ]
    some = chips(30, 5, **{"pe_array/int4_products": np.tile([1.0, 2, 4], 10)})
    networks = [layers, layers[:1], layers[1:] * 2]
    found = PriceList(some).costs(networks)
    for index, network in enumerate(networks):
        expected = estimate(pad([network] * 30), some)
        np.testing.assert_allclose(
            found.utilization[index], expected.utilization, rtol=1e-5
        )


def test_what_repeats_is_priced_once():
    """Equal layers under other names; accelerators that differ off chip."""
    conv = Layer("one", "conv2d", 8, 8, 16, 8, 8, 16)
    other = Layer("two", "conv2d", 8, 8, 16, 8, 8, 16, held_elements=9)
    dense = Layer("dense", "dense", 1, 1, 10, 1, 1, 1024)
    prices = PriceList(
        accelerators.from_paths(
            {
                "dram/bandwidth_gbs": np.asarray([5, 5, 10, 10, 20.0]),
                "pe_array/rows": np.asarray([2, 4, 2, 4, 2.0]),
            }
        )
    )
    before = prices.costs([[conv, other]])
    assert (prices.num_layers, prices.num_arrays) == (1, 2)
    prices.costs([[dense], [other]])
    assert prices.num_layers == 2
    again = prices.costs([[conv, other]])
    np.testing.assert_array_equal(before.latency_ms, again.latency_ms)


def test_a_full_list_is_begun_anew():
    layers = [
        Layer("conv", "conv2d", 8, 8, 16 * n, 8, 8, 16, 3, 3)
        for n in range(1, 5)
    ]
    some = chips(10, 5)
    full = PriceList(some, most_bytes=2 * 10 * 8)
    roomy = PriceList(some)
    for first, second in itertools.pairwise(layers):
        found = full.costs([[first, second]])
        expected = roomy.costs([[first, second]])
        np.testing.assert_array_equal(found.latency_ms, expected.latency_ms)
        assert full.num_layers == 2


def test_parts_are_put_together_in_order(networks, monkeypatch):
    """More networks, layers and arrays than are worked on at a time."""
    some, several = chips(70, 3), [networks[0], networks[1], networks[0][:9]]
    expected = PriceList(some).costs(several)
    monkeypatch.setattr(price_list, "CANDIDATES", 70)
    monkeypatch.setattr(price_list, "_BLOCK", 64)
    monkeypatch.setattr(transfers, "_BLOCK", 64)
    found = PriceList(some).costs(several)
    for name in Cost._fields[:-2]:
        one, two = getattr(found, name), getattr(expected, name)
        np.testing.assert_allclose(one, two, rtol=5e-7, err_msg=name)


@pytest.mark.slow
def test_more_arrays_than_are_mapped_at_a_time(monkeypatch):
    monkeypatch.setattr(price_list, "TILE", 16)
    price_list._compiled_map.cache_clear()
    conv = Layer("conv", "conv2d", 16, 16, 32, 16, 16, 8, 3, 3)
    some = chips(37, 3)
    found = PriceList(some).costs([[conv] * 3])
    expected = estimate(pad([[conv] * 3] * 37), some)
    np.testing.assert_allclose(
        found.latency_ms[0], expected.latency_ms, rtol=1e-6
    )
    price_list._compiled_map.cache_clear()


def test_networks_must_have_layers():
    prices = PriceList(accelerators.default())
    for networks in ([], [[]]):
        with pytest.raises(ValueError, match="one layer or more"):
            prices.costs(networks)


def test_a_row_that_is_no_layer_is_named():
    conv = Layer("conv", "conv2d", 8, 8, 16, 8, 8, 16)
    rows = to_array([conv, conv])
    rows[1, 2] = -1
    with pytest.raises(ValueError, match="Row 1 of network 2, column out_c"):
        PriceList(accelerators.default()).costs([[conv], [conv], rows])


def test_numbers_are_one_accelerator():
    conv = Layer("conv", "conv2d", 8, 8, 16, 8, 8, 16)
    cost = PriceList(accelerators.default()).costs([[conv], [conv]])
    assert cost.latency_ms.shape == cost.area_mm2.shape == (2, 1)


def test_an_unknown_objective_is_refused():
    with pytest.raises(ValueError, match="objective"):
        PriceList(accelerators.default(), "speed")
