import keras
import numpy as np
import pytest
import tf_keras

from tf_cosearch.training import losses

LABELS = np.array([0, 2])
LOGITS = np.array([[3.0, 1.0, 0.0], [2.0, 2.0, -1.0]], np.float32)


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum"])
@pytest.mark.parametrize("ignored", [None, 0])
def test_a_loss_of_keras_3_weights_every_image(reduction, ignored):
    given = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, reduction=reduction, ignore_class=ignored
    )
    loss = losses.make(given)
    weights = np.array([0.25, 4.0], np.float32)
    assert float(loss(LABELS, LOGITS, weights)) == pytest.approx(
        float(given(LABELS, LOGITS, weights)), rel=1e-5
    )


def test_default_is_cross_entropy_of_logits():
    shifted = LOGITS - LOGITS.max(1, keepdims=True)
    entropy = np.log(np.exp(shifted).sum(1)) - shifted[[0, 1], LABELS]
    loss = losses.make(None)
    assert float(loss(LABELS, LOGITS)) == pytest.approx(entropy.mean())


def test_what_a_user_wrote_is_used_as_it_is():
    class Mine(tf_keras.losses.Loss):
        def call(self, y_true, y_pred):
            return y_pred[:, 0]

    def mine(labels, logits):
        return logits[:, 0]

    instance = Mine()
    for loss in (instance, mine, lambda labels, logits: logits[:, 0]):
        assert losses.make(loss) is loss


class Custom(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return y_pred[:, 0]


@pytest.mark.parametrize(
    ("given", "received"),
    [
        ("sparse_categorical_crossentropy", "'sparse_cat"),
        (3, "3"),
        (keras.losses.SparseCategoricalCrossentropy, "<class"),
        (keras.losses.sparse_categorical_crossentropy, "<function"),
        (tf_keras.losses.sparse_categorical_crossentropy, "<function"),
        (
            keras.losses.SparseCategoricalCrossentropy(),
            r"SparseCategoricalCrossentropy\(from_logits=False",
        ),
        (
            tf_keras.losses.SparseCategoricalCrossentropy(),
            r"SparseCategoricalCrossentropy\(from_logits=False",
        ),
        (
            keras.losses.SparseCategoricalCrossentropy(True, reduction="none"),
            r"Sparse.*\(from_logits=True, reduction='none'",
        ),
        (keras.losses.CategoricalCrossentropy(True), "CategoricalCross"),
        (tf_keras.losses.MeanSquaredError(), "MeanSquaredError"),
        (Custom(), "Custom"),
    ],
)
def test_what_would_train_wrongly_is_refused(given, received):
    with pytest.raises(
        ValueError,
        match=f"Received: {received}.*Labels are integers and outputs logits: "
        r"pass keras\.losses\.SparseCategoricalCrossentropy\(from_logits=True",
    ):
        losses.make(given)
