"""Time, energy and area, and what is made of them."""

from __future__ import annotations

from typing import Any

from tf_cosearch.metrics import metric


@metric(
    unit="ms",
    direction="min",
    always_compared=True,
    remedy="smaller networks, or accelerators with more PEs, compute lanes, "
    "SIMD units or I/O bandwidth",
)
def latency_ms(latency_ms: Any) -> Any:
    """Time of one inference."""
    return latency_ms


@metric(
    unit="mJ",
    direction="min",
    always_compared=True,
    remedy="smaller networks, or accelerators with more on-chip memory",
)
def energy_mj(energy_mj: Any) -> Any:
    """Energy of one inference."""
    return energy_mj


@metric(
    unit="mm2",
    direction="min",
    always_compared=True,
    remedy="accelerators with fewer PEs, compute lanes or SIMD units, or less "
    "memory",
)
def area_mm2(area_mm2: Any) -> Any:
    """Area of the accelerator."""
    return area_mm2


@metric(
    unit="fps",
    direction="max",
    remedy="smaller networks, or accelerators with more PEs, compute lanes, "
    "SIMD units or I/O bandwidth",
)
def throughput_fps(latency_ms: Any) -> Any:
    """Inferences a second, one after another."""
    return 1e3 / latency_ms


@metric(
    unit="mW",
    direction="min",
    remedy="accelerators with fewer PEs, compute lanes or SIMD units, or a "
    "slower clock",
)
def power_mw(energy_mj: Any, latency_ms: Any) -> Any:
    """Mean power of inferences one after another."""
    return 1e3 * energy_mj / latency_ms


@metric(
    unit="mJ ms",
    direction="min",
    remedy="smaller networks, or accelerators with more on-chip memory or I/O "
    "bandwidth",
)
def edp(energy_mj: Any, latency_ms: Any) -> Any:
    """Energy of one inference times its time."""
    return energy_mj * latency_ms


@metric(
    unit="share",
    direction="max",
    format=".1%",
    remedy="accelerators with fewer PEs, compute lanes or SIMD units",
)
def utilization(utilization: Any) -> Any:
    """Share of the peak multiply-accumulates, at its bits, that it achieves."""
    return utilization


@metric(
    unit="KiB",
    direction="min",
    remedy="smaller networks, or accelerators with more on-chip memory",
)
def dram_kib(dram_bytes: Any) -> Any:
    """Traffic to and from DRAM for one inference."""
    return dram_bytes / 1024
