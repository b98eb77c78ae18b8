import json

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tf_cosearch.search.early_stopping import MedianStopping
from tf_cosearch.training import fingerprint

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (2000, 4, 4, 1), np.uint8)
Y = RNG.integers(0, 10, 2000)


def tf_keras_loss(**settings):
    return tf_keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, **settings
    )


def focal(gamma):
    def loss(labels, logits):
        return gamma * tf_keras_loss()(labels, logits)

    return loss


def stop(**settings):
    return keras.callbacks.EarlyStopping("val_loss", **settings)


def told(x=X, y=Y, **kwargs):
    settings = {
        "batch_size": None,
        "epochs": 3,
        "executions_per_trial": 1,
        "class_weight": None,
        "early_stopping": None,
        **kwargs,
    }
    return fingerprint.conditions((x, y), (X[:9], Y[:9]), 10, **settings)


@pytest.mark.parametrize(
    "same",
    [
        {"x": X.astype(np.float32) / 255},
        {"x": X[..., 0]},
        {"y": np.eye(10)[Y]},
        {"batch_size": 32},
        {"epochs": np.int64(3)},
        {"qat_epochs": 1},
        {"learning_rate": 0.01},
        {"loss": tf_keras_loss()},
        {"loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True)},
        {"callbacks": ()},
        {"callbacks": [keras.callbacks.CSVLogger("log.csv")]},
        {"class_weight": None},
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
        ({"learning_rate": 0.1}, "optimizer"),
        ({"qat_epochs": 2}, "qat_epochs"),
        ({"loss": tf_keras_loss(ignore_class=3)}, "loss"),
        ({"loss": focal(2.0)}, "loss"),
        ({"callbacks": [stop(patience=3)]}, "callbacks"),
        ({"class_weight": {0: 2.0}}, "class_weight"),
        ({"executions_per_trial": 2}, "executions_per_trial"),
        ({"early_stopping": MedianStopping()}, "early_stopping"),
    ],
)
def test_others_are_told_apart(other, key):
    before, now = told(), told(**other)
    part = "data" if key.startswith("training_") else "training"
    assert before[part][key] != now[part][key]


def test_the_order_of_a_pipeline_does_not_matter():
    pipeline = tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(2000)
    first = fingerprint.describe(pipeline.batch(8), what="training")
    assert first == fingerprint.describe(pipeline.batch(8), what="training")
    assert first["training_batches"] == 250
    shorter = fingerprint.describe(pipeline.take(80).batch(8), what="training")
    assert shorter != first


def test_conditions_are_the_same_after_the_disk():
    now = told(
        optimizer=keras.optimizers.SGD(
            keras.optimizers.schedules.CosineDecay(0.1, 50)
        ),
        loss=focal(2.0),
        callbacks=[stop(), keras.callbacks.ReduceLROnPlateau()],
        class_weight={np.int64(1): np.float32(0.1)},
        early_stopping=MedianStopping(),
    )
    assert json.loads(json.dumps(now)) == now
    assert now["training"]["class_weight"] == {"1": 0.1}
