"""Measures networks on Ethos-U by Arm's compiler Vela."""

from __future__ import annotations

import csv
import io
import pathlib
import tempfile

import numpy as np

from tf_cosearch import configuration, files
from tf_cosearch.accelerators import presets
from tf_cosearch.cost.calibrate.drawn_networks import draw
from tf_cosearch.networks.importers import layers_csv

FILE = "ethos_u_networks.csv"
"""Shipped measurements."""

COLUMNS = ("tool", "preset", "role", "network", "input_px", "seed", "cycles")


def measure(rows: str | None, output: str) -> str:
    """Measures the networks of a table again, each with random weights.

    Args:
        rows: CSV with the columns of `COLUMNS`, of which `tool` and `cycles`
            are measured; by default the shipped one.
        output: CSV to write.

    Returns:
        What was done, in words.

    Raises:
        ImportError: If Vela is not installed.
        ValueError: If a column is missing.
        FileNotFoundError: If there is no such file.
    """
    path = pathlib.Path(rows or configuration.shipped("measurements", FILE))
    header, numbered = layers_csv.read_rows(path)
    configuration.check_keys(dict.fromkeys(header), str(path), COLUMNS, COLUMNS)
    measured = [dict(row) for _, row in numbered]
    with tempfile.TemporaryDirectory(prefix="ethos_u_") as folder:
        for row in measured:
            _measure(row, pathlib.Path(folder))
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(measured)
    files.write_text(output, text.getvalue())
    return f"{len(measured)} rows in {output}"


def _measure(row: dict[str, str], folder: pathlib.Path) -> None:
    """Fills in what Vela says; a network is built once."""
    from tf_cosearch.evaluators.evaluator import BuiltDesign
    from tf_cosearch.evaluators.vela import Vela

    network, input_px, seed = row["network"], row["input_px"], row["seed"]
    file = folder / f"{network}_{input_px}_{seed}.tflite"
    drawn = draw(network, int(input_px), int(seed) if seed else None)
    if not file.exists():
        file.write_bytes(_tflite(drawn))
    vela = Vela(row["preset"].replace("_", "-"))
    chip = presets.load_accelerator(row["preset"])
    said = vela.measure(BuiltDesign(drawn.layers(), chip, file))
    row["tool"] = f"vela-{vela.describe()['version']}"
    row["cycles"] = f"{said['cycles'].value:.0f}"


def _tflite(network: object) -> bytes:
    """The int8 file of a network with random weights."""
    import tf_keras

    from tf_cosearch.training import qat

    model = network.build(tf_keras)  # type: ignore[attr-defined]
    images = np.random.default_rng(0).random(
        (4, *model.input_shape[1:]), np.float32
    )
    return qat.to_tflite(model, images)
