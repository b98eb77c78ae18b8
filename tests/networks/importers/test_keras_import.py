import keras
import numpy as np
import pytest
import tf_keras

import tf_cosearch as cs
from tf_cosearch.networks import workload
from tf_cosearch.networks.importers import keras_import

BOTH = pytest.mark.parametrize(
    "package", [keras, tf_keras], ids=["keras", "tf_keras"]
)


def total(layers, what):
    return sum(getattr(layer, what) for layer in layers)


def rows_of(package, shape, *layers):
    x = image = package.Input(shape)
    for layer in layers:
        x = layer(x)
    return keras_import.from_keras(package.Model(image, x))


@BOTH
@pytest.mark.parametrize(
    ("name", "macs", "params"),
    # Kernels, biases and one folded bias a normalised channel.
    [
        ("MobileNetV2", 300_774_272, 3_487_816),
        ("MobileNet", 568_740_352, 4_221_032),
    ],
)
def test_published_counts(package, name, macs, params):
    model = getattr(package.applications, name)(weights=None)
    layers = keras_import.from_keras(model, on_unknown=pytest.fail)
    assert total(layers, "macs") == macs
    assert total(layers, "params") == params
    assert not any(layer.op == "data_movement" for layer in layers)


@pytest.mark.slow
@BOTH
@pytest.mark.parametrize(
    ("name", "gmacs", "mparams"),
    [("ResNet50", 3.858, 25.53), ("EfficientNetB0", 0.386, 5.27)],
)
def test_published_counts_of_large_models(package, name, gmacs, mparams):
    model = getattr(package.applications, name)(
        weights=None, input_shape=(224, 224, 3)
    )
    layers = keras_import.from_keras(model, on_unknown=pytest.fail)
    assert total(layers, "macs") / 1e9 == pytest.approx(gmacs, abs=0.001)
    assert total(layers, "params") / 1e6 == pytest.approx(mparams, abs=0.01)


@BOTH
def test_residual_block_is_held_and_read_twice(package):
    kl = package.layers
    image = package.Input((8, 8, 4))
    x = kl.Conv2D(24, 1, use_bias=False, name="expand")(image)
    x = kl.ReLU(6.0)(kl.BatchNormalization()(x))
    x = kl.DepthwiseConv2D(3, padding="same", use_bias=False, name="dw")(x)
    x = kl.Activation("relu")(kl.BatchNormalization()(x))
    x = kl.Conv2D(4, 1, use_bias=False, name="project")(x)
    x = kl.Add(name="add")([image, kl.BatchNormalization()(x)])
    rows = keras_import.from_keras(package.Model(image, x))
    assert [row.name for row in rows] == ["expand", "dw", "project", "add"]
    assert [row.params for row in rows] == [120, 240, 100, 0]
    assert [row.held_elements for row in rows] == [0, 256, 256, 0]
    assert [row.side_elements for row in rows] == [0, 0, 0, 256]
    assert rows[1] == workload.Layer(
        "dw", "depthwise_conv2d", 8, 8, 24, 8, 8, 24, 3, 3,
        groups=24, held_elements=256, continues=True,
    )  # fmt: skip


@BOTH
def test_normalisation_is_a_bias_only_of_what_feeds_it_alone(package):
    kl = package.layers
    rows = rows_of(
        package,
        (4, 4, 2),
        kl.BatchNormalization(name="first"),
        kl.Conv2D(3, 1, use_bias=False, activation="tanh", name="curved"),
        kl.BatchNormalization(name="after_tanh"),
    )
    assert [(row.name, row.op, row.params) for row in rows] == [
        ("first/multiply", "elementwise", 2),  # by a gain a channel
        ("first/add", "elementwise", 2),  # and an offset
        ("curved", "conv2d", 6),
        ("curved/tanh", "elementwise", 0),
        ("after_tanh/multiply", "elementwise", 3),
        ("after_tanh/add", "elementwise", 3),
    ]


@BOTH
def test_windows(package):
    kl = package.layers
    rows = rows_of(
        package,
        (9, 12, 4),
        kl.Conv2D(
            8, (3, 5), strides=(2, 3), padding="same", groups=2, name="g"
        ),
        kl.DepthwiseConv2D(3, depth_multiplier=2, name="dw"),
        kl.SeparableConv2D(6, 2, depth_multiplier=3, name="sep"),
        kl.Conv2D(2, 2, padding="same", dilation_rate=2, name="dilated"),
        kl.MaxPooling2D((2, 1), name="pool"),
        kl.GlobalAveragePooling2D(name="mean"),
        kl.Dense(5, activation="softmax", name="logits"),
    )
    assert [(row.name, row.macs, row.params) for row in rows] == [
        ("g", 5 * 4 * 8 * 2 * 15, 8 * 2 * 15 + 8),
        ("dw", 3 * 2 * 16 * 9, 16 * 9 + 16),
        ("sep/depthwise", 2 * 1 * 48 * 4, 48 * 4),
        ("sep/pointwise", 2 * 1 * 48 * 6, 48 * 6 + 6),
        ("dilated", 2 * 1 * 6 * 2 * 4, 6 * 2 * 4 + 2),
        ("pool", 0, 0),
        ("mean", 0, 0),
        ("logits", 10, 15),
        ("logits/softmax", 0, 0),
    ]
    g, dw, *_ = rows
    assert (g.stride_h, g.stride_w, g.groups) == (2, 3, 2)
    assert (dw.groups, dw.in_c, dw.out_c) == (8, 8, 16)
    assert (rows[5].k_h, rows[5].k_w, rows[5].stride_h) == (2, 1, 2)
    assert (rows[6].k_h, rows[6].k_w, rows[6].out_c) == (1, 1, 2)


def products(size, out, crop, kernel, stride, dilation):
    """Positions and taps of an axis whose product lands in the output."""
    return sum(
        0 <= i * stride + tap * dilation - crop < out
        for i in range(size)
        for tap in range(kernel)
    )


@BOTH
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": (3, 2), "strides": 2},
        {"kernel_size": 4, "strides": (2, 1)},
        {"kernel_size": 2, "strides": 3},
        {"kernel_size": 3, "strides": 1},
        {"kernel_size": (3, 5), "dilation_rate": 2},
        {"kernel_size": 5, "strides": 2, "output_padding": 1},
        {"kernel_size": 3, "strides": 3, "output_padding": (0, 2)},
    ],
    ids=str,
)
def test_transposed_convolution_is_exact(package, padding, settings):
    """Every tap meets every position: what VALID puts out, and no more."""
    layer = package.layers.Conv2DTranspose(
        5, padding=padding, name="up", **settings
    )
    rows = rows_of(package, (4, 6, 3), layer)
    kernel, strides, dilation = (
        keras_import.graph_tape.pair(getattr(layer, name))
        for name in ("kernel_size", "strides", "dilation_rate")
    )
    taps = kernel[0] * kernel[1]
    assert total(rows, "params") == taps * 3 * 5 + 5
    assert sum(row.use_bias for row in rows) == 1
    assert all((row.in_h, row.in_w) == (4, 6) for row in rows)
    assert total(rows, "macs") == 4 * 6 * taps * 3 * 5
    if padding == "valid":
        _, *outs, _ = layer.compute_output_shape((None, 4, 6, 3))
        h, w = map(products, (4, 6), outs, (0, 0), kernel, strides, dilation)
        assert total(rows, "macs") == h * w * 3 * 5
        if min(kernel) >= max(strides):  # else some positions meet no tap
            leaving = total(rows, "network_out_elements")
            assert leaving == outs[0] * outs[1] * 5


@BOTH
def test_sequences_transposed(package):
    kl = package.layers
    rows = rows_of(package, (7, 3), kl.Conv1DTranspose(5, 3, 2, name="up"))
    assert (total(rows, "macs"), total(rows, "params")) == (7 * 45, 50)


def test_taps_of_a_dilated_transposed_convolution_lie_apart():
    up = keras.layers.Conv2DTranspose(2, 3, dilation_rate=(2, 1), name="up")
    [row] = rows_of(keras, (4, 6, 3), up)
    assert (row.dilation_h, row.dilation_w) == (2, 1)
    assert (row.k_h, row.k_w, row.name) == (3, 3, "up")


def test_phases_of_a_transposed_convolution():
    up = keras.layers.Conv2DTranspose(2, 3, 2, padding="same", name="up")
    rows = rows_of(keras, (4, 4, 3), up, keras.layers.MaxPooling2D(name="pool"))
    assert [(row.name, row.k_h, row.k_w, row.macs) for row in rows[:4]] == [
        ("up/phase_0_0", 2, 2, 16 * 6 * 4),
        ("up/phase_0_1", 2, 1, 16 * 6 * 2),
        ("up/phase_1_0", 1, 2, 16 * 6 * 2),
        ("up/phase_1_1", 1, 1, 16 * 6),
    ]
    # A part waits for the others; the pooling reads the whole.
    assert [row.held_elements for row in rows] == [0, 32, 64, 96, 0]
    assert (rows[4].in_h, rows[4].in_w, rows[4].side_elements) == (8, 8, 0)


@pytest.mark.parametrize(("kernel", "size"), [(2, 8), (3, 9)])
def test_a_whole_transposed_convolution_is_held_for_a_skip(kernel, size):
    kl = keras.layers
    image = keras.Input((4, 4, 3))
    up = kl.Conv2DTranspose(2, kernel, 2, name="up")(image)
    y = kl.Conv2D(2, 1, name="one")(up)
    y = kl.Conv2D(2, 1, name="two")(y)
    rows = keras_import.from_keras(keras.Model(image, kl.Add()([y, up])))
    held = {row.name: row.held_elements for row in rows}
    assert held["one"] == 0
    assert held["two"] == size * size * 2


@BOTH
def test_padding_costs_nothing_where_a_convolution_takes_it(package):
    kl = package.layers
    pad = kl.ZeroPadding2D(((0, 1), (0, 1)), name="pad")
    [conv] = rows_of(
        package, (8, 8, 3), pad, kl.Conv2D(4, 3, strides=2, name="conv")
    )
    assert (conv.in_h, conv.in_w, conv.out_h) == (8, 8, 4)
    pad = kl.ZeroPadding2D(1, name="pad")
    row, pool = rows_of(package, (8, 8, 3), pad, kl.MaxPooling2D(3, 2))
    assert (row.name, row.op, row.out_h) == ("pad", "data_movement", 10)
    assert pool.in_h == 10


@BOTH
def test_padding_that_a_window_does_not_reach_over_is_a_row(package):
    kl = package.layers
    for pad, conv in (
        (kl.ZeroPadding2D(3, name="pad"), kl.Conv2D(4, 3, name="conv")),
        (kl.ZeroPadding1D((0, 3), name="pad"), kl.Conv1D(4, 3, name="conv")),
    ):
        shape = (8, 8, 3)[-3 if isinstance(pad, kl.ZeroPadding2D) else -2 :]
        moved, row = rows_of(package, shape, pad, conv)
        assert (moved.name, moved.op) == ("pad", "data_movement")
        assert row.in_w == moved.out_w if len(shape) == 3 else 11
    pad = kl.ZeroPadding2D(4, name="pad")
    dilated = kl.Conv2D(4, 3, dilation_rate=2, name="conv")
    [row] = rows_of(package, (8, 8, 3), pad, dilated)
    assert (row.in_h, row.out_h, row.dilation_h) == (8, 12, 2)


def test_padding_of_channels_is_a_row():
    image = keras.Input((8, 8, 3))
    pads = ((0, 0), (1, 1), (1, 1), (0, 2))
    y = keras.layers.Conv2D(4, 3, name="conv")(keras.ops.pad(image, pads))
    moved, row = keras_import.from_keras(keras.Model(image, y))
    assert (moved.op, row.in_c, row.macs) == ("data_movement", 5, 64 * 180)


@BOTH
def test_a_batch_in_the_model(package):
    """Four images of odd size, one below the other, at a stride."""
    kl = package.layers
    image = package.Input((9, 9, 3), batch_size=4)
    y = kl.Conv2D(4, 3, strides=2, padding="same", name="conv")(image)
    y = kl.DepthwiseConv2D(3, strides=2, padding="same", name="dw")(y)
    rows = keras_import.from_keras(package.Model(image, y))
    assert [row.macs for row in rows] == [4 * 25 * 108, 4 * 9 * 36]
    cost = cs.estimate(cs.pad([rows]), cs.load_accelerator("edge_tpu"))
    assert np.isfinite(cost.latency_ms).all()


@BOTH
def test_channels_first(package):
    kl = package.layers
    rows = rows_of(
        package,
        (3, 8, 10),
        kl.ZeroPadding2D(1, data_format="channels_first"),
        kl.Conv2D(4, 3, 2, data_format="channels_first", name="conv"),
        kl.MaxPooling2D(2, data_format="channels_first"),
        kl.GlobalMaxPooling2D(data_format="channels_first"),
    )
    assert [(r.in_h, r.in_w, r.in_c, r.out_h, r.out_c) for r in rows] == [
        (8, 10, 3, 4, 4), (4, 5, 4, 2, 4), (2, 2, 4, 1, 4),
    ]  # fmt: skip


@BOTH
def test_squeeze_excite_reads_the_image_first(package):
    kl = package.layers
    image = package.Input((4, 4, 8))
    gate = kl.GlobalAveragePooling2D(keepdims=True, name="pool")(image)
    gate = kl.Conv2D(8, 1, activation="sigmoid", name="excite")(gate)
    scaled = kl.Multiply(name="scale")([gate, image])
    rows = keras_import.from_keras(package.Model(image, scaled))
    names = ["pool", "excite", "excite/sigmoid", "scale"]
    assert [row.name for row in rows] == names
    assert (rows[0].k_h, rows[0].k_w, rows[0].groups) == (4, 4, 8)
    assert (rows[3].in_h, rows[3].side_elements) == (4, 8)
    assert [row.held_elements for row in rows] == [0, 128, 128, 0]


@BOTH
def test_sequences(package):
    kl = package.layers
    one = package.Input((7, 8))
    two = kl.Conv1D(12, 3, padding="same", name="conv")(one)
    three = kl.Dense(12, activation="gelu", name="dense")(one)
    dot = kl.Dot((2, 2), name="dot")([two, three])
    rows = {
        row.name: row
        for row in keras_import.from_keras(package.Model(one, dot))
    }
    assert (rows["conv"].k_h, rows["conv"].k_w) == (1, 3)
    assert rows["conv"].macs == 7 * 8 * 12 * 3
    assert (rows["dense"].macs, rows["dense"].params) == (7 * 96, 108)
    assert rows["dense/gelu"].op == "elementwise"
    assert (rows["dot"].op, rows["dot"].macs) == ("matmul", 7 * 7 * 12)
    assert rows["dot"].params == rows["dot"].side_elements == 0


@BOTH
def test_attention(package):
    query, memory = package.Input((7, 16)), package.Input((5, 24))
    y = package.layers.MultiHeadAttention(2, 8, 6, name="mha")(query, memory)
    model = package.Model([query, memory], y)
    rows = keras_import.from_keras(model, on_unknown=pytest.fail)
    assert [(row.name, row.macs) for row in rows] == [
        ("mha/query", 7 * 16 * 16),
        ("mha/key", 5 * 24 * 16),
        ("mha/value", 5 * 24 * 12),
        ("mha/scores", 2 * 7 * 5 * 8),
        ("mha/softmax", 0),
        ("mha/context", 2 * 7 * 5 * 6),
        ("mha/output", 7 * 12 * 16),
    ]
    assert total(rows, "params") == model.count_params()


def test_operations_without_a_layer():
    left, right = keras.Input((2, 7, 16)), keras.Input((2, 5, 16))
    scores = keras.ops.einsum("bhtd,bhsd->bhts", left, right)
    context = keras.ops.matmul(keras.ops.softmax(scores), right)
    y = keras.ops.mean(context + 1.0, axis=(1, 2))
    y = keras.ops.matmul(y, np.ones((16, 3), np.float32))
    model = keras.Model([left, right], y)
    rows = keras_import.from_keras(model, on_unknown=pytest.fail)
    assert [(row.op, row.macs) for row in rows] == [
        ("matmul", 2 * 7 * 5 * 16),
        ("elementwise", 0),
        ("matmul", 2 * 7 * 16 * 5),
        ("elementwise", 0),
        ("pool", 0),
        ("dense", 48),
    ]
    assert rows[4].k_h * rows[4].k_w * rows[4].out_c == 2 * 7 * 16
    assert rows[0].held_elements == 0  # it reads all there is
    assert rows[1].held_elements == 2 * 5 * 16


def test_dense_einsums_and_what_is_none():
    kl = keras.layers
    image = keras.Input((7, 8))
    y = kl.EinsumDense(
        "btx,xy->bty", (7, 12), bias_axes="y", activation="tanh", name="e"
    )(image)
    diagonal = keras.ops.einsum("btx,btx->bt", y, y)
    strange = keras.ops.einsum("btx->bx", y)
    reported = []
    model = keras.Model(image, [diagonal, strange])
    rows = keras_import.from_keras(model, reported.append)
    assert [(row.op, row.macs, row.params) for row in rows[:2]] == [
        ("dense", 7 * 8 * 12, 108), ("elementwise", 0, 0),
    ]  # fmt: skip
    products = {row.macs for row in rows[2:] if row.op == "matmul"}
    assert products == {7 * 12}
    assert reported == ["Einsum"]


def test_tensorflow_functions_in_tf_keras():
    import tensorflow as tf

    image = tf_keras.Input((4, 4, 8))
    y = tf.nn.relu6(image + 3.0) * (1 / 6)
    y = tf.concat([tf.reduce_mean(y, (1, 2)), tf.reduce_max(y, (1, 2))], 1)
    rows = keras_import.from_keras(
        tf_keras.Model(image, y), on_unknown=pytest.fail
    )
    assert [row.op for row in rows] == [
        "elementwise", "elementwise", "pool", "pool", "data_movement",
    ]  # fmt: skip
    assert (rows[-1].out_c, rows[-1].side_elements) == (16, 8)


@BOTH
def test_nested_and_shared_layers(package):
    kl = package.layers
    inner_image = package.Input((4, 4, 3))
    y = kl.Conv2D(3, 3, padding="same", name="conv")(inner_image)
    inner = package.Model(inner_image, y, name="inner")
    tail = package.Sequential(
        [kl.Flatten(), kl.Dense(2, name="logits")], name="tail"
    )
    one, two = package.Input((4, 4, 3)), package.Input((4, 4, 3))
    x = kl.Add(name="sum")([inner(one), inner(two)])
    rows = keras_import.from_keras(package.Model([one, two], [tail(x), x]))
    assert [row.name for row in rows] == [
        "inner/conv", "inner/conv:2", "sum", "tail/logits",
    ]  # fmt: skip
    assert rows[0].held_elements == 0  # the other image is not there yet
    assert rows[1].held_elements == 48  # the first result
    assert rows[3].in_c == 48


class Strange(keras.layers.Layer):
    def call(self, x):
        return x


def test_unknown_operations_are_reported_once_and_move_data(monkeypatch):
    image = keras.Input((6, 4))
    y = Strange(name="one")(image)
    y = Strange(name="two")(y)
    model = keras.Model(image, y)
    reported = []
    rows = keras_import.from_keras(model, reported.append)
    assert reported == ["Strange"]
    assert [(row.name, row.op) for row in rows] == [
        ("one", "data_movement"), ("two", "data_movement"),
    ]  # fmt: skip
    assert (rows[0].in_h * rows[0].in_w * rows[0].in_c) == 24
    assert (rows[0].out_h * rows[0].out_w * rows[0].out_c) == 24
    logged = []
    monkeypatch.setattr(
        "absl.logging.warning", lambda text, *args: logged.append(text % args)
    )
    keras_import.from_keras(model)
    assert len(logged) == 1
    assert "Strange" in logged[0]


def test_quantization_aware_models_look_like_their_float_model():
    from tensorflow_model_optimization.quantization.keras import quantize_model

    kl = tf_keras.layers
    image = tf_keras.Input((8, 8, 3))
    x = kl.Conv2D(4, 3, padding="same", use_bias=False, name="conv")(image)
    x = kl.ReLU()(kl.BatchNormalization()(x))
    x = kl.DepthwiseConv2D(3, name="dw", activation="relu")(x)
    x = kl.GlobalAveragePooling2D(name="pool")(x)
    model = tf_keras.Model(image, kl.Dense(2, name="logits")(x))
    rows = keras_import.from_keras(quantize_model(model), pytest.fail)
    assert rows == keras_import.from_keras(model)


@pytest.mark.parametrize("package", [keras, tf_keras])
def test_models_that_cannot_be_read(package):
    class Subclassed(package.Model):
        pass

    with pytest.raises(ValueError, match="Subclassed"):
        keras_import.from_keras(Subclassed())
    with pytest.raises(ValueError, match="Sequential"):
        keras_import.from_keras(package.Sequential([package.layers.Dense(3)]))
    image = package.Input((None, None, 3))
    model = package.Model(image, package.layers.Conv2D(2, 1)(image))
    with pytest.raises(ValueError, match="fixed"):
        keras_import.from_keras(model)
