import numpy as np
import pytest
import tf_keras
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

from tf_cosearch.training import evaluate, mixed_precision, qat

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
