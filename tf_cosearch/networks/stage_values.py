"""What the keys of a stage may say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from tf_cosearch import configuration
from tf_cosearch.networks import blocks, precision
from tf_cosearch.networks.layer_ops import ACTIVATIONS
from tf_cosearch.tasks import Task

MOST_PIXELS = 8192
"""Largest side of an image."""
MOST_CLASSES = 1_000_000
WIDTH_DIVISOR = 8
STAGE_KEYS = ("filters", "width_multiplier", "stride", "repeats")
_RANGES: dict[str, tuple[float, float, bool]] = {
    "filters": (1, 8192, True),
    "width_multiplier": (0.01, 16, False),
    "stride": (1, 4, True),
    "repeats": (1, 64, True),
    "kernel_size": (1, 31, True),
    "expansion": (0.1, 32, False),
    "groups": (1, 1024, True),
    "se_ratio": (0, 1, False),
    "dropout": (0, 0.95, False),
}
_BITS = {**precision.FORMATS, "classifier_bits": (4, 8)}
_RECTANGLE = re.compile(r"[1-9]\d?x[1-9]\d?")
_WORDS: dict[str, tuple[Any, ...]] = {
    "activation": ACTIVATIONS,
    "stride_at": ("expand", "project"),
    "skip": (True, False),
}


def round_channels(channels: float) -> int:
    """Rounds a scaled width to a multiple of 8, losing at most a tenth.

    Example:
    >>> round_channels(24 * 0.75), round_channels(32 * 1.0)
    (24, 32)

    Reference: Howard et al., MobileNet, in TF-Slim's `make_divisible`.
    """
    nearest = int(channels + WIDTH_DIVISOR / 2) // WIDTH_DIVISOR
    rounded = max(WIDTH_DIVISOR, nearest * WIDTH_DIVISOR)
    return rounded + WIDTH_DIVISOR if rounded < 0.9 * channels else rounded


def kernel_sides(kernel_size: int | str) -> tuple[int, int]:
    """Rows and columns of a kernel, which is said as one number or as `10x4`.

    Example:
    >>> kernel_sides(3), kernel_sides("10x4")
    ((3, 3), (10, 4))
    """
    rows, _, columns = str(kernel_size).partition("x")
    return int(rows), int(columns or rows)


def kernel_choices(values: Sequence[int | str]) -> tuple[int | str, ...]:
    """Kernels said alike, as choices must be of one type.

    Example:
    >>> kernel_choices([3, "5x5"]), kernel_choices([3, "10x4"])
    ((3, 5), ('3x3', '10x4'))
    """
    sides = [kernel_sides(value) for value in values]
    if all(rows == columns for rows, columns in sides):
        return tuple(rows for rows, _ in sides)
    return tuple(f"{rows}x{columns}" for rows, columns in sides)


def check_value(key: str, value: object, where: str) -> Any:
    """Checks one value of a stage and returns it as a plain one."""
    if key == "kernel_size" and not isinstance(value, int | float):
        return _check_kernel(value, where)
    where = f"{key} in {where}"
    if key in _WORDS:
        if value not in _WORDS[key]:
            raise configuration.unknown(where, value, _WORDS[key])
        return value
    if key in _BITS:
        if type(value) is not int or value not in _BITS[key]:
            widths = " or ".join(map(str, _BITS[key]))
            raise ValueError(
                f"{where} must be {widths}, which TFLite has formats and "
                f"kernels for. Received: {value!r}."
            )
        return value
    if key == "block":
        if value not in blocks.names():
            raise configuration.unknown(where, value, blocks.names())
        return value
    if key not in _RANGES:
        if not isinstance(value, str | int | float):
            raise ValueError(
                f"{where} must be one value or a list of values. Received: "
                f"{value!r}."
            )
        return value
    return _in_range(value, where, *_RANGES[key])


def check_classes(value: object, task: Task, where: str) -> Any:
    """Checks how many numbers the networks of a task put out."""
    return _in_range(
        value, f"classes in {where}", task.fewest, MOST_CLASSES, True
    )


def _in_range(
    value: object, where: str, low: float, high: float, integer: bool
) -> Any:
    """Checks a number and returns it as a plain one."""
    number = configuration.number(value, where)
    if not low <= number <= high or (integer and number != int(number)):
        kind = "a whole number" if integer else "a number"
        raise ValueError(
            f"{where} must be {kind} in {low:g} to {high:g}. "
            f"Received: {value!r}."
        )
    return int(number) if number == int(number) else number


def _check_kernel(value: object, where: str) -> Any:
    """Checks a kernel that is no number: rows and columns, as `10x4`."""
    if not _RECTANGLE.fullmatch(str(value)):
        raise ValueError(
            f"kernel_size in {where} must be a number, or rows and columns "
            f"such as 10x4. Received: {value!r}."
        )
    for side in kernel_sides(str(value)):
        check_value("kernel_size", side, where)
    return value


def image_shape(value: object, where: str) -> tuple[int, int, int]:
    """Checks height, width and channels of an image."""
    if (
        not isinstance(value, Sequence)
        or len(value) != 3
        or any(isinstance(n, bool) or not isinstance(n, int) for n in value)
        or not 1 <= min(value) <= max(value) <= MOST_PIXELS
    ):
        raise ValueError(
            f"input_shape in {where} must be height, width and channels, "
            f"each 1 to {MOST_PIXELS}. Received: {value!r}."
        )
    return tuple(value)
