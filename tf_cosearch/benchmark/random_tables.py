"""Random layers and accelerators, to measure the cost model with."""

from __future__ import annotations

from typing import Any

import numpy as np

from tf_cosearch import accelerators
from tf_cosearch.accelerators import Accelerator, families
from tf_cosearch.networks.workload import LayerTable

_SIZES = (7, 14, 28, 56, 112)
_CHANNELS = (16, 24, 32, 48, 96, 144, 320)


def random_layers(batch: int, depth: int, seed: int = 0) -> LayerTable:
    """Any layers: `[B, L]` small integers, a third of them depthwise."""
    rng = np.random.default_rng(seed)
    shape = (batch, depth)

    def draw(choices: tuple[int, ...], dtype: type) -> np.ndarray:
        indices = rng.integers(0, len(choices), shape, np.uint8)
        return np.asarray(choices, dtype)[indices]

    ones = np.ones(shape, np.uint8)
    zeros = np.zeros(shape, np.uint8)
    out, stride = draw(_SIZES, np.uint16), draw((1, 2), np.uint8)
    in_c, out_c = draw(_CHANNELS, np.uint16), draw(_CHANNELS, np.uint16)
    is_depthwise = draw((0, 0, 1), np.uint8).astype(bool)
    out_c[is_depthwise] = in_c[is_depthwise]
    groups = np.where(is_depthwise, in_c, np.uint16(1))
    size_in, kernel = out * stride, draw((1, 3, 5), np.uint8)
    held_elements = draw((0, 0, 12544, 50176), np.uint16)
    columns: list[Any] = [out, out, out_c, size_in, size_in, in_c]
    columns += [kernel, kernel]
    columns += [
        stride,
        stride,
        groups,
        ones,
        ones * 8,
        ones * 8,
        zeros,
        held_elements,
    ]
    columns += [zeros, zeros]
    columns += [ones, zeros, ones, ones]
    return LayerTable(*columns)


def random_accelerators(
    batch: int, seed: int = 0, family: str = families.DEFAULT
) -> Accelerator:
    """Accelerators of the search space, `[B]`."""
    rng = np.random.default_rng(seed)
    return accelerators.from_paths(
        {
            path: rng.choice(parameter.choices, batch).astype(np.float32)
            for path, parameter in accelerators.parameters(family).items()
            if parameter.choices
        },
        family,
    )
