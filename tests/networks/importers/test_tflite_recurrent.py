import math

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
import tflite_files

from tf_cosearch.networks.importers import keras_import, tflite_import

STEPS, FEATURES, UNITS = 5, 6, 4


def read(content):
    return tflite_import.from_tflite(content, pytest.fail)


def macs(rows):
    return sum(row.macs for row in rows)


def params(rows):
    return sum(row.params for row in rows)


def convert(model):
    shape = model.inputs[0].shape
    function = tf.function(lambda x: model(x))
    concrete = function.get_concrete_function(tf.TensorSpec(shape))
    return tf.lite.TFLiteConverter.from_concrete_functions(
        [concrete], model
    ).convert()


@pytest.mark.parametrize(
    ("kind", "gates"), [("SimpleRNN", 1), ("GRU", 3), ("LSTM", 4)]
)
@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_layers_of_keras(kind, gates, unroll):
    image = keras.Input((STEPS, FEATURES), batch_size=1)
    layer = getattr(keras.layers, kind)(UNITS, unroll=unroll)
    model = keras.Model(image, layer(image))
    rng = np.random.default_rng(0)
    model.set_weights(
        [rng.uniform(0.1, 1, w.shape) for w in model.get_weights()]
    )
    rows = read(convert(model))
    # An unrolled loop needs no product with its first state, of zeros.
    states = STEPS - unroll
    expected = STEPS * FEATURES + states * UNITS
    assert macs(rows) == gates * UNITS * expected
    assert params(rows) == model.count_params()
    products = [row for row in rows if row.macs]
    if not unroll:
        assert [row.repeats for row in products] == [STEPS, STEPS]
        # A chip that begins one step ends it, so no other goes on within.
        loop = [row.alive_elements for row in rows if row.repeats > 1]
        assert loop[0] < math.inf
        assert {*loop[1:]} == {math.inf}


@pytest.mark.slow
def test_a_fused_lstm_equals_its_loop():
    """What tf_keras converts to is one operator."""
    image = tf_keras.Input((STEPS, FEATURES), batch_size=1)
    model = tf_keras.Model(image, tf_keras.layers.LSTM(UNITS)(image))
    content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    rows = read(content)
    assert {row.name.rpartition("/")[2] for row in rows} >= {"input", "state"}
    assert macs(rows) == 4 * UNITS * STEPS * (FEATURES + UNITS)
    assert params(rows) == 4 * UNITS * (FEATURES + UNITS + 1)
    state = next(row for row in rows if row.name.endswith("state"))
    assert (state.repeats, state.out_h, state.out_c) == (STEPS, 1, 4 * UNITS)


def lstm(graph, x, shape, projected=None, peephole=False, coupled=False):
    """An LSTM of three features; without its input gate it is coupled."""
    outputs = projected or UNITS
    inputs = [x] + [-1] * 19
    gates = range(coupled, 4)
    for gate in gates:
        inputs[1 + gate] = graph.weights(UNITS, 3)
        inputs[5 + gate] = graph.weights(UNITS, outputs)
        inputs[12 + gate] = graph.weights(UNITS, type="INT32")
    if peephole:
        inputs[9:12] = [graph.weights(UNITS, type="INT16") for _ in range(3)]
    if projected:
        inputs[16] = graph.weights(projected, UNITS)
    inputs[18] = graph.tensor([2, outputs], isVariable=True)
    inputs[19] = graph.tensor([2, UNITS], isVariable=True)
    return graph.add(
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        inputs,
        [[*shape[:2], outputs]],
        options="UnidirectionalSequenceLSTMOptions",
        timeMajor=True,
    )


@pytest.mark.parametrize("projected", [None, 3])
@pytest.mark.parametrize("peephole", [False, True])
@pytest.mark.parametrize("coupled", [False, True])
def test_every_form_of_lstm(projected, peephole, coupled):
    graph = tflite_files.Graph()
    x = graph.input([7, 2, 3])  # time major, two sequences
    lstm(graph, x, [7, 2, 3], projected, peephole, coupled)
    rows = read(graph.content())
    gates, outputs = 4 - coupled, projected or UNITS
    once = gates * UNITS * (3 + outputs) + (projected or 0) * UNITS
    assert macs(rows) == 7 * 2 * once
    stored = once + gates * UNITS + 3 * UNITS * peephole
    assert params(rows) == stored
    # The products with all inputs cross, and no step is cut.
    alive = [row.alive_elements for row in rows]
    assert alive[:2] == [0, 7 * 2 * gates * UNITS]
    assert {*alive[2:]} == {math.inf}


def test_both_directions():
    graph = tflite_files.Graph()
    inputs = [graph.input([1, 7, 3])]
    for _ in range(2):
        inputs += [graph.weights(UNITS, 3), graph.weights(UNITS, UNITS)]
        inputs += [graph.weights(UNITS, type="INT32")]
        inputs += [graph.tensor([1, UNITS], isVariable=True)]
    graph.add(
        "BIDIRECTIONAL_SEQUENCE_RNN",
        inputs + [-1] * 3,
        [[1, 7, 2 * UNITS]],
        options="BidirectionalSequenceRNNOptions",
        mergeOutputs=True,
    )
    rows = read(graph.content())
    assert macs(rows) == 2 * 7 * UNITS * (3 + UNITS)
    assert params(rows) == 2 * UNITS * (3 + UNITS + 1)


def test_both_directions_of_lstm():
    graph = tflite_files.Graph()
    inputs = [graph.input([1, 7, 3])] + [-1] * 47
    for start in (1, 18):
        for gate in range(4):
            inputs[start + gate] = graph.weights(UNITS, 3)
            inputs[start + 4 + gate] = graph.weights(UNITS, UNITS)
            inputs[start + 11 + gate] = graph.weights(UNITS, type="INT32")
    graph.add(
        "BIDIRECTIONAL_SEQUENCE_LSTM",
        inputs,
        [[1, 7, UNITS], [1, 7, UNITS]],
        options="BidirectionalSequenceLSTMOptions",
    )
    rows = read(graph.content())
    assert macs(rows) == 2 * 7 * 4 * UNITS * (3 + UNITS)
    assert params(rows) == 2 * 4 * UNITS * (3 + UNITS + 1)


@pytest.mark.parametrize("rank", [1, 2])
def test_svdf(rank):
    graph, units, taps = tflite_files.Graph(), 8, 10
    filters = units * rank
    x = graph.input([2, 16], "INT8")
    inputs = [x, graph.weights(filters, 16), graph.weights(filters, taps)]
    inputs += [graph.weights(units, type="INT32")]
    inputs += [graph.tensor([2, taps * filters], "INT16", isVariable=True)]
    graph.add(
        "SVDF", inputs, [[2, units]], "INT8", options="SVDFOptions", rank=rank
    )
    rows = read(graph.content())
    assert macs(rows) == 2 * filters * (16 + taps)
    assert params(rows) == filters * (16 + taps) + units


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_loops_equal_the_keras_model():
    image = keras.Input((STEPS, FEATURES), batch_size=1)
    x = keras.layers.GRU(UNITS, return_sequences=True)(image)
    x = keras.layers.Bidirectional(keras.layers.LSTM(UNITS))(x)
    model = keras.Model(image, keras.layers.Dense(3)(x))
    rows, told = read(convert(model)), keras_import.from_keras(model)
    assert macs(rows) == macs(told)
    assert params(rows) == params(told)
