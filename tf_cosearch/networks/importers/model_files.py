"""Reads the layers of a model file of any kind."""

from __future__ import annotations

import pathlib
from typing import NamedTuple

from tf_cosearch.networks.importers import (
    keras_files,
    keras_import,
    tflite_file,
    tflite_import,
)
from tf_cosearch.networks.workload import Layer

ENDINGS = (".tflite", ".lite", ".keras", ".h5", ".hdf5")
"""Endings of the files that can be read, in lower or upper case."""

_TFLITE = ENDINGS[:2]


class ModelFile(NamedTuple):
    """What a model file says.

    Attributes:
        layers: The rows of its layer table, in execution order.
        uncosted: The operations that cannot be costed; they count as data
            movement.
        signatures: The names of the signatures of a TFLite model, first of
            the one that was read.
    """

    layers: list[Layer]
    uncosted: list[str]
    signatures: list[str]


def is_model_file(path: str | pathlib.Path) -> bool:
    """Whether a path ends like a model file."""
    return pathlib.Path(path).suffix.lower() in ENDINGS


def load_model(
    path: str | pathlib.Path,
    input_px: int | None = None,
    signature: str | None = None,
) -> ModelFile:
    """Reads a TFLite or Keras model.

    Args:
        path: A file with one of `ENDINGS`. What is in it says of which kind
            it is.
        input_px: Rows and columns of input images whose size the file leaves
            open.
        signature: Which signature of a TFLite model, by default its first
            graph.

    Returns:
        The layers, and what of the model they leave out.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it ends differently, is no file, is damaged, or
            `input_px` or `signature` are for other files than this.
    """
    path = pathlib.Path(path)
    if not is_model_file(path):
        raise ValueError(
            f"A model file must end in {', '.join(ENDINGS[:-1])} or "
            f"{ENDINGS[-1]}. Received: {path}."
        )
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise ValueError(
            f"A model file must be a file. Received: {path}, a folder, pipe or "
            "device. Give the file itself."
        )
    model = _load(path, input_px, signature)
    if not model.layers:
        raise ValueError(
            f"{path} must hold an operation that costs something. Received: "
            "none, of a network that passes its inputs on."
        )
    return model


def _load(
    path: pathlib.Path, input_px: int | None, signature: str | None
) -> ModelFile:
    uncosted: list[str] = []
    if path.suffix.lower() in _TFLITE or tflite_file.is_tflite(path):
        layers = tflite_import.from_tflite(
            path, uncosted.append, input_px, signature
        )
        graphs = tflite_import.signatures(path)
        is_other = {name: graph != 0 for name, graph in graphs.items()}
        if signature is not None:
            is_other = {name: name != signature for name in graphs}
        return ModelFile(
            layers, uncosted, sorted(graphs, key=lambda name: is_other[name])
        )
    if signature is not None:
        raise ValueError(
            "Only a TFLite model has signatures. Received: signature="
            f"{signature!r} with {path}. Leave it out."
        )
    model = keras_files.load_keras(path, input_px)
    return ModelFile(
        keras_import.from_keras(model, uncosted.append), uncosted, []
    )
