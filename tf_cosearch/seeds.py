"""Seeds that follow from another one and do not meet by accident."""

from __future__ import annotations

import numpy as np


def derive(seed: int, *key: int) -> int:
    """The seed of a part of something that has a seed itself.

    Sums do not do: with `seed + 1000 * trial`, the second trial of seed 0
    repeats the first one of seed 1000.

    Args:
        seed: Of the whole, 0 or more.
        *key: Numbers that tell the part from all others, 0 or more.

    Returns:
        An integer in [0, 2**63), which TensorFlow's int64 holds.

    Example:
    >>> derive(0, 1) == derive(0, 1)
    True
    >>> derive(0, 1) == derive(1000, 0)
    False

    Reference:
        M. O'Neill, Developing a seed_seq Alternative, 2015, which NumPy's
        `SeedSequence` implements.
    """
    mixed = np.random.SeedSequence(seed, spawn_key=key)
    return int(mixed.generate_state(1, np.uint64)[0] >> np.uint64(1))
