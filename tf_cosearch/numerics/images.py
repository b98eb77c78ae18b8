"""Images of a data set, as a network takes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

_BATCH = 256


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
    x, y = stored(split, count)
    return scaled(x, divide), y


def stored(
    split: tuple[Any, Any], count: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """The same as `spread`, with pixels as the split has them."""
    x, y = split
    if y is None:
        parts = list(x.as_numpy_iterator())
        x, y = (
            np.concatenate([part[place] for part in parts]) for place in (0, 1)
        )
    if not len(x):
        raise ValueError("There must be images. Received: an empty split.")
    rows: Any = slice(None)
    if count is not None and count < len(x):
        rows = np.linspace(0, len(x) - 1, count).astype(int)
    return np.asarray(x)[rows], _classes(np.asarray(y)[rows])


def batches(
    split: tuple[Any, Any], divide: float | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All images of a split, as `spread` returns them, some at a time."""
    x, y = split
    if y is None:
        for part in x.as_numpy_iterator():
            yield scaled(part[0], divide), _classes(part[1])
    else:
        for start in range(0, len(x), _BATCH):
            some = slice(start, start + _BATCH)
            yield (
                scaled(np.asarray(x[some]), divide),
                _classes(np.asarray(y[some])),
            )


def divisor(split: tuple[Any, Any], divide: float | None) -> float:
    """What pixels are divided by for a network whose file does not say it.

    Args:
        split: As of `spread`.
        divide: What the user says; None is nothing.

    Raises:
        ValueError: If pixels are whole numbers, and the user says nothing.

    Example:
    >>> divisor((np.zeros((1, 2, 2, 1), np.uint8), [0]), None)
    Traceback (most recent call last):
    ValueError: Whole numbers must be divided as where the network was trained.
    Received: pixels of dtype uint8. Say --divide=255, or --divide=1 for a
    network that takes them as they are.
    """
    if divide is not None:
        return divide
    x, y = split
    dtype = x.element_spec[0].dtype.as_numpy_dtype if y is None else x.dtype
    if np.dtype(dtype).kind in "ui":
        raise ValueError(
            "Whole numbers must be divided as where the network was trained. "
            f"Received: pixels of dtype {np.dtype(dtype)}. Say --divide=255, "
            "or --divide=1 for a network that takes them as they are."
        )
    return 1.0


def _classes(y: np.ndarray) -> np.ndarray:
    """Labels `[N]` of labels, or of a row a label."""
    if y.ndim > 1:
        y = y.argmax(-1) if y.shape[-1] > 1 else y[:, 0]
    return y.astype(np.int64)


def require_numbers(x: np.ndarray) -> None:
    """Refuses images that hold anything else.

    Raises:
        ValueError: If they do.
    """
    if x.dtype.kind not in "buif":
        raise ValueError(f"Images must be numbers. Received: dtype {x.dtype}.")


def scaled(x: np.ndarray, divide: float | None) -> np.ndarray:
    """Pixels as a network takes them, see `spread`.

    Raises:
        ValueError: If they are no numbers.
    """
    require_numbers(x)
    if divide is None:
        divide = 255 if x.dtype == np.uint8 else 1
    return x.astype(np.float32) / np.float32(divide)
