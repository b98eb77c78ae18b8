"""Reads layers from a table that other tools can write."""

from __future__ import annotations

import csv
import pathlib
import re
from typing import Any

from tf_cosearch.networks import workload

COLUMNS = ("H", "W", "Cin", "Cout", "Kh", "Kw", "stride", "groups", "OH", "OW")
"""Columns that a table must have; others are free.

Instead of `stride` it may have `stride_h` and `stride_w`.
"""

_SIZES = tuple(column for column in COLUMNS if column != "stride")

_LARGEST = 2**24  # up to here a float32 layer table counts exactly


def read_layers_csv(path: str | pathlib.Path) -> list[workload.Layer]:
    """Reads convolutions and dense layers, one a row.

    A single pixel with a 1x1 kernel is a dense layer, as many groups as input
    channels are a depthwise convolution. Every row is 8-bit and has a bias.

    Args:
        path: A CSV file with the columns `H,W,Cin,Cout,Kh,Kw,stride,groups,
            OH,OW` in any order: rows, columns and channels of the input,
            channels of the output, extents of the kernel, its stride both
            ways, groups, rows and columns of the output. Instead of `stride`,
            `stride_h` and `stride_w` may say how far the kernel steps down
            and sideways; so may `dilation`, or `dilation_h` and `dilation_w`,
            how far apart its taps are. A column `name` names the layers,
            which else are `line2` and so on; others are ignored.

    Returns:
        A `Layer` for every row, in the order of the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a column is missing, a row describes no layer, or its
            columns contradict each other. Any padding is possible with which
            every window of the kernel still touches the input.
    """
    path = pathlib.Path(path)
    header, rows = read_rows(path)
    missing = [column for column in _SIZES if column not in header]
    if not {"stride_h", "stride_w"} <= set(header) and "stride" not in header:
        missing.append("stride, or stride_h and stride_w")
    if missing:
        raise ValueError(
            f"{path} must have the columns {','.join(COLUMNS)}. Received: "
            f"{','.join(header) or 'an empty file'}; missing: "
            f"{','.join(missing)}."
        )
    if not rows:
        raise ValueError(
            f"{path} must have a row for every layer. Received: a header only."
        )
    return [_layer(path, line, row) for line, row in rows]


def read_rows(
    path: pathlib.Path,
) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Reads a CSV file.

    Args:
        path: A file whose first line names the columns.

    Returns:
        The columns, and each row with the number of its last line. What a row
        lacks is empty; spaces around a value are dropped.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, two columns have one name, or a row
            has more values than there are columns.
    """
    if not path.exists():
        raise FileNotFoundError(f"The CSV file must exist. Received: {path}.")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            header = [(name or "").strip() for name in reader.fieldnames or ()]
            reader.fieldnames = header
            rows = []
            for row in reader:
                _check_count(path, reader.line_num, header, row)
                cells = {name: (row[name] or "").strip() for name in header}
                rows.append((reader.line_num, cells))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"{path} must be a readable CSV file. Received: {error}."
        ) from error
    for name in header:
        if name and header.count(name) > 1:
            raise ValueError(
                f"{path} must have a column once. Received: {name!r} "
                f"{header.count(name)} times. Drop or rename the others."
            )
    return header, rows


def _check_count(
    path: pathlib.Path, line: int, header: list[str], row: dict[Any, Any]
) -> None:
    """Refuses values beyond the last column, as `2,4` of a comma makes."""
    more = row.get(None, [])  # where csv keeps them
    if any(value.strip() for value in more):
        cells = [row[name] for name in header] + more
        raise ValueError(
            f"{path}, line {line}: must have a value for each column, "
            f"{len(header)}. Received: {len(cells)}, {','.join(cells)}. Write "
            "numbers with a point, and quote a text that has a comma."
        )


def _layer(
    path: pathlib.Path, line: int, row: dict[str, str]
) -> workload.Layer:
    def error(column: str, must: str) -> ValueError:
        return ValueError(
            f"{path}, line {line}, column {column}: {must}. Received: "
            f"{row[column]!r}."
        )

    def number(column: str) -> int:
        text = row[column]
        if not re.fullmatch("[+-]?[0-9]+", text):
            raise error(column, "must be an integer")
        if len(text) > 12 or not 1 <= int(text) <= _LARGEST:
            raise error(column, f"must be from 1 to {_LARGEST}")
        return int(text)

    def axes(name: str, default: int | None = None) -> tuple[int, int]:
        """What is said of both axes together, or of each."""
        common = number(name) if row.get(name) else default
        extents = []
        for column in (f"{name}_h", f"{name}_w"):
            value = number(column) if row.get(column) else common
            if value is None:
                raise error(
                    name if name in row else column, "must be an integer"
                )
            if row.get(name) and value != common:
                raise error(
                    column, f"must be that of {name}={common}, or empty"
                )
            extents.append(value)
        return extents[0], extents[1]

    h, w, in_c, out_c, k_h, k_w, groups, out_h, out_w = map(number, _SIZES)
    strides, dilations = axes("stride"), axes("dilation", 1)
    if in_c % groups or out_c % groups:
        raise error("groups", f"must divide Cin={in_c} and Cout={out_c}")
    for size, kernel, stride, dilation, out, column in (
        (h, k_h, strides[0], dilations[0], out_h, "OH"),
        (w, k_w, strides[1], dilations[1], out_w, "OW"),
    ):
        largest = (size - 1 + (kernel - 1) * dilation) // stride + 1
        if out > largest:
            raise error(
                column,
                f"must be at most {largest}, since every window of a kernel of "
                f"{kernel} with stride {stride} must touch the input of {size}"
                + (f", dilation {dilation}" if dilation > 1 else "")
                + "; where the axes differ give stride_h and stride_w",
            )
    is_pixel = h == w == k_h == k_w == out_h == out_w == 1
    op = "dense" if is_pixel and groups == 1 else "conv2d"
    if groups == in_c > 1:
        op = "depthwise_conv2d"
    return workload.Layer(
        row.get("name") or f"line{line}",
        op,
        out_h,
        out_w,
        out_c,
        h,
        w,
        in_c,
        k_h,
        k_w,
        *strides,
        groups,
        dilation_h=dilations[0],
        dilation_w=dilations[1],
    )
