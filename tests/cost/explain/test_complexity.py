import dataclasses
import json
import math

import numpy as np
import pytest

from tf_cosearch import accelerators
from tf_cosearch.accelerators import presets
from tf_cosearch.accelerators.families.edge_tpu import EdgeTpu
from tf_cosearch.cost.explain import complexity, summary
from tf_cosearch.networks.spaces.template import load_network
from tf_cosearch.networks.workload import Layer

CONV = Layer("conv", "conv2d", 8, 8, 16, 8, 8, 8, 3, 3)
DEPTHWISE = Layer("dw", "depthwise_conv2d", 8, 8, 16, 8, 8, 16, 3, 3, groups=16)
GROUPED = Layer("group", "conv2d", 8, 8, 16, 8, 8, 16, 3, 3, groups=2)
DENSE = Layer("dense", "dense", 1, 1, 10, 1, 1, 64)
ADD = Layer("add", "elementwise", 8, 8, 16, 8, 8, 16, side_elements=1024)
MATMUL = Layer("matmul", "matmul", 1, 4, 8, 1, 4, 16, weight_bits=4)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        # 64 positions, 16 x 8 x 9 products; 64 + 16 + log2(72).
        (CONV, 64 * 1152 * (80 + math.log2(72))),
        # One input channel a group: 64 + 16 + log2(9).
        (DEPTHWISE, 64 * 144 * (80 + math.log2(9))),
        # Eight input channels a group, as the first.
        (GROUPED, 64 * 1152 * (80 + math.log2(72))),
        (DENSE, 640 * 86),
        # 4-bit weights, 8-bit activations: 32 + 12 + 6.
        (dataclasses.replace(DENSE, weight_bits=4), 640 * 50),
        # Both operands are 8-bit activations: 64 + 16 + 4.
        (MATMUL, 4 * 8 * 16 * 84),
        (ADD, 0),
        (Layer("move", "data_movement", 8, 8, 16, 8, 8, 16), 0),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_bops_of_hand_worked_layers(layer, expected):
    assert complexity.bops(layer) == pytest.approx(expected, rel=1e-12)


def test_bops_grow_with_bits():
    by_bits = [
        complexity.bops(dataclasses.replace(CONV, weight_bits=w))
        for w in range(1, 17)
    ]
    assert by_bits == sorted(set(by_bits))


@pytest.mark.parametrize(
    ("bits", "um2"),
    [(1, 84), (2, 208), (4, 529), (8, 1468), (16, 4535), (32, 15428)],
)
def test_published_areas_by_width(bits, um2):
    assert complexity.kernel_area_um2(bits) == pytest.approx(um2, abs=0.6)


def kernel_bops(bits):
    """Of HCM's PE: one 3x3 kernel, one position a cycle."""
    kernel = Layer(
        "k", "conv2d", 1, 1, 1, 3, 3, 1, 3, 3,
        weight_bits=bits, activation_bits=bits,
    )  # fmt: skip
    return complexity.bops(kernel)


def test_area_from_bops_is_that_of_the_same_pe_by_width():
    widths = [2, 4, 8, 16, 32]
    by_width = np.array([complexity.kernel_area_um2(b) for b in widths])
    by_bops = np.array([complexity.area_um2(kernel_bops(b)) for b in widths])
    residual = ((by_bops - by_width) ** 2).sum()
    assert 1 - residual / ((by_width - by_width.mean()) ** 2).sum() > 0.985
    for bits in (4, 8, 16, 32):
        assert by_bops[widths.index(bits)] == pytest.approx(
            complexity.kernel_area_um2(bits), rel=0.09
        )
    assert by_bops[2] == pytest.approx(1468, rel=0.035)


def test_pe_area_of_a_chip_is_that_of_its_multipliers():
    """16 PEs of 1,024 8-bit multipliers, at HCM's 163 um2 each or near."""
    points = complexity.roofline([CONV], EdgeTpu())
    assert points["pe_area_um2"] / 1024 == pytest.approx(163, rel=0.15)
    narrow = dataclasses.replace(CONV, weight_bits=4, activation_bits=4)
    both = complexity.roofline([narrow, CONV], EdgeTpu())
    assert both["pe_area_um2"] == points["pe_area_um2"]
    areas = [row["pe_area_um2"] for row in both["layers"]]
    assert areas[0] < 0.5 * areas[1]


def test_compulsory_bits_count_every_operand_once():
    convolved = (512 + 1024 + 1152) * 8 + 16 * 32
    assert complexity.compulsory_bits(CONV) == convolved
    assert complexity.compulsory_bits(ADD) == 3 * 1024 * 8
    assert complexity.compulsory_bits(MATMUL) == (64 + 128 + 32) * 8


@pytest.fixture(
    scope="module",
    params=[
        ("mobilenet_v2", "edge_tpu"),
        ("efficientnet_edgetpu_s", "edge_tpu_v2"),
    ],
    ids=lambda pair: " on ".join(pair),
)
def placed(request):
    network, chip = request.param
    layers = load_network(network).layers()
    chip = presets.load_accelerator(chip)
    return layers, chip, complexity.roofline(layers, chip)


def test_no_layer_is_above_its_roof(placed):
    layers, _, points = placed
    for layer, row in zip(layers, points["layers"], strict=True):
        attainable, achieved = row["attainable_tops"], row["achieved_tops"]
        assert 0 <= achieved <= attainable * (1 + 1e-5), row["name"]
        assert attainable <= points["peak_tops"]
        if row["bound"] == "dram":  # but for the fill of the array
            assert achieved > 0.95 * attainable
        seconds = row["latency_ms"] / 1e3
        # Nothing passes a port of the PE memory less than once.
        moved = complexity.compulsory_bits(layer)
        moved -= 32 * layer.out_c * layer.use_bias * layer.kind.has_weights
        assert seconds * points["pe_memory_tbits"] * 1e12 >= moved * 0.999


@pytest.mark.parametrize(
    ("bits", "int4_products", "times"),
    [((4, 8), 1, 1), ((4, 8), 2, 2), ((4, 4), 4, 4), ((8, 4), 2, 1)],
)
def test_a_split_multiplier_raises_the_roof_of_4_bits(
    bits, int4_products, times
):
    weight_bits, activation_bits = bits
    layer = Layer("c", "conv2d", 64, 64, 512, 64, 64, 512, 3, 3)
    wide = dataclasses.replace(layer, name="w")
    narrow = dataclasses.replace(
        layer, weight_bits=weight_bits, activation_bits=activation_bits
    )
    chip = accelerators.from_paths(
        {
            "pe_array/int4_products": int4_products,
            "dram/bandwidth_gbs": 1e4,
            "pe_memory/width_bytes": 1024,
            "interconnect/width_bytes": 1024,
        }
    )
    points = complexity.roofline([wide, narrow], chip)
    eight, four = points["layers"]
    assert eight["attainable_tops"] == points["peak_tops"]
    assert four["attainable_tops"] == times * points["peak_tops"]
    for row in (eight, four):
        assert row["achieved_tops"] <= row["attainable_tops"]
        share = row["achieved_tops"] / row["attainable_tops"]
        assert row["utilization"] == pytest.approx(share)
        assert 0.9 < row["utilization"] <= 1
        assert f"compute at {row['utilization']:.0%} of" in row["advice"]


def test_totals_and_json(placed):
    layers, chip, points = placed
    assert json.loads(json.dumps(points)) == points
    assert points["bops"] == sum(complexity.bops(layer) for layer in layers)
    peak = float(accelerators.peak_tops(chip))
    assert points["peak_tops"] == pytest.approx(peak)
    for row in points["layers"]:
        assert row["advice"]
        alone = row["ops_per_bit"] * points["dram_tbits"]
        assert row["attainable_alone_tops"] == pytest.approx(
            min(points["peak_tops"], alone)
        )


def test_what_stays_on_the_chip_has_no_intensity():
    chip = EdgeTpu()
    points = complexity.roofline([CONV, CONV, CONV], chip)
    first, middle, _ = points["layers"]
    assert middle["ops_per_dram_bit"] is None
    assert middle["attainable_tops"] == points["peak_tops"]
    assert first["ops_per_dram_bit"] == 2 * CONV.macs / (8 * 8 * 8 * 8)


def test_fewer_bits_move_layers_to_the_right():
    def place(bits):
        layer = dataclasses.replace(
            CONV, weight_bits=bits, activation_bits=bits
        )
        return complexity.roofline([layer], EdgeTpu())

    before = None
    for points in map(place, (16, 8, 4, 2)):
        now = points["layers"][0]
        if before is not None:
            for name in ("ops_per_bit", "attainable_tops", "achieved_tops"):
                assert now[name] > before[name]
            assert now["bops"] < before["bops"]
            assert now["pe_area_um2"] < before["pe_area_um2"]
        before = now


def test_peak_follows_the_array_and_slope_the_bandwidth():
    chip = accelerators.from_paths(
        {"pe_array/lanes": 1, "dram/bandwidth_gbs": 5}
    )
    points = complexity.roofline([CONV], chip)
    # 16 PEs x 64 units x 4 products x 2 operations x 0.8 GHz.
    assert points["peak_tops"] == pytest.approx(6.5536)
    assert points["dram_tbits"] == 0.04


def test_a_network_must_have_layers():
    with pytest.raises(ValueError, match="must have layers"):
        complexity.roofline([], EdgeTpu())


def test_costs_of_a_batch_stand_beside_the_roofline_of_one():
    costs = summary.summarize([CONV], EdgeTpu(), "energy", batch_size=8)
    points = complexity.roofline([CONV], EdgeTpu())
    both = complexity.with_roofline(costs, points)
    [layer] = both["layers"]
    assert layer["latency_ms"] == pytest.approx(both["latency_ms"])
    assert layer["latency_ms"] > 2 * points["layers"][0]["latency_ms"]
    assert layer["advice"] == points["layers"][0]["advice"]
    assert both["dram_tbits"] == points["dram_tbits"]
