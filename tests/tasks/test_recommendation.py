"""Recommendation against sums by hand and clicks of a known truth."""

import re
from typing import ClassVar

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import tf_cosearch as cs
from tf_cosearch import configuration, testing
from tf_cosearch.networks.importers.tflite_import import from_tflite
from tf_cosearch.networks.spaces.template import Template
from tf_cosearch.numerics import sources
from tf_cosearch.tasks import click_log
from tf_cosearch.tasks.recommendation import (
    Recommendation,
    normalised_entropy,
    table_rows,
)
from tf_cosearch.testing import keras_walk
from tf_cosearch.testing.tasks import _unordered
from tf_cosearch.training import datasets, evaluate, inputs, recipes

TABLES = "5 3"


def columns(count=64):
    log = click_log.draw(count, table_rows(TABLES), features=3)
    return log.columns, log.clicks


class TestRecommendation(testing.TaskSuite):
    task = Recommendation(TABLES)
    classes, image = 1, (1, 1, 5)
    content: ClassVar = {
        "stem": {
            "block": "dlrm",
            "tables": TABLES,
            "filters": [8, 16],
            "dimension": [4, 8],
            "bottom_layers": [0, 1],
        },
        "stages": [{"block": "perceptron", "filters": 8, "repeats": [1, 2]}],
    }
    wrong = (
        np.full(64, 2),
        np.full(64, -1),
        np.full(64, 0.5),
        np.zeros((64, 2)),
        np.zeros(63, int),
    )

    def data(self):
        return columns()

    def perfect(self, targets):
        return 40 * targets - 20

    @pytest.mark.slow
    def test_a_training_ends_in_an_int8_file_that_is_measured(self):
        super().test_a_training_ends_in_an_int8_file_that_is_measured()


def test_normalised_entropy_by_hand():
    """Of 1 click in 4, and answers of 1/2 and 1/8."""
    clicks = np.asarray([1, 0, 0, 0])
    logits = np.asarray([0, *[-np.log(7)] * 3])
    base = -(np.log(0.25) + 3 * np.log(0.75)) / 4
    wanted = -(np.log(1 / 2) + 3 * np.log(7 / 8)) / 4 / base
    assert normalised_entropy(clicks, logits) == pytest.approx(wanted)
    scores = Recommendation(TABLES).score(
        [(logits[:1], clicks[:1]), (logits[1:, None], clicks[1:])], 1
    )
    assert scores == pytest.approx(
        {"accuracy": 1 - wanted, "normalised_entropy": wanted}
    )
    worse = Recommendation(TABLES).score([(5 - 10.0 * clicks, clicks)], 1)
    assert worse["accuracy"] == 0
    assert worse["normalised_entropy"] > 1


def test_a_metric_starts_anew_and_knows_nothing_of_one_kind():
    [metric] = Recommendation(TABLES).metrics(1)
    metric.update_state([1.0, 0.0], [[9.0], [-9.0]])
    assert metric.result() > 0.99
    metric.reset_state()
    metric.update_state([0.0, 0.0], [[9.0], [-9.0]])
    assert metric.result() == 0


def test_clicks_have_the_probabilities_that_are_said():
    """Within four standard errors, in each tenth of them."""
    log = click_log.draw(100_000, (30, 20, 1), seed=3)
    order = np.argsort(log.probabilities)
    for part in np.array_split(order, 10):
        p = log.probabilities[part]
        error = np.sqrt((p * (1 - p)).sum()) / len(p)
        assert abs(log.clicks[part].mean() - p.mean()) < 4 * error
    logits = np.log(log.probabilities / (1 - log.probabilities))
    least = log.least_normalised_entropy()
    assert normalised_entropy(log.clicks, logits) == pytest.approx(least, 0.01)
    for worse in (0.8 * logits, logits + 0.2, 1.3 * logits):
        assert normalised_entropy(log.clicks, worse) > least
    for column, rows in enumerate((30, 20, 1)):
        counts = np.bincount(log.categorical[:, column], minlength=rows)
        shares = np.diff(np.log(np.arange(1, rows + 2))) / np.log(rows + 1)
        np.testing.assert_allclose(counts / 1e5, shares, atol=0.006)


def test_no_vector_is_multiplied_by_itself():
    """Of one dense feature a logit is a line, with others for other rows."""
    log = click_log.draw(4000, (3, 2), features=1)
    logits = np.log(log.probabilities / (1 - log.probabilities))
    lines = []
    for one in range(3):
        is_here = (log.categorical == [one, 0]).all(1)
        fitted = np.polyfit(log.dense[is_here, 0], logits[is_here], 2)
        assert fitted[0] == pytest.approx(0, abs=1e-5)
        lines.append(fitted[1:])
    assert np.ptp(lines, 0).min() > 0.1


def test_a_log_is_the_same_again_and_its_truth_that_of_a_longer_one():
    one, again = (click_log.draw(500, (5, 3)) for _ in range(2))
    np.testing.assert_array_equal(one.columns, again.columns)
    np.testing.assert_array_equal(one.clicks, again.clicks)
    longer = click_log.draw(20_000, (5, 3))
    other = click_log.draw(20_000, (5, 3), seed=1)

    def mean(log, row):
        return log.probabilities[log.categorical[:, 0] == row].mean()

    means = [[mean(log, row) for row in range(5)] for log in (longer, other)]
    assert np.abs(np.subtract(*means)).max() > 0.05
    assert mean(one, 0) == pytest.approx(means[0][0], abs=0.05)


def test_dense_features_are_rounded_and_numbers_are_not():
    x = np.asarray([[0.5, -0.03, 1.0, 4.0, 2.0]])
    inputs = Recommendation(TABLES).inputs(tf.constant(x))
    assert inputs.shape == (1, 1, 1, 5)
    assert np.ravel(inputs).tolist() == [8, 0, 16, 4, 2]


@pytest.mark.parametrize("tables", ["", "3 0", "3 -1", "3, 4", 7, "2.5", "a"])
def test_tables_without_rows_are_refused(tables):
    with pytest.raises(ValueError, match=r"1 or more.*Received: "):
        cs.tasks.make({"name": "recommendation", "tables": tables})


def test_a_table_of_more_rows_than_floats_tell_apart_is_refused():
    with pytest.raises(ValueError, match=r"16777216 rows.*Hash"):
        Recommendation("16777217")


@pytest.mark.parametrize("number", [5, -1, 0.5, 1e30])
def test_categories_outside_a_table_are_refused(number):
    x, _ = columns()
    x[3, 3] = number
    told = re.escape(f"{number:g}, and in all 1 such")
    with pytest.raises(
        ValueError,
        match=rf"column 3 of the data .*0 to 4.*5 rows.*Received: {told}",
    ):
        Recommendation(TABLES).check_inputs(x, (1, 1, 5), "data")
    x[3, 3] = np.nan
    with pytest.raises(ValueError, match=r"finite in float32"):
        Recommendation(TABLES).check_inputs(x, (1, 1, 5), "data")


def test_columns_of_another_space_are_refused():
    x, _ = columns()
    task = Recommendation(TABLES)
    with pytest.raises(ValueError, match=r"\[N, 6\].*4 dense.*\(64, 5\)"):
        task.check_inputs(x, (1, 1, 6), "data")
    with pytest.raises(ValueError, match=r"\[1, 1, columns\].*\[8, 8, 5\]"):
        task.check_inputs(x, (8, 8, 5), "data")
    with pytest.raises(ValueError, match=r"\[1, 1, columns\].*\[1, 1, 2\]"):
        task.check_inputs(x, (1, 1, 2), "data")


def test_a_space_may_have_more_tables_than_units():
    """Choices are compared at a width that has a column for each."""
    tables = " ".join(["9"] * 30)
    content = {
        "stem": {
            "block": "dlrm",
            "tables": tables,
            "filters": 8,
            "table_bits": [4, 8],
        },
        "stages": [{"block": "perceptron", "filters": 8}],
    }
    task = Recommendation(tables)
    assert Template(content, "wide", (1, 1, 31), 1, task).count() == 2


def test_rows_of_the_space_equal_a_walk_over_built_models():
    content = configuration.load("spaces", "dlrm")
    content["stem"]["table_bits"] = 8  # of 4 bits are rows that Keras lacks
    space = Template(content, "dlrm")
    rng = np.random.default_rng(0)
    for _ in range(5):
        genes = tuple(
            int(rng.integers(len(each.choices))) for each in space.parameters
        )
        network = space.decode(genes)
        assert keras_walk.differences(network, network.build(keras)) == []


@pytest.mark.parametrize("bits", [4, 16])
def test_rows_of_narrow_and_wide_tables_are_those_of_the_file(bits):
    content = configuration.load("spaces", "dlrm")
    stem = {"filters": 8, "dimension": 4, "table_bits": bits}
    stem = {**content["stem"], **stem, "bottom_units": 8, "bottom_layers": 1}
    stages = [{"block": "perceptron", "filters": 8}]
    space = Template({**content, "stem": stem, "stages": stages}, "dlrm")
    network = space.decode(())
    model = network.build(tf_keras)
    for layer in model.layers:  # the converter leaves biases of 0 out
        if hasattr(layer, "bias"):
            layer.bias.assign(0.1 + 0 * layer.bias)
    x = click_log.draw(20, (60, 40, 20, 10)).columns
    images = np.asarray(space.task.inputs(tf.constant(x)))
    recipe = recipes.Template(network.build, network.precision, space.task)
    file = recipe.to_tflite(model, images)

    assert _unordered(from_tflite(file)) == _unordered(network.layers())


def test_networks_look_up_the_tables_of_their_task():
    with pytest.raises(
        ValueError, match=r"'60 40 20 9'.*Received: '60 40 20 10'"
    ):
        cs.SearchSpace.load("dlrm", task=Recommendation("60 40 20 9"))
    space = cs.SearchSpace.load("dlrm")
    with pytest.raises(ValueError, match=r"of dlrm.*'5 3'.*Received: '60 40"):
        space.with_task(Recommendation("5 3"))
    with pytest.raises(ValueError, match=r"Received: no such stage"):
        cs.SearchSpace.load("digits", (1, 1, 8), 1, task="recommendation")


def test_networks_of_another_number_of_clicks_are_refused():
    with pytest.raises(ValueError, match=r"one number.*classes=2"):
        Recommendation().check_targets(np.arange(2), (1, 1, 8), 2, "data")


def test_data_of_a_file_are_read_side_by_side(tmp_path):
    log = click_log.draw(200, (5, 3), features=3)
    arrays = {
        "dense_train": log.dense[:150],
        "categorical_train": log.categorical[:150],
        "clicks_train": log.clicks[:150],
        "dense_test": log.dense[150:],
        "categorical_test": log.categorical[150:],
        "clicks_test": log.clicks[150:],
    }
    path = tmp_path / "clicks.npz"
    np.savez(path, **arrays)
    task = Recommendation(TABLES)
    data = datasets.load(f"npz:{path}", task=task)
    assert (data.input_shape, data.classes) == ((1, 1, 5), 1)
    np.testing.assert_array_equal(data.test[0], log.columns[150:])
    np.testing.assert_array_equal(data.test[1], log.clicks[150:])
    del arrays["categorical_test"]
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=r"must have .*categorical_test"):
        datasets.load(f"npz:{path}", task=task)
    np.savez(path, x=1)
    with pytest.raises(ValueError, match=r"must have .*dense_train.*: x"):
        datasets.load(f"npz:{path}", task=task)
    np.savez(path, **{**arrays, "dense_train": log.dense[:9]})
    with pytest.raises(ValueError, match=r"\[N, features\].*\(9, 3\)"):
        datasets.load(f"npz:{path}", task=task)
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"must be a file of numpy\.savez"):
        datasets.load(f"npz:{path}", task=task)
    with pytest.raises(FileNotFoundError, match=r"npz:FILE must exist"):
        datasets.load(f"npz:{path}.gone", task=task)


def test_made_up_clicks_are_in_three_splits():
    data = datasets.load("clicks:500", task=Recommendation())
    log = click_log.draw(500, (60, 40, 20, 10))
    sizes = [len(split[1]) for split in (data.train, data.validation)]
    assert [*sizes, len(data.test[1])] == [300, 100, 100]
    np.testing.assert_array_equal(data.test[0], log.columns[400:])
    for wrong in ("clicks:", "clicks:ten", "clicks:99", f"clicks:{10**9}"):
        with pytest.raises(ValueError, match=r"clicks:NUMBER.*Received: "):
            datasets.load(wrong, task=Recommendation())
    with pytest.raises(ValueError, match="image_size must be for images"):
        datasets.load("clicks:500", task=Recommendation(), image_size=(8, 8))


def test_clicks_alone_are_refused(tmp_path):
    log = click_log.draw(200, (5, 3))
    path = tmp_path / "clicks.npz"
    arrays = {"dense": log.dense, "categorical": log.categorical}
    arrays["clicks"] = np.zeros(200)
    np.savez(path, **{f"{name}_train": each for name, each in arrays.items()})
    with pytest.raises(ValueError, match=r"clicks and others.*: \[0\.0\]"):
        datasets.load(f"npz:{path}", task=Recommendation(TABLES))


def test_data_of_one_kind_of_click_are_refused_whole():
    x, y = columns()
    task = Recommendation(TABLES)
    shape = (1, 1, x.shape[1])
    with pytest.raises(ValueError, match=r"of 2 kinds.*Received: 1 alone"):
        inputs.check(x, np.ones_like(y), shape, 1, "validation data", task)
    # A batch may be of one kind.
    order = np.argsort(y)
    pipeline = tf.data.Dataset.from_tensor_slices((x[order], y[order]))
    assert inputs.check(pipeline.batch(1), None, shape, 1, "data", task) == 1
    alone = pipeline.take(1).batch(1)
    with pytest.raises(ValueError, match=r"of 2 kinds.*Received: 0 alone"):
        inputs.check(alone, None, shape, 1, "data", task)


@pytest.mark.slow
def test_a_search_ends_in_a_file_whose_clicks_are_measured(tmp_path):
    """Two trials; better than the share of clicks, worse than the truth."""
    space = cs.SearchSpace.load("dlrm")
    log = click_log.draw(12_000, (60, 40, 20, 10))
    x, y = log.columns, log.clicks
    tuner = cs.CoSearchTuner(
        space,
        "random",
        budgets=cs.Budgets(latency_ms=0.01, area_mm2=40),
        max_trials=2,
        seed=0,
        directory=tmp_path,
    )
    tuner.search(
        x[:9000],
        y[:9000],
        validation_data=(x[9000:], y[9000:]),
        epochs=4,
        batch_size=128,
    )
    [design] = tuner.best_designs(1)
    design.export(tmp_path / "design")
    inputs = np.asarray(design.network.task.inputs(tf.constant(x[9000:])))
    file = tmp_path / "design" / "model.tflite"
    logits = evaluate.Runner(file).dequantized(inputs)
    entropy = normalised_entropy(y[9000:], np.ravel(logits))
    [first, *_] = tuner.oracle.get_best_trials(1)
    measured = first.metrics.get_last_value("accuracy_int8")
    assert measured == pytest.approx(1 - entropy, abs=1e-6)
    assert log.least_normalised_entropy() - 0.02 < entropy < 0.97
    bits = {row.weight_bits for row in from_tflite(file) if row.params}
    network = design.network
    [table_bits] = {
        row.weight_bits for row in network.layers() if row.name.endswith("e1")
    }
    assert table_bits in bits


def test_what_knows_no_tables_is_not_asked_to_train():
    with pytest.raises(ValueError, match=r"after_training.*Received: .*aware"):
        cs.CoSearchTuner(cs.SearchSpace.load("dlrm"), quantization="aware")


def test_networks_are_compared_on_columns_as_they_read_them():
    x, y = columns()
    task = Recommendation(TABLES)
    found, clicks = sources.Pair(b"", b"", None, task).images((x, y), 9)
    assert found.shape == (9, 1, 1, 5)
    rows = np.linspace(0, 63, 9).astype(int)
    np.testing.assert_array_equal(
        found[:, 0, 0, :3], np.round(x[rows, :3] * 16)
    )
    np.testing.assert_array_equal(clicks, y[rows])
    with pytest.raises(ValueError, match="for recommendation, which reads"):
        sources.Pair(b"", b"", 255.0, task).images((x, y), 9)
