"""Bits of the weights and activations of a block."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple


class Precision(NamedTuple):
    """Bits that the layers of a block work in.

    Attributes:
        weight_bits: Of weights, but those of depthwise layers.
        activation_bits: Of what its layers read and put out.
        depthwise_bits: Of the weights of depthwise layers.
        table_bits: Of tables of embeddings.

    Example:
    >>> Precision().weight_bits
    8
    """

    weight_bits: int = 8
    activation_bits: int = 8
    depthwise_bits: int = 8
    table_bits: int = 8

    def weights_of(self, is_depthwise: bool) -> int:
        """Bits of the weights of a layer."""
        return self.depthwise_bits if is_depthwise else self.weight_bits


FORMATS = {
    "weight_bits": (4, 8),
    "activation_bits": (8, 16),
    "depthwise_bits": (4, 8),
    "table_bits": (4, 8, 16),
}
"""Widths that a TFLite file holds, and TFLite's kernels compute with."""


def split(
    options: Iterable[tuple[str, Any]],
) -> tuple[Precision, dict[str, Any]]:
    """What options of a block say of its precision, and all others.

    Args:
        options: Pairs of key and value.

    Example:
    >>> split([("kernel_size", 3), ("weight_bits", 4)])[1]
    {'kernel_size': 3}
    """
    others = dict(options)
    own = {key: others.pop(key) for key in FORMATS if key in others}
    return Precision(**own), others


def check(values: dict[str, Iterable[int]], where: str) -> None:
    """Refuses bits that no kernel computes with side by side.

    Args:
        values: What each key of `FORMATS` may be; 8 if it is left out.
        where: What they belong to, for messages.

    Raises:
        ValueError: If some choice has no kernel.
    """
    if 4 in values.get("depthwise_bits", ()) and (
        16 in values.get("activation_bits", ())
    ):
        raise ValueError(
            f"Depthwise layers of 4 bits in {where} must have activations of 8 "
            "bits, as TFLite has no kernel for 16. Received: depthwise_bits=4 "
            "beside activation_bits=16. Leave one of them out."
        )
