# ruff: noqa: N803 as Keras itself is an argument here
import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tf_cosearch.training import qat, session
from tf_cosearch.training.rebuild import Rebuilt

LAYERS = {
    "rescaling": lambda L: L.Rescaling(1 / 2, offset=0.1),
    "random_flip": lambda L: L.RandomFlip("horizontal"),
    "random_rotation": lambda L: L.RandomRotation(0.1),
    "random_zoom": lambda L: L.RandomZoom(0.1),
    "random_translation": lambda L: L.RandomTranslation(0.1, 0.1),
    "random_contrast": lambda L: L.RandomContrast(0.1),
    "noise": lambda L: L.GaussianNoise(0.1),
    "dropout": lambda L: L.SpatialDropout2D(0.1),
    "normalization": lambda L: L.BatchNormalization(epsilon=0.01),
    "leaky": lambda L: L.LeakyReLU(0.1),
    "leaky_relu": lambda L: L.ReLU(negative_slope=0.2),
    "gelu": lambda L: L.Activation("gelu"),
    "silu": lambda L: L.Activation("silu"),
    "tanh": lambda L: L.Activation("tanh"),
    "separable": lambda L: L.SeparableConv2D(
        4, 3, strides=2, depth_multiplier=2, activation="relu"
    ),
    "depthwise": lambda L: L.DepthwiseConv2D(3, depth_multiplier=2),
    "transposed": lambda L: L.Conv2DTranspose(4, 3, 2, padding="same"),
    "grouped": lambda L: L.Conv2D(4, 3, groups=2, kernel_regularizer="l2"),
    "dilated": lambda L: L.Conv2D(4, 3, dilation_rate=2),
    "average": lambda L: L.AveragePooling2D(2),
    "upsampling": lambda L: L.UpSampling2D(interpolation="bilinear"),
    "padding": lambda L: L.ZeroPadding2D(((1, 0), (2, 1))),
    "cropping": lambda L: L.Cropping2D(1),
    "squeeze": lambda L: L.GlobalAveragePooling2D(keepdims=True),
    "permute": lambda L: L.Permute((2, 1, 3)),
    "softmax": lambda L: L.Softmax(),
}


def randomized(model):
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.uniform(0.2, 1, weight.shape))
    return model


def inputs_of(model, count=4):
    shape = (count, *model.inputs[0].shape[1:])
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def check_equal(model):
    rebuilt = Rebuilt(model)
    x = inputs_of(model)
    rebuilt.require_equal(x)
    before, after = (each(x, training=False) for each in (model, rebuilt.model))
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4)
    return rebuilt.model, x


@pytest.mark.parametrize("K", [keras, tf_keras])
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_gives_the_same_outputs(K, name):
    with session.private():
        stack = [
            K.Input((8, 8, 2)),
            K.layers.Conv2D(2, 3, padding="same", activation="relu"),
            LAYERS[name](K.layers),
            K.layers.Flatten(),
            K.layers.Dense(3),
        ]
        check_equal(randomized(K.Sequential(stack)))


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_becomes_int8(name):
    with session.private():
        stack = [
            keras.Input((8, 8, 2)),
            keras.layers.Conv2D(2, 3, padding="same", activation="relu"),
            LAYERS[name](keras.layers),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
        model, x = check_equal(randomized(keras.Sequential(stack)))
        aware = qat.quantize(model)

        qat.calibrate(aware, x)

        qat.check_int8(qat.to_tflite(aware))


def two_branches(K, join):
    x = K.Input((8, 8, 2))
    a = K.layers.Conv2D(4, 3, padding="same")(x)
    b = K.layers.Conv2D(4, 1, activation="relu")(x)
    y = join(K, a, b)
    return K.Model(x, K.layers.Dense(3)(K.layers.Flatten()(y)))


JOINS = {
    "operator": lambda K, a, b: a + b,
    "number": lambda K, a, b: a * 0.5 + b,
    "difference": lambda K, a, b: a - b,
    "division": lambda K, a, b: a / 2.0,
    "concatenate": lambda K, a, b: K.layers.Concatenate()([a, b]),
    "multiply": lambda K, a, b: K.layers.Multiply()([a, b]),
    "relu6": lambda K, a, b: K.layers.ReLU(6.0)(a),
    "maximum": lambda K, a, b: K.layers.Maximum()([a, b]),
    "relu": lambda K, a, b: (keras.ops if K is keras else tf.nn).relu(a),
    "model": lambda K, a, b: K.Sequential(
        [
            K.Input((8, 8, 4)),
            K.layers.Conv2D(3, 3),
            K.layers.BatchNormalization(),
        ]
    )(a),
    "frozen": lambda K, a, b: K.Sequential(
        [
            K.Input((8, 8, 4)),
            K.layers.Conv2D(3, 3),
            K.layers.BatchNormalization(),
            K.layers.Dropout(0.5),
        ]
    )(a, training=False),
}


@pytest.mark.parametrize("K", [keras, tf_keras])
@pytest.mark.parametrize("name", JOINS)
def test_operations_and_inner_models_give_the_same_outputs(K, name):
    with session.private():
        model, _ = check_equal(randomized(two_branches(K, JOINS[name])))
        assert not any(hasattr(layer, "layers") for layer in model.layers)


def test_a_call_in_inference_freezes_its_normalization():
    with session.private():
        frozen, _ = check_equal(two_branches(keras, JOINS["frozen"]))
        trained, _ = check_equal(two_branches(keras, JOINS["model"]))
    trainable = [
        layer.trainable
        for model in (frozen, trained)
        for layer in model.layers
        if isinstance(layer, tf_keras.layers.BatchNormalization)
    ]
    assert trainable == [False, True]


def test_regularizers_and_what_is_frozen_are_carried_over():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(
                3, kernel_regularizer=keras.regularizers.L2(0.5)
            ),
            keras.layers.Dense(2, trainable=False),
        ]
    )
    rebuilt = Rebuilt(randomized(model))
    rebuilt.carry()
    [loss] = rebuilt.model.losses
    assert float(loss) == pytest.approx(float(model.losses[0]))
    assert len(rebuilt.model.trainable_weights) == 2


def test_weights_of_later_are_carried_over():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    rebuilt = Rebuilt(model)
    randomized(model)
    with pytest.raises(ValueError, match="a difference of"):
        rebuilt.require_equal(inputs_of(model))
    rebuilt.carry()
    rebuilt.require_equal(inputs_of(model))


def test_a_relu_after_an_activation_is_named():
    model = two_branches(keras, lambda K, a, b: K.layers.ReLU(6.0)(b))
    with pytest.raises(ValueError, match="a ReLU: after another activation"):
        Rebuilt(model)


class Twice(keras.layers.Layer):
    def call(self, x):
        return 2 * x


def no_penalty(weights):
    return 0.0 * keras.ops.sum(weights)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Twice(name="twice"), "'twice', a Twice"),
        (keras.layers.Dense(3, activation=keras.ops.sin), "the activation"),
        (
            keras.layers.Dense(3, kernel_regularizer=no_penalty),
            "kernel_regularizer of its own",
        ),
        (keras.layers.RMSNormalization(name="rms"), "'rms', a RMSNorm"),
        (keras.layers.Rescaling(2.0, name="scaled"), "'scaled', a Rescaling"),
    ],
)
def test_what_tf_keras_lacks_is_named(layer, message):
    model = keras.Sequential([keras.Input((4,)), layer])
    with pytest.raises(ValueError, match=f"{message}.*after_training"):
        Rebuilt(model)
