"""The float network that a quantized file was made from, as a .tflite file."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import tf_keras

from tf_cosearch.designs.export import FLOAT_WEIGHTS, QAT_WEIGHTS, Design
from tf_cosearch.networks.importers import keras_files, tflite_file
from tf_cosearch.networks.saved_network import SavedNetwork
from tf_cosearch.training import qat, rebuild, session


def of_design(design: Design) -> bytes:
    """The float network with the weights that the int8 file has rounded.

    These are those after quantization-aware training, if there was such, so
    that what differs is rounding and not training.

    Args:
        design: Of `load_design`.

    Raises:
        ValueError: If weights are damaged or of another network.
        FileNotFoundError: If they are gone.
    """
    is_aware = "accuracy_qat" in design.metrics
    precision = None
    with session.private():
        if isinstance(design.network, SavedNetwork):
            model = design.network.outline(with_weights=True)
            # Quantization-aware training knows tf_keras alone.
            model = rebuild.Rebuilt(model).model if is_aware else model
        else:
            model = design.network.build(tf_keras)
            precision = design.network.precision
        if is_aware:
            aware = qat.quantize(model, precision)
            qat.load_weights(aware, design.folder / QAT_WEIGHTS)
            trained = {weight.name: weight for weight in aware.weights}
            model.set_weights(
                [np.asarray(trained[weight.name]) for weight in model.weights]
            )
        else:
            qat.load_weights(model, design.folder / FLOAT_WEIGHTS)
        return qat.to_float_tflite(model)


def of_file(path: str | pathlib.Path) -> bytes:
    """A float model of a file.

    Args:
        path: A float `.tflite`, `.keras` or `.h5` file. None runs code.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is damaged, is quantized, or holds no weights or
            other than finite ones.
    """
    path = pathlib.Path(path)
    if tflite_file.is_tflite(path) or path.suffix in (".tflite", ".lite"):
        return tflite_file.read_bytes(path)
    with session.private():
        return qat.to_float_tflite(load_trained(path))


def load_trained(path: str | pathlib.Path) -> Any:
    """The model of a Keras file, with weights that are numbers.

    Args:
        path: A `.keras` or `.h5` file.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is damaged, holds no weights, or other than finite
            ones; or if the model has several inputs or outputs.
    """
    model = keras_files.load_trained(path)
    for weight in model.weights:
        values = np.asarray(weight)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ValueError(
                f"Weights of {path} must be finite numbers. Received: NaN or "
                f"infinity in {weight.name}. Train it again."
            )
    ends = len(model.inputs), len(model.outputs)
    if ends != (1, 1):
        raise ValueError(
            f"The model of {path} must have one input and one output. "
            f"Received: {ends[0]} and {ends[1]}."
        )
    return model
