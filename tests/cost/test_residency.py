"""Weights as compiled, which of them stay, and what comes again."""

import numpy as np
import pytest

from tf_cosearch import accelerators, configuration
from tf_cosearch.accelerators import presets
from tf_cosearch.cost.model import estimate
from tf_cosearch.networks import stacks
from tf_cosearch.networks.importers import layers_csv
from tf_cosearch.networks.workload import Layer, pad

MIB = 2**20


def priced(layers, paths):
    chip = accelerators.from_paths(paths)
    return estimate(pad([layers]), chip, per_layer=True)


def conv(in_c, out_c, px=8, **fields):
    return Layer("c", "conv2d", px, px, out_c, px, px, in_c, 3, 3, **fields)


def test_weights_fill_units_and_dot_products():
    """Of 5 to 70 channels 8 x 128 are stored, and 8 bytes for each of 128."""
    layers = [conv(5, 70), conv(70, 3, use_bias=False)]
    stored = np.asarray([8 * 128 * 9 + 8 * 128, 72 * 64 * 9])
    for share in (0.25, 0.5):
        memory = stored.sum() * share / 16 / MIB
        cost = priced(
            layers,
            {
                "pe_memory/padded_weights": 1,
                "pe_memory/tile_kib": 1024,  # activations are elsewhere
                "pe_memory/capacity_mib": memory,
                "host_link/input_gbs": 1,
            },
        )
        assert cost.weight_residency.numpy() == pytest.approx(share)
        assert cost.layers.dram_bytes.numpy()[0] == pytest.approx(
            stored * (1 - share)
        )


def test_groups_are_padded_together():
    """Depthwise: 70 channels fill 128 units; a group's one input is one."""
    layer = Layer("d", "depthwise_conv2d", 8, 8, 70, 8, 8, 70, 3, 3, groups=70)
    cost = priced(
        [layer],
        {
            "pe_memory/padded_weights": 1,
            "pe_memory/weight_share": 0,
            "host_link/input_gbs": 1,
        },
    )
    assert cost.layers.dram_bytes.numpy() == [[128 * 9 + 8 * 128]]


def test_whole_layers_leave_and_later_ones_may_fit():
    layers = [
        conv(16, n, use_bias=False, reuses_weights=False)
        for n in (30, 60, 40, 50)
    ]
    sizes = np.asarray([16 * 9 * n for n in (30, 60, 40, 50)])
    cost = priced(
        layers,
        {
            "pe_memory/whole_layers": 1,
            "pe_memory/tile_kib": 1024,
            "pe_memory/capacity_mib": 80 * 16 * 9 / 16 / MIB,
            "host_link/input_gbs": 1,
        },
    )
    streamed = cost.layers.dram_bytes.numpy()[0]
    np.testing.assert_array_equal(streamed, sizes * [0, 1, 0, 1])
    assert cost.weight_residency.numpy() == pytest.approx(70 / 180)


def test_streamed_weights_come_for_every_tile_and_others_go_round():
    """On a PE of 8 x 8 positions, 4 + 4 channels in and out.

    A tile of r rows takes (r + 4) 10 4 + (r + 2) 8 4 bytes: 3 rows in 440.
    """
    layer = conv(4, 4, use_bias=False)
    one = {
        "pe_array/columns": 1,
        "pe_array/rows": 1,
        "pe_memory/tile_kib": 440 / 1024,
        "host_link/input_gbs": 1,
        "interconnect/ring_width_bytes": 2,
    }
    weights = 4 * 4 * 9
    cost = priced([layer], one | {"pe_memory/weight_share": 0})
    assert cost.layers.row_tiles.numpy() == [[3]]
    assert cost.layers.dram_bytes.numpy() == [[3 * weights]]
    round_cycles = priced([layer], one).layers.fixed_cycles.numpy()
    free = one | {"interconnect/ring_width_bytes": 0}
    free_cycles = priced([layer], free).layers.fixed_cycles.numpy()
    assert round_cycles - free_cycles == pytest.approx(2 * weights / 2)


def test_activations_pass_from_pe_to_pe_once_each_way():
    layers = [
        conv(4, 4),
        Layer("move", "data_movement", 8, 8, 4, 8, 8, 4),
        Layer("add", "elementwise", 8, 8, 4, 8, 8, 4, side_elements=256),
    ]
    for rows in (1, 4):  # of 4 columns
        width = {"interconnect/activation_width_bytes": 1 / 32}
        cost = priced(layers, {"pe_array/rows": rows} | width)
        passed = cost.layers.busy_cycles[2].numpy()[0]
        assert passed[[0, 2]] == pytest.approx([8 * 512 / rows, 8 * 768 / rows])
        assert passed[1] < 8 * 512 / rows


def test_what_the_compiler_kept_is_what_stays():
    """Of each of 68 stacks, to 0.01 MiB, as its log says."""
    chip = presets.load_accelerator("coral_pcie_float")
    path = configuration.shipped("measurements", "edge_tpu_latencies.csv")
    rows = [
        cells
        for _, cells in layers_csv.read_rows(path)[1]
        if cells["device"] == "coral_pcie_float"
    ]
    assert len(rows) == 68
    table = pad([stacks.load(row["model"]) for row in rows])
    cost = estimate(table, chip, per_layer=True)
    streamed = cost.layers.dram_bytes.numpy() / cost.layers.row_tiles.numpy()
    off_mib = streamed.sum(1) / MIB
    said = np.asarray([float(row["off_chip_mib"]) for row in rows])
    np.testing.assert_allclose(off_mib, said, atol=0.012)
    kept_mib = off_mib / np.maximum(1 - cost.weight_residency, 1e-9) - off_mib
    is_streamed = said > 0
    on = np.asarray([float(row["on_chip_mib"]) for row in rows])
    np.testing.assert_allclose(
        kept_mib[is_streamed], on[is_streamed], atol=0.012
    )
