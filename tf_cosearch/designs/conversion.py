"""Int8 files that are made anew: of an exported design, or of any network."""

from __future__ import annotations

import numpy as np
import tf_keras

from tf_cosearch.designs.export import QAT_WEIGHTS, Design
from tf_cosearch.networks.network import Network
from tf_cosearch.training import qat, session


def of_design(design: Design) -> bytes:
    """Converts a design from its quantization-aware weights.

    Args:
        design: Of `load_design`.

    Returns:
        A `.tflite` file that computes what `model.tflite` of the design does.

    Raises:
        ValueError: If the weights are damaged or of another network.
    """
    with session.private():
        network = design.network
        model = qat.quantize(network.build(tf_keras), network.precision)
        qat.load_weights(model, design.folder / QAT_WEIGHTS)
        return qat.to_tflite(model)


def of_network(network: Network, seed: int = 0) -> bytes:
    """Converts a network of random weights: enough to time it on a device.

    Args:
        network: The network.
        seed: Of the weights, and of the noise that sets the ranges of its
            activations.

    Returns:
        A `.tflite` file with int8 in, out and between.
    """
    noise = np.random.default_rng(seed).random(
        (8, *network.input_shape), np.float32
    )
    with session.private():
        session.seed(seed, "build")
        model = qat.quantize(network.build(tf_keras), network.precision)
        qat.calibrate(model, noise)
        return qat.to_tflite(model)
