"""What a network takes of memory, whatever it runs on."""

from __future__ import annotations

from typing import Any

from tf_cosearch.cost import off_chip
from tf_cosearch.metrics import metric


@metric(unit="KiB", direction="min", remedy="networks of fewer parameters")
def model_kib(layers: Any) -> Any:
    """Weights with their bits, biases with 32: the least of a file."""
    return off_chip.live_and_stored_bytes(layers)[1].sum(-1) / 1024


@metric(
    unit="KiB",
    direction="min",
    remedy="networks with smaller images or fewer channels",
)
def peak_memory_kib(layers: Any) -> Any:
    """The largest set of activations that a layer needs at once."""
    return off_chip.live_and_stored_bytes(layers)[0].max(-1) / 1024
