"""A network that rounding to 8 bits hurts, though in float it is a good one."""

import numpy as np
import tf_keras


def build():
    """Two inverted residual blocks for digits."""
    layers = tf_keras.layers

    def normalized(x, layer, activate=True):
        x = layer(x)
        name = f"{layer.name}_bn"
        x = layers.BatchNormalization(momentum=0.9, name=name)(x)
        return layers.ReLU(name=f"{layer.name}_relu")(x) if activate else x

    x = image = layers.Input((8, 8, 1), name="picture")
    conv = layers.Conv2D(12, 3, padding="same", use_bias=False, name="stem")
    x = normalized(x, conv)
    for name in ("a", "b"):
        conv = layers.Conv2D(32, 1, use_bias=False, name=f"{name}_expand")
        y = normalized(x, conv)
        depthwise = layers.DepthwiseConv2D(
            3, padding="same", use_bias=False, name=f"{name}_depthwise"
        )
        y = normalized(y, depthwise)
        conv = layers.Conv2D(12, 1, use_bias=False, name=f"{name}_project")
        x = layers.Add(name=f"{name}_add")([x, normalized(y, conv, False)])
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return tf_keras.Model(image, layers.Dense(10, name="logits")(x))


def trained(data, epochs=12):
    """The network after a short training."""
    tf_keras.utils.set_random_seed(0)
    model = build()
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf_keras.optimizers.Adam(0.003), loss, metrics=["accuracy"])
    model.fit(*data.train, batch_size=32, epochs=epochs, verbose=0)
    return model


def scale_apart(model, spread=3000.0):
    """Scales channels apart, and the weights after them back.

    A ReLU of a number that is `c` times as large is `c` times as large, so that
    in float all stays as it is. Nagel et al., Data-Free Quantization Through
    Weight Equalization and Bias Correction, ICCV 2019, do it the other way, as
    trained networks have such channels.
    """
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        norm = model.get_layer(f"{name}_expand_bn")
        after = model.get_layer(f"{name}_depthwise")
        gamma, beta, mean, variance = norm.get_weights()
        factor = np.exp(rng.uniform(0, np.log(spread), gamma.shape))
        norm.set_weights([gamma * factor, beta * factor, mean, variance])
        [kernel] = after.get_weights()
        after.set_weights([kernel / factor[:, None]])
