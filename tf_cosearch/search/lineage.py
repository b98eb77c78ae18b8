"""Where proposed designs come from."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tf_cosearch.search import genomes

if TYPE_CHECKING:
    from tf_cosearch.search.problem import Problem

DRAWN = "drawn at random"

_HOWS = "suggested", "mutated", "crossed and mutated"


class Origin(NamedTuple):
    """How an algorithm came to suggest a design.

    Attributes:
        how: In words.
        parents: `[P]` genomes of the trials that it was made of.
    """

    how: str = _HOWS[0]
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
        self._between: dict[bytes, np.ndarray] = {}

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
            key = child.tobytes()
            if parents is not None and key not in self._parents:
                self._parents[key], self._between[key] = parents, before

    def origin(
        self, child: np.ndarray, otherwise: str = Origin().how
    ) -> Origin:
        """Where a design comes from.

        Args:
            child: `[S]`.
            otherwise: How, if nothing was noted of it.
        """
        key, size = child.tobytes(), len(child)
        parents = self._parents.get(key, ())
        if len(parents) == 2 and key in self._between:
            genes = (parent[:size] for parent in parents)
            is_of = gave(child, self._between[key], *genes)
            parents = tuple(itertools.compress(parents, is_of))
        if len(parents) == 1 and (parents[0][:size] == child).all():
            return Origin("the same network", parents)
        return Origin((otherwise, *_HOWS[1:])[len(parents)], parents)


def gave(
    child: np.ndarray, before: np.ndarray, first: np.ndarray, second: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Which of two parents a child has a gene of that the other lacks.

    Args:
        child: `[N, S]` some genes of each.
        before: `[N, S]` the same before they mutated.
        first: `[N, S]` the same of one parent.
        second: `[N, S]` of the other.

    Returns:
        `[N]` for each parent. The first counts if neither has: it is as good
        as the other.

    Example: the gene of the second parent has mutated.
    >>> gave(*np.array([[[1, 9]], [[1, 2]], [[1, 1]], [[2, 2]]]))
    (array([ True]), array([False]))
    """
    kept = (child == before) & (first != second)
    of_second = (kept & (before == second)).any(axis=-1)
    return (kept & (before == first)).any(axis=-1) | ~of_second, of_second


def of_brood(
    problem: Problem,
    genome: np.ndarray,
    children: np.ndarray,
    before: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
) -> Origin:
    """Where the child comes from that was chosen of those suggested.

    Args:
        problem: That they were suggested for.
        genome: `[P]` of the child, as it is tried.
        children: `[N, P]` as they were suggested.
        before: `[N, P]` before they mutated.
        first: `[N, P]` a parent of each.
        second: `[N, P]` another, or the same.
    """
    suggested, chosen = problem.suggested(genome)
    rows = np.flatnonzero((children == suggested).all(axis=1))
    if not rows.size:
        # Whoever suggested for somebody else: that one has held them.
        held = genomes.check(problem.space, problem.hold(children))
        rows = np.flatnonzero((held == suggested).all(axis=1))
    if not rows.size:
        return Origin()
    row = rows[0]
    parents = first[row], second[row]
    genes = (each[row] for each in (before, first, second))
    is_of = gave(genome[chosen], *(each[chosen] for each in genes))
    distinct = {
        parent.tobytes(): parent
        for parent, gives in zip(parents, is_of, strict=True)
        if gives
    }
    return Origin(_HOWS[len(distinct)], (*distinct.values(),))
