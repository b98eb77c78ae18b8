"""Counts worked out by hand; `test_simulator` walks many more."""

import pytest
import tensorflow as tf

from tf_cosearch import accelerators
from tf_cosearch.accelerators.families.edge_tpu import mapping
from tf_cosearch.accelerators.families.edge_tpu.traffic import flow, traffic_of
from tf_cosearch.cost.model import estimate
from tf_cosearch.networks.loops import lines_read, loops_of
from tf_cosearch.networks.workload import Layer, pad

CHANNELS = ("out_c", "out_c", "out_c", "out_c")
ROWS = ("out_c", "rows", "out_c", "out_c")
IN_C = ("out_c", "in_c", "out_c", "out_c")


def chip(**values):
    """One PE of one lane that adds up four products."""
    ones = dict.fromkeys(("columns", "rows", "lanes"), 1)
    array = {"dot_width": 4, **ones}
    paths = {f"pe_array/{name}": value for name, value in array.items()}
    return accelerators.from_paths(
        paths | {path.replace("__", "/"): v for path, v in values.items()}
    )


def traffic(layer, machine, unrolling, dataflow, images=1.0):
    """Bytes by what they are."""
    machine = tf.nest.map_structure(
        lambda v: tf.constant([[v]], tf.float32), machine
    )
    table = pad([[layer]]).stack_images(images)
    loops = loops_of(table, images)
    space = mapping.spread(table, loops, machine, unrolling)
    moved = traffic_of(flow(table, loops, machine, space, dataflow), space)
    return {
        name.removesuffix("_bytes"): float(tf.reshape(value, ()))
        for name, value in moved._asdict().items()
    }


DENSE = Layer("dense", "dense", 1, 1, 7, 1, 1, 256)
SMALL_FILE = {"pe_array__simd_units": 7, "register_file__capacity_kib": 0.5}


def test_parts_have_whole_dot_products():
    """256 bytes hold 9 dot products of 7 x 4: 64 are 8 parts, not 7."""
    moved = traffic(DENSE, chip(**SMALL_FILE), CHANNELS, "weight-stationary")
    assert moved["spilled"] == (8 - 1) * 7 * 4 == 196
    assert moved["input"] == 256


def test_parts_have_all_taps_of_a_channel():
    """256 bytes hold 16 words of 4 x 4: the 9 of a channel step, of 4 steps.

    Packed tight, 36 words would be 3 parts.
    """
    conv = Layer("conv", "conv2d", 4, 4, 4, 6, 6, 16, 3, 3)
    machine = chip(pe_array__simd_units=4, register_file__capacity_kib=0.5)
    moved = traffic(conv, machine, CHANNELS, "weight-stationary")
    assert moved["spilled"] == (4 - 1) * 64 * 4
    assert moved["input"] == 36 * 16


def test_inputs_come_again_where_the_taps_of_a_channel_do_not_fit():
    """64 bytes hold 4 words of 4 x 4: 9 taps are 3 parts, of 2 products."""
    conv = Layer("conv", "conv2d", 4, 4, 4, 6, 6, 8, 3, 3)
    machine = chip(pe_array__simd_units=4, register_file__capacity_kib=0.125)
    moved = traffic(conv, machine, CHANNELS, "weight-stationary")
    assert moved["spilled"] == (6 - 1) * 64 * 4
    assert moved["input"] == 3 * 36 * 8
    assert moved["weight"] == 4 * 8 * 9


@pytest.mark.parametrize(
    ("dataflow", "parts"),
    [
        ("weight-stationary", 4),  # of 32 dot products 9 at a time
        ("output-stationary", 1),
        ("input-stationary", 1),
    ],
)
def test_sums_are_handed_on_once_a_part(dataflow, parts):
    two = chip(pe_array__rows=2, **SMALL_FILE)
    assert traffic(DENSE, two, IN_C, dataflow)["reduced"] == parts * 7 * 4
    assert traffic(DENSE, two, CHANNELS, dataflow)["reduced"] == 0


VALID = Layer("conv", "conv2d", 4, 4, 1, 6, 6, 1, 3, 3, use_bias=False)


def test_images_of_a_batch_share_no_windows():
    """Two PEs have 2 rows of each image and read 4 for them."""
    alone = traffic(VALID, chip(), ROWS, "weight-stationary", images=2.0)
    assert alone["input"] == 2 * 36
    two = chip(pe_array__rows=2)
    both = traffic(VALID, two, ROWS, "weight-stationary", images=2.0)
    assert both["input"] == 2 * 2 * 4 * 6


def test_all_rows_of_all_images_come_from_off_the_chip():
    cost = estimate(pad([[VALID]]), chip(), batch_size=2)
    assert cost.dram_bytes.numpy() == [2 * (36 + 16)]


@pytest.mark.parametrize("blocks", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("dilation", [1, 2, 3, 4, 5, 6])
def test_windows_read_the_lines_that_their_taps_land_on(
    blocks, stride, dilation
):
    """Exact but for strides and dilations that share a part, like 4 and 6."""
    for outputs in (3, 4, 7, 12):
        for taps in (1, 2, 3, 5):
            conv = Layer(
                "conv", "conv2d", outputs, 1, 1, outputs * stride, 1, 1, taps,
                stride_h=stride, dilation_h=dilation,
            )  # fmt: skip
            windows = loops_of(pad([[conv]])).row_windows
            found = lines_read(windows, float(outputs), float(blocks))
            sizes = [
                outputs // blocks + (block < outputs % blocks)
                for block in range(blocks)
            ]
            lines = [
                {
                    o * stride + t * dilation
                    for o in range(n)
                    for t in range(taps)
                }
                for n in sizes
            ]
            expected = sum(map(len, lines))
            if (stride, dilation) == (4, 6):
                assert float(found[0, 0]) >= expected
            else:
                assert float(found[0, 0]) == expected


def test_dilation_widens_the_window_that_comes_first():
    """Taps 4 rows apart span 9 rows of 8 x 4 bytes, at 1 byte a cycle."""
    conv = Layer("c", "conv2d", 32, 8, 4, 32, 8, 4, 3, dilation_h=4)
    slow = chip(dram__bandwidth_gbs=0.8, pe_array__pipeline_cycles=0)
    cost = estimate(pad([[conv]]), slow, per_layer=True).layers
    operands = 2 * 3 * 4 / 64
    assert cost.fixed_cycles.numpy() == pytest.approx(9 * 32 + 32 + operands)
    flat = Layer("c", "conv2d", 32, 8, 4, 32, 8, 4, 3)
    plain = estimate(pad([[flat]]), slow, per_layer=True).layers
    assert plain.fixed_cycles.numpy() == pytest.approx(3 * 32 + 32 + operands)


def test_dilation_widens_halos():
    """Two PEs have 8 rows each, and read 8 + 2 x 3 rows for them."""
    conv = Layer("c", "conv2d", 16, 1, 1, 22, 1, 1, 3, dilation_h=3)
    two = chip(pe_array__rows=2)
    moved = traffic(conv, two, ROWS, "weight-stationary")
    assert moved["input"] == 2 * (8 + 2 * 3)


def test_outputs_have_bits_of_their_own():
    """ArgMax writes 64-bit numbers; what it reads has 8."""
    layer = Layer("argmax", "pool", 1, 1, 9, 1, 1, 9, groups=9, output_bits=64)
    moved = traffic(layer, chip(), CHANNELS, "weight-stationary")
    assert (moved["input"], moved["output"]) == (9, 72)
    assert estimate(pad([[layer]]), chip()).dram_bytes.numpy() == [9 + 72]
