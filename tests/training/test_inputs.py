import numpy as np
import pytest
import tensorflow as tf

from tf_cosearch.training import inputs

SHAPE = (4, 4, 1)


def _arrays(n=10):
    x = np.arange(n, dtype=np.float32)[:, None, None, None] * np.ones(
        (1, *SHAPE), np.float32
    )
    return x, np.arange(n) % 3


def _prepare(x, y=None, **changes):
    return inputs.prepare(x, y, input_shape=SHAPE, classes=3, **changes)


def _ids(pipeline):
    return [int(v) for x, *_ in pipeline for v in x[:, 0, 0, 0]]


def test_arrays_become_shuffled_batches():
    x, y = _arrays()
    data = _prepare(x, y, validation_data=(x[:5], y[:5]), batch_size=4)
    assert data.steps == 3
    batches = list(data.train(0, 0).take(data.steps).as_numpy_iterator())
    assert [len(b[0]) for b in batches] == [4, 4, 2]
    for images, labels in batches:
        np.testing.assert_array_equal(images[:, 0, 0, 0] % 3, labels)
    first = _ids(data.train(0, 0).take(data.steps))
    assert sorted(first) == list(range(10))
    assert first != sorted(first)
    assert _ids(data.train(0, 0).take(data.steps)) == first
    assert _ids(data.train(1, 0).take(data.steps)) != first
    # An epoch's order does not depend on the epochs that were read before.
    assert _ids(data.train(0, 1).take(data.steps)) != first
    two = _ids(data.train(0, 0).take(2 * data.steps))
    assert two == first + _ids(data.train(0, 1).take(data.steps))
    assert _ids(data.validation) == [0, 1, 2, 3, 4]


def test_validation_split_is_the_end():
    data = _prepare(*_arrays(), validation_split=0.2)
    assert _ids(data.validation) == [8, 9]
    assert sorted(_ids(data.train(0, 0).take(data.steps))) == list(range(8))
    ((images, labels),) = data.validation_batches()
    assert images.dtype == np.float32
    np.testing.assert_array_equal(labels, [2, 0])


def test_pipelines_keep_their_batches_and_weights():
    x, y = _arrays()
    weights = np.linspace(0, 1, 10)
    pipeline = tf.data.Dataset.from_tensor_slices((x, y, weights)).batch(5)
    data = _prepare(pipeline, validation_data=pipeline)
    assert data.steps == 2
    first = next(iter(data.train(0, 0)))
    np.testing.assert_allclose(first[2], weights[:5])
    assert _ids(data.train(7, 0)) == list(range(10))


def test_pipeline_of_unknown_length_is_counted():
    x, y = _arrays()
    pipeline = (
        tf.data.Dataset.from_tensor_slices((x, y))
        .filter(lambda x, y: y < 2)
        .batch(3)
    )
    assert _prepare(pipeline, validation_data=(x, y)).steps == 3


@pytest.mark.parametrize("labels", ["column", "one_hot", "float"])
def test_labels_become_integers(labels):
    x, y = _arrays()
    given = {
        "column": y[:, None],
        "one_hot": np.eye(3)[y],
        "float": y.astype(float),
    }[labels]
    data = _prepare(x, given, validation_data=(x, given), batch_size=10)
    for pipeline in (data.train(0, 0), data.validation):
        images, found = next(pipeline.as_numpy_iterator())
        assert found.dtype == np.int32
        np.testing.assert_array_equal(images[:, 0, 0, 0] % 3, found)


def test_bytes_are_scaled_and_grey_images_get_a_channel():
    x = np.full((4, 4, 4), 51, np.uint8)
    data = _prepare(x, np.zeros(4, int), validation_split=0.5)
    images, _ = next(data.validation_batches())
    assert images.shape == (2, 4, 4, 1)
    np.testing.assert_allclose(images, 0.2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[0, ..., 0], y), "must be .N, 4, 4, 1."),
        (lambda x, y: (x[:, :3], y), "must be .N, 4, 4, 1., the input_shape"),
        (lambda x, y: (np.repeat(x, 3, -1), y), "the input_shape"),
        (lambda x, y: (x * np.nan, y), "must be finite.*160 values"),
        (lambda x, y: (x / 0, y), "must be finite"),
        (lambda x, y: (x + 1e39, y), "finite in float32.*160 values"),
        (lambda x, y: (x - 1e39, y), "finite in float32.*160 values"),
        (lambda x, y: (x, y + 1), r"in \[0, 3\). Received: 1 to 3"),
        (lambda x, y: (x, y - 1), r"Received: -1 to 1"),
        (lambda x, y: (x, y + 0.5), "must be integers"),
        (lambda x, y: (x, y.astype(str)), "must be integers"),
        (lambda x, y: (x.astype(str), y), "must be numbers"),
        (lambda x, y: (x.astype(object), y), "Images .* one array of numbers"),
        (lambda x, y: ([*x[:9], x[9, :3]], y), "Images .* one shape"),
        (lambda x, y: (x, [*y[:9], [0, 1]]), "Labels .* one shape"),
        (lambda x, y: (x, y[:-1]), "10 images and 9 labels"),
        (lambda x, y: (x[:0], y[:0]), "at least one"),
        (lambda x, y: (x, np.array(1)), "the single label 1"),
        (lambda x, y: (x, np.ones((10, 3))), "must have a single 1"),
        (lambda x, y: (x, np.ones((10, 4))), r"one-hot \[N, 3\]"),
        (lambda x, y: (x, None), "must have labels"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_bad_data_is_refused(change, message):
    x, y = _arrays()
    with pytest.raises(ValueError, match=message):
        inputs.check(*change(x, y), SHAPE, 3, "training data")
    with pytest.raises(ValueError, match=message):
        _prepare(x, y, validation_data=change(x, y))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.batch(5).map(lambda x, y: x), "must yield"),
        (lambda d: d.batch(5).map(lambda x, y: ({"a": x}, y)), "must yield"),
        (lambda d: d, "must be batched"),
        (lambda d: d.batch(5).repeat(), "must end"),
        (lambda d: d.batch(5).take(0), "no batches"),
        (lambda d: d.batch(5).map(lambda x, y: (x, y + 1)), "1 to 3"),
    ],
)
def test_bad_pipelines_are_refused(change, message):
    pipeline = change(tf.data.Dataset.from_tensor_slices(_arrays()))
    with pytest.raises(ValueError, match=message):
        inputs.check(pipeline, None, SHAPE, 3, "training data")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.full(10, np.nan), "finite numbers of 0 or more"),
        (np.arange(10) - 1, "Received: int64 from -1 to 3"),
        (np.full(10, np.inf), "finite numbers of 0 or more"),
        (np.full(10, 1e39), "finite numbers of 0 or more"),
        (np.full(10, "one"), "finite numbers of 0 or more"),
        (np.ones((10, 3)), r"one number an image, .N.. Rec.*\(5, 3\)"),
    ],
)
def test_bad_sample_weights_are_refused(weights, message):
    columns = (*_arrays(), weights)
    pipeline = tf.data.Dataset.from_tensor_slices(columns).batch(5)
    with pytest.raises(ValueError, match=message):
        _prepare(pipeline.take(2), validation_data=_arrays())


@pytest.mark.parametrize("shape", [(10,), (10, 1)])
def test_good_sample_weights_pass(shape):
    columns = (*_arrays(), np.full(shape, 0.5))
    pipeline = tf.data.Dataset.from_tensor_slices(columns).batch(5)
    assert _prepare(pipeline, validation_data=pipeline).steps == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "neither validation_data nor validation_split"),
        ({"validation_split": 1.5}, "between 0 and 1"),
        ({"validation_split": 0.99}, "at least one"),
        ({"validation_split": 0.2, "batch_size": 0}, "at least 1"),
        *(
            ({"validation_split": 0.2, "batch_size": size}, "an integer")
            for size in ("32", 1.5, True)
        ),
        ({"validation_split": 0.2, "class_weight": {0: 1}}, "each of 0 to 2"),
        *(
            (
                {"validation_split": 0.2, "class_weight": {0: w, 1: 1, 2: 1}},
                "finite numbers of 0 or more",
            )
            for w in (-1, np.nan, np.inf, "1", None)
        ),
        ({"validation_split": 0.2, "y": np.array(1)}, r"y of shape \(\)"),
        ({"validation_split": 0.2, "y": None}, r"y of shape \(\)"),
        ({"validation_data": np.zeros(3)}, "must be a pair"),
        ({"validation_split": "0.2"}, "between 0 and 1. Received: '0.2'"),
        ({"validation_split": [0.2]}, "between 0 and 1. Received: .0.2"),
        (
            {"validation_data": _arrays(), "validation_split": 0.2},
            "must not be given beside validation_data",
        ),
    ],
)
def test_contradictions_with_arrays(arguments, message):
    x, y = _arrays(20)
    with pytest.raises(ValueError, match=message):
        _prepare(x, **{"y": y, **arguments})


def test_numbers_of_numpy_are_numbers():
    data = _prepare(
        *_arrays(),
        validation_split=0.2,
        batch_size=np.int64(4),
        class_weight={i: np.float32(i) for i in range(3)},
    )
    assert data.steps == 2


@pytest.mark.parametrize("as_pipeline", [False, True])
@pytest.mark.parametrize(
    ("change", "messages"),
    [
        (lambda x: x, ["float32 from 0 to 9, 4.5 in the mean"]),
        (lambda x: x.astype(np.int64), ["int64 from 0 to 9"]),
        (lambda x: x.astype(np.uint8), []),
        (lambda x: x / 9, []),
        (lambda x: x - 5, []),
    ],
)
def test_pixels_that_look_unscaled_are_warned_of(
    change, messages, as_pipeline, caplog
):
    x, y = _arrays()
    x = change(x)
    given = (x, y)
    if as_pipeline:
        given = (tf.data.Dataset.from_tensor_slices((x, y)).batch(10),)
    with caplog.at_level("WARNING", logger="absl"):
        _prepare(*given, validation_data=(x, y))
    assert len(caplog.messages) == len(messages)
    for found, expected in zip(caplog.messages, messages, strict=True):
        assert expected in found


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"validation_split": 0.2}, "validation_split needs arrays"),
        ({"batch_size": 3}, "batch_size must not be given"),
        ({"y": np.zeros(3)}, "Leave y out"),
    ],
)
def test_contradictions_with_pipelines(arguments, message):
    pipeline = tf.data.Dataset.from_tensor_slices(_arrays()).batch(5)
    if "validation_split" not in arguments:
        arguments = {"validation_data": pipeline, **arguments}
    with pytest.raises(ValueError, match=message):
        _prepare(pipeline, **arguments)


def test_the_largest_batch_is_told():
    x, y = _arrays()
    pair = {"validation_data": (x, y)}
    assert _prepare(x, y, **pair).batch_size == len(x)
    assert _prepare(x, y, batch_size=4, **pair).batch_size == 4
    pipeline = tf.data.Dataset.from_tensor_slices((x, y)).skip(1).batch(4)
    assert len(x) == 10
    last = pipeline.skip(2)  # of a single image, before two of four
    both = last.concatenate(pipeline.take(2))
    assert _prepare(both, None, **pair).batch_size == 4
