"""The user's process is theirs: a training leaves no trace in it."""

import os
import random
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tf_cosearch.training import fit, session


@pytest.fixture(autouse=True)
def other_tests_notice_nothing():
    with session.private():
        yield
    keras.utils.set_random_seed(0)


@pytest.fixture(scope="module")
def usual(data, small):
    """A training in a process that nobody has changed."""
    return fit.train(small, data, epochs=2, seed=1)


def seed_all():
    keras.utils.set_random_seed(4)
    tf_keras.utils.set_random_seed(5)
    tf.random.uniform([], seed=9)  # its state is inside the operation


def draws():
    """The next random number of every source that a user may have."""
    keras_layer = keras.layers.Dense(1)
    keras_layer.build((None, 1))
    return {
        "python": random.random(),
        "numpy": np.random.rand(),  # noqa: NPY002
        "tensorflow": float(tf.random.uniform([])),
        "operation": float(tf.random.uniform([], seed=9)),
        "keras": float(keras.random.uniform(())),
        "keras weights": keras_layer.kernel.numpy().item(),
        "tf_keras weights": (
            tf_keras.initializers.GlorotUniform()((1, 1)).numpy().item()
        ),
    }


def test_random_numbers_go_on_as_if_nothing_had_been_trained(
    data, small, usual
):
    seed_all()
    first, expected = draws(), draws()
    assert not any(first[name] == expected[name] for name in first)
    seed_all()
    assert draws() == first
    result = fit.train(small, data, epochs=2, seed=1)
    assert draws() == expected
    assert result.tflite == usual.tflite


def test_nor_do_they_where_a_training_fails(data, small):
    class Breaks(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            drawn.append(np.random.rand())  # noqa: NPY002
            raise ArithmeticError("It breaks.")

    drawn = []
    for _ in range(2):
        seed_all()
        expected = draws()
        seed_all()
        with pytest.raises(ArithmeticError):
            fit.train(small, data, epochs=1, callbacks=[Breaks()])
        assert draws() == expected
    # What callbacks draw follows from the seed of the training.
    assert drawn[0] == drawn[1] != expected["numpy"]


def test_names_go_on_and_models_still_train(data, small):
    checks = [begin_to_work(library) for library in (keras, tf_keras)]
    fit.train(small, data, epochs=2)
    for go_on_working in checks:
        go_on_working()


def begin_to_work(library):
    """Names, trains and connects; returns a check that all of it goes on."""

    def number():
        return int(library.layers.Dense(1).name.rpartition("_")[2])

    library.layers.Dense(1)
    before = number()
    model = library.Sequential(
        [library.layers.Dense(4, activation="relu"), library.layers.Dense(1)]
    )
    model.compile(library.optimizers.SGD(0.01), "mse")
    x, y = np.ones((8, 3), np.float32), np.zeros((8, 1), np.float32)
    model.fit(x, y, verbose=0)
    symbolic = library.Input((3,))
    loss = model.evaluate(x, y, verbose=0)

    def go_on_working():
        assert number() == before + 3
        assert model.evaluate(x, y, verbose=0) == loss
        assert model.fit(x, y, verbose=0).history["loss"] == [loss]
        # Graphs of symbolic tensors are one as well.
        library.Model(symbolic, model(symbolic))

    return go_on_working


def test_settings_stay_and_do_not_reach_the_training(data, small, usual):
    def settings():
        return (
            tf_keras.mixed_precision.global_policy().name,
            tf_keras.backend.floatx(),
            tf_keras.backend.image_data_format(),
            tf_keras.backend.experimental.is_tf_random_generator_enabled(),
        )

    before = settings()
    try:
        tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
        tf_keras.backend.set_floatx("float64")
        tf_keras.backend.set_image_data_format("channels_first")
        tf_keras.backend.experimental.disable_tf_random_generator()
        result = fit.train(small, data, epochs=2, seed=1)
        assert settings() == (
            "mixed_bfloat16",
            "float64",
            "channels_first",
            False,
        )
        assert result.tflite == usual.tflite
    finally:
        tf_keras.mixed_precision.set_global_policy(before[0])
        tf_keras.backend.set_floatx(before[1])
        tf_keras.backend.set_image_data_format(before[2])


def test_the_environment_stays_while_xla_uses_wide_vectors(tmp_path):
    code = (
        "import os, sys, tensorflow, sklearn\n"
        "before = dict(os.environ)\n"
        "import tf_cosearch\n"
        "from tf_cosearch.cost import kernels\n"
        "from tf_cosearch.training import fit\n"
        "kernels.prefer_wide_vectors()\n"
        "def double(x): return x + x\n"
        "tensorflow.function(double, jit_compile=True)(1.0)\n"
        "print({**before, **os.environ} == before == dict(os.environ))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "XLA_FLAGS": f"--xla_dump_to={tmp_path}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["True"]
    (used,) = tmp_path.glob("*_double_*.debug_options")
    assert "xla_cpu_prefer_vector_width: 512" in used.read_text()
