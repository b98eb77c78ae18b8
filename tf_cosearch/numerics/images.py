"""Images of a data set, as a network takes them."""

from __future__ import annotations

from typing import Any

import numpy as np


def spread(
    split: tuple[Any, Any], count: int | None, divide: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Images at equal distances over a split, which may be sorted by labels.

    Args:
        split: Images and labels, or a batched `tf.data.Dataset` and None.
        count: How many, if there are as many; None is all.
        divide: What pixels are divided by; None scales bytes to 0..1 as
            trainings of templates do.

    Returns:
        float32 `[N, ...]`, and labels `[N]`.

    Raises:
        ValueError: If there are none.

    Example:
    >>> x = np.arange(6, dtype=np.float32).reshape(6, 1, 1, 1)
    >>> spread((x, np.arange(6)), 3, divide=2)[0].ravel().tolist()
    [0.0, 1.0, 2.5]
    """
    x, y = split
    if y is None:
        parts = list(x.as_numpy_iterator())
        x, y = (
            np.concatenate([part[place] for part in parts]) for place in (0, 1)
        )
    x, y = np.asarray(x), np.asarray(y)
    if not len(x):
        raise ValueError("There must be images. Received: an empty split.")
    rows = np.arange(len(x))
    if count is not None and count < len(x):
        rows = np.linspace(0, len(x) - 1, count).astype(int)
    x, y = x[rows], y[rows]
    if y.ndim > 1:
        y = y.argmax(-1) if y.shape[-1] > 1 else y[:, 0]
    return scaled(x, divide), y.astype(np.int64)


def scaled(x: np.ndarray, divide: float | None) -> np.ndarray:
    """Pixels as a network takes them, see `spread`."""
    if divide is None:
        divide = 255 if x.dtype == np.uint8 else 1
    return x.astype(np.float32) / np.float32(divide)
