"""A space of a single network, for searches of hardware alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tf_cosearch.networks.spaces.network_space import Genes, NetworkSpace
from tf_cosearch.networks.workload import Layer, to_array


class OneNetwork(NetworkSpace):
    """The rows of one network, whatever hardware is searched for them.

    Args:
        name: What to call it.
        layers: Its rows in execution order.
    """

    parameters = ()
    input_shape = ()
    classes = 1

    def __init__(self, name: str, layers: Sequence[Layer]) -> None:
        self.name = name
        self._layers = list(layers)
        self._rows = to_array(self._layers)

    def count(self) -> int:
        """One."""
        return 1

    def canonical(self, genes: Genes) -> Genes:
        """There are none."""
        return genes

    def decided(self, genes: Genes) -> tuple[bool, ...]:
        """Nothing is."""
        return ()

    def decode(self, genes: Genes) -> list[Layer]:
        """Its rows."""
        return self._layers

    def encode(self, network: Any) -> Genes:
        """No genes."""
        return ()

    def rows(self, genes: Genes) -> np.ndarray:
        """Its rows as an array."""
        return self._rows

    def padded_layers(self, layers: int) -> int:
        """As many as it has."""
        return len(self._rows)

    def describe(self) -> Any:
        """Its name and rows."""
        return [self.name, self._rows.tolist()]
