"""Single operators and small patterns of a .tflite file, built one by one."""

import struct

import keras
import numpy as np
import pytest
import tensorflow as tf
import tflite_files

from tf_cosearch.networks.importers import keras_import, tflite_import

CONV = {"options": "Conv2DOptions", "strideH": 1, "strideW": 1}


def read(graph, on_unknown=pytest.fail, **chosen):
    content = graph if isinstance(graph, bytes) else graph.content()
    return tflite_import.from_tflite(content, on_unknown, **chosen)


def macs(rows):
    return sum(row.macs for row in rows)


def params(rows):
    return sum(row.params for row in rows)


def conv(graph, x, shape, kernel, **options):
    """A convolution, VALID unless padding=0."""
    options = {"padding": 1, **CONV, **options}
    weights = graph.weights(*kernel)
    return graph.add("CONV_2D", [x, weights], [shape], **options)


# Widths


def test_every_tensor_has_the_width_of_its_own_type():
    graph = tflite_files.Graph()
    x = graph.input([1, 8, 8, 4], "INT8")
    axis = graph.integers(-1)
    best = graph.add("ARG_MAX", [x, axis], [[1, 8, 8]], "INT64")
    graph.add("CAST", [best], [[1, 8, 8]], "INT16")
    largest, cast = read(graph)
    assert (largest.activation_bits, largest.output_bits) == (8, 64)
    assert largest.in_elements == 256
    assert (cast.activation_bits, cast.output_bits) == (64, 16)


@pytest.mark.parametrize(
    ("kind", "bits"),
    [
        *(("FLOAT32", 8), ("FLOAT16", 8), ("BOOL", 8), ("INT4", 4)),
        *(("INT16", 16), ("UINT8", 8), ("INT32", 32), ("INT64", 64)),
    ],
)
def test_floats_count_as_the_int8_they_would_become(kind, bits):
    graph = tflite_files.Graph()
    x = graph.input([1, 8], kind)
    graph.add("ADD", [x, x], [[1, 8]], kind)
    [row] = read(graph)
    assert (row.activation_bits, row.output_bits) == (bits, bits)


# Extents


@pytest.mark.parametrize("axes", [[3], [1, 2, 3], [2]])
def test_elements_stand_alike_where_they_are_read_and_written(axes):
    """Else windows of a row would be as wide as the other's channels."""
    shape, kept = [1, 6, 5, 4], [1, 6, 5, 4]
    for axis in axes:
        kept[axis] = 1
    options = {"options": "ReducerOptions", "keepDims": True}
    graph = tflite_files.Graph()
    x = graph.input(shape)
    mean = graph.add("MEAN", [x, graph.integers(*axes)], [kept], **options)
    graph.add("SUB", [x, graph.add("NEG", [mean], [kept])], [shape])
    _, negated, moved = read(graph)
    for row in (negated, moved):
        assert (row.out_h, row.out_w, row.out_c) == (
            row.in_h, row.in_w, row.in_c,
        )  # fmt: skip
    assert (negated.out_elements, moved.out_elements) == (np.prod(kept), 120)


def test_means_stand_where_they_are_spread():
    options = {"options": "ReducerOptions", "keepDims": True}
    graph = tflite_files.Graph()
    x, axis = graph.input([1, 6, 5, 4]), graph.integers(3)
    mean = graph.add("MEAN", [x, axis], [[1, 6, 5, 1]], **options)
    graph.add("MUL", [mean, graph.weights(4)], [[1, 6, 5, 4]])
    row = read(graph)[-1]
    assert (row.in_h, row.in_w, row.in_c) == (6, 5, 1)


def test_elements_of_a_product_do_too():
    graph = tflite_files.Graph()
    x, y = graph.input([1, 2, 6, 4]), graph.input([1, 2, 4, 5])
    options = {"options": "BatchMatMulOptions"}
    scores = graph.add("BATCH_MATMUL", [x, y], [[1, 2, 6, 5]], **options)
    graph.add("TANH", [scores], [[1, 2, 6, 5]])
    row = read(graph)[-1]
    assert (row.in_h, row.in_w, row.in_c) == (2, 6, 5)


# Weights


def test_a_kernel_that_several_read_is_stored_once():
    graph = tflite_files.Graph()
    x = graph.input([1, 8, 8, 4])
    kernel = np.ones((4, 1, 1, 4), np.int8)
    first = graph.constant(kernel)
    # Another tensor may have the same buffer, with a scale of its own.
    second = graph.tensor([4, 1, 1, 4], "INT8")
    graph.tensors[second].buffer = graph.tensors[first].buffer
    other = graph.constant(kernel)
    for weights in (first, first, second, other):
        x = graph.add("CONV_2D", [x, weights], [[1, 8, 8, 4]], **CONV)
    rows = read(graph)
    assert [row.reuses_weights for row in rows] == [False, True, True, False]
    assert (params(rows), macs(rows)) == (32, 4 * 64 * 16)


def test_weights_that_are_computed_from_stored_ones_are_those():
    """A half-precision kernel is read through two of its dequantizations."""
    graph = tflite_files.Graph()
    x = graph.input([1, 4])
    half = graph.constant(np.ones((4, 4), np.float16))
    for _ in range(2):
        weights = graph.add("DEQUANTIZE", [half], [[4, 4]])
        x = graph.add("FULLY_CONNECTED", [x, weights, -1], [[1, 4]])
    assert params(read(graph)) == 16


def test_parts_of_weights_are_parameters_of_their_own():
    graph = tflite_files.Graph()
    x = graph.input([1, 4])
    both = graph.weights(8, 4)
    for _ in range(2):
        parts = graph.add(
            "SPLIT",
            [graph.integers(0), both],
            [[4, 4], [4, 4]],
            options="SplitOptions",
            numSplits=2,
        )
        for part in parts:
            x = graph.add("FULLY_CONNECTED", [x, part, -1], [[1, 4]])
    rows = read(graph)
    assert (params(rows), macs(rows)) == (32, 64)


def test_sparse_weights_cost_nothing_to_unfold():
    graph = tflite_files.Graph()
    x = graph.input([1, 4])
    weights = graph.add("DENSIFY", [graph.weights(8, 4)], [[8, 4]])
    graph.add("FULLY_CONNECTED", [x, weights, -1], [[1, 8]])
    [row] = read(graph)
    assert (row.op, row.params) == ("dense", 32)


def test_a_kernel_that_is_computed_is_not_stored():
    graph = tflite_files.Graph()
    x, kernel = graph.input([1, 8, 8, 2]), graph.input([4, 1, 1, 2])
    graph.add("CONV_2D", [x, kernel], [[1, 8, 8, 4]], **CONV)
    [row] = read(graph)
    assert (row.macs, row.params) == (64 * 8, 0)


def test_gains_are_stored_and_numbers_and_zeros_are_not():
    graph = tflite_files.Graph()
    x = graph.input([1, 8, 4])
    gains = graph.constant(np.arange(4, dtype=np.float32))
    for other in (
        gains,
        graph.constant(np.float32(2)),
        graph.constant(np.zeros(4, np.float32)),
        gains,
    ):
        x = graph.add("MUL", [x, other], [[1, 8, 4]])
    x = graph.add("PRELU", [x, graph.weights(8, 4)], [[1, 8, 4]])
    rows = read(graph)
    assert [row.params for row in rows] == [4, 0, 0, 0, 32]


@pytest.mark.parametrize(("op", "stored"), [("EXP", 4), ("NEG", 0)])
def test_what_is_computed_of_zeros_may_be_gains(op, stored):
    graph = tflite_files.Graph()
    x = graph.input([1, 8, 4])
    logarithms = graph.constant(np.zeros(4, np.float32))
    gains = graph.add(op, [logarithms], [[4]])
    graph.add("MUL", [x, gains], [[1, 8, 4]])
    assert params(read(graph)) == stored


@pytest.mark.parametrize("op", ["GATHER", "EMBEDDING_LOOKUP"])
def test_tables_are_looked_up(op):
    graph = tflite_files.Graph()
    places, table = graph.input([1, 6], "INT32"), graph.weights(50, 8)
    inputs = [table, places] if op == "GATHER" else [places, table]
    for _ in range(2):
        options = {"options": "GatherOptions"} if op == "GATHER" else {}
        graph.add(op, inputs, [[1, 6, 8]], "INT8", **options)
    first, second = read(graph)
    assert (first.op, first.out_elements) == ("embedding", 48)
    assert (first.params, first.activation_bits) == (400, 32)
    assert (second.params, second.reuses_weights) == (0, True)


@pytest.mark.parametrize(("kind", "bits"), [("INT4", 4), ("INT8", 8)])
def test_rows_of_integers_that_become_floats_have_scales(kind, bits):
    graph = tflite_files.Graph()
    places = graph.input([3], "INT32")
    table = graph.tensor([50, 8], kind, np.ones(50 * bits, np.int8))
    graph.add("EMBEDDING_LOOKUP", [places, table], [[3, 8]], "FLOAT32")
    found, scales, scaled = read(graph)
    assert (found.params, found.weight_bits) == (400, bits)
    assert (scales.op, scales.out_elements) == ("embedding", 3)
    assert (scales.params, scales.weight_bits) == (50, 32)
    assert (scaled.op, scaled.out_elements) == ("elementwise", 24)
    assert scaled.side_elements == 3 * 4  # floats, in elements of 8 bits


def test_floats_made_of_integers_count_as_8_bits_once():
    graph = tflite_files.Graph()
    x = graph.input([1, 6], "INT32")
    y = graph.add("CAST", [x], [[1, 6]], "FLOAT32")
    graph.add("QUANTIZE", [y], [[1, 6]], "INT8")
    [row] = read(graph)
    assert (row.activation_bits, row.output_bits) == (32, 8)
    # What comes as floats is still brought to integers.
    graph = tflite_files.Graph()
    x = graph.input([1, 6], "FLOAT32")
    graph.add("QUANTIZE", [x], [[1, 6]], "INT8")
    assert [row.op for row in read(graph)] == ["elementwise"]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_parameters_equal_the_keras_models():
    """A token, positions, gains of a normalisation and of a PReLU."""

    class Tokens(keras.layers.Layer):
        def build(self, shape):
            self.token = self.add_weight(shape=(1, 1, shape[-1]))
            self.places = self.add_weight(shape=(1, shape[1] + 1, shape[-1]))

        def call(self, x):
            token = tf.tile(self.token, [tf.shape(x)[0], 1, 1])
            return tf.concat([token, x], 1) + self.places

    image = keras.Input((6, 8))
    x = keras.layers.PReLU(shared_axes=[1])(keras.layers.Dense(8)(image))
    x = keras.layers.LayerNormalization()(Tokens()(x))
    model = keras.Model(image, keras.layers.Dense(3)(x))
    rng = np.random.default_rng(0)
    model.set_weights(
        [rng.uniform(0.1, 1, weight.shape) for weight in model.get_weights()]
    )
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    rows = read(converter.convert())
    assert params(rows) == model.count_params()
    assert macs(rows) == 6 * 64 + 7 * 24


# Shapes


@pytest.mark.parametrize("padding", ["same", "causal", "valid"])
@pytest.mark.parametrize("length", [20, 21])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_dilation_along_one_axis_equals_the_keras_model(padding, length):
    image = keras.Input((length, 6))
    layer = keras.layers.Conv1D(8, 3, dilation_rate=4, padding=padding)
    model = keras.Model(image, layer(image))
    model.set_weights([np.ones(w.shape) for w in model.get_weights()])
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    [row] = read(converter.convert())
    [told] = keras_import.from_keras(model)
    for name in ("out_h", "out_w", "in_h", "in_w", "k_h", "k_w", "macs"):
        assert getattr(row, name) == getattr(told, name), name
    assert (row.dilation_h, row.dilation_w) == (1, 4)
    assert row.params == told.params == model.count_params()


@pytest.mark.parametrize(
    ("pads", "size", "is_row"),
    [
        ([[0, 0], [1, 1], [1, 1], [0, 0]], [1, 8, 8, 4], False),
        ([[0, 0], [2, 0], [0, 2], [0, 0]], [1, 8, 8, 4], False),
        ([[0, 0], [4, 4], [4, 4], [0, 0]], [1, 14, 14, 4], True),
        ([[0, 0], [0, 3], [0, 0], [0, 0]], [1, 9, 6, 4], True),
        ([[0, 1], [0, 0], [0, 0], [0, 0]], [2, 6, 6, 4], True),
        ([[0, 0], [0, 0], [0, 0], [0, 5]], [1, 6, 6, 4], True),
    ],
)
def test_convolutions_pad_as_far_as_their_windows_reach(pads, size, is_row):
    graph = tflite_files.Graph()
    shape = np.add([1, 8, 8, 3], np.sum(pads, 1)).tolist()
    x = graph.input([1, 8, 8, 3])
    pads = graph.constant(np.array(pads, np.int32))
    x = graph.add("PAD", [x, pads], [shape])
    conv(graph, x, size, (4, 3, 3, shape[3]))
    rows = read(graph)
    assert len(rows) == 1 + is_row
    assert macs(rows) == int(np.prod(size)) * 9 * shape[3]
    assert rows[-1].in_h == (shape[0] * shape[1] if is_row else 8)


def test_mirrored_edges_are_data():
    graph = tflite_files.Graph()
    x = graph.input([1, 8, 8, 3])
    pads = np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32)
    x = graph.add("MIRROR_PAD", [x, graph.constant(pads)], [[1, 10, 10, 3]])
    conv(graph, x, [1, 8, 8, 4], (4, 3, 3, 3))
    assert [row.op for row in read(graph)] == ["data_movement", "conv2d"]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_upsampling_with_an_open_batch(interpolation):
    image = keras.Input((8, 8, 4))
    x = keras.layers.UpSampling2D(3, interpolation=interpolation)(image)
    model = keras.Model(image, keras.layers.Conv2D(6, 1)(x))
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    rows = read(converter.convert())
    assert macs(rows) == 24 * 24 * 6 * 4
    assert (rows[-1].in_h, rows[-1].in_w) == (24, 24)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("pixels", [20, 33])
def test_open_image_sizes(pixels):
    def model(size):
        image = keras.Input((size, size, 3))
        x = keras.layers.Conv2D(4, 3, padding="same", strides=2)(image)
        x = keras.layers.Conv2D(4, 3, padding="same", dilation_rate=2)(x)
        x = keras.layers.Conv2DTranspose(6, 2, strides=2)(x)
        x = keras.layers.MaxPooling2D(3)(x)
        return keras.Model(image, keras.layers.Conv2D(2, 1)(x))

    converter = tf.lite.TFLiteConverter.from_keras_model(model(None))
    rows = read(converter.convert(), input_px=pixels)
    told = keras_import.from_keras(model(pixels))
    assert [row.macs for row in rows if row.macs] == [
        row.macs for row in told if row.macs
    ]


def test_an_image_size_that_is_not_open_is_not_dropped():
    graph = tflite_files.Graph()
    x = graph.input([-1, 8, 8, 3])
    graph.add("TANH", [x], [[-1, 8, 8, 3]])
    with pytest.raises(ValueError, match=r"open for --input_px.*\[1, 8, 8, 3"):
        read(graph, input_px=8)


def test_constants_that_shapes_hang_on_are_folded():
    """Half the height, by arithmetic on the shape."""
    graph = tflite_files.Graph()
    x = graph.input([-1, -1, -1, 4])
    shape = graph.add("SHAPE", [x], [[4]], "INT32")
    zero, one, four = (graph.integers(n) for n in (0, 1, 4))
    start = graph.add(
        "STRIDED_SLICE",
        [shape, one, graph.integers(2), one],
        [[1]],
        "INT32",
        options="StridedSliceOptions",
    )
    half = graph.add("FLOOR_DIV", [start, graph.integers(2)], [[1]], "INT32")
    wide = graph.add("MUL", [start, graph.integers(2)], [[1]], "INT32")
    target = graph.add(
        "CONCATENATION",
        [one, half, wide, four],
        [[4]],
        "INT32",
        options="ConcatenationOptions",
        axis=0,
    )
    del zero
    x = graph.add("RESHAPE", [x, target], [[-1, -1, -1, 4]])
    conv(graph, x, [-1, -1, -1, 2], (2, 1, 1, 4))
    [row] = read(graph, input_px=12)
    assert (row.in_h, row.in_w) == (6, 24)


# Operators


def test_three_dimensions():
    graph = tflite_files.Graph()
    x = graph.input([1, 8, 10, 12, 3])
    options = {"options": "Conv3DOptions", "strideD": 2, "strideH": 1}
    options |= {"strideW": 2, "padding": 1}
    x = graph.add(
        "CONV_3D",
        [x, graph.weights(3, 2, 1, 3, 6)],
        [[1, 3, 9, 6, 6]],
        **options,
    )
    shape = graph.integers(1, 6, 18, 12, 5)
    options |= {"strideH": 2}
    graph.add(
        "CONV_3D_TRANSPOSE",
        [shape, graph.weights(2, 2, 2, 5, 6), x],
        [[1, 6, 18, 12, 5]],
        **options,
    )
    rows = read(graph)
    assert rows[0].macs == 3 * 9 * 6 * 6 * 3 * 2 * 3
    assert macs(rows[1:]) == 3 * 9 * 6 * 6 * 5 * 8
    assert params(rows) == 6 * 18 + 8 * 30


def test_custom_operations_that_are_known_ones():
    graph = tflite_files.Graph()
    x = graph.input([1, 8, 8, 4])
    pooled, _ = graph.add(
        "MaxPoolingWithArgmax2D",
        [x],
        [[1, 4, 4, 4], [1, 4, 4, 4]],
        custom=struct.pack("<5i", 1, 2, 2, 2, 2),
    )
    weights, bias = graph.weights(6, 2, 2, 4), graph.weights(6)
    graph.add(
        "Convolution2DTransposeBias",
        [pooled, weights, bias],
        [[1, 8, 8, 6]],
        custom=struct.pack("<3i", 2, 2, 2),
    )
    rows = read(graph)
    assert (rows[0].op, rows[0].k_h, rows[0].stride_w) == ("pool", 2, 2)
    assert {row.op for row in rows[1:]} == {"conv2d_transpose"}
    assert (macs(rows), params(rows)) == (16 * 4 * 24, 96 + 6)


def test_what_runs_on_the_host_is_handed_over():
    graph = tflite_files.Graph()
    boxes, scores = graph.input([1, 20, 4]), graph.input([1, 20, 3])
    graph.add(
        "TFLite_Detection_PostProcess",
        [boxes, scores, graph.weights(20, 4)],
        [[1, 5, 4], [1, 5], [1, 5], [1]],
        custom=b"",
    )
    [row] = read(graph)
    assert (row.op, row.in_elements) == ("data_movement", 140)


def test_weights_may_stand_on_the_left():
    graph = tflite_files.Graph()
    x = graph.input([8, 5])
    graph.add("BATCH_MATMUL", [graph.weights(6, 8), x], [[6, 5]])
    [row] = read(graph)
    assert (row.op, row.macs, row.params) == ("dense", 6 * 8 * 5, 48)


# What is wrong with a file


@pytest.mark.parametrize(
    ("op", "compiler"),
    [
        ("ethos-u", "Arm's Vela"),
        ("edgetpu-custom-op", "the Edge TPU compiler"),
        ("DISPATCH_OP", "a LiteRT compiler plugin"),
    ],
)
def test_what_a_compiler_wrote_is_told_apart(op, compiler):
    graph = tflite_files.Graph()
    graph.add(op, [graph.input([1, 8])], [[1, 8]], custom=b"")
    with pytest.raises(ValueError, match=f"{compiler}.*Give the .tflite"):
        read(graph)


def test_an_operation_that_does_not_fit_is_named_and_the_file_is_whole():
    graph = tflite_files.Graph()
    conv(graph, graph.input([1, 8, 8, 3]), [1, 6, 6, 5], (4, 3, 3, 3))
    with pytest.raises(ValueError, match="CONV_2D 'tensor_2'") as caught:
        read(graph)
    assert "opy it again" not in str(caught.value)
    with pytest.raises(ValueError, match="Copy it again"):
        read(graph.content()[:-40])
