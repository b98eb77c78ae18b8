"""A small network of every block style, and images it learns at once."""

import functools

import numpy as np
import pytest

from tf_cosearch.training import inputs

SHAPE = (8, 8, 1)


def build(K, activation="relu", squeeze=False, fused=False):  # noqa: N803
    """A stem, one residual block with grouped convolution, a head."""
    layers = K.layers

    def conv(x, name, layer, activate=True):
        x = layer(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
        if not activate:
            return x
        if activation == "relu":
            return layers.ReLU(name=f"{name}_relu")(x)
        return layers.Activation(activation, name=f"{name}_act")(x)

    def conv2d(filters, size, name, **settings):
        return layers.Conv2D(
            filters, size, padding="same", use_bias=False, name=name, **settings
        )

    images = K.Input(SHAPE, name="images")
    x = conv(images, "stem", conv2d(8, 3, "stem", strides=2))
    if fused:
        y = conv(x, "fused", conv2d(16, 3, "fused", groups=2))
    else:
        y = conv(x, "expand", conv2d(16, 1, "expand", groups=2))
        depthwise = layers.DepthwiseConv2D(
            3, padding="same", use_bias=False, name="depthwise"
        )
        y = conv(y, "depthwise", depthwise)
    if squeeze:
        z = layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(y)
        z = layers.Conv2D(4, 1, activation="relu", name="reduce")(z)
        z = layers.Conv2D(16, 1, activation="sigmoid", name="restore")(z)
        y = layers.Multiply(name="scale")([y, z])
    y = conv(y, "project", conv2d(8, 1, "project"), activate=False)
    x = layers.Add(name="add")([x, y])
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(0.1, name="dropout")(x)
    return K.Model(images, layers.Dense(3, name="logits")(x))


def build_small(K):  # noqa: N803
    """Batch normalization and dropout, and little to trace."""
    images = K.Input(SHAPE, name="images")
    x = K.layers.Conv2D(8, 3, strides=2, use_bias=False, name="stem")(images)
    x = K.layers.BatchNormalization(momentum=0.9, name="stem_bn")(x)
    x = K.layers.ReLU(name="stem_relu")(x)
    x = K.layers.GlobalAveragePooling2D(name="pool")(x)
    x = K.layers.Dropout(0.1, name="dropout")(x)
    return K.Model(images, K.layers.Dense(3, name="logits")(x))


def make_images(count, seed):
    """Images `[count, 8, 8, 1]` whose class is the orientation of waves."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    row, column = np.mgrid[:8, :8] * np.pi / 2
    waves = np.stack([row, column, row + column])[labels]
    phase = rng.uniform(0, 2 * np.pi, (count, 1, 1))
    x = np.sin(waves + phase) / 2 + rng.normal(0, 0.1, (count, 8, 8)) + 0.5
    return x[..., None].astype(np.float32), labels


@pytest.fixture(name="build", scope="session")
def build_fixture():
    return build


@pytest.fixture(name="small", scope="session")
def small_fixture():
    return build_small


VARIANTS = {
    "inverted": build,
    "fused": functools.partial(build, fused=True),
    "swish_squeeze": functools.partial(build, activation="swish", squeeze=True),
}


@pytest.fixture(
    params=[
        name
        if name == "swish_squeeze"
        else pytest.param(name, marks=pytest.mark.slow)
        for name in VARIANTS
    ],
    scope="session",
)
def variant(request):
    return VARIANTS[request.param]


@pytest.fixture(scope="session")
def waves():
    """Training and validation images with their labels."""
    return make_images(192, 0), make_images(96, 1)


@pytest.fixture(scope="session")
def data(waves):
    """The same, prepared for training."""
    (x, y), validation = waves
    return inputs.prepare(
        x,
        y,
        input_shape=SHAPE,
        classes=3,
        validation_data=validation,
        batch_size=16,
    )
