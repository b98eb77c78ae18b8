"""Models that are built to be read."""

import gc
import random

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tf_cosearch.networks.importers.keras_import import from_keras
from tf_cosearch.networks.spaces.outline import outline


def model(kind):
    def build():
        made = kind.Sequential(
            [
                kind.layers.Input((8, 8, 3)),
                kind.layers.Conv2D(4, 3),
                kind.layers.BatchNormalization(),
                kind.layers.Dropout(0.5),
                kind.layers.Flatten(),
                kind.layers.Dense(10),
            ]
        )
        made.compile("adam", "mse")
        return made

    return build


@pytest.mark.parametrize("kind", [keras, tf_keras])
def test_reads_as_the_model_with_weights(kind):
    build = model(kind)
    without, sets_weights = outline(build)
    names = [layer.name for layer in without.layers]
    assert not sets_weights
    for weight in without.layers[0].weights:
        stored = weight.value if kind is keras else weight
        assert not stored.is_initialized()
    assert from_keras(without) == from_keras(outline(build).model)
    assert names == [layer.name for layer in outline(build).model.layers]
    costs = [(r.op, r.macs, r.params) for r in from_keras(build())]
    assert costs == [(r.op, r.macs, r.params) for r in from_keras(without)]


@pytest.mark.parametrize("kind", [keras, tf_keras])
def test_leaves_no_trace(kind):
    tf.random.set_seed(3)
    expected = draws(kind)
    tf.random.set_seed(3)
    before = kind.layers.Dense(1).name
    outline(model(kind))
    assert number(kind.layers.Dense(1).name) == number(before) + 1
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    want = random.random(), np.random.random()  # noqa: NPY002
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    tf.random.set_seed(3)

    def noisy():
        random.random()
        np.random.random()  # noqa: NPY002
        tf.random.normal((2,))
        return model(kind)()

    outline(noisy)
    assert (random.random(), np.random.random()) == want  # noqa: NPY002
    assert draws(kind) == expected


def number(name):
    return int(name.rpartition("_")[2]) if "_" in name else 0


def draws(kind):
    del kind
    return tf.random.normal((2,)).numpy().tolist()


def test_weights_that_a_build_sets_or_needs_have_values():
    def loads():
        made = model(keras)()
        made.layers[-1].set_weights(
            [np.ones(w.shape) for w in made.layers[-1].get_weights()]
        )
        return made

    made, sets_weights = outline(loads)
    assert sets_weights
    assert (made.layers[-1].get_weights()[0] == 1).all()

    def assigns():
        made = model(keras)()
        made.layers[-1].kernel.assign(np.ones((144, 10)))
        return made

    assert outline(assigns).sets_weights


def test_an_error_of_a_build_is_raised():
    def fails():
        keras.layers.Dense(1)
        raise ValueError("no such width")

    before = number(keras.layers.Dense(1).name)
    with pytest.raises(ValueError, match="no such width"):
        outline(fails)
    assert number(keras.layers.Dense(1).name) == before + 1


@pytest.mark.parametrize("kind", [keras, tf_keras])
def test_a_build_that_computes_with_weights_gets_them(kind):
    calls = []

    def computes():
        calls.append(1)
        made = model(kind)()
        made.layers[-1].set_weights(
            [weight * 2 for weight in made.layers[-1].get_weights()]
        )
        return made

    made, sets_weights = outline(computes)
    assert sets_weights
    assert np.isfinite(made.get_weights()[0]).all()
    assert len(calls) == 2


@pytest.mark.parametrize("kind", [keras, tf_keras])
def test_normalization_reads_as_itself_and_computes_if_it_is_run(kind):
    values = np.full((1, 8, 8, 3), 6, np.float32)
    seen = []

    def runs():
        layer = kind.layers.BatchNormalization(center=False)
        layer.build((None, 8, 8, 3))
        layer.moving_variance.assign(np.full(3, 4 - layer.epsilon))
        layer.moving_mean.assign(np.zeros(3))
        layer.gamma.assign(np.ones(3))
        seen.append(np.asarray(layer(values)))
        images = kind.Input((8, 8, 3))
        return kind.Model(images, layer(images))

    made, _ = outline(runs)
    np.testing.assert_allclose(seen[-1], values / 2, rtol=1e-5)
    assert made.output_shape == (None, 8, 8, 3)
    # The model is whole again once it was read.
    np.testing.assert_allclose(made(tf.constant(values)), values / 2, rtol=1e-5)


def test_garbage_is_collected_again_after_a_build_and_after_an_error():
    during = []

    def fails():
        during.append(gc.isenabled())
        raise ValueError("no such width")

    with pytest.raises(ValueError, match="no such width"):
        outline(fails)
    assert during == [False, True]  # it is built once more, as it is
    assert gc.isenabled()
    gc.disable()
    try:
        outline(model(keras))
        assert not gc.isenabled()
    finally:
        gc.enable()
