import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
import tflite_files

from tf_cosearch.networks.importers import keras_import, tflite_import

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
BOTH = pytest.mark.parametrize(
    "package", [keras, tf_keras], ids=["keras", "tf_keras"]
)


def every_kind(package):
    """A chain, so that the order of its rows leaves no choice."""
    kl = package.layers
    x = image = package.Input((16, 16, 3))
    x = kl.ZeroPadding2D(((0, 1), (0, 1)))(x)
    x = kl.Conv2D(8, 3, strides=2, use_bias=False)(x)
    shortcut = x = kl.ReLU(6.0)(kl.BatchNormalization()(x))
    x = kl.Conv2D(16, 1, activation="swish")(x)
    x = kl.DepthwiseConv2D(3, padding="same", depth_multiplier=2)(x)
    x = kl.Conv2D(8, 1, use_bias=False)(x)
    x = kl.Add()([shortcut, kl.BatchNormalization()(x)])
    gate = kl.GlobalAveragePooling2D(keepdims=True)(x)
    gate = kl.Conv2D(4, 1, activation="relu")(gate)
    gate = kl.Conv2D(8, 1, activation="sigmoid")(gate)
    x = kl.Multiply()([x, gate])
    x = kl.Conv2D(8, 3, padding="same", groups=2)(x)
    x = kl.Conv2D(8, 3, padding="same", dilation_rate=2)(x)
    x = kl.Conv2DTranspose(4, 3, strides=2, padding="same")(x)
    x = kl.Conv2DTranspose(4, 3, strides=2, padding="valid")(x)
    x = kl.Concatenate()([kl.MaxPooling2D(4)(x), kl.AveragePooling2D(4)(x)])
    x = kl.Dense(12, activation="relu")(kl.Reshape((64, 8))(x))
    y = kl.Conv1D(12, 3, padding="same")(x)
    x = kl.Flatten()(kl.Dot((2, 2))([x, y]))
    model = package.Model(image, kl.Dense(10, activation="softmax")(x))
    rng = np.random.default_rng(0)
    weights = [
        rng.uniform(0.01, 0.2, weight.shape).astype(np.float32)
        for weight in model.get_weights()
    ]
    model.set_weights(weights)
    return model


def convert(model, precision="float"):
    shape = (1, *model.inputs[0].shape[1:])
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if precision != "float":
        ops = {
            "int8": tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
            "int16": tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,  # noqa: E501
        }[precision]
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_ops = [ops]
        converter.representative_dataset = lambda: (
            [np.random.default_rng(0).random(shape, np.float32)]
            for _ in range(2)
        )
    return converter.convert()


def from_function(function, *shapes):
    specs = [tf.TensorSpec(shape) for shape in shapes]
    concrete = tf.function(function).get_concrete_function(*specs)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    return converter.convert()


def bounds(layers):
    """What a MAC row is, but for its name and what it is surrounded by."""
    return [
        (
            row.op,
            (row.out_h, row.out_w, row.out_c),
            (row.in_h, row.in_w, row.in_c),
            (row.k_h, row.k_w, row.stride_h, row.stride_w, row.groups),
            (row.macs, row.params, row.weight_bits, row.activation_bits),
        )
        for row in layers
        if row.kind.is_mac
    ]


@pytest.fixture(scope="module")
def model():
    return every_kind(keras)


@pytest.fixture(scope="module")
def content(model):
    return convert(model)


@pytest.mark.parametrize("precision", ["float", "int8"])
def test_equals_the_keras_model(model, precision):
    rows = keras_import.from_keras(model, pytest.fail)
    converted = convert(model, precision)
    read = tflite_import.from_tflite(converted, pytest.fail)
    assert len(bounds(rows)) == 20
    assert bounds(read) == bounds(rows)
    # TFLite makes two rows of a swish; the rest is the same row for row.
    others = [row.op for row in read if not row.kind.is_mac]
    assert others.count("pool") == 3
    assert others.count("data_movement") == 1


def test_equals_the_tf_keras_model():
    model = every_kind(tf_keras)
    read = tflite_import.from_tflite(convert(model), pytest.fail)
    assert bounds(read) == bounds(keras_import.from_keras(model))


def test_held_tensors_equal_the_keras_models(model, content):
    rows = keras_import.from_keras(model)
    read = tflite_import.from_tflite(content)
    assert [row.held_elements for row in read if row.kind.is_mac] == [
        row.held_elements for row in rows if row.kind.is_mac
    ]


def test_attention_equals_the_keras_model():
    image = keras.Input((7, 16), batch_size=1)
    y = keras.layers.MultiHeadAttention(2, 8, name="mha")(image, image)
    model = keras.Model(image, y)
    read = tflite_import.from_tflite(convert(model), pytest.fail)
    rows = keras_import.from_keras(model)
    assert sorted(row.macs for row in read) == sorted(
        [row.macs for row in rows] + [0] * (len(read) - len(rows))
    )
    products = [row for row in read if row.op == "matmul"]
    assert [row.groups for row in products] == [2, 2]


def test_precision_is_read_from_the_tensors():
    image = keras.Input((8, 8, 3))
    y = keras.layers.Conv2D(4, 3, name="conv")(image)
    model = keras.Model(image, keras.layers.Activation("sigmoid")(y))
    conv = tflite_import.from_tflite(convert(model, "int16"))
    conv = next(row for row in conv if row.op == "conv2d")
    assert (conv.weight_bits, conv.activation_bits) == (8, 16)


def test_constants_are_weights_and_products_of_activations_are_not():
    kernel, bias = np.ones((5, 16), np.float32), np.ones(5, np.float32)

    def products(x, y):
        return tf.matmul(x, y, transpose_b=True), tf.matmul(x, kernel.T) + bias

    content = from_function(products, (7, 16), (5, 16))
    rows = tflite_import.from_tflite(content, pytest.fail)
    found = sorted((row.op, row.macs, row.params) for row in rows)
    # The constant that is added is the bias of the dense layer.
    assert found == [("dense", 560, 85), ("matmul", 560, 0)]


def test_a_batch_is_a_taller_image():
    kernel = np.ones((3, 3, 2, 4), np.float32)
    content = from_function(
        lambda x: tf.nn.conv2d(x, kernel, 1, "SAME"), (5, 8, 8, 2)
    )
    [row] = tflite_import.from_tflite(content)
    assert (row.out_h, row.out_w) == (40, 8)
    assert row.macs == 5 * 64 * 4 * 2 * 9


def test_unknown_operations_are_reported_once_and_move_data():
    def spectra(x):
        y = tf.abs(tf.signal.rfft(x)) * 2.0
        return tf.abs(tf.signal.rfft(y, [4]))

    reported = []
    rows = tflite_import.from_tflite(
        from_function(spectra, (1, 8)), reported.append
    )
    assert reported == ["RFFT2D"]
    assert [row.op for row in rows] == [
        *("data_movement", "elementwise", "elementwise"),
        *("data_movement", "elementwise"),
    ]
    assert rows[0].out_elements == 5


def test_space_to_batch_is_free_only_around_a_convolution():
    def blocks(x):
        y = tf.space_to_batch(x, [2, 2], [[0, 0], [0, 0]]) * 2.0
        return tf.batch_to_space(y, [2, 2], [[0, 0], [0, 0]])

    content = from_function(blocks, (1, 4, 4, 3))
    rows = tflite_import.from_tflite(content, pytest.fail)
    assert [row.op for row in rows] == [
        "data_movement", "elementwise", "data_movement",
    ]  # fmt: skip


def test_several_outputs_and_smaller_operators():
    def branches(x):
        one, two = tf.split(x, 2, axis=-1)
        left = tf.reduce_sum(tf.tanh(one), axis=-1)
        return left, tf.pad(two, [[0, 0], [1, 1], [0, 0], [0, 0]])

    content = from_function(branches, (1, 4, 6, 8))
    rows = tflite_import.from_tflite(content, pytest.fail)
    by_op = {row.op: row for row in rows if row.op != "data_movement"}
    split, pad = (row for row in rows if row.op == "data_movement")
    assert split.out_h * split.out_w * split.out_c == 4 * 6 * 8
    assert (pad.in_h, pad.out_h) == (4, 6)
    window = by_op["pool"]
    assert window.k_h * window.k_w * window.out_c == 4 * 6 * 4
    assert by_op["elementwise"].out_c == 4


def test_an_open_shape_is_refused():
    content = from_function(lambda x: tf.nn.relu(x) * 2.0, (1, None, 8, 3))
    with pytest.raises(ValueError, match=r"\(--input_px=224\)"):
        tflite_import.from_tflite(content)


def test_files_that_are_none(tmp_path, content):
    with pytest.raises(FileNotFoundError, match=r"none\.tflite"):
        tflite_import.from_tflite(tmp_path / "none.tflite")
    path = tmp_path / "model.tflite"
    for damaged in (
        b"",
        b"TFL3",
        b"\x00" * 1000,
        b"PK\x03\x04" + content,
        np.random.default_rng(0).bytes(4096),
        content[:4] + b"TFL3" + np.random.default_rng(1).bytes(4096),
    ):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"model\.tflite must be a whole"):
            tflite_import.from_tflite(path)
    path.write_bytes(content)
    assert tflite_import.from_tflite(path)


def test_truncated_files(content):
    # The last bytes only pad the file.
    for size in np.linspace(0, len(content) - 16, 100, dtype=int):
        with pytest.raises(ValueError, match="must be a whole TFLite model"):
            tflite_import.from_tflite(content[:size])


@pytest.mark.parametrize("shared", ["operators", "graphs", "tensors"])
def test_files_that_state_one_part_a_thousand_times(monkeypatch, shared):
    """Up to 200 kB each, for over 2**24 numbers or letters to read."""
    graph = tflite_files.Graph()
    x = graph.input([1, 4])
    graph.add("ADD", [x] * (2**13 if shared == "operators" else 2), [[1, 4]])
    if shared == "tensors":
        graph.tensors[0].name = "x" * 2**15
    parts = getattr(graph, shared, graph.file.graphs)
    if shared == "graphs":
        graph.operators *= 2**10
        pack = functools.cache(tflite_files._subgraph)
        monkeypatch.setattr(tflite_files, "_subgraph", pack)
    parts *= 2**14 if shared != "tensors" else 2**13
    for kind in ("OperatorT", "TensorT", "SubGraphT"):
        kind = getattr(tflite_files.schema, kind)
        monkeypatch.setattr(kind, "Pack", functools.cache(kind.Pack))
    content = graph.content()
    assert len(content) < 200_000
    with pytest.raises(ValueError, match="states far more than it holds"):
        tflite_import.from_tflite(content)


def test_tensors_of_very_many_axes():
    """The product of their extents took hours."""
    graph = tflite_files.Graph()
    x = graph.input([2**31 - 1] * 2**17)
    graph.add("ADD", [x, x], [[1, 4]])
    with pytest.raises(ValueError, match="has 131072 axes"):
        tflite_import.from_tflite(graph.content())


def test_flipped_bits_never_escape_as_another_error(content):
    rng = np.random.default_rng(0)
    structure = 24_000  # bytes of the file that are not just weights
    refused = 0
    for _ in range(150):
        damaged = bytearray(content)
        for position in rng.integers(structure, size=3):
            damaged[position] ^= 1 << rng.integers(8)
        try:
            rows = tflite_import.from_tflite(bytes(damaged), str)
        except ValueError:
            refused += 1
        else:
            assert all(min(r.out_h, r.out_w, r.out_c, r.k_h) > 0 for r in rows)
    assert refused > 10
