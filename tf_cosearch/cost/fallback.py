"""What an accelerator leaves to its host, priced with the transfers.

A compiler hands an operation that the accelerator cannot run to the processor
of the host: what it reads leaves the chip, and what it writes comes back, as
images and answers of a network do. Only rows that say what a model file calls
them, `Layer.operator`, are told apart; all others are taken to run.

On the processor a row takes, of its multiply-accumulates or else of its inputs
or the elements under its windows, whichever are more,

    macs / runtime/cpu_gmacs        or        elements / runtime/cpu_gelements

while the accelerator takes its idle power. What the processor takes is not
counted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from tf_cosearch.accelerators import Accelerator, families
from tf_cosearch.networks.workload import Layer


def on_cpu(layers: Sequence[Layer], accelerator: Accelerator) -> list[bool]:
    """Which rows the processor of the host runs.

    Args:
        layers: The rows of the network, in execution order.
        accelerator: What the others run on.

    Returns:
        A Boolean for each row. Of a family that makes one piece of a network
        all rows after the first that it cannot run, but for those before it
        has begun.

    Example:
    The Edge TPU has no ArgMax, and what comes after it stays with the host.

    >>> from tf_cosearch import accelerators
    >>> conv = Layer("conv", "conv2d", 8, 8, 16, 8, 8, 3, operator="CONV_2D")
    >>> top = Layer("top", "pool", 8, 8, 1, 8, 8, 16, operator="ARG_MAX")
    >>> on_cpu([conv, top, conv], accelerators.default())
    [False, True, True]
    """
    family = families.of(accelerator)
    falls = [not (row.operator == "" or family.runs(row)) for row in layers]
    if family.resumes:
        return falls
    begun = ended = False
    for row, falls_back in enumerate(falls):
        ended |= begun and falls_back
        begun |= not falls_back
        falls[row] = falls_back or ended
    return falls


def on_chip(layers: Sequence[Layer], falls: Sequence[bool]) -> list[Layer]:
    """The rows that are not on the host, with what passes to it and back.

    Args:
        layers: The rows of the network.
        falls: Which of them are on the host.

    Returns:
        The others, of which the last before a row on the host sends what that
        reads, and the first after one reads what that wrote.

    Example:
    The host reads 64 x 16 scores of the convolution.

    >>> conv = Layer("conv", "conv2d", 8, 8, 16, 8, 8, 3)
    >>> top = Layer("top", "pool", 8, 8, 1, 8, 8, 16)
    >>> on_chip([conv, top], [False, True])[0].network_out_elements
    1024
    """
    if not any(falls):
        return list(layers)
    rows = _with_ends(layers)
    here: list[Layer] = []
    before: Layer | None = None  # on the host
    for row, falls_back in zip(rows, falls, strict=True):
        if falls_back:
            if here and before is None:
                here[-1] = _sending(here[-1], row)
            before = row
            continue
        if before is not None:
            count = _scaled(before.out_elements, _out_bits(before), row)
            count = max(row.network_in_elements, min(count, row.in_elements))
            row = dataclasses.replace(
                row, network_in_elements=count, continues=False
            )
        here.append(row)
        before = None
    return here


def cpu_ms(layer: Layer, accelerator: Accelerator) -> float:
    """Milliseconds that the processor of the host takes for a row.

    Example:
    A million elements, of which 0.4 are done in a nanosecond.

    >>> from tf_cosearch import accelerators
    >>> row = Layer("resize", "data_movement", 250, 200, 20, 25, 20, 20)
    >>> cpu_ms(row, accelerators.default())
    2.5
    """
    runtime = accelerator.runtime
    if layer.macs:
        return float(layer.macs / (runtime.cpu_gmacs * 1e6))
    taps = layer.k_h * layer.k_w
    elements = max(layer.in_elements, layer.out_elements * taps)
    return float(layer.repeats * elements / (runtime.cpu_gelements * 1e6))


def _with_ends(layers: Sequence[Layer]) -> list[Layer]:
    """Rows of which the first and the last say so if none does."""
    rows = list(layers)
    if not any(r.network_in_elements or r.network_out_elements for r in rows):
        rows[0] = dataclasses.replace(
            rows[0], network_in_elements=rows[0].touched_elements
        )
        rows[-1] = dataclasses.replace(
            rows[-1], network_out_elements=rows[-1].out_elements
        )
    return rows


def _sending(layer: Layer, reader: Layer) -> Layer:
    """A row that sends what one on the host reads, but for images."""
    wanted = max(reader.in_elements - reader.network_in_elements, 0)
    bits = wanted * reader.activation_bits
    count = max(layer.network_out_elements, -(-bits // _out_bits(layer)))
    return dataclasses.replace(layer, network_out_elements=count)


def _scaled(elements: int, bits: int, reader: Layer) -> int:
    return -(-elements * bits // reader.activation_bits)


def _out_bits(layer: Layer) -> int:
    return layer.output_bits or layer.activation_bits
