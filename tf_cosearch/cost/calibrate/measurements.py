"""Latencies that were measured on a device: which network took how long."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from tf_cosearch import configuration
from tf_cosearch.networks import published
from tf_cosearch.networks.importers import layers_csv, model_files
from tf_cosearch.networks.workload import Layer

_NETWORKS = ("network", "model")  # columns, either will do


class Measurement(NamedTuple):
    """How long a device takes for one inference of a network.

    Attributes:
        name: The network, with its input where the file says one.
        layers: The rows of its layer table.
        latency_ms: The latency that was measured, in milliseconds.
        source: Who says so, if the file has a column `source`.
    """

    name: str
    layers: list[Layer]
    latency_ms: float
    source: str = ""


class _Row(NamedTuple):
    """A row of the file, which knows where it stands."""

    path: pathlib.Path
    number: int
    line: int
    cells: dict[str, str]

    def error(self, column: str, problem: str) -> ValueError:
        return ValueError(
            f"{self.path}, row {self.number} (line {self.line}), column "
            f"{column}: {problem}"
        )


def read_measurements(
    path: str | pathlib.Path, device: str | None = None
) -> list[Measurement]:
    """Reads measured latencies, one a row.

    Args:
        path: A CSV file with a column `network` or `model`: a name of
            `networks.published`, or a `.tflite`, `.keras` or `.h5` file,
            looked for from here and beside the CSV file. `latency_ms` are
            milliseconds an inference. `input_px`, if there, are rows and
            columns of the image of a network by name, or of a file that
            leaves its size open, `source` who says so. Other columns are
            ignored.
        device: Which rows to read, by the column `device`; all by default.

    Returns:
        A `Measurement` for every row, in the order of the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a column is missing, a row wrong, or the rows measure
            several devices and `device` does not say which.
    """
    path = pathlib.Path(path)
    header, rows = layers_csv.read_rows(path)
    columns = ", ".join(filter(None, header)) or "an empty file"
    if not set(_NETWORKS) & set(header) or "latency_ms" not in header:
        raise ValueError(
            f"{path} must have the columns network (or model) and latency_ms. "
            f"Received: {columns}."
        )
    numbered = [_Row(path, n, *row) for n, row in enumerate(rows, 1)]
    if not numbered:
        raise ValueError(
            f"{path} must have a row for every measured network. Received: "
            "a header only."
        )
    if device is not None and "device" not in header:
        raise ValueError(
            f"{path} must have the column device to choose {device!r} by. "
            f"Received: {columns}. Do not choose a device."
        )
    chosen = _of_device(numbered, device) if "device" in header else numbered
    return [_measurement(row) for row in chosen]


def read_device(
    paths: Sequence[str | pathlib.Path], device: str
) -> list[Measurement]:
    """Reads the rows of a device from all files that have some.

    Args:
        paths: CSV files as of `read_measurements`, with a column `device`.
        device: Which rows to read.

    Returns:
        A `Measurement` for each, in the order of the files.

    Raises:
        ValueError: If no file has rows of the device, or a row is wrong.
    """
    measured, known = [], []
    for path in paths:
        _, rows = layers_csv.read_rows(pathlib.Path(path))
        devices = [cells.get("device", "") for _, cells in rows]
        known += devices
        if device in devices:
            measured += read_measurements(path, device)
    if not measured:
        where = f"device in {', '.join(map(str, paths))}, column device"
        raise configuration.unknown(where, device, dict.fromkeys(known))
    return measured


def _of_device(rows: list[_Row], device: str | None) -> list[_Row]:
    known = list(dict.fromkeys(row.cells["device"] for row in rows))
    if device is None:
        if len(known) == 1:
            return rows
        other = next(r for r in rows if r.cells["device"] != known[0])
        raise other.error(
            "device",
            "must be the same device in all rows, unless one is chosen "
            f"(--device=NAME). Received: {', '.join(known)}.",
        )
    if device not in known:
        raise configuration.unknown(
            f"device in {rows[0].path}, column device", device, known
        )
    return [row for row in rows if row.cells["device"] == device]


def _measurement(row: _Row) -> Measurement:
    column = next((c for c in _NETWORKS if row.cells.get(c)), None)
    if column is None:
        column = next(c for c in _NETWORKS if c in row.cells)
        raise row.error(
            column, "must name a network or a model file. Received: ''."
        )
    name = row.cells[column]
    other = next((c for c in _NETWORKS if c != column and row.cells.get(c)), "")
    if other:
        raise row.error(
            other,
            f"must be empty where {column} says the network. Received: "
            f"{row.cells[other]!r} beside {name!r}. Leave one of them out.",
        )
    pixels = row.cells.get("input_px", "")
    layers = _layers(row, column, name, pixels)
    label = f"{name} {pixels} px" if pixels else name
    source = row.cells.get("source", "")
    return Measurement(label, layers, _latency_ms(row), source)


def _latency_ms(row: _Row) -> float:
    text = row.cells["latency_ms"]
    try:
        latency_ms = float(text)
    except ValueError:
        latency_ms = math.nan
    if not 0 < latency_ms < math.inf:
        raise row.error(
            "latency_ms",
            "must be a positive number of milliseconds. Received: "
            f"{text!r}. Measure it again, or leave the row out.",
        )
    return latency_ms


def _layers(row: _Row, column: str, name: str, pixels: str) -> list[Layer]:
    if pixels and not (pixels.isdecimal() and 0 < int(pixels) < 10**6):
        raise row.error(
            "input_px",
            "must be a positive whole number of pixels, or empty. Received: "
            f"{pixels!r}.",
        )
    px, file = int(pixels) if pixels else None, pathlib.Path(name)
    try:
        if not model_files.is_model_file(file):
            return published.load(name, px)
        beside = row.path.parent / file
        file = beside if not file.exists() and beside.exists() else file
        model = model_files.load_model(file, px)
    except (OSError, ValueError) as error:
        raise row.error(column, str(error)) from error
    if model.uncosted:
        raise row.error(
            column,
            "must be a network of known operations, or the constants would "
            f"stand for what is not counted. Received: {name} with "
            f"{', '.join(model.uncosted)}. Leave the row out.",
        )
    return model.layers
