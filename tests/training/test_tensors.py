import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_cosearch.training import tensors

X = np.arange(20.0).reshape(10, 2)
Y = np.arange(10)
PAIR = {"validation_data": (X, Y)}


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 5

    def __getitem__(self, index):
        rows = slice(2 * index, 2 * index + 2)
        return X[rows], Y[rows]


def labels(pipeline):
    return [batch[1].tolist() for batch in pipeline.as_numpy_iterator()]


def test_arrays_of_any_shape_are_batched_and_shuffled():
    data = tensors.prepare(X, Y, batch_size=4, **PAIR)
    assert data.steps == 3
    first, again, next_one = (
        labels(data.train(seed, epoch).take(3))
        for seed, epoch in ((0, 0), (0, 0), (0, 1))
    )
    assert first == again != next_one
    assert sorted(number for batch in first for number in batch) == Y.tolist()
    assert labels(data.validation) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    spec = data.train(0, 0).element_spec
    assert (spec[0].dtype, spec[1].dtype) == (tf.float32, tf.int64)


def test_an_epoch_begins_where_the_one_before_ended():
    data = tensors.prepare(X, Y, batch_size=4, steps_per_epoch=2, **PAIR)
    whole = labels(data.train(3, 0).take(6))
    assert labels(data.train(3, 1).take(2)) == whole[2:4]
    assert labels(data.train(3, 2).take(2)) == whole[4:6]


@pytest.mark.parametrize(
    "x", [Batches(), tf.data.Dataset.from_tensor_slices((X, Y)).batch(2)]
)
def test_batches_come_as_they_are_and_again(x):
    data = tensors.prepare(x, validation_data=x, validation_steps=2)
    assert data.steps == 5
    expected = [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    for epoch in range(2):
        assert labels(data.train(0, epoch)) == expected
    assert labels(data.validation) == expected[:2]


def test_steps_go_on_through_batches():
    data = tensors.prepare(Batches(), steps_per_epoch=3, **PAIR)
    assert data.steps == 3
    assert labels(data.train(0, 0).take(7))[5:] == [[0, 1], [2, 3]]


def test_a_split_takes_the_end_with_its_weights():
    data = tensors.prepare(
        X, Y, sample_weight=Y / 10, validation_split=0.3, batch_size=7
    )
    [(_, held_out, weights)] = data.validation.as_numpy_iterator()
    assert held_out.tolist() == [7, 8, 9]
    assert weights == pytest.approx([0.7, 0.8, 0.9])


def test_values_stay_as_they_are():
    x = np.full((4, 2, 2, 3), 255, np.uint8)
    y = np.linspace(-1, 1, 4)
    data = tensors.prepare(x, y, validation_data=(x, y))
    [(images, targets)] = data.validation.as_numpy_iterator()
    assert images.max() == 255
    assert targets == pytest.approx(y)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"x": iter([]), "y": None}, TypeError, "from_generator"),
        ({"x": {"a": X}}, TypeError, "one array"),
        ({"x": None}, ValueError, "x=None"),
        ({"y": None}, ValueError, "y=None"),
        ({"y": Y[:3]}, ValueError, "10 and 3"),
        ({"x": np.array(["a"] * 10)}, ValueError, "must be numbers"),
        ({"x": np.full((10, 2), np.inf)}, ValueError, "finite in float32"),
        ({"y": np.full(10, np.nan)}, ValueError, "y of the training data"),
        ({"sample_weight": Y[:4]}, ValueError, "10 and 10 and 4"),
        ({"x": [[1.0], [1.0, 2.0]] * 5}, ValueError, "x of .* one shape"),
        ({"y": Y.astype(object)}, ValueError, "y of .* array of objects"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"batch_size": 10**30}, ValueError, "batch_size"),
        ({"steps_per_epoch": 1.5}, ValueError, "steps_per_epoch"),
        ({"steps_per_epoch": 10**30}, ValueError, "steps_per_epoch"),
        ({"shuffle": "yes"}, TypeError, "shuffle"),
        ({"validation_split": 0.5}, ValueError, "beside validation_data"),
        ({"validation_data": None}, ValueError, "data to validate on"),
        ({"validation_data": (X, Y, Y, Y)}, ValueError, "4 elements"),
        ({"class_weight": {0: -1}}, ValueError, "0 or more"),
        ({"class_weight": [1.0]}, ValueError, "must map classes"),
        ({"x": Batches(), "y": Y}, ValueError, "y in the batches"),
        (
            {"x": Batches(), "y": None, "batch_size": 2},
            ValueError,
            "Batch the data itself",
        ),
        (
            {
                "x": tf.data.Dataset.from_tensors((X, Y)).repeat(),
                "y": None,
            },
            ValueError,
            "Pass steps_per_epoch",
        ),
        (
            {"x": tf.data.Dataset.from_tensor_slices((X[:, 0], Y)), "y": None},
            ValueError,
            "must be batched",
        ),
        (
            {"x": tf.data.Dataset.from_tensors(X), "y": None},
            ValueError,
            "one tensor each",
        ),
    ],
)
def test_data_that_no_fit_could_use_are_refused(given, error, message):
    arguments = {"x": X, "y": Y, **PAIR, **given}
    with pytest.raises(error, match=message):
        tensors.prepare(**arguments)


def test_data_are_told_apart():
    told = tensors.describe(X, Y, what="training")
    assert told["training_examples"] == 10
    assert told == tensors.describe(X.astype(np.float32), Y, what="training")
    for other in ((X + 1, Y), (X, Y[::-1]), (X, Y, np.ones(10))):
        assert tensors.describe(*other, what="training") != told


def test_the_largest_batch_is_told():
    assert tensors.prepare(X, Y, **PAIR).batch_size == 10
    assert tensors.prepare(X, Y, batch_size=3, **PAIR).batch_size == 3
    batches = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)
    assert tensors.prepare(batches, **PAIR).batch_size == 4
