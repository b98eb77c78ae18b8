import dataclasses
import types

import numpy as np
import pytest
import tf_keras
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

from tf_cosearch.networks import blocks
from tf_cosearch.networks.importers.tflite_import import from_tflite
from tf_cosearch.networks.network import BlockSpec, Network
from tf_cosearch.training import (
    evaluate,
    fit,
    mixed_precision,
    qat,
    recipes,
)

WEIGHTED = ("stem", "expand", "depthwise", "project", "logits")
EVERY = {
    **dict.fromkeys(("stem", "stem_relu", "expand", "expand_relu"), 16),
    **dict.fromkeys(("depthwise_relu", "project", "add", "pool", "logits"), 16),
}


@pytest.fixture(scope="module")
def model(build, waves):
    """A model with batch statistics, as training would leave it."""
    tf_keras.utils.set_random_seed(0)
    model = build(tf_keras)
    qat.run_groups_natively(model)
    for _ in range(30):
        model(waves[0][0], training=True)
    return model


@pytest.fixture(scope="module")
def images(waves):
    return waves[0][0]


@pytest.fixture(scope="module")
def int8(model, images):
    return qat.to_tflite(model, images)


def types_of(tflite, operator=None):
    """Types of weights and of tensors written, read from the flatbuffer."""
    model = schema.Model.GetRootAsModel(tflite, 0)
    graph = model.Subgraphs(0)
    names = {v: k for k, v in vars(schema.TensorType).items() if k != "x"}
    found = {}
    for i in range(graph.OperatorsLength()):
        of = graph.Operators(i)
        code = model.OperatorCodes(of.OpcodeIndex()).BuiltinCode()
        if operator in (None, code):
            numbers = [*of.InputsAsNumpy(), *of.OutputsAsNumpy()]
            found[i] = [
                names[graph.Tensors(n).Type()] for n in numbers if n >= 0
            ]
    return found


def error(tflite, model, images):
    """The largest difference to the float model, of its largest number."""
    outputs = evaluate.Runner(tflite).dequantized(images)
    floats = model(images, training=False).numpy()
    return np.abs(outputs - floats).max() / np.abs(floats).max()


def test_int8_layers_are_told_by_name(int8):
    assert mixed_precision.layer_bits(int8) == dict.fromkeys(WEIGHTED, (8, 8))


def test_nothing_asked_is_nothing_done(int8):
    same = dict.fromkeys(WEIGHTED, 8)
    assert mixed_precision.requantize(int8, same, same) is int8


def test_weights_are_int4_in_the_flatbuffer(int8, model, images):
    four = dict.fromkeys(("expand", "project"), 4)
    file = mixed_precision.requantize(int8, four)
    bits = mixed_precision.layer_bits(file)
    assert {name for name, (w, _) in bits.items() if w == 4} == {*four}
    convolutions = types_of(file, schema.BuiltinOperator.CONV_2D).values()
    assert [types[1] for types in convolutions] == ["INT8", "INT4", "INT4"]
    assert len(file) <= len(int8) - (16 * 4 + 8 * 16) // 2
    assert error(int8, model, images) < 0.03
    assert error(file, model, images) < 0.2


def weights_of(tflite, layer):
    """Integers and steps of a layer's weights, nibble by nibble."""
    model = schema.Model.GetRootAsModel(tflite, 0)
    graph = model.Subgraphs(0)
    for i in range(graph.TensorsLength()):
        tensor = graph.Tensors(i)
        if f"/{layer}/" in tensor.Name().decode() and tensor.ShapeLength() > 1:
            data = model.Buffers(tensor.Buffer()).DataAsNumpy()
            if np.ndim(data):  # what is computed has none
                break
    shape = tensor.ShapeAsNumpy()
    if tensor.Type() == schema.TensorType.INT4:
        nibbles = np.stack([data & 15, data >> 4], -1).ravel().astype(int)
        integers = np.where(nibbles > 7, nibbles - 16, nibbles)
        integers = integers[: np.prod(shape)]
    else:
        integers = data.view(np.int8).astype(int)
    steps = tensor.Quantization().ScaleAsNumpy()
    axis = tensor.Quantization().QuantizedDimension()
    axes = np.ones(len(shape), int)
    axes[axis] = len(steps)
    return integers.reshape(shape), steps.reshape(axes)


@pytest.mark.parametrize("layer", WEIGHTED)
def test_each_layer_runs_in_4_bits_alone(int8, model, images, layer):
    file = mixed_precision.requantize(int8, {layer: 4})
    (fine, fine_steps), (integers, steps) = (
        weights_of(each, layer) for each in (int8, file)
    )
    weights = integers * steps
    others = tuple(np.flatnonzero(np.equal(steps.shape, 1)))
    assert (np.abs(integers).max(others) == 7).all()
    assert (np.abs(fine * fine_steps - weights) <= 0.5001 * steps).all()
    # What runs are these weights.
    rounded = tf_keras.models.clone_model(model)
    rounded.set_weights(model.get_weights())
    of = rounded.get_layer(layer)
    if layer == "logits":
        kernel = weights.T
    else:
        order = (1, 2, 3, 0)
        norm = rounded.get_layer(f"{layer}_bn")
        folded = norm.gamma / np.sqrt(norm.moving_variance + norm.epsilon)
        if layer == "depthwise":
            folded = np.reshape(folded, (-1, 1))
        kernel = weights.transpose(order) / folded
    of.set_weights([kernel, *of.get_weights()[1:]])
    # Ranges are those of the weights before.
    assert error(file, rounded, images) < 0.15
    # Kernels unpack int4: int8 of the same values is the same, but for how
    # different kernels round.
    object_ = flatbuffer_utils.convert_bytearray_to_object(bytearray(file))
    for tensor in object_.subgraphs[0].tensors:
        if tensor.type == schema.TensorType.INT4:
            tensor.type = schema.TensorType.INT8
            values = integers.astype(np.int8).ravel().view(np.uint8)
            object_.buffers[tensor.buffer].data = values
    unpacked = bytes(flatbuffer_utils.convert_object_to_bytearray(object_))
    steps = [
        evaluate.Runner(each).outputs(images).astype(int)
        for each in (file, unpacked)
    ]
    assert np.abs(steps[0] - steps[1]).max() <= 2


def test_activations_are_int16_where_asked_and_converted_between(
    int8, model, images
):
    wide = dict.fromkeys(("expand_relu", "depthwise", "project"), 16)
    file = mixed_precision.requantize(int8, activation_bits=wide)
    bits = mixed_precision.layer_bits(file)
    assert {name for name, (_, a) in bits.items() if a == 16} == {
        *("expand", "depthwise", "project")
    }
    quantize = types_of(file, schema.BuiltinOperator.QUANTIZE).values()
    assert sorted(quantize) == [["INT16", "INT8"], ["INT8", "INT16"]]
    [depthwise] = types_of(
        file, schema.BuiltinOperator.DEPTHWISE_CONV_2D
    ).values()
    assert depthwise == ["INT16", "INT8", "INT64", "INT16"]
    assert error(file, model, images) < 0.03


def test_sixteen_bits_everywhere_are_closer_than_eight(int8, model, images):
    file = mixed_precision.requantize(int8, activation_bits=EVERY)
    assert all(
        "INT8" not in (types[0], types[-1])
        for types in [*types_of(file).values()][1:-1]
    )
    interpreter = evaluate.open_interpreter(file)
    ends = interpreter.get_input_details() + interpreter.get_output_details()
    assert {end["dtype"] for end in ends} == {np.int8}
    # The last step is that of the answer in 8 bits.
    assert error(file, model, images) < error(int8, model, images)


def test_scales_of_an_int16_addition_are_no_powers_of_two(int8):
    file = mixed_precision.requantize(int8, activation_bits=EVERY)
    graph = schema.Model.GetRootAsModel(file, 0).Subgraphs(0)
    operators = [graph.Operators(i) for i in range(graph.OperatorsLength())]
    [options] = [
        operator.BuiltinOptions()
        for operator in operators
        if operator.BuiltinOptionsType() == schema.BuiltinOptions.AddOptions
    ]
    addition = schema.AddOptions()
    addition.Init(options.Bytes, options.Pos)
    assert not addition.PotScaleInt16()


def test_4_bits_and_16_bits_meet_in_one_layer(int8, model, images):
    four = dict.fromkeys(("expand", "project", "logits"), 4)
    narrow = mixed_precision.requantize(int8, four)
    both = mixed_precision.requantize(int8, four, EVERY)
    outputs = [evaluate.Runner(f).dequantized(images) for f in (narrow, both)]
    assert np.abs(outputs[0] - outputs[1]).max() < 0.03 * np.abs(outputs).max()


def test_fixed_scales_and_squeezes_survive(build, images):
    tf_keras.utils.set_random_seed(0)
    model = build(tf_keras, activation="swish", squeeze=True)
    qat.run_groups_natively(model)
    int8 = qat.to_tflite(model, images)
    every = dict.fromkeys(mixed_precision.layer_bits(int8), 16)
    every |= {"stem_act": 16, "scale": 16, "restore": 16, "expand_act": 16}
    file = mixed_precision.requantize(int8, activation_bits=every)
    assert error(file, model, images) < 0.03


@pytest.fixture(scope="module")
def shared(images):
    """A model of a layer called twice, and its file."""
    tf_keras.utils.set_random_seed(0)
    inputs = tf_keras.Input(images.shape[1:])
    stem = tf_keras.layers.Conv2D(8, 3, padding="same", name="stem")
    twice = tf_keras.layers.Conv2D(
        8, 3, padding="same", bias_initializer="random_uniform", name="twice"
    )
    outputs = twice(tf_keras.layers.ReLU(name="relu")(twice(stem(inputs))))
    model = tf_keras.Model(inputs, outputs)
    twice.set_weights([twice.kernel, 20 * twice.bias])
    return model, qat.to_tflite(model, images)


def test_each_reader_of_narrow_weights_has_its_bias_rescaled(shared, images):
    model, int8 = shared
    [layer] = mixed_precision.layer_bits(int8).keys() - {"stem"}
    file = mixed_precision.requantize(int8, {layer: 4})
    convolutions = types_of(file, schema.BuiltinOperator.CONV_2D).values()
    assert [types[1] for types in convolutions] == ["INT8", "INT4", "INT4"]
    assert error(int8, model, images) < 0.03
    assert error(file, model, images) < 0.2
    assert len(file) < len(int8)  # the narrow weights are there once


def test_a_layer_that_shares_weights_keeps_them_if_it_is_not_asked(shared):
    _, int8 = shared
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(int8))
    graph = model.subgraphs[0]
    *_, last = graph.operators
    graph.tensors[last.outputs[0]].name = b"model/other/BiasAdd"
    # Its weights are those of the first, by which no layer is told here.
    graph.tensors[last.inputs[1]].name = b"weights"
    file = bytes(flatbuffer_utils.convert_object_to_bytearray(model))
    narrow = mixed_precision.requantize(file, {"other": 4})
    convolutions = types_of(narrow, schema.BuiltinOperator.CONV_2D).values()
    assert [types[1] for types in convolutions] == ["INT8", "INT8", "INT4"]


@pytest.mark.parametrize("asked", [{"conv2d": 4}, {"conv2d": 4, "conv2d_1": 4}])
def test_a_layer_that_is_missing_is_not_the_next_of_default_names(asked):
    names = ("conv2d_1", "conv2d_2")[: 3 - len(asked)]
    layers = [
        tf_keras.layers.Conv2D(2, 1, input_shape=(2, 2, 2), name=name)
        for name in names
    ]
    model = tf_keras.Sequential(layers)
    int8 = qat.to_tflite(model, np.ones((1, 2, 2, 2), np.float32))
    with pytest.raises(ValueError, match=r"layers in the file\. .*'conv2d'"):
        mixed_precision.requantize(int8, asked)


@pytest.mark.parametrize("zero", [-128, -5, 0, 40, 127])
def test_16_bits_hold_both_ends_of_the_range_of_8(int8, zero):
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(int8))
    [tensor] = [
        each
        for each in model.subgraphs[0].tensors
        if b"/expand_relu/" in each.name and len(each.shape) == 4
    ]
    tensor.quantization.zeroPoint = np.asarray([zero])
    [step] = tensor.quantization.scale
    file = mixed_precision.requantize(
        bytes(flatbuffer_utils.convert_object_to_bytearray(model)),
        activation_bits={"expand_relu": 16},
    )
    graph = flatbuffer_utils.convert_bytearray_to_object(bytearray(file))
    [wide] = [
        each
        for each in graph.subgraphs[0].tensors
        if each.name == tensor.name + b"_int16"
    ]
    ends = np.abs([step * (-128 - zero), step * (127 - zero)])
    assert wide.quantization.scale[0] * 32767 == pytest.approx(ends.max())


@pytest.mark.parametrize(
    ("weights", "activations", "message"),
    [
        ({"stem": 3}, {}, "weight_bits must be 4 or 8"),
        ({"stem": 32}, {}, "weight_bits must be 4 or 8"),
        ({"stem": True}, {}, "weight_bits must be 4 or 8"),
        ({"stem": "8"}, {}, "weight_bits must be 4 or 8"),
        ({}, {"stem": 4}, "activation_bits must be 8 or 16"),
        ({"steam": 4}, {}, "must be of layers in the file.*'steam'"),
        ({}, {"steam": 16}, "must be of layers in the file.*'steam'"),
        ({"add": 4}, {}, "of a convolution or a dense layer.*'add'"),
        ({"depthwise": 4}, {"depthwise": 16}, "no kernel for 16.*'depthwise'"),
    ],
)
def test_what_no_format_holds_is_refused(int8, weights, activations, message):
    with pytest.raises(ValueError, match=message):
        mixed_precision.requantize(int8, weights, activations)


def _block(path, block, filters, stride=1, **options):
    return BlockSpec(path, block, filters, stride, tuple(options.items()))


NETWORK = Network(
    "mixed",
    (8, 8, 1),
    3,
    (
        _block("stem", "conv_bn", 8, 2),
        _block(
            *("stage1/block1", "inverted_residual", 8),
            expansion=2,
            se_ratio=0.25,
            weight_bits=4,
            activation_bits=16,
        ),
        _block(
            *("stage1/block2", "fused_inverted_residual", 8),
            expansion=2,
            groups=2,
            weight_bits=4,
        ),
        _block("stage2/block1", "conv_bn", 8, activation_bits=16),
        _block(*("stage2/block2", "depthwise_separable", 8), depthwise_bits=4),
    ),
    classifier_bits=4,
)
"""Each width beside each other one, on both sides of every change."""


@pytest.fixture(scope="module")
def trained(images):
    """A model as training leaves it: its last step moved the weights."""
    tf_keras.utils.set_random_seed(0)
    model = NETWORK.build(tf_keras)
    qat.run_groups_natively(model)
    for _ in range(3):
        model(images, training=True)
    model.get_layer("logits").bias.assign([0.1, -0.2, 0.3])
    aware = qat.quantize(model, NETWORK.precision)
    qat.calibrate(aware, images)
    rng = np.random.default_rng(0)
    for layer in aware.layers:
        for kernel, *_ in getattr(layer, "_weight_vars", ()):
            noise = rng.normal(1, 0.02, kernel.shape).astype(np.float32)
            kernel.assign(kernel * noise)
    return types.SimpleNamespace(
        model=model, qat_model=aware, tflite=qat.to_tflite(aware)
    )


def quantizers(trained):
    """Kernel, quantizer and range of each layer that has weights."""
    for layer in trained.qat_model.layers:
        for kernel, quantizer, limits in getattr(layer, "_weight_vars", ()):
            yield layer.layer.name, kernel, quantizer, limits["max_var"]


def test_the_integers_of_the_file_are_the_trained_ones(trained):
    widths = {
        row.name.replace("/", "_"): row.weight_bits
        for row in NETWORK.layers()
        if row.params
    }
    for name, kernel, quantizer, largest in quantizers(trained):
        assert quantizer.num_bits == widths.pop(name)
        most = 2 ** (quantizer.num_bits - 1) - 1
        limits = largest.numpy()
        if kernel.shape[-1] == 1 and limits.size > 1:  # depthwise
            limits = limits.reshape(-1, 1)
        wanted = np.round(kernel.numpy() / (limits / most)).clip(-most, most)
        order = {4: (3, 0, 1, 2), 2: (1, 0)}[wanted.ndim]
        integers, _ = weights_of(trained.tflite, f"quant_{name}")
        np.testing.assert_array_equal(
            integers.astype(int), wanted.transpose(order)
        )
    assert not widths


def test_the_rows_that_were_priced_are_those_of_the_file(trained, tmp_path):
    rows = [
        dataclasses.replace(
            row, name="", output_bits=row.output_bits or row.activation_bits
        )
        for row in NETWORK.layers()
    ]
    read = [
        dataclasses.replace(r, name="") for r in from_tflite(trained.tflite)
    ]
    assert read == rows


def test_the_file_does_what_was_trained(trained, images):
    with_file = evaluate.Runner(trained.tflite).dequantized(images)
    aware = trained.qat_model(images, training=False).numpy()
    assert np.abs(with_file - aware).max() < 0.06 * np.abs(aware).max()
    # Converting has left the model as it was.
    assert qat.to_tflite(trained.qat_model) == trained.tflite


def test_ranges_of_16_bits_are_the_trained_ones(trained):
    model = schema.Model.GetRootAsModel(trained.tflite, 0)
    tensors = [
        model.Subgraphs(0).Tensors(i)
        for i in range(model.Subgraphs(0).TensorsLength())
    ]
    steps = {
        t.Name().decode(): t.Quantization().ScaleAsNumpy()[0]
        for t in tensors
        if t.Type() == schema.TensorType.INT16
    }
    for layer in ("stage1_block1_expand_relu", "stage1_block1_project_bn"):
        [weight] = [
            weight
            for weight in trained.qat_model.weights
            if weight.name == f"quant_{layer}/output_max:0"
        ]
        [step] = [s for name, s in steps.items() if f"quant_{layer}/" in name]
        np.testing.assert_allclose(step, weight.numpy() / 32767, rtol=1e-6)


def test_quantization_after_training_gives_the_same_bits(trained, images):
    recipe = recipes.Template(NETWORK.build, NETWORK.precision)
    file = recipe.to_tflite(trained.model, images)
    bits = mixed_precision.layer_bits(file)
    assert bits == mixed_precision.layer_bits(trained.tflite)
    assert {name: weights for name, (weights, _) in bits.items()} == {
        row.name.replace("/", "_"): row.weight_bits
        for row in NETWORK.layers()
        if row.params
    }


@pytest.mark.slow
@pytest.mark.parametrize("quantization", recipes.QUANTIZATIONS)
def test_a_training_measures_the_mixed_file(data, waves, quantization):
    """Two phases, or one and then the file."""
    trained = fit.train(
        NETWORK.build,
        data,
        epochs=8,
        precision=NETWORK.precision,
        quantization=quantization,
    )
    (_, _), (images, labels) = waves
    predicted = evaluate.predict(trained.tflite, images)
    assert trained.accuracy_int8 == np.mean(predicted == labels) > 0.8
    bits = mixed_precision.layer_bits(trained.tflite)
    assert {*bits.values()} == {(8, 8), (4, 16), (8, 16), (4, 8)}


@pytest.mark.slow
@pytest.mark.parametrize("block", sorted({*blocks.names()} - {"dlrm"}))
@pytest.mark.parametrize("activation", ["relu", "swish"])
def test_every_block_converts_in_4_and_16_bits(block, activation, tmp_path):
    """Between blocks of 8 bits, with the rows that it is priced by."""
    known = blocks.options(block)
    bits = {"weight_bits": 4, "activation_bits": 16}
    if "activation" in known:
        bits["activation"] = activation
    network = Network(
        "one",
        (8, 8, 3),
        4,
        (
            _block("stem", "conv_bn", 8),
            _block("stage1/block1", block, 8, **bits),
            _block("stage2/block1", block, 8, **bits),
            _block("head", "conv_bn", 8),
        ),
    )
    rng = np.random.default_rng(0)
    images = rng.random((64, 8, 8, 3), np.float32)
    tf_keras.utils.set_random_seed(0)
    model = network.build(tf_keras)
    qat.run_groups_natively(model)
    for _ in range(5):
        model(images, training=True)
    model.get_layer("logits").bias.assign([0.1, -0.2, 0.3, 0.1])
    aware = qat.quantize(model, network.precision)
    qat.calibrate(aware, images)
    file = qat.to_tflite(aware)
    with_file = evaluate.Runner(file).dequantized(images)
    expected = aware(images, training=False).numpy()
    assert np.abs(with_file - expected).max() < 0.06 * np.abs(expected).max()
    path = tmp_path / "one.tflite"
    path.write_bytes(file)

    def told(rows):
        return sorted(
            (row.op, row.weight_bits, row.activation_bits, row.out_elements)
            for row in rows
            if row.params or row.op == "elementwise"
        )

    if activation == "relu":  # a swish is two operations in the file
        assert told(from_tflite(path)) == told(network.layers())
    widths = {
        row.name.replace("/", "_"): (row.weight_bits, row.activation_bits)
        for row in network.layers()
        if row.params
    }
    assert mixed_precision.layer_bits(file) == widths
