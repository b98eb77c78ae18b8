"""Random search."""

from __future__ import annotations

import numpy as np

from tf_cosearch.search.oracle.base import CoSearchOracle


class RandomOracle(CoSearchOracle):
    """Draws designs at random from those within the budgets.

    Every choice of a parameter is equally likely, as far as the budgets let
    it. The baseline that other algorithms have to beat; takes the arguments
    of `CoSearchOracle`.
    """

    def suggest(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draws `[n, P]` genomes."""
        return self.space.sample(rng, n)
