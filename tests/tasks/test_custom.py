import json

import keras
import numpy as np
import pytest
import tf_keras

import tf_cosearch as cs
from tf_cosearch import testing
from tf_cosearch.tasks.custom import Custom


class TestCustom(testing.TaskSuite):
    task = Custom(keras.losses.Huber(0.5), "mean_absolute_error", worst=4)
    classes = 2
    wrong = (np.zeros((32, 3)),)

    def data(self):
        rng = np.random.default_rng(0)
        x = rng.random((32, *self.image), np.float32)
        return x, 4 * rng.normal(size=(32, 2))

    def perfect(self, targets):
        return targets

    @pytest.mark.slow
    def test_a_training_ends_in_an_int8_file_that_is_measured(self):
        super().test_a_training_ends_in_an_int8_file_that_is_measured()


class TestCustomSegmentation(testing.TaskSuite):
    task = Custom(
        tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        keras.metrics.SparseCategoricalAccuracy(),
        like={"name": "segmentation", "width": 8},
    )
    wrong = (np.zeros(32, int),)

    def data(self):
        rng = np.random.default_rng(0)
        x = rng.random((32, *self.image), np.float32)
        return x, rng.integers(self.classes, size=x.shape[:3])

    def perfect(self, targets):
        return 20 * np.eye(self.classes)[targets]

    @pytest.mark.slow
    def test_a_training_ends_in_an_int8_file_that_is_measured(self):
        super().test_a_training_ends_in_an_int8_file_that_is_measured()


def test_a_loss_counts_as_it_was_given():
    same = Custom(("Huber", ("delta", 0.5)), "R2Score")
    assert same == Custom(keras.losses.Huber(0.5), "R2Score")
    assert same == Custom(tf_keras.losses.Huber(0.5), "R2Score")
    assert Custom("mse", keras.metrics.R2Score()).judged_by[0] == "R2Score"
    assert same != Custom(keras.losses.Huber(1.0), "R2Score")
    # Off by 3: 0.5 * (3 - 0.25).
    loss = same.loss()([[0.0]], [[3.0]])
    assert float(loss) == pytest.approx(1.375)
    told = json.loads(json.dumps(same.get_config()))
    assert cs.tasks.make(told) == same
    named = Custom("mse", "CosineSimilarity")
    assert float(named.loss()([[0.0]], [[3.0]])) == pytest.approx(9)


def test_the_metric_is_an_accuracy_beside_itself():
    mine = Custom("mae", "RootMeanSquaredError", worst=8)
    targets = np.zeros((4, 1), np.float32)
    scores = mine.score([(targets + 2, targets)], 1)
    assert scores == {"accuracy": 0.75, "root_mean_squared_error": 2}
    far = mine.score([(targets + 9, targets)], 1)
    assert far == {"accuracy": 0, "root_mean_squared_error": 9}
    assert mine.metric == "1 - root mean squared error / 8"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("hubert", "R2Score"), "Did you mean 'huber'"),
        (("mse", "R3Score"), "Did you mean 'R2Score'"),
        (("mse", "mean_absolute_error"), "must be given.*less is better"),
        (("mse", "R2Score", 3.0), "must be left out.*more is better"),
        (("mse", "mae", -1.0), "must be positive"),
        ((print, "R2Score"), "subclass of Task"),
        ((("Huber", ("slope", 1)), "R2Score"), "must be its own"),
        ((("mse", ("slope", 1)), "R2Score"), "to have arguments"),
        (("mse", "R2Score", None, "regresion"), "Did you mean 'regression'"),
        (("Loss", "R2Score"), "Unknown loss"),
        (("get", "R2Score"), "Unknown loss"),
        (("mse", "R2Score", None, Custom("mse", "R2Score")), "not custom"),
    ],
)
def test_what_keras_has_not_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Custom(*arguments)


def test_options_without_a_default_must_be_given():
    with pytest.raises(ValueError, match="Missing key in the task custom"):
        cs.tasks.make({"name": "custom", "trained_by": "mse"})
