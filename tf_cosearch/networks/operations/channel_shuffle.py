"""Shuffling of channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tf_cosearch.networks.layer_ops import (
    KerasBuilder,
    LayerRecorder,
    Operation,
    Shape,
    operation,
)
from tf_cosearch.networks.tape import TensorShape, view


@operation
class ChannelShuffle(Operation):
    """Deals the channels of each group out to all groups.

    Of six channels in two groups, 0 1 2 and 3 4 5, it makes 0 3 1 4 2 5.

    Attributes:
        groups: How many groups there are.

    Reference: Zhang et al., "ShuffleNet", arXiv 1707.01083, figure 1.
    """

    groups: int = 2

    def check(self, shapes: Sequence[Shape]) -> None:
        """Refuses groups that do not divide the channels."""
        [(_, _, channels)] = shapes
        if self.groups < 1 or channels % self.groups:
            raise ValueError(
                "The groups of `channel_shuffle` must divide the channels. "
                f"Received: groups={self.groups}, {channels} channels."
            )

    def keras(self, build: KerasBuilder, x: Any, name: str) -> Any:
        """A Permute of groups and their channels, between two Reshapes."""
        layers, (height, width, channels) = build.keras.layers, build.shape(x)
        # Kernels of a transpose take few axes, so rows and columns are one.
        grouped = (height * width, self.groups, channels // self.groups)
        y = layers.Reshape(grouped, name=build.path(f"{name}_group"))(x)
        y = layers.Permute((1, 3, 2), name=build.path(name))(y)
        shape = (height, width, channels)
        return layers.Reshape(shape, name=build.path(f"{name}_ungroup"))(y)

    def rows(
        self, record: LayerRecorder, x: TensorShape, name: str
    ) -> TensorShape:
        """All elements move; the shapes around it cost nothing."""
        pixels, size = x.height * x.width, x.channels // self.groups
        y = record.row(
            name,
            "data_movement",
            [view(x, (pixels, self.groups, size))],
            (pixels, size, self.groups),
        )
        return view(y, x.extents)
