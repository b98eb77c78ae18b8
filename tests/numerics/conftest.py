"""A float network, the int8 one made from it, and images for both."""

import numpy as np
import pytest
import tf_keras

from tf_cosearch.training import qat, session


def build(blown=None):
    """A network of all that is rounded differently, with random weights.

    Args:
        blown: Name of a layer whose fourth channel is a hundred times as large.
    """
    layers = tf_keras.layers
    image = tf_keras.Input((8, 8, 1), name="picture")
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="stem")(image)
    x = layers.BatchNormalization(name="stem_bn")(x)
    x = layers.ReLU(name="stem_relu")(x)
    y = layers.Conv2D(16, 1, activation="relu", name="expand")(x)
    y = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(y)
    y = layers.Activation("swish", name="swish")(y)
    z = layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(y)
    z = layers.Conv2D(16, 1, activation="sigmoid", name="restore")(z)
    y = layers.Multiply(name="excite")([y, z])
    left = layers.Conv2D(4, 1, name="left")(y)
    right = layers.Conv2D(4, 1, name="right")(y)
    y = layers.Concatenate(name="join")([left, right])
    x = layers.Add(name="add")([x, y])
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    model = tf_keras.Model(image, layers.Dense(5, name="logits")(x))
    rng = np.random.default_rng(0)
    for layer in model.layers:
        weights = [
            np.abs(rng.normal(1, 0.1, w.shape))
            if "bn" in layer.name
            else rng.normal(0, 0.3, w.shape)
            for w in layer.get_weights()
        ]
        if layer.name == blown:
            axis = 2 if "depthwise" in layer.name else 3
            np.moveaxis(weights[0], axis, 0)[3] *= 100
        layer.set_weights(weights)
    return model


@pytest.fixture(scope="package")
def pictures():
    rng = np.random.default_rng(1)
    return rng.normal(0, 1, (32, 8, 8, 1)).astype(np.float32)


@pytest.fixture(scope="package")
def model():
    with session.private():
        return build()


@pytest.fixture(scope="package")
def pair(model, pictures):
    """Both files of the network."""
    with session.private():
        return qat.to_float_tflite(model), qat.to_tflite(model, pictures)


@pytest.fixture(scope="package")
def blown_pair(pictures):
    """The same with a channel of the depthwise layer that is blown up."""
    with session.private():
        model = build("depthwise")
        return qat.to_float_tflite(model), qat.to_tflite(model, pictures)
