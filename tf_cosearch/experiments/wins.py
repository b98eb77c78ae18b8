"""When one way counts as better than another: mostly, seed by seed."""

from __future__ import annotations

from collections.abc import Sequence


def count(gains: Sequence[float]) -> int:
    """How many gains are above 0; as good is no win.

    Example:
    >>> count([0.2, 0.0, -0.1, 0.3])
    2
    """
    return sum(gain > 0 for gain in gains)


def mostly(gains: Sequence[float]) -> bool:
    """Whether more than half of the gains are above 0.

    Args:
        gains: How far one way is ahead of another, of each seed or each case;
            none at all says nothing, so that it is no win.

    Example:
    >>> mostly([0.2, 0.0, 0.3]), mostly([0.2, 0.0]), mostly([])
    (True, False, False)
    """
    return 2 * count(gains) > len(gains)
