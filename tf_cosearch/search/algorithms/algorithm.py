"""What a search algorithm is: it suggests designs, and observes results."""

from __future__ import annotations

import copy

import numpy as np

from tf_cosearch.search.lineage import Origin
from tf_cosearch.search.problem import Problem, Result


class Algorithm:
    """Suggests designs for trials, and learns from what became of them.

    An algorithm is made of its options alone. A search works with a copy of
    it, `on` its problem; a search that is continued makes another copy and
    tells it all results again, so that no algorithm has to be saved.

    What it suggests follows from the problem, from what it observed, and from
    the random numbers it is given. Whether a design is new, feasible and
    within what is searched is the oracle's affair, as are seeds, failures,
    saving and resuming.

    Attributes:
        problem: What it works on.
        remarks: Lines that a summary of the search should have.
        is_quick: Whether a proposal takes well below a second after thousands
            of trials.
        uses_estimates: Whether it looks at `problem.estimates`.
    """

    problem: Problem
    is_quick: bool = True
    uses_estimates: bool = False
    remarks: list[str] | tuple[str, ...] = ()

    def suggest(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Suggests candidates for one trial, the best first.

        Args:
            rng: The only source of chance to use.
            n: How many can be priced at once.

        Returns:
            `[N, P]` integer genomes. They need not be canonical, new,
            feasible or within what is searched.
        """
        raise NotImplementedError

    def observe(self, result: Result) -> None:
        """Learns from a trial that has ended, completed or failed for good.

        Called once for each, in the order they end. An algorithm that looks
        at `problem.history` needs none.

        Args:
            result: The last of the history.
        """

    def origin(self, genome: np.ndarray) -> Origin:
        """Where a design of the last suggestion comes from, for the record.

        Args:
            genome: `[P]`, canonical and within what is searched, as it will
                be tried.
        """
        return Origin()

    def on(self, problem: Problem) -> Algorithm:
        """A copy of it that has observed nothing, to work on a problem.

        Raises:
            ValueError: If it works on a problem already.
        """
        if "problem" in vars(self):
            raise ValueError(
                "An algorithm must be one that no search works with. Received: "
                f"a {type(self).__name__} that has observed "
                f"{len(self.problem.history.finished())} trials. Make a new "
                "one; `warm_start` tells it what others have finished."
            )
        copied = copy.deepcopy(self)
        copied.problem = problem
        return copied
