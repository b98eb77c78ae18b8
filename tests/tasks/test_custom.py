import json

import keras
import numpy as np
import pytest
import tf_keras

import tf_cosearch as cs
from tf_cosearch import testing
from tf_cosearch.tasks.custom import Custom
from tf_cosearch.tasks.task import Task


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
        (("mse", "TruePositives"), "a share or an error.*Take Recall"),
        (("mse", ("R2Score", ("name", "accuracy"))), "without name"),
        ((("Huber", ("reduction", "sum")), "R2Score"), "without reduction"),
    ],
)
def test_what_keras_has_not_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Custom(*arguments)


def test_options_without_a_default_must_be_given():
    with pytest.raises(ValueError, match="Missing key in the task custom"):
        cs.tasks.make({"name": "custom", "trained_by": "mse"})


CLICKS = {"name": "recommendation", "tables": "5 3"}
LOGITS = np.asarray([[3.0], [-0.5], [-1.0], [-2.0], [0.2], [-4.0]], np.float32)
HITS = np.asarray([[1], [1], [0], [1], [0], [0]], np.float32)


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("BinaryAccuracy", 3 / 6),
        ("Precision", 1 / 2),
        ("Recall", 1 / 3),
        (("BinaryAccuracy", ("threshold", 0.3)), 4 / 6),
        # The first two hits are above two of three others each.
        (("AUC", ("num_thresholds", 5000)), (3 + 2 + 1) / 9),
        (("AUC", ("from_logits", True), ("num_thresholds", 5000)), 6 / 9),
        ("hinge", None),
    ],
)
def test_metrics_judge_probabilities_where_there_are_such(metric, value):
    worst = 8.0 if value is None else None
    mine = Custom("binary_crossentropy", metric, worst, CLICKS)
    signs = 2 * HITS - 1
    wanted = value
    if value is None:
        wanted = 1 - np.maximum(1 - signs * LOGITS, 0).mean() / worst
    scored = mine.score([(LOGITS, HITS)], 1)["accuracy"]
    assert scored == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize(
    "given",
    [
        "binary_crossentropy",
        keras.losses.BinaryCrossentropy(),
        tf_keras.losses.BinaryCrossentropy(from_logits=True),
    ],
)
def test_losses_read_probabilities_or_logits(given):
    loss = Custom(given, "AUC", None, CLICKS).loss()
    wanted = np.mean(np.logaddexp(0, LOGITS) - HITS * LOGITS)
    assert float(loss(HITS, LOGITS)) == pytest.approx(wanted, rel=1e-5)
    brier = Custom("mse", "AUC", None, CLICKS).loss()(HITS, LOGITS)
    wanted = np.mean((1 / (1 + np.exp(-LOGITS)) - HITS) ** 2)
    assert float(brier) == pytest.approx(wanted, rel=1e-5)


def test_what_is_not_of_loss_and_metric_is_of_the_other_task():
    like = cs.tasks.make(CLICKS)
    mine = Custom("binary_crossentropy", "AUC", None, CLICKS)
    for name in set(Task.__annotations__) - {"name", "metric"}:
        assert getattr(mine, name) == getattr(like, name), name
    own = {"loss", "losses", "metrics", "score", "guess", "get_config"}
    others = {
        name
        for name, each in vars(Task).items()
        if callable(each) and not name.startswith("_")
    }
    assert others - own <= vars(Custom).keys()
    labels = Custom("mse", "AUC", None, "classification")
    assert labels.takes_class_weight
    with pytest.raises(ValueError, match=r"tables: '5 3'.*no such stage"):
        cs.SearchSpace.load("digits", (1, 1, 5), 1, task=mine)


LABELS = "sparse_categorical_crossentropy"


@pytest.mark.parametrize(
    ("loss", "metric", "worst", "like", "message"),
    [
        ("mse", "F1Score", None, "regression", r"shapes \(3,\) and \(2,\)"),
        ("mse", "Mean", 1.0, "regression", "y_true"),
        ("mse", "Accuracy", None, "regression", "another name"),
        ("mse", LABELS, 1.0, "classification", "must compare"),
        (LABELS, "F1Score", None, "classification", "must compare"),
    ],
)
def test_what_cannot_compare_is_refused(loss, metric, worst, like, message):
    numbers = np.random.default_rng(0).random((3, 2), np.float32)
    targets = np.asarray([0, 1, 0]) if like == "classification" else numbers
    with pytest.raises(ValueError, match=message):
        Custom(loss, metric, worst, like).try_out(targets, numbers)
    Custom(LABELS, f"{LABELS[:18]}_accuracy", None, "classification").try_out(
        np.asarray([0, 1, 0]), numbers
    )


def test_loss_and_metric_are_tried_before_a_search(tmp_path):
    mine = Custom("mse", "F1Score")
    space = cs.SearchSpace.load("digits", (8, 8, 1), 2, task=mine)
    x = np.random.default_rng(0).random((8, 8, 8, 1), np.float32)
    y = x[:, 0, :2, 0]
    tuner = cs.CoSearchTuner(space, max_trials=1, directory=tmp_path)
    with pytest.raises(ValueError, match=r"shapes \(3,\) and \(2,\)"):
        tuner.search(x, y, validation_data=(x, y))
    assert not tuner.oracle.trials
