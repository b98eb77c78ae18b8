"""Random search."""

from __future__ import annotations

import numpy as np

from tf_cosearch.search.algorithms.algorithm import Algorithm
from tf_cosearch.search.lineage import DRAWN, Origin


class RandomSearch(Algorithm):
    """Draws designs at random from those within the budgets.

    Every choice of a parameter is equally likely, as far as the budgets let
    it. The baseline that other algorithms have to beat.
    """

    def suggest(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draws `[n, P]` genomes."""
        return self.problem.space.sample(rng, n)

    def origin(self, genome: np.ndarray) -> Origin:
        """Always drawn at random."""
        return Origin(DRAWN)
