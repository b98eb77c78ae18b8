import itertools

import pytest

from tf_cosearch.cost.explain import bit_widths, complexity
from tf_cosearch.networks.spaces.template import load_network
from tf_cosearch.networks.workload import Layer

CONV = Layer("conv", "conv2d", 10, 10, 20, 10, 10, 30, 3, 3, use_bias=False)
POINT = Layer("point", "conv2d", 10, 10, 20, 10, 10, 30, use_bias=False)
DEPTHWISE = Layer(
    *("dw", "depthwise_conv2d", 10, 10, 30, 10, 10, 30, 5, 5),
    groups=30,
    use_bias=False,
)
ADD = Layer("add", "elementwise", 10, 10, 20, 10, 10, 20, side_elements=2000)


def seconds(layers, pes, bandwidth=None, bits=8):
    area_mm2 = (pes + 0.5) * complexity.kernel_area_um2(bits) / 1e6
    found = bit_widths.throughput(layers, bits, area_mm2, bandwidth, 1.0)
    assert (found.bits, found.pes) == (bits, pes)
    return 1 / found.fps


def test_a_layer_takes_the_cycles_of_its_kernels():
    """600 kernels of 9 taps, or 30 of 25, which are three rounds of 9."""
    assert seconds([CONV], 100) == pytest.approx(6 * 100 / 1e9)
    assert seconds([CONV], 350) == pytest.approx(2 * 100 / 1e9)
    assert seconds([CONV], 10_000) == pytest.approx(1 * 100 / 1e9)
    assert seconds([DEPTHWISE], 10) == pytest.approx(3 * 3 * 100 / 1e9)
    # A ninth of each element works, so it takes as long.
    assert seconds([POINT], 100) == seconds([CONV], 100)
    assert seconds([CONV, POINT], 100) == pytest.approx(12 * 100 / 1e9)


def test_a_layer_takes_as_long_as_what_it_moves():
    """3,000 inputs, 2,000 outputs and 5,400 weights, of 4 bits, at 1 MB/s."""
    conv = seconds([CONV], 10_000, 1e-3, 4)
    both = seconds([CONV, ADD], 10_000, 1e-3, 4)
    assert (conv, both) == pytest.approx((10_400 / 2e6, 16_400 / 2e6))
    found = bit_widths.throughput([CONV], 4, 100, 1e-3, 1.0)
    assert found.waiting_share == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("bandwidth", [None, 25.0, 1.0])
def test_fewer_bits_are_never_slower(bandwidth):
    layers = load_network("mobilenet_v2").layers()
    line = bit_widths.sweep(layers, 2.0, bandwidth, 0.8)
    assert [each.bits for each in line] == [*range(2, 17)]
    for fewer, more in itertools.pairwise(line):
        assert fewer.fps >= more.fps
        assert fewer.pes > more.pes
    # Bound by the memory, half the bits are twice as fast but for biases.
    if bandwidth == 1:
        assert 1.9 < line[2].fps / line[6].fps < 2


def test_an_area_without_room_is_refused():
    with pytest.raises(ValueError, match=r"of 8 bits, 0\.00147 mm2.*: 0\.001"):
        bit_widths.throughput([CONV], 8, 0.001, None, 1.0)


def test_a_network_without_products_is_refused():
    with pytest.raises(ValueError, match="layers with products"):
        bit_widths.throughput([ADD], 8, 1, None, 1.0)
