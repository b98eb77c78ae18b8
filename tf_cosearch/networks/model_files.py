"""Reads the layers of a model file of any kind."""

from __future__ import annotations

import pathlib

from tf_cosearch.networks import keras_files, keras_import, tflite_import
from tf_cosearch.networks.workload import Layer

ENDINGS = (".tflite", ".keras", ".h5")
"""Endings of the files that can be read."""


def load_layers(path: str | pathlib.Path) -> list[Layer]:
    """Reads the layers of a TFLite or Keras model.

    Args:
        path: A file with one of `ENDINGS`.

    Returns:
        The rows of its layer table, in execution order.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it ends differently, or is damaged.
    """
    path = pathlib.Path(path)
    if path.suffix not in ENDINGS:
        raise ValueError(
            f"A model file must end in {', '.join(ENDINGS[:-1])} or "
            f"{ENDINGS[-1]}. Received: {path}."
        )
    if path.suffix == ".tflite":
        return tflite_import.from_tflite(path)
    return keras_import.from_keras(keras_files.load_keras(path))
