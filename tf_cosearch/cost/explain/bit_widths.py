"""Which bit width gives a network the most throughput on a given area.

After HCM, an array of processing elements that do one 3x3 kernel a cycle, each
of one input and one output channel. Narrower ones are smaller, so that more
fit, and move fewer bits; see `throughput` for what that is worth.

Reference:
    Karbachevsky et al., "HCM: Hardware-Aware Complexity Metric for Neural
    Network Architectures", arXiv 2004.08906.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tf_cosearch.cost.explain import complexity
from tf_cosearch.networks.workload import Layer

TAPS = 9
"""Products that a processing element does a cycle."""

WIDTHS = tuple(range(2, 17))
"""Bits that the fit of the area is of."""

_AS_GOOD = 0.99


class Throughput(NamedTuple):
    """What an array of some width reaches.

    Attributes:
        bits: Of a weight and of an activation.
        pes: Processing elements that fit the area.
        fps: Inferences a second.
        waiting_share: Share of the time in which it waits for the bandwidth.
    """

    bits: int
    pes: int
    fps: float
    waiting_share: float


def throughput(
    layers: Sequence[Layer],
    bits: int,
    area_mm2: float,
    bandwidth_gbs: float | None,
    clock_ghz: float,
) -> Throughput:
    """How many inferences a second an array of a width reaches.

    With `A(b)` for `complexity.kernel_area_um2`, a layer of `k` pairs of input
    and output channels of a group, `p` output positions and `t` taps takes

        N       = floor(area / A(b))                elements
        compute = ceil(k / N) ceil(t / 9) p         cycles
        memory  = compulsory bits at width b / bandwidth,

    whichever is longer, as one overlaps with the other. Layers follow one
    another. A 1x1 convolution uses one product of nine.

    Args:
        layers: Of the network.
        bits: Of every weight and activation.
        area_mm2: Of all processing elements, at 28 nm.
        bandwidth_gbs: Of the memory that layers are read from and written
            to, in gigabytes a second; `None` for one without limit.
        clock_ghz: Clock of the array.

    Returns:
        The `Throughput`.

    Raises:
        ValueError: If not even one element fits, or no layer has products.

    Example:
    One 3x3 convolution of 8 x 8 positions on two elements of 8 bits, which
    take 2 x 1467.5 um2: 8 cycles a position.

    >>> layer = Layer("conv", "conv2d", 8, 8, 4, 8, 8, 4, 3, 3)
    >>> fast = throughput([layer], 8, 0.003, None, clock_ghz=1)
    >>> fast.pes, round(fast.fps) == round(1e9 / (8 * 64))
    (2, True)
    """
    pes = int(area_mm2 * 1e6 / complexity.kernel_area_um2(bits))
    if not pes:
        raise ValueError(
            f"The area must have room for a processing element of {bits} bits, "
            f"{complexity.kernel_area_um2(bits) / 1e6:.3g} mm2. Received: "
            f"{area_mm2:g} mm2."
        )
    if not any(layer.kind.is_mac for layer in layers):
        raise ValueError(
            "A network must have layers with products. Received: none in "
            f"{len(layers)} layers."
        )
    seconds = waiting = 0.0
    for layer in layers:
        narrow = dataclasses.replace(
            layer, weight_bits=bits, activation_bits=bits, output_bits=None
        )
        compute = _cycles(layer, pes) / (clock_ghz * 1e9)
        memory = 0.0
        if bandwidth_gbs is not None:
            moved = complexity.compulsory_bits(narrow)
            memory = moved / (8e9 * bandwidth_gbs)
        seconds += max(compute, memory)
        waiting += max(memory - compute, 0.0)
    return Throughput(bits, pes, 1 / seconds, waiting / seconds)


def _cycles(layer: Layer, pes: int) -> int:
    """Cycles of the products of a layer; what has none takes no time."""
    if not layer.kind.is_mac:
        return 0
    taps = layer.k_h * layer.k_w
    pairs = layer.operand_elements // taps
    rounds = math.ceil(pairs / pes) * math.ceil(taps / TAPS)
    return rounds * layer.pixels * layer.repeats


def sweep(
    layers: Sequence[Layer],
    area_mm2: float,
    bandwidth_gbs: float | None,
    clock_ghz: float,
    widths: Iterable[int] = WIDTHS,
) -> list[Throughput]:
    """The `throughput` of every width."""
    return [
        throughput(layers, bits, area_mm2, bandwidth_gbs, clock_ghz)
        for bits in widths
    ]


def widest_of_the_best(results: Sequence[Throughput]) -> Throughput:
    """The most bits that give as much throughput as any, to a hundredth.

    Example:
    >>> widest_of_the_best(
    ...     [Throughput(4, 9, 99.5, 0), Throughput(2, 20, 100.0, 0)]
    ... ).bits
    4
    """
    most = max(result.fps for result in results)
    good = [r for r in results if r.fps >= _AS_GOOD * most]
    return max(good, key=lambda result: result.bits)
