"""Operations against numbers worked out by hand, and against both importers."""

import keras
import numpy as np
import pytest

import tf_cosearch as cs
from tf_cosearch.networks import layer_ops
from tf_cosearch.networks.layer_ops import KerasBuilder, LayerRecorder
from tf_cosearch.networks.workload import to_array
from tf_cosearch.testing import OperationSuite

X = (6, 4, 8)


def tf_keras_too():
    import tf_keras

    return (keras, tf_keras)


def recorded(read, shape=X):
    record = LayerRecorder()
    read(record, record.input(*shape))
    return record.layers()


def built(read, kind=keras, shape=X):
    image = kind.Input(shape)
    return kind.Model(image, read(KerasBuilder(kind), image))


def split_and_join(ops, x):
    a, b, c = ops.split(x, [1, 2, 5])
    b = ops.conv(b, 3, 3, name="middle")
    return ops.concat([a, b, c])


def features(dense, number, ops):
    dense = ops.dense(dense, 3)
    return ops.concat([dense, ops.embedding(number, 5, 3)])


CALLS = {
    "conv": lambda ops, x: ops.conv(x, 16, 3, dilation=2),
    "conv_tall": lambda ops, x: ops.conv(x, 16, (3, 1), dilation=3),
    "conv_swish": lambda ops, x: ops.conv(x, 4, 3, 2, 2, "swish"),
    "depthwise": lambda ops, x: ops.depthwise(x, 3, dilation=2),
    "depthwise_strided": lambda ops, x: ops.depthwise(x, (1, 5), 2),
    "max_pool": lambda ops, x: ops.max_pool(x, 3, 2),
    "average_pool": lambda ops, x: ops.average_pool(x, (2, 1)),
    "global_pool": lambda ops, x: ops.global_pool(x),
    "upsample": lambda ops, x: ops.upsample(x, 3),
    "upsample_bilinear": lambda ops, x: ops.upsample(x, 2, "bilinear"),
    "dense": lambda ops, x: ops.dense(x, 10),
    "dense_sigmoid": lambda ops, x: ops.dense(x, 10, "sigmoid"),
    "channel_shuffle": lambda ops, x: ops.channel_shuffle(x, groups=4),
    "split_and_join": split_and_join,
    "branches": lambda ops, x: ops.concat(
        [y := ops.conv(x, 4, name="b"), ops.conv(y, 4, name="c")][::-1]
    ),
    "squeeze_excite": lambda ops, x: ops.squeeze_excite(x, 2),
    "add": lambda ops, x: ops.add([x, ops.max_pool(x, 3)]),
    "classify": lambda ops, x: ops.classify(x, 5, 0.1),
    "crop": lambda ops, x: ops.crop(x, 5, 4),
    "dropout": lambda ops, x: ops.conv(ops.dropout(x, 0.5), 4),
    "embedding": lambda ops, x: ops.embedding(x, 20, 8),
    "columns": lambda ops, x: features(*ops.columns(x, 1, 1 / 16), ops),
    "dot_interaction": lambda ops, x: ops.dot_interaction(
        [ops.dense(x, 5, name=f"vector{i}") for i in range(4)]
    ),
}


OURS = [
    name
    for name in layer_ops.names()
    if layer_ops._OPERATIONS[name].__module__.startswith("tf_cosearch.")
]
TRIED = {name for call in CALLS for name in OURS if call.startswith(name)}
UNTRIED = {*OURS} - TRIED - {"concat"}  # split and joined above

for _name in [*CALLS, *UNTRIED]:
    _class = f"Test{_name.title().replace('_', '')}"
    _of = {"name": _name}
    if _name.startswith("embedding"):
        _of["numbers"] = 20
    if _name in CALLS:
        _of["call"] = staticmethod(CALLS[_name])
    globals()[_class] = type(_class, (OperationSuite,), _of)


class TestEmbeddingOfOneRow(OperationSuite):
    name, image, numbers = "embedding", (1, 1, 1), 20
    call = staticmethod(CALLS["embedding"])


@pytest.fixture
def suite(monkeypatch):
    """A suite for an operation that is registered in a test."""
    monkeypatch.setattr(layer_ops, "_OPERATIONS", {**layer_ops._OPERATIONS})

    def make(kind):
        cs.operation(kind)
        return type("Suite", (OperationSuite,), {"name": kind.name})()

    return make


class Product(cs.Operation):
    def check(self, shapes):
        if len(shapes) != 2:
            raise ValueError("two")

    def keras(self, build, x, name):
        return build.keras.layers.Multiply(name=build.path(name))(x)

    def rows(self, record, x, name):
        return record.row(name, "elementwise", x, x[0].extents)


def test_the_suite_calls_what_reads_two_with_two(suite):
    tested = suite(Product)
    assert [row.name for row in tested.rows()] == ["second", "product"]
    tested.test_rows_are_those_of_the_built_model()
    tested.test_both_kerases_compute_the_same()


def test_the_suite_finds_rows_that_are_not_built(suite):
    class Halved(Product):
        def rows(self, record, x, name):
            height, width, channels = x[0].extents
            half = (height, width, channels // 2)
            return record.row(name, "elementwise", x, half)

    with pytest.raises(pytest.fail.Exception, match="halved: rows"):
        suite(Halved).test_rows_are_those_of_the_built_model()


def test_the_suite_finds_what_the_kerases_do_differently(suite):
    class Sum(Product):
        def keras(self, build, x, name):
            layers = build.keras.layers
            kind = layers.Add if build.keras is keras else layers.Multiply
            return kind(name=build.path(name))(x)

    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        suite(Sum).test_both_kerases_compute_the_same()


@pytest.mark.parametrize("name", ["conv", "depthwise"])
def test_dilation_reaches_as_far_as_its_taps(name):
    """Taps at -2, 0 and 2 of a row of pixels."""
    model = built(CALLS[name])
    kernel = np.zeros(model.layers[1].kernel.shape, np.float32)
    kernel[:, :, 0, 0] = 1
    weights = model.get_weights()
    model.set_weights([kernel, *weights[1:]])
    pixel = np.zeros((1, *X), np.float32)
    pixel[0, 3, 1, 0] = 1
    seen = np.argwhere(np.asarray(model(pixel))[0, :, :, 0] > 0.5)
    assert seen.tolist() == [[1, 1], [1, 3], [3, 1], [3, 3], [5, 1], [5, 3]]


def test_channels_are_shuffled_and_split_as_told():
    channels = np.arange(6, dtype=np.float32)
    image = np.broadcast_to(channels, (1, 3, 5, 6))
    for kind in tf_keras_too():
        shuffled = built(lambda ops, x: ops.channel_shuffle(x), kind, (3, 5, 6))
        found = np.asarray(shuffled(image))
        assert found.shape == (1, 3, 5, 6)
        assert (found == [0, 3, 1, 4, 2, 5]).all()
        parts = built(lambda ops, x: ops.split(x, [1, 3, 2]), kind, (3, 5, 6))
        a, b, c = (np.asarray(part) for part in parts(image))
        assert (a == [0]).all()
        assert (b == [1, 2, 3]).all()
        assert (c == [4, 5]).all()
        assert c.shape == (1, 3, 5, 2)


def test_live_memory_of_parallel_branches():
    """Elements that wait while each row runs, counted by hand.

    The image has 6 x 4 x 8 = 192 elements, a half 96.
    """

    def read(ops, x):
        left, y = ops.split(x)
        y = ops.conv(y, 16, name="wide")
        y = ops.conv(y, 4, name="narrow")
        return ops.concat([left, y])

    held = {row.name: row.held_elements for row in recorded(read)}
    assert held == {
        "split_0": 96,  # the other half of the image
        "split_1": 96 + 96,  # the half that is read, and what was split off
        "wide": 96,
        "narrow": 96,
        "concat": 0,
    }


def test_a_long_skip_is_held_until_it_is_joined():
    def read(ops, x):
        y = ops.max_pool(x, 2, 2)
        y = ops.conv(y, 32, 3, name="below")
        y = ops.upsample(y)
        return ops.concat([y, x])

    held = {row.name: row.held_elements for row in recorded(read)}
    assert held == {"max_pool": 0, "below": 192, "upsample": 192, "concat": 0}


def test_branches_come_one_after_the_other_whatever_their_depth():
    """Else more would be held than has to be."""
    image = keras.Input((8, 8, 4))
    layers = keras.layers
    a = layers.Conv2D(4, 1, name="a")(image)
    y = layers.Conv2D(4, 1, name="b1")(image)
    y = layers.Conv2D(4, 1, name="b2")(y)
    model = keras.Model(image, layers.Concatenate(name="c")([a, y]))
    rows = cs.from_keras(model)
    assert [row.name for row in rows] == ["a", "b1", "b2", "c"]
    assert [row.held_elements for row in rows] == [0, 256, 256, 0]


def test_a_crop_reads_what_it_writes_and_holds_the_rest():
    image = keras.Input((8, 8, 4))
    crop = keras.layers.Cropping2D(((2, 0), (0, 4)))(image)
    [row] = cs.from_keras(keras.Model(image, crop))
    assert (row.op, row.in_elements, row.out_elements) == (
        *("data_movement", 96),
        96,
    )
    assert row.held_elements == 256 - 96


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda ops, x: ops.conv(x, 8, 3, 2, dilation=2), "stride=2, dilation"),
        (lambda ops, x: ops.depthwise(x, 3, 2, dilation=3), "dilation=3"),
        (lambda ops, x: ops.conv(x, 8, groups=3), "groups must divide"),
        (lambda ops, x: ops.conv(x, 8, activation="rely"), "Did you mean 'rel"),
        (lambda ops, x: ops.split(x, 3), "parts=3, 8 channels"),
        (lambda ops, x: ops.split(x, 0), "parts=0"),
        (lambda ops, x: ops.split(x, [8, 1]), r"parts=\(8, 1\)"),
        (lambda ops, x: ops.split(x, [9, -1]), "must be all channels"),
        (lambda ops, x: ops.channel_shuffle(x, 3), "groups=3, 8 channels"),
        (lambda ops, x: ops.add([x, ops.conv(x, 4)]), "two tensors of one"),
        (lambda ops, x: ops.add(x), "two tensors of one"),
        (lambda ops, x: ops.concat(x), "one height and width"),
        (lambda ops, x: ops.concat([x, ops.max_pool(x, 2, 2)]), "one height"),
        (lambda ops, x: ops.upsample(x, 2, "linear"), "Did you mean 'bilinear"),
        (lambda ops, x: ops.upsample(x, 0), "out_h must be a positive"),
        (lambda ops, x: ops.max_pool(x, 0), "k_h must be a positive"),
        (lambda ops, x: ops.dense(x, 0), "out_c must be a positive"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        recorded(call)


def test_unknown_operations_name_the_closest():
    with pytest.raises(AttributeError, match="Did you mean 'max_pool'"):
        recorded(lambda ops, x: ops.maxpool(x, 2))


def test_operations_are_registered_once_and_shadow_nothing():
    with pytest.raises(ValueError, match="already registered by tf_cosearch"):

        @cs.operation
        class Conv(cs.Operation):
            def keras(self, build, x, name): ...

            def rows(self, record, x, name): ...

    with pytest.raises(ValueError, match="'shape', which `ops` has"):

        @cs.operation
        class Shape(cs.Operation):
            def keras(self, build, x, name): ...

            def rows(self, record, x, name): ...

    with pytest.raises(TypeError, match="subclass of `Operation`"):

        @cs.operation
        class Stranger:
            pass


def test_what_no_row_shows_is_another_choice():
    """A maximum costs what an average costs, and is not one."""
    from tf_cosearch.networks import blocks
    from tf_cosearch.networks.spaces import effect

    @cs.block
    def pools(ops, x, *, filters, stride=1, kind="max", unused=1):
        pool = ops.max_pool if kind == "max" else ops.average_pool
        return ops.conv(pool(x, 3, stride, name="pool"), filters)

    try:
        most, mean, same = (
            effect.effect("pools", (("kind", kind), ("unused", unused)), 8, 2)
            for kind, unused in (("max", 1), ("average", 1), ("max", 2))
        )
    finally:
        del blocks._BLOCKS["pools"]
    assert most == same
    assert most != mean
    assert most[0][0] == mean[0][0]


def test_a_shuffle_in_int8_moves_and_rescales_at_once():
    """Concatenated halves have one scale; giving it to one is no row."""
    import tf_keras

    from tf_cosearch.networks.importers import tflite_file
    from tf_cosearch.networks.network import BlockSpec, Network
    from tf_cosearch.training import qat

    stem = BlockSpec("stem", "conv_bn", 8, 1)
    network = Network(
        "n", (8, 8, 3), 4, (stem, BlockSpec("b", "shuffle_v2", 8, 1))
    )
    model = network.build(tf_keras)
    model.set_weights([w + 0.1 for w in model.get_weights()])
    quantized = qat.quantize(model)
    images = np.random.default_rng(0).random((8, 8, 8, 3), np.float32)
    qat.calibrate(quantized, images)
    file = qat.to_tflite(quantized)
    operators = tflite_file.read_model(file).graphs[0].operators
    assert [operator.op for operator in operators].count("QUANTIZE") == 1
    np.testing.assert_array_equal(
        to_array(cs.from_tflite(file)), to_array(network.layers())
    )
