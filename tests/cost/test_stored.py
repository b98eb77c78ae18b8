"""Parameters that are shared or looked up, and rows that run again."""

import numpy as np
import pytest

from tf_cosearch import accelerators
from tf_cosearch.accelerators.families.edge_tpu import EdgeTpu
from tf_cosearch.cost.model import estimate
from tf_cosearch.cost.price_list import PriceList
from tf_cosearch.networks.workload import Layer, LayerTable, pad

STEP = Layer(
    "step", "dense", 1, 1, 256, 1, 1, 256,
    network_in_elements=64, network_out_elements=32,
)  # fmt: skip


def chip(**values):
    return accelerators.from_paths(
        {path.replace("__", "/"): value for path, value in values.items()}
    )


SMALL = {
    "pe_array__columns": 1,
    "pe_array__rows": 1,
    "pe_memory__capacity_mib": 2**-5,
    "runtime__layer_us": 0.5,
    "runtime__inference_us": 2,
}


def again(layer, **changes):
    values = {name: getattr(layer, name) for name in layer.__slots__}
    return Layer(**{**values, **changes})


@pytest.mark.parametrize("values", [{}, SMALL])
def test_runs_cost_what_as_many_rows_with_the_same_weights_do(values):
    """Where weights are streamed, they come again in every run."""
    runs = [again(STEP, repeats=4)]
    rows = [STEP, *[again(STEP, reuses_weights=True)] * 3]
    one, other = (
        estimate(pad([layers], 4), chip(**values)) for layers in (runs, rows)
    )
    for name in one._fields[:-2]:
        np.testing.assert_allclose(
            getattr(one, name), getattr(other, name), rtol=2e-6, err_msg=name
        )
    assert one.params.numpy() == [256 * 256 + 256]
    assert one.macs.numpy() == [4 * 256 * 256]
    assert (one.weight_residency.numpy() < 1) == [bool(values)]


def test_what_is_told_of_a_row_is_of_all_its_runs():
    alone = estimate(pad([[STEP]]), EdgeTpu(), per_layer=True).layers
    runs = [again(STEP, repeats=3)]
    all_runs = estimate(pad([runs]), EdgeTpu(), per_layer=True).layers
    for name in ("cycles", "energy_mj", "macs", "dram_bytes", "fixed_cycles"):
        np.testing.assert_allclose(
            getattr(all_runs, name), 3 * getattr(alone, name), rtol=1e-6
        )
    for name in ("utilization", "params", "mapping"):
        np.testing.assert_allclose(
            getattr(all_runs, name), getattr(alone, name)
        )


def test_weights_that_are_shared_leave_room_for_others():
    """Two uses of 16 KiB fit 32 KiB with the activations, two layers do not."""
    conv = Layer("conv", "conv2d", 4, 4, 128, 4, 4, 128, use_bias=False)
    shared = [conv, again(conv, reuses_weights=True)]
    both = estimate(pad([shared, [conv, conv]]), chip(**SMALL))
    assert both.weight_residency.numpy() == pytest.approx([1, 28 / 32])
    assert both.params.numpy().tolist() == [128 * 128, 2 * 128 * 128]
    ends = 2 * 4 * 4 * 128
    assert both.dram_bytes.numpy() == pytest.approx([ends, ends + 4096])


def test_an_embedding_is_stored_whole_and_read_in_part():
    """Half of 64 KiB stays; of the other half 12 of 1024 rows come."""
    table = Layer(
        "words", "embedding", 12, 1, 64, 12, 1, 1,
        activation_bits=32, output_bits=8, stored_elements=1024 * 64,
    )  # fmt: skip
    cost = estimate(pad([[table]]), chip(**SMALL), per_layer=True)
    live = 12 * 4 + 12 * 64
    stays = (2**15 - live) / 2**16
    assert cost.params.numpy() == [2**16]
    assert cost.macs.numpy() == [0]
    assert cost.weight_residency.numpy() == pytest.approx([stays])
    read = 12 * 64
    assert cost.dram_bytes.numpy() == pytest.approx([live + read * (1 - stays)])
    assert cost.layers.traffic.weight_bytes.numpy() == [[read]]
    often = again(table, out_h=2000, in_h=2000)
    cost = estimate(pad([[often]]), chip(pe_memory__weight_share=0))
    ends = 2000 * (4 + 64)
    assert cost.dram_bytes.numpy() == pytest.approx([ends + 2**16])


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("whole", [0, 1])
def test_tables_stay_in_what_weights_leave(is_first, whole):
    """16 KiB of weights stay; then a table does as a whole, or in part."""
    table = Layer(
        "words", "embedding", 4, 1, 64, 1, 1, 4,
        activation_bits=32, output_bits=8, stored_elements=1024 * 64,
    )  # fmt: skip
    small = again(table, stored_elements=32 * 64)
    dense = Layer("x", "dense", 1, 1, 128, 1, 1, 128, use_bias=False)
    network = [table, small, dense] if is_first else [dense, table, small]
    one = chip(**SMALL, pe_memory__whole_layers=whole)
    cost = estimate(pad([network]), one, per_layer=True)
    streamed = cost.layers.dram_bytes[0].numpy()
    at = [network.index(row) for row in (table, small, dense)]
    # Live are at most 4 numbers of 4 bytes and 4 x 64 results.
    left = 2**15 - 2**14 - (16 + 256)
    share = left / (1024 + 32) / 64
    stays = [0, 1] if whole else [share, share]
    ends = np.zeros(3)
    ends[0] += network[0].in_elements * (1 if network[0] is dense else 4)
    ends[-1] += network[-1].out_elements
    expected = [
        *((1 - part) * 4 * 64 for part in stays),
        0,
    ] + ends[at]
    np.testing.assert_allclose(streamed[at], expected, rtol=1e-5)
    kept = 2**14 + (2048 if whole else left)
    total = 2**14 + 64 * (1024 + 32)
    assert cost.weight_residency.numpy() == pytest.approx([kept / total])


def test_a_table_takes_no_room_of_a_weight_that_comes_later():
    """20 KiB of a table would fit 32, but not beside the 16 of a layer."""
    table = Layer(
        "words", "embedding", 1, 1, 64, 1, 1, 1,
        activation_bits=32, output_bits=8, stored_elements=320 * 64,
    )  # fmt: skip
    dense = Layer("x", "dense", 1, 1, 128, 1, 1, 128, use_bias=False)
    one = chip(**SMALL, pe_memory__whole_layers=1)
    cost = estimate(pad([[table, dense]]), one, per_layer=True)
    ends = 4, 128
    np.testing.assert_allclose(
        cost.layers.dram_bytes[0], [ends[0] + 64, ends[1]]
    )


def test_gains_are_stored_beside_any_row():
    gains = Layer(
        "gains", "elementwise", 8, 8, 16, 8, 8, 16, stored_elements=32
    )
    cost = estimate(pad([[gains]]), chip(pe_memory__weight_share=0))
    assert cost.params.numpy() == [32]
    assert cost.dram_bytes.numpy() == [2 * 1024 + 32]


def test_price_lists_know_all_of_it():
    rng = np.random.default_rng(5)
    count = 40
    some = accelerators.from_paths(
        {
            "pe_array/rows": rng.choice([1, 2, 4], count).astype(np.float32),
            "pe_array/simd_units": rng.choice([16, 64], count),
            "pe_memory/capacity_mib": rng.choice([0.004, 0.02, 2], count),
            "dram/bandwidth_gbs": rng.choice([0.5, 5, 25], count),
            "runtime/layer_us": rng.choice([0, 0.5], count),
        }
    )
    words = Layer(
        "words", "embedding", 12, 1, 64, 12, 1, 1,
        activation_bits=32, output_bits=8, stored_elements=4096,
        network_in_elements=12,
    )  # fmt: skip
    dilated = Layer(
        "dilated", "conv2d", 12, 1, 32, 12, 1, 64, k_h=3, dilation_h=4,
        output_bits=16,
    )  # fmt: skip
    networks = [
        [words, dilated, again(STEP, repeats=7)],
        [STEP, again(STEP, reuses_weights=True, network_in_elements=0)],
        [Layer("plain", "conv2d", 8, 8, 16, 8, 8, 16, 3, 3)],
    ]
    found = PriceList(some).costs(networks)
    for index, network in enumerate(networks):
        expected = estimate(pad([network] * count), some)
        for name in expected._fields[:-2]:
            np.testing.assert_allclose(
                getattr(found, name)[index],
                getattr(expected, name).numpy(),
                rtol=1e-6,
                atol=1e-6,
                err_msg=name,
            )


@pytest.mark.parametrize("is_short", [True, False])
def test_a_table_that_is_wrong_is_explained_with_and_without_rare_columns(
    is_short,
):
    table = pad([[again(STEP, dilation_h=1 if is_short else 2)]] * 2)
    columns = [column.copy() for column in table.columns()]
    columns[0][1] = 5  # rows of the output, of one row of the input
    with pytest.raises(ValueError, match=r"network 1, column out_h.*at most 1"):
        estimate(LayerTable(*columns), EdgeTpu())
