"""The weights that all networks of a space share."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tf_cosearch import seeds
from tf_cosearch.networks.spaces.network_space import NetworkSpace
from tf_cosearch.networks.spaces.template import Template
from tf_cosearch.supernet.layer_rules import Part
from tf_cosearch.supernet.reading import Sharing, Signal, Survey

Box = tuple[slice, ...]
"""Where a part lies in the whole of a weight."""


def survey(networks: NetworkSpace, sharing: Sharing) -> dict[str, Part]:
    """The most that any network of a space asks of each weight.

    Args:
        networks: A `Template`.
        sharing: What is shared.

    Returns:
        Parts by key.

    Raises:
        ValueError: If networks of the space cannot share weights; says why.

    Example:
    >>> from tf_cosearch import SearchSpace
    >>> space = SearchSpace.load("digits").network_space
    >>> survey(space, Sharing())["stem_conv/conv_bn/kernel"].shape
    (3, 3, 1, 32)
    """
    if not isinstance(networks, Template):
        raise ValueError(
            "Networks that share weights must come from a space of blocks. "
            f"Received: {networks.name}, a model of your own, whose layers "
            "have no places that another one shares. Describe the blocks in "
            "YAML, or train designs one by one, with accuracy='trained'."
        )
    reading = Survey(sharing)
    for spec, shape in networks.blocks():
        x = Signal(None, (None, *shape), "image")
        if spec is None:
            reading.end(x, networks.classes, networks.dropout)
        else:
            reading.block(spec, x)
    return reading.parts


class SharedWeights:
    """Arrays as large as the largest network needs, by key.

    Args:
        parts: The most that is asked of each weight, see `survey`.
        seed: Of the initial values.

    Attributes:
        arrays: The weights, float32 NumPy arrays by key: parts are read, and
            changed in place, several times as fast as parts of variables.
    """

    def __init__(self, parts: Mapping[str, Part], seed: int = 0) -> None:
        self.parts = dict(parts)
        self.arrays = {
            key: np.array(_initial(key, part, seed))
            for key, part in self.parts.items()
        }

    def box(self, key: str, part: Part) -> Box:
        """Where a part lies: windows in the middle, the rest at the start."""
        most = self.parts[key].shape
        starts = [
            (whole - size) // 2 if axis < part.window else 0
            for axis, (size, whole) in enumerate(
                zip(part.shape, most, strict=True)
            )
        ]
        return tuple(
            slice(start, start + size)
            for start, size in zip(starts, part.shape, strict=True)
        )

    def read(self, key: str, part: Part) -> Any:
        """A copy of a part."""
        return tf.constant(self.arrays[key][self.box(key, part)])

    @property
    def count(self) -> int:
        """How many numbers there are."""
        return sum(int(np.prod(part.shape)) for part in self.parts.values())


def _initial(key: str, part: Part, seed: int) -> Any:
    """Initial values that follow from seed and key alone."""
    initializer = part.initializer
    config = initializer.get_config()
    if "seed" in config:
        number = seeds.derive(seed, zlib.crc32(key.encode()))
        config["seed"] = number % 2**31
    return type(initializer).from_config(config)(part.shape)
