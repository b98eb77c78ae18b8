"""Where proposed designs come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tf_cosearch.search import genomes

if TYPE_CHECKING:
    from tf_cosearch.search.problem import Problem

DRAWN = "drawn at random"


class Origin(NamedTuple):
    """How an algorithm came to suggest a design.

    Attributes:
        how: In words.
        parents: `[P]` genomes of the trials that it was made of.
    """

    how: str = "suggested"
    parents: Sequence[np.ndarray] = ()


class Lineage:
    """Remembers of which designs others were made.

    Example:
    >>> lineage, parent = Lineage(), np.array([[1, 2]])
    >>> lineage.add(np.array([[1, 3]]), parent)
    >>> lineage.origin(np.array([1, 3]))
    Origin(how='mutated', parents=(array([1, 2]),))
    >>> lineage.origin(np.array([0, 3]))
    Origin(how='suggested', parents=())
    """

    def __init__(self) -> None:
        self._parents: dict[bytes, tuple[np.ndarray, ...]] = {}

    def add(self, children: np.ndarray, *parents: np.ndarray) -> None:
        """Notes children; of two that are alike the first one counts.

        Args:
            children: `[N, S]`, as they will be asked about.
            *parents: `[N, P]` each; one that a child has twice counts once.
        """
        for child, *of in zip(children, *parents, strict=True):
            distinct = {each.tobytes(): each for each in of}
            self._parents.setdefault(child.tobytes(), (*distinct.values(),))

    def pass_on(self, children: np.ndarray, between: np.ndarray) -> None:
        """Notes children of what was made of others itself.

        Args:
            children: `[N, S]`.
            between: `[N, S]` what each was made of.
        """
        for child, before in zip(children, between, strict=True):
            parents = self._parents.get(before.tobytes())
            if parents is not None:
                self._parents.setdefault(child.tobytes(), parents)

    def origin(
        self, child: np.ndarray, otherwise: str = Origin().how
    ) -> Origin:
        """Where a design comes from.

        Args:
            child: `[S]`.
            otherwise: How, if nothing was noted of it.
        """
        parents = self._parents.get(child.tobytes(), ())
        hows = otherwise, "mutated", "crossed and mutated"
        return Origin(hows[len(parents)], parents)


def of_brood(
    problem: Problem,
    genome: np.ndarray,
    children: np.ndarray,
    *parents: np.ndarray,
) -> Origin:
    """Where the child comes from that was chosen of those suggested.

    Args:
        problem: That they were suggested for.
        genome: `[P]` of the child, as it is tried.
        children: `[N, P]` as they were suggested.
        *parents: `[N, P]` each.
    """
    lineage = Lineage()
    held = genomes.check(problem.space, problem.hold(children))
    lineage.add(held, *parents)
    return lineage.origin(genome)
