"""Int8 accuracies of paths against those of int8 files of the same slices."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from ai_edge_litert.interpreter import Interpreter

from tf_cosearch.networks.spaces.template import Template
from tf_cosearch.supernet import quantization_gap
from tf_cosearch.supernet.evaluation import Evaluator, Measurement
from tf_cosearch.supernet.layer_rules import rule
from tf_cosearch.supernet.reading import Sharing
from tf_cosearch.supernet.weights import SharedWeights
from tf_cosearch.training import evaluate, inputs, qat


class Files:
    """An evaluator that is told what the file of each network has."""

    def __init__(self, accuracies):
        self.accuracies = accuracies

    def file_accuracy(self, network):
        return self.accuracies[network]


def test_the_gap_by_hand():
    files = Files({"a": 0.50, "b": 0.74, "c": 0.78})
    gap = quantization_gap.measure(files, ["a", "b", "c"], [0.51, 0.80, 0.76])
    assert gap["files"] == [0.50, 0.74, 0.78]
    assert gap["mean"] == pytest.approx((0.01 + 0.06 + 0.02) / 3)
    assert gap["largest"] == pytest.approx(0.06)
    assert gap["tau"] == pytest.approx(1 / 3)  # b and c are the other way


def test_networks_from_the_worst_to_the_best():
    accuracies = [0.3, 0.1, 0.5, 0.2, 0.4]
    assert quantization_gap.spread(accuracies, 2) == [1, 2]
    assert quantization_gap.spread(accuracies, 5) == [1, 3, 0, 4, 2]


@pytest.mark.parametrize("count", [1, 4])
def test_as_many_as_there_are(count):
    with pytest.raises(ValueError, match=f"Received: {count} of 3"):
        quantization_gap.spread([0.1, 0.2, 0.3], count)


@pytest.fixture(scope="module")
def evaluator():
    """Of one network with a squeeze-excite and a swish, in two widths."""
    content = {
        "stem": {"filters": 8},
        "stages": [
            {
                "block": "inverted_residual",
                "filters": [8, 16],
                "expansion": 2,
                "se_ratio": 0.25,
                "activation": "swish",
            }
        ],
    }
    networks = Template(content, "gate", (8, 8, 3), 5)
    weights = SharedWeights(networks, Sharing())
    rng = np.random.default_rng(1)
    x = rng.random((64, 8, 8, 3)).astype(np.float32)
    y = rng.integers(5, size=64)
    data = inputs.prepare(
        x, y, input_shape=(8, 8, 3), classes=5, validation_data=(x, y)
    )
    return Evaluator(weights, data), networks.decode((0,)), x, y


def test_a_path_rounds_as_its_file_does(evaluator):
    measured, network, x, y = evaluator
    file = measured.tflite(network)
    qat.check_int8(file)
    expected = evaluate.Runner(file).dequantized(x)
    seen = measured.calibrate(network)
    ours = Measurement(seen, measured._weights).logits(network, x)
    exact = measured.logits(network, x)
    apart = np.std(ours - expected) / np.std(exact)
    assert 0 < np.std(ours - exact) / np.std(exact) < 0.1
    assert apart < 0.1
    right = np.mean(np.argmax(expected, -1) == y)
    assert measured.file_accuracy(network) == pytest.approx(right)


@pytest.mark.parametrize("is_int8", [True, False])
def test_a_sigmoid_has_steps_of_its_own(evaluator, is_int8):
    measured, network, *_ = evaluator
    reading = Measurement(
        measured.calibrate(network), measured._weights, is_int8
    )
    x = tf.constant([-9.0, 0.1, 2.0, 9.0])
    layer = tf_keras.layers.Activation("sigmoid")
    found = rule(layer).run(reading, layer, [x], {})
    exact = 1 / (1 + np.exp(-x.numpy()))
    # The highest step is 255 / 256: 9 gives 0.99988.
    steps = np.array([0, 134, 225, 255]) / 256 if is_int8 else exact
    np.testing.assert_allclose(found, steps, rtol=1e-6)
    layer = tf_keras.layers.Activation("swish")
    found = rule(layer).run(reading, layer, [x], {})
    np.testing.assert_allclose(found, x * steps, rtol=1e-6)


def test_a_gate_is_rounded_once(evaluator, monkeypatch):
    measured, network, *_ = evaluator
    gates = []
    real = Measurement.call

    def call(self, layer, signals):
        y = real(self, layer, signals)
        if layer.name.endswith("_gate"):
            gates.append(self.final(y).value.numpy())
        return y

    monkeypatch.setattr(Measurement, "call", call)
    measured.accuracy(network)
    [gate] = gates
    steps = gate * 256
    np.testing.assert_array_equal(steps, np.round(steps))


def test_kernels_are_the_integers_of_the_file(evaluator):
    measured, network, _, _ = evaluator
    ours = {4: [], 3: [], 2: []}  # of convolutions, depthwise, dense layers

    class Spy(Measurement):
        def rounded(self, layer, kernel, axis):
            value = super().rounded(layer, kernel, axis).numpy()
            others = tuple(i for i in range(value.ndim) if i != axis)
            most = np.abs(value).max(others, keepdims=True)
            kind = 3 if value.shape[-1] == 1 else value.ndim
            integers = np.rint(value / most * 127)
            ours[kind].append(integers.reshape(-1, value.shape[-1]))
            return value

    seen = measured.calibrate(network)
    Spy(seen, measured._weights).logits(network, measured._images[:4])
    interpreter = Interpreter(model_content=measured.tflite(network))
    interpreter.allocate_tensors()
    kinds = {"CONV_2D": 4, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 2}
    for op in interpreter._get_ops_details():
        if (kind := kinds.get(op["op_name"])) is None:
            continue
        kernel = interpreter.get_tensor(op["inputs"][1])
        expected = kernel.reshape(len(kernel), -1).T
        np.testing.assert_array_equal(
            ours[kind].pop(0).ravel(), expected.ravel(), op["op_name"]
        )
    assert not any(ours.values())
