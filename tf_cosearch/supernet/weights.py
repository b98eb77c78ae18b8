"""The weights that all networks of a space share."""

from __future__ import annotations

import math
import zlib
from typing import Any

import numpy as np
import tensorflow as tf

from tf_cosearch import machine, seeds, text
from tf_cosearch.networks.spaces.network_space import NetworkSpace
from tf_cosearch.networks.spaces.template import Template
from tf_cosearch.supernet.layer_rules import Box, Part
from tf_cosearch.supernet.options import Sharing
from tf_cosearch.supernet.reading import Signal, Survey

BYTES = 4
"""Of a number, a float32."""


def require_blocks(networks: NetworkSpace) -> Template:
    """Refuses networks that have no places which another one shares.

    Raises:
        ValueError: If they are a user's own models.
    """
    if isinstance(networks, Template):
        return networks
    raise ValueError(
        "Networks that share weights must come from a space of blocks. "
        f"Received: {networks.name}, a model of your own, whose layers "
        "have no places that another one shares. Describe the blocks in "
        "YAML, or train designs one by one, with accuracy='trained'."
    )


def survey(networks: NetworkSpace, sharing: Sharing) -> dict[str, Part]:
    """The most that any network of a space asks of each weight.

    It goes through all blocks there may be: 7,386 of `evolved`, some
    seconds.

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
    template = require_blocks(networks)
    reading = Survey(sharing)
    for spec, shapes in template.blocks():
        read = [Signal(None, (None, *shape), "image") for shape in shapes]
        if spec is None:
            template.network(()).end(reading, read)
        else:
            reading.block(spec, *read)
    return reading.parts


class SharedWeights:
    """Arrays as large as the largest network of a space needs.

    Args:
        networks: A `Template`.
        sharing: What is shared.
        seed: Of the initial values.
        copies: Of all weights, that there has to be memory for.

    Attributes:
        sharing: What is shared.
        parts: The whole of each weight, by key.
        arrays: Their values, float32. NumPy's, since parts of these are read,
            and changed in place, many times as fast as parts of variables.

    Raises:
        ValueError: If networks of the space cannot share weights, or these
            are more than there is memory for.
    """

    def __init__(
        self,
        networks: NetworkSpace,
        sharing: Sharing,
        seed: int = 0,
        copies: int = 1,
    ) -> None:
        self.sharing = sharing
        self.parts = survey(networks, sharing)
        needed, room = copies * self.bytes, machine.memory_bytes()
        if needed > room:
            raise ValueError(
                f"Weights that networks share must fit {copies} times into "
                f"memory. Received: {networks.name}, with "
                f"{text.count(self.count)} weights, {needed / 2**30:.1f} GiB "
                f"where there are {room / 2**30:.1f}. Offer fewer filters, "
                "kernels or kinds of blocks, or train designs one by one, with "
                "accuracy='trained'."
            )
        self.arrays = {
            key: np.array(_initial(key, part, seed))
            for key, part in self.parts.items()
        }

    def box(self, key: str, part: Part) -> Box:
        """Where a part lies in the whole."""
        return self.parts[key].box_of(part)

    def read(self, key: str, part: Part) -> Any:
        """A copy of a part."""
        return tf.constant(self.arrays[key][self.box(key, part)])

    @property
    def count(self) -> int:
        """How many numbers there are."""
        return sum(math.prod(part.shape) for part in self.parts.values())

    @property
    def bytes(self) -> int:
        """Memory of one copy."""
        return BYTES * self.count


def _initial(key: str, part: Part, seed: int) -> Any:
    """Initial values that follow from seed and key alone."""
    initializer = part.initializer
    config = initializer.get_config()
    if "seed" in config:
        number = seeds.derive(seed, zlib.crc32(key.encode()))
        config["seed"] = number % 2**31
    return type(initializer).from_config(config)(part.shape)
