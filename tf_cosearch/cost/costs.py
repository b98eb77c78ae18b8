"""What is told of networks on accelerators, and of their layers."""

from __future__ import annotations

from typing import Any, NamedTuple

from tf_cosearch.accelerators import Accelerator, families, power


def bounds(accelerator: Accelerator) -> tuple[str, ...]:
    """What may limit a layer on an accelerator of a family.

    Example:
    >>> from tf_cosearch import accelerators
    >>> bounds(accelerators.default())
    ('compute', 'pe_memory', 'interconnect', 'dram')
    """
    return (*families.of(accelerator).bounds, "dram")


def energy_parts(accelerator: Accelerator) -> tuple[str, ...]:
    """What takes energy on an accelerator of a family.

    Example:
    >>> from tf_cosearch import accelerators
    >>> energy_parts(accelerators.default())
    ('mac', 'register_file', 'pe_memory', 'interconnect', 'dram', \
'host_link', 'clock', 'leakage')
    """
    return ("mac", *families.of(accelerator).energy_parts, *power.PARTS)


class LayerCost(NamedTuple):
    """What each layer costs; every field is `[B, L]`, 0 for padding.

    All of it is of all runs of a row, but for the mapping and its tiles.

    Attributes:
        cycles: Cycles at the clock of the accelerator.
        latency_ms: The same in milliseconds.
        energy_mj: Energy in millijoules.
        energy_parts_mj: `energy_mj` by `energy_parts`, a tuple of `[B, L]`.
        utilization: Share of the peak multiply-accumulates achieved, of each
            layer that at its bits.
        macs: Multiply-accumulates.
        params: Parameters stored with the model.
        dram_bytes: Bytes to and from DRAM.
        busy_cycles: Cycles each of `bounds` is busy, a tuple of `[B, L]`.
        fixed_cycles: Cycles in which none of them is: fill, drain, start.
        mapping: Number of the chosen mapping, see `Family.describe`.
        traffic: What it moves, a `NamedTuple` of bytes.
        row_tiles: Tiles of rows that are held one after another.
        out_c_tiles: Tiles of output channels, likewise.
        missing_bytes: What the memory on the chip lacks to hold a tile of one
            row.
        is_joined: 1 for layers that are worked on together with the one
            before, tile by tile of their rows, else 0.
    """

    cycles: Any
    latency_ms: Any
    energy_mj: Any
    energy_parts_mj: tuple[Any, ...]
    utilization: Any
    macs: Any
    params: Any
    dram_bytes: Any
    busy_cycles: tuple[Any, ...]
    fixed_cycles: Any
    mapping: Any
    traffic: Any
    row_tiles: Any
    out_c_tiles: Any
    missing_bytes: Any
    is_joined: Any


class Cost(NamedTuple):
    """What each candidate costs; every field is `[B]` but `layers`.

    A candidate with missing bytes cannot run: some layer fits no mapping. Its
    other costs are those of a machine that had them.

    Attributes:
        latency_ms: Time of one batch, by default one inference, in
            milliseconds.
        energy_mj: Energy of one batch in millijoules.
        area_mm2: Area of the accelerator in square millimetres.
        utilization: Share of the peak multiply-accumulates achieved, of each
            layer that at its bits.
        macs: Multiply-accumulates of one batch.
        params: Parameters stored with the model.
        dram_bytes: Bytes to and from DRAM for a batch.
        weight_residency: Share of the weights that stay on the chip.
        memory_missing_bytes: What the memory on the chip lacks for two tiles
            of one row of the layer that needs most.
        register_missing_bytes: What its registers lack to map any layer.
        energy_parts_mj: `energy_mj` by `energy_parts`, a tuple of `[B]`, or
            `None` if layers were not asked for.
        layers: `LayerCost` of `[B, L]`, or `None` if not asked for.
    """

    latency_ms: Any
    energy_mj: Any
    area_mm2: Any
    utilization: Any
    macs: Any
    params: Any
    dram_bytes: Any
    weight_residency: Any
    memory_missing_bytes: Any
    register_missing_bytes: Any
    energy_parts_mj: Any = None
    layers: Any = None


SCALARS = Cost._fields[:-2]
"""The costs that are one number a candidate."""
