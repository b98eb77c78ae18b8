"""What an accelerator leaves to its host, priced with the transfers.

A compiler hands an operation that the accelerator cannot run to the processor
of the host: what it reads leaves the chip, and what it writes comes back, as
images and answers of a network do. Only rows that say what a model file calls
them, `Layer.operator`, are told apart; all others are taken to run.

On the processor a row with multiply-accumulates takes

    macs / runtime/cpu_gmacs

and one without takes

    elements / runtime/cpu_gelements

where its elements are those that it reads or, if these are more, those under
the windows of all its outputs. Meanwhile the accelerator takes its idle power;
what the processor takes is not counted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from tf_cosearch.accelerators import Accelerator, families, power
from tf_cosearch.cost.costs import Cost
from tf_cosearch.cost.model import estimate
from tf_cosearch.networks.workload import Layer, pad

NOTHING = Layer("nothing", "data_movement", 1, 1, 1, 1, 1, 1)
"""What an accelerator is left with whose host runs all of a network."""


def estimate_all(layers: Sequence[Layer], accelerator: Accelerator) -> Cost:
    """`estimate` of one network, with what the host runs of it.

    Args:
        layers: The rows of the network, in execution order.
        accelerator: An `Accelerator` of numbers.

    Returns:
        The `Cost`, of arrays of one entry.

    Example:
    The host takes 2.56 us for 1,024 elements.

    >>> from tf_cosearch import accelerators
    >>> conv = Layer("conv", "conv2d", 8, 8, 16, 8, 8, 3)
    >>> top = Layer("top", "pool", 8, 8, 1, 8, 8, 16, operator="ARG_MAX")
    >>> chip = accelerators.default()
    >>> alone = estimate(pad([[conv]]), chip).latency_ms[0]
    >>> more_ms = estimate_all([conv, top], chip).latency_ms[0] - alone
    >>> print(f"{more_ms:.5f}")
    0.00256
    """
    falls = on_cpu(layers, accelerator)
    here = on_chip(layers, falls) or [NOTHING]
    cost = estimate(pad([here]), accelerator)
    if not any(falls):
        return cost
    ms = sum(
        cpu_ms(layer, accelerator)
        for layer, falls_back in zip(layers, falls, strict=True)
        if falls_back
    )
    chip_ms = np.asarray(cost.latency_ms)
    idle_mj = ms * float(np.asarray(power.idle_mw(accelerator))) / 1e3
    return cost._replace(
        latency_ms=chip_ms + ms,
        energy_mj=np.asarray(cost.energy_mj) + idle_mj,
        utilization=np.asarray(cost.utilization) * chip_ms / (chip_ms + ms),
        macs=np.asarray([float(sum(layer.macs for layer in layers))]),
        params=np.asarray([float(sum(layer.params for layer in layers))]),
    )


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

    Rows say how much they read, not of which others. Of several rows in turn
    on the host one that `continues` reads what the one before wrote there;
    all else that they read is sent, but no more than was held for them. What
    they write comes back but for what such a row reads, as soon as a row can
    read so much, and no more than rows from there on read. So a tensor that
    two of them read may be sent twice, and never too little is.

    Args:
        layers: The rows of the network.
        falls: Which of them are on the host.

    Returns:
        The others, of which the last before rows on the host sends what those
        read, and the first after them read what those wrote.

    Example:
    The host reads 64 x 16 scores of the convolution.

    >>> conv = Layer("conv", "conv2d", 8, 8, 16, 8, 8, 3)
    >>> top = Layer("top", "pool", 8, 8, 1, 8, 8, 16)
    >>> on_chip([conv, top], [False, True])[0].network_out_elements
    1024
    """
    if not any(falls):
        return list(layers)
    # A table that says nothing of what is held holds all there is.
    is_held_told = any(row.held_elements or row.continues for row in layers)
    here: list[Layer] = []
    run: list[Layer] = []  # rows on the host, one after the other
    waiting_bits = 0  # written there, not yet read on the chip
    for row, falls_back in zip(_with_ends(layers), falls, strict=True):
        if falls_back:
            run.append(row)
            continue
        if run and here:
            here[-1] = _sending(here[-1], run, is_held_told)
        waiting_bits += _written_bits(run)
        if is_held_told:
            live = row.in_elements + row.held_elements
            waiting_bits = min(waiting_bits, live * row.activation_bits)
        if waiting_bits:
            reads = row.in_elements
            if row.continues and not run:
                reads = row.side_elements
            count = min(-(-waiting_bits // row.activation_bits), reads)
            waiting_bits -= min(waiting_bits, count * row.activation_bits)
            row = dataclasses.replace(
                row,
                network_in_elements=max(row.network_in_elements, count),
                continues=row.continues and not run,
            )
        here.append(row)
        run = []
    if run and here:
        here[-1] = _sending(here[-1], run, is_held_told)
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


def _sending(layer: Layer, run: Sequence[Layer], is_held_told: bool) -> Layer:
    """A row that sends what rows on the host read, but for images."""
    first, *others = run
    wanted_bits = sum(_read_bits(row, row.continues) for row in others)
    if is_held_told:
        held_bits = first.held_elements * first.activation_bits
        wanted_bits = min(wanted_bits, held_bits)
    bits = _out_bits(layer)
    count = max(
        layer.network_out_elements, -(-_read_bits(first, False) // bits)
    )
    count += -(-wanted_bits // bits)
    return dataclasses.replace(layer, network_out_elements=count)


def _read_bits(row: Layer, has_first: bool) -> int:
    """What a row reads but for images, and its first input if that is there."""
    elements = row.side_elements if has_first else row.in_elements
    return max(elements - row.network_in_elements, 0) * row.activation_bits


def _written_bits(run: Sequence[Layer]) -> int:
    """What rows on the host write that the next there does not read alone."""
    readers = [row.continues for row in run[1:]] + [False]
    return sum(
        row.out_elements * _out_bits(row)
        for row, is_read in zip(run, readers, strict=False)
        if not is_read
    )


def _out_bits(layer: Layer) -> int:
    return layer.output_bits or layer.activation_bits
