import numpy as np
import pytest

import tf_cosearch as cs
from tf_cosearch import testing
from tf_cosearch.training import datasets, inputs

REGRESSION = cs.tasks.make("regression")


class TestRegression(testing.TaskSuite):
    task = REGRESSION
    classes = 3
    wrong = (
        np.zeros(32),
        np.zeros((32, 2)),
        np.full((32, 3), np.nan),
        np.full((32, 3), "a"),
    )

    def data(self):
        rng = np.random.default_rng(0)
        x = rng.random((32, *self.image), np.float32)
        return x, rng.normal(size=(32, 3))

    def perfect(self, targets):
        return targets


class TestOneTarget(TestRegression):
    classes = 1
    wrong = (np.zeros((32, 2)), np.zeros((32, 1, 1)))

    def data(self):
        x, y = super().data()
        return x, y[:, 0]

    @pytest.mark.slow
    def test_a_training_ends_in_an_int8_file_that_is_measured(self):
        super().test_a_training_ends_in_an_int8_file_that_is_measured()


def score(answers, targets):
    batches = [
        (np.asarray(answers[:2], np.float32), np.asarray(targets[:2])),
        (np.asarray(answers[2:], np.float32), np.asarray(targets[2:])),
    ]
    return REGRESSION.score(batches, len(targets[0]))["accuracy"]


def test_the_share_of_variance_is_of_all_batches_and_targets():
    targets = [[0.0, 1e4], [2.0, 1e4 + 2], [4.0, 1e4 + 4], [6.0, 1e4 + 6]]
    # Around a mean of 3 there are 9 + 1 + 1 + 9; the first is off by 2, 2.
    answers = [[2.0, 1e4], [2.0, 1e4 + 2], [6.0, 1e4 + 4], [6.0, 1e4 + 6]]
    assert score(answers, targets) == pytest.approx((1 - 8 / 20 + 1) / 2)
    # Worse than the mean is worth nothing, and so is what does not vary.
    assert score([[9.0]] * 4, [[1.0], [2.0], [3.0], [4.0]]) == 0
    assert score([[0.1]] * 4, [[0.1]] * 4) == 0
    assert score([[0.3]] * 4, [[0.1]] * 4) == 0


def test_a_file_of_numbers_is_read(tmp_path):
    x, y = np.zeros((20, 8, 8), np.float32), np.eye(20, 2) / 2
    np.savez(tmp_path / "two.npz", x_train=x, y_train=y)
    spec = f"npz:{tmp_path / 'two.npz'}"
    data = datasets.load(spec, task=REGRESSION)
    assert (data.classes, data.train[1].shape) == (2, (12, 2))
    with pytest.raises(ValueError, match="must be integers"):
        datasets.load(spec)
    assert datasets.load("digits", task=REGRESSION).classes == 1


def test_targets_far_from_1_are_remarked(caplog):
    x, y = np.zeros((8, 8, 8, 1)), np.linspace(100, 200, 8)
    with caplog.at_level("WARNING", "absl"):
        inputs.prepare(
            x,
            y,
            input_shape=(8, 8, 1),
            classes=1,
            validation_data=(x, y),
            task=REGRESSION,
        )
    assert "unscaled: 150 in the mean" in caplog.text
    assert caplog.text.count("unscaled") == 1
