"""What a block must do."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import keras

from tf_cosearch.networks import blocks
from tf_cosearch.networks.network import BlockSpec, Network
from tf_cosearch.testing import keras_walk
from tf_cosearch.testing.requirement import require

_TRIED = {
    "kernel_size": (3, 5),
    "expansion": (1, 4),
    "groups": (1, 2),
    "se_ratio": (0, 0.25),
    "activation": ("relu", "relu6", "swish"),
    "skip": (True, False),
    "stride_at": ("expand", "project"),
}


class BlockSuite:
    """Tests of the block called `name`.

    Attributes:
        name: The block's name.
        shapes: Filters and strides to try after a stem of 8 channels.
    """

    name: str
    shapes: tuple[tuple[int, int], ...] = ((8, 1), (16, 1), (16, 2))

    def networks(self) -> Iterator[Network]:
        """Small networks around the block, one for each way to use it."""
        known = blocks.options(self.name)
        tried = {
            key: _TRIED.get(key, (default,)) for key, default in known.items()
        }
        for values in itertools.product(*tried.values()):
            options = tuple(sorted(zip(tried, values, strict=True)))
            for filters, stride in self.shapes:
                yield self.network(filters, stride, options)

    def network(
        self, filters: int, stride: int, options: tuple[tuple[str, Any], ...]
    ) -> Network:
        """A network of a stem and the block."""
        stem = BlockSpec("stem", "conv_bn", 8, 1)
        block = BlockSpec("block", self.name, filters, stride, options)
        return Network("suite", (9, 8, 3), 4, (stem, block))

    def test_rows_equal_a_walk_over_the_built_model(self) -> None:
        """Cost and network must not disagree, whatever the options."""
        for number, network in enumerate(self.networks()):
            if number % 5 == 0:  # A prime to the options' counts: all appear.
                found = keras_walk.differences(network, keras)
                require(not found, f"{network.blocks[1]}: {found}")

    def test_stride_and_filters_are_honoured(self) -> None:
        """Padding is `same`, so a stride of s leaves ceil(n / s)."""
        for network in self.networks():
            spec = network.blocks[1]
            pool = next(row for row in network.layers() if row.name == "pool")
            expected = (-(-9 // spec.stride), -(-8 // spec.stride))
            require(
                (pool.in_h, pool.in_w, pool.in_c) == (*expected, spec.filters),
                f"{spec} ends in {pool}",
            )

    def test_names_are_unique(self) -> None:
        """Rows are found by name, and Keras wants layers named apart."""
        for network in self.networks():
            names = [row.name for row in network.layers()]
            require(len(set(names)) == len(names), f"{network.blocks[1]}")

    def test_it_converts_to_int8(self) -> None:
        """With its defaults and with the last of all choices."""
        import tf_keras

        from tf_cosearch.training import qat

        networks = list(self.networks())
        for network in (networks[0], networks[-1]):
            model = qat.quantize(network.build(tf_keras))
            qat.to_tflite(model)  # Refuses float tensors itself.
