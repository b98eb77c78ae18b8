"""Stacks of equal layers, which benchmarks of a chip are made of."""

from __future__ import annotations

import itertools
import re

from tf_cosearch.networks.workload import Layer

_NAME = re.compile(r"(conv|dense)_stack_([1-9]\d{0,4})|conv7x7_stack")


def is_stack(name: str) -> bool:
    """Whether it is the name of a stack."""
    return _NAME.fullmatch(name) is not None


def load(name: str) -> list[Layer]:
    """Loads a stack by its name.

    Args:
        name: `conv_stack_F` is five 3x3 convolutions of F filters, one after
            the other, on 64x64x3; `dense_stack_N` four dense layers of N
            units without biases on 64 inputs, and one of 10; `conv7x7_stack`
            49 convolutions of 7x7 from 32 to 32 channels on 128x128.

    Returns:
        Its rows.

    Example:
    >>> rows = load("dense_stack_140")
    >>> [row.out_c for row in rows], sum(row.params for row in rows)
    ([140, 140, 140, 140, 10], 69160)
    """
    kind, size = _NAME.fullmatch(name).groups()  # type: ignore[union-attr]
    if kind is None:
        return _convolutions([32] * 50, 128, 7)
    if kind == "conv":
        return _convolutions([3, *[int(size)] * 5], 64, 3)
    units = [64, *[int(size)] * 4, 10]
    return [
        Layer(f"dense{i}", "dense", 1, 1, n, 1, 1, inputs, use_bias=False)
        for i, (inputs, n) in enumerate(itertools.pairwise(units))
    ]


def _convolutions(channels: list[int], px: int, kernel: int) -> list[Layer]:
    return [
        Layer(f"conv{i}", "conv2d", px, px, n, px, px, inputs, kernel, kernel)
        for i, (inputs, n) in enumerate(itertools.pairwise(channels))
    ]
