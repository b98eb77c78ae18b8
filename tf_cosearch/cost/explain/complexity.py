"""Bit operations, the area they take, and the OPS-based roofline.

Early answers that need no mapping, after HCM. A layer with `m` output
channels, `n` input channels a group, a kernel of `k_h k_w` taps, weights of
`b_w` and activations of `b_a` bits costs, at each of its output positions,

    BOPS = m n k_h k_w (b_a b_w + b_a + b_w + log2(n k_h k_w))

bit operations: `b_a b_w` for a product and `b_o` for adding it to an
accumulator of

    b_o = b_a + b_w + log2(n k_h k_w)     bits.

The silicon that does `B` bit operations a cycle takes

    A = 1.694 B + 153.46                  um2 at 28 nm.

The roofline has operations a second to the top and operations a bit moved off
the chip to the right. A multiply-accumulate is two operations, a vector
operation one. With peak `P` (the whole array at 8 bits, times the products
that a multiplier does of the layer's bits) and DRAM bandwidth `W` in bits a
second, a layer of intensity `I` cannot do more than

    attainable = min(P, I W)              operations a second.

Two intensities are told apart. `ops_per_bit` counts the compulsory traffic of
a layer on its own: its inputs, outputs, weights and biases, each once.
`ops_per_dram_bit` counts what the cost model says goes to and from DRAM when
the layer runs in its network: less than that where activations pass from layer
to layer on the chip and weights stay there. The second bounds what is
achieved; a layer above the DRAM roof at the first lives off the PE memory.
Fewer bits move layers to the right and leave the peak alone, unless the array
splits its 8-bit multipliers for 4 bits (`subword`); `pe_area_um2` says what
narrower ones would save.

Reference:
    Karbachevsky et al., "HCM: Hardware-Aware Complexity Metric for Neural
    Network Architectures", arXiv 2004.08906; journal form "Early-Stage Neural
    Network Hardware Performance Analysis", Sustainability 13(2):717, 2021.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tf_cosearch import accelerators
from tf_cosearch.accelerators import Accelerator, families
from tf_cosearch.accelerators import technology as tech
from tf_cosearch.cost import fallback, peak
from tf_cosearch.cost.explain import advice, summary
from tf_cosearch.networks.workload import Layer, LayerTable, to_array

BIAS_BITS = 32


def accumulator_bits(layer: Layer) -> float:
    """Width of the sum of one dot product, `b_o`.

    Args:
        layer: A layer; 0 for one without multiply-accumulates.

    Returns:
        Bits; not rounded, as in the equation.

    Example:
    >>> accumulator_bits(Layer("dense", "dense", 1, 1, 10, 1, 1, 64))
    22.0
    """
    if not layer.kind.is_mac:
        return 0.0
    length = layer.in_c // layer.groups * layer.k_h * layer.k_w
    return layer.activation_bits + _operand_bits(layer) + math.log2(length)


def bops_per_mac(layer: Layer) -> float:
    """Bit operations of one multiply-accumulate: product and accumulation.

    Args:
        layer: A layer; 0 for one without multiply-accumulates.

    Returns:
        Bit operations.
    """
    product = layer.activation_bits * _operand_bits(layer)
    return layer.kind.is_mac * (product + accumulator_bits(layer))


def bops(layer: Layer) -> float:
    """Bit operations of a layer, all output positions of one inference.

    Args:
        layer: A layer. Vector operations and data movement have none.

    Returns:
        Bit operations.

    Example:
    Depthwise 3x3, one position, 16 channels: each has 9 products of 64 and
    9 additions of 16 + log2(9) bit operations.

    >>> layer = Layer("d", "depthwise_conv2d", 1, 1, 16, 3, 3, 16, 3, 3,
    ...     groups=16)
    >>> round(bops(layer), 3)
    11976.469
    """
    return layer.macs * bops_per_mac(layer)


def area_um2(bops_a_cycle: float) -> float:
    """Area of a PE by the bit operations it does a cycle.

    The fit is of PEs of one 3x3 kernel (HCM, figure 3); here it is extended
    to larger ones in proportion. Its constant term makes PEs of less than 4
    bits too large: see `kernel_area_um2`.

    Args:
        bops_a_cycle: Bit operations a cycle.

    Returns:
        Square micrometres at 28 nm: multipliers and adders, no memory and no
        pipeline registers.
    """
    return tech.PE_AREA_PER_BOP.value * bops_a_cycle + tech.PE_AREA_BASE.value


def kernel_area_um2(bits: float) -> float:
    """Area of the PE of one 3x3 kernel by its width (HCM, figure 1).

    Args:
        bits: Bits of a weight and of an activation; the accumulator has 4
            more.

    Returns:
        Square micrometres at 28 nm.

    Example:
    >>> [round(kernel_area_um2(bits)) for bits in (2, 8, 16)]
    [208, 1468, 4535]
    """
    return float(tech.multiplier_um2(bits, bits))


def compulsory_bits(layer: Layer) -> int:
    """What a layer on its own moves: each operand and result once.

    Of a row that runs again the weights, too, count once.

    Args:
        layer: A layer.

    Returns:
        Bits of the inputs that are needed, the outputs, weights and 32-bit
        biases.

    Example:
    A 1x1 convolution, 4 positions, 8 to 16 channels: 32 + 64 activations,
    128 weights and 16 biases.

    >>> compulsory_bits(Layer("c", "conv2d", 2, 2, 16, 2, 2, 8))
    2304
    """
    out_bits = layer.output_bits or layer.activation_bits
    activations = layer.touched_elements * layer.activation_bits
    activations += layer.out_elements * out_bits
    is_weighted = layer.kind.is_mac and layer.kind.has_weights
    biases = layer.use_bias * layer.out_c * is_weighted
    read = min(layer.stored_elements, layer.out_elements)
    return (
        layer.repeats * activations
        + layer.operand_elements * _operand_bits(layer)
        + read * layer.weight_bits
        + biases * BIAS_BITS
    )


def operations(layer: Layer) -> int:
    """Operations of a layer: two a multiply-accumulate, one a vector element.

    Args:
        layer: A layer.

    Returns:
        Operations of one inference.
    """
    elements = layer.repeats * layer.out_elements * layer.k_h * layer.k_w
    return 2 * layer.macs + layer.kind.is_vector * elements


def roofline(
    layers: Sequence[Layer], accelerator: Accelerator, advised: bool = True
) -> dict:
    """Places every layer on the roofline of an accelerator and says why.

    Args:
        layers: The rows of the network.
        accelerator: An `Accelerator` of numbers.
        advised: Whether to say what would help, which takes half a second.

    Returns:
        Values as JSON has them. The roofs: `peak_tops` of 8 bits, `dram_tbits`
        and `pe_memory_tbits` (10^12 bits a second of the DRAM and of the ports
        of the memory on the chip, as its family calls it). Of the network:
        `bops`, and `pe_area_um2`, the area of the multipliers and adders of
        one PE of the accelerator if made for the layer that needs most.
        As `layers`, in order, for each layer `name`, `op`, `bops`,
        `pe_area_um2`, `ops_per_bit`, `ops_per_dram_bit` (`None` if nothing
        goes off the chip), `attainable_tops` under the roof with that traffic,
        `attainable_alone_tops` with the compulsory one, `achieved_tops`,
        `utilization`, `latency_ms`, `bound`, and, if `advised`, `advice` and
        `changes` as in `advice.Advice`.

    Raises:
        ValueError: If there are no layers.

    Example:
    2 x 262144 operations; 16 KiB in, 16 KiB out and 256 weights are 264192
    bits.

    >>> conv = Layer("c", "conv2d", 32, 32, 16, 32, 32, 16, use_bias=False)
    >>> points = roofline([conv], accelerators.default())
    >>> round(points["layers"][0]["ops_per_bit"], 2)
    1.98
    >>> points["layers"][0]["bound"], points["dram_tbits"]
    ('dram', 0.16)
    """
    result = summary.summarize(layers, accelerator)
    advices: list[dict[str, Any]] = [{}] * len(layers)
    if advised:
        advices = [each._asdict() for each in _advise(layers, accelerator)]
    clock_ghz, ports = accelerator.process.clock_ghz, accelerator.port_bytes()
    memory = families.of(accelerator).memory
    roofs = {
        "peak_tops": float(accelerators.peak_tops(accelerator)),
        "dram_tbits": float(accelerator.dram.bandwidth_gbs * 8 / 1e3),
        f"{memory}_tbits": float(ports * clock_ghz * 8 / 1e3),
    }
    macs_a_cycle = accelerator.macs_per_cycle() / accelerator.pes()
    table = LayerTable(*to_array(layers).T)
    speedups = peak.speedup(table, accelerator).numpy()
    rows = [
        {
            **{name: row[name] for name in ("name", "op")},
            "bops": bops(layer),
            "pe_area_um2": layer.kind.is_mac
            * area_um2(float(macs_a_cycle * bops_per_mac(layer))),
            **_point(layer, row, roofs, float(speedup)),
            **{name: row[name] for name in _FROM_SUMMARY},
            **given,
        }
        for layer, row, given, speedup in zip(
            layers, result["layers"], advices, speedups, strict=True
        )
    ]
    return {
        **roofs,
        "bops": sum(row["bops"] for row in rows),
        "pe_area_um2": max(row["pe_area_um2"] for row in rows),
        "layers": rows,
    }


def _advise(
    layers: Sequence[Layer], accelerator: Accelerator
) -> list[advice.Advice]:
    falls = fallback.on_cpu(layers, accelerator)
    here = fallback.on_chip(layers, falls)
    given_here = iter(advice.advise(here, accelerator) if here else ())
    return [
        advice.Advice(f"cpu: {layer.operator} is left to the host", [])
        if falls_back
        else next(given_here)
        for layer, falls_back in zip(layers, falls, strict=True)
    ]


_FROM_SUMMARY = ("utilization", "latency_ms", "bound")


def with_roofline(
    costs: Mapping[str, Any], points: Mapping[str, Any]
) -> dict[str, Any]:
    """The cost of a network together with its roofline.

    Args:
        costs: What `summary.summarize` gave.
        points: What `roofline` gave of the same network. It is of a batch of
            one and mappings of least latency: where both have a number, that
            of the costs stands.

    Returns:
        All values of both, and all of each layer.
    """
    layers = [
        {**row, **point, **row}
        for row, point in zip(costs["layers"], points["layers"], strict=True)
    ]
    return {**costs, **points, **costs, "layers": layers}


def _point(
    layer: Layer, row: dict[str, Any], roofs: dict[str, float], speedup: float
) -> dict[str, float | None]:
    """Where a layer stands: intensities, and rates in 10^12 a second."""
    count, dram_bits = operations(layer), 8 * row["dram_bytes"]
    most, slope = speedup * roofs["peak_tops"], roofs["dram_tbits"]
    alone = count / compulsory_bits(layer)
    within = count / dram_bits if dram_bits else None
    seconds = row["latency_ms"] / 1e3
    return {
        "ops_per_bit": alone,
        "ops_per_dram_bit": within,
        "attainable_tops": most
        if within is None
        else min(most, within * slope),
        "attainable_alone_tops": min(most, alone * slope),
        "achieved_tops": count / seconds / 1e12 if seconds else 0.0,
    }


def _operand_bits(layer: Layer) -> int:
    """Bits of the second operand, which is an activation in a matmul."""
    if layer.kind.has_weights:
        return layer.weight_bits
    return layer.activation_bits
