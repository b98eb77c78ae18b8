import numpy as np
import pytest
import tensorflow as tf

from tf_cosearch.training import fingerprint

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (2000, 4, 4, 1), np.uint8)
Y = RNG.integers(0, 10, 2000)


def told(x=X, y=Y, **kwargs):
    settings = {"batch_size": None, "epochs": 3, "optimizer": None, **kwargs}
    return fingerprint.conditions((x, y), (X[:9], Y[:9]), 10, **settings)


@pytest.mark.parametrize(
    "same",
    [
        {"x": X.astype(np.float32) / 255},
        {"x": X[..., 0]},
        {"y": np.eye(10)[Y]},
        {"batch_size": 32},
        {"epochs": np.int64(3)},
    ],
)
def test_the_same_data_are_the_same_however_given(same):
    assert told(**same) == told()


@pytest.mark.parametrize(
    ("other", "key"),
    [
        ({"x": X[:-1], "y": Y[:-1]}, "training_examples"),
        ({"x": 255 - X}, "training_sample"),
        ({"y": (Y + 1) % 10}, "training_sample"),
        ({"x": X[:, :3]}, "training_images"),
        ({"epochs": 4}, "epochs"),
        ({"batch_size": 64}, "batch_size"),
        ({"optimizer": "sgd"}, "optimizer"),
    ],
)
def test_others_are_told_apart(other, key):
    before, now = told(), told(**other)
    assert before[key] != now[key]


def test_the_order_of_a_pipeline_does_not_matter():
    pipeline = tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(2000)
    first = fingerprint.describe(pipeline.batch(8), what="training")
    assert first == fingerprint.describe(pipeline.batch(8), what="training")
    assert first["training_batches"] == 250
    shorter = fingerprint.describe(pipeline.take(80).batch(8), what="training")
    assert shorter != first
