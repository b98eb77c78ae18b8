"""A path rounds what the int8 file of the same slices rounds."""

import functools
import re

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from ai_edge_litert.interpreter import Interpreter, OpResolverType

import tf_cosearch as cs
from tf_cosearch.networks import blocks
from tf_cosearch.networks.spaces.template import Template
from tf_cosearch.supernet.evaluation import Evaluator, Measurement
from tf_cosearch.supernet.layer_rules import rule
from tf_cosearch.supernet.options import Sharing
from tf_cosearch.supernet.weights import SharedWeights
from tf_cosearch.training import evaluate, inputs, mixed_precision, qat


class Case:
    """A network, its evaluator, and the int8 file of its slices."""

    def __init__(self, block, **options):
        content = {
            "stem": {"filters": 8},
            "stages": [{"block": block, "filters": [8, 16], **options}],
        }
        networks = Template(content, block, (8, 8, 3), 5)
        self.weights = SharedWeights(networks, Sharing())
        rng = np.random.default_rng(1)
        self.x = rng.random((64, 8, 8, 3)).astype(np.float32)
        self.y = rng.integers(5, size=64)
        pair = (self.x, self.y)
        data = inputs.prepare(
            *pair, input_shape=(8, 8, 3), classes=5, validation_data=pair
        )
        self.evaluator = Evaluator(self.weights, data)
        self.network = networks.decode((0,))
        self.seen = self.evaluator.calibrate(self.network)

    @functools.cached_property
    def file(self):
        return self.evaluator.tflite(self.network)

    @functools.cached_property
    def scales(self):
        """Of each int8 tensor of the file, by the layer that puts it out."""
        interpreter = Interpreter(
            model_content=self.file,
            experimental_op_resolver_type=(
                OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
            ),
        )
        interpreter.allocate_tensors()
        tensors = {t["index"]: t for t in interpreter.get_tensor_details()}
        [image] = interpreter.get_input_details()
        found = {"image": image["quantization"][0]}
        moves = ("RESHAPE", "TRANSPOSE", "QUANTIZE")
        for op in interpreter._get_ops_details():
            if op["op_name"] not in moves:
                tensor = tensors[op["outputs"][0]]
                # What is fused into one operation has its name last.
                layer = re.findall(r"quant_(\w+?)/", tensor["name"])[-1]
                found[layer] = tensor["quantization"][0]
        return found

    def scale(self, layer):
        fused = re.sub("_(bn|relu)$", "", layer)
        return self.scales.get(layer, self.scales.get(fused))


@pytest.fixture(scope="module")
def gated():
    """With a squeeze-excite and a swish."""
    settings = {"expansion": 2, "se_ratio": 0.25, "activation": "swish"}
    return Case("inverted_residual", **settings)


@pytest.fixture(scope="module")
def mixed():
    """With all that keeps the scale of its input, and all that does not."""

    @cs.block
    def kinds(ops, x, *, filters, stride=1):
        y = ops.conv(x, filters, 3, name="a")
        y = ops.average_pool(y, 2, name="average")
        y = ops.conv(y, filters, name="b")
        y = ops.upsample(y, 2, interpolation="bilinear", name="bilinear")
        y = ops.conv(y, filters, name="c")
        y = ops.upsample(y, 2, name="nearest")
        y = ops.conv(y, filters, name="d")
        y = ops.max_pool(y, 3, stride=4, name="largest")
        y = ops.concat(
            [
                ops.conv(y, filters, activation=None, name="e"),
                ops.conv(y, filters, 3, name="f"),
            ],
            name="join",
        )
        first, second = ops.split(y, 2, name="split")
        second = ops.average_pool(second, 2, name="half")
        y = ops.add([first, second], name="add")
        y = ops.conv(ops.channel_shuffle(y, 2, name="shuffle"), 8, name="g")
        pooled = ops.max_pool(y, 3, name="moved")
        return ops.concat([pooled, ops.conv(y, 8, name="h")], name="last")

    try:
        yield Case("kinds")
    finally:
        del blocks._BLOCKS["kinds"]


def step(value):
    """What the numbers of a tensor are multiples of, about."""
    return np.diff(np.unique(np.round(value, 5))).min()


class Read(Measurement):
    """Notes what layers read, and may leave out a rounding.

    Attributes:
        noted: Value, who made it, and who reads it.
        stepped: Who made what was rounded for that.
    """

    def __init__(self, case, without=()):
        super().__init__(case.seen, case.weights)
        self.noted = []
        self.stepped = set()
        self._without = without
        self._made = [(None, "image")]

    def call(self, layer, x):
        y = super().call(layer, x)
        self._made.append((y.value, layer.name))
        return y

    def final(self, x, reader=None):
        makers = [name for value, name in self._made if value is x.value]
        maker = makers[0] if makers else "image"
        y = x if maker in self._without else super().final(x, reader)
        if y.value is not x.value:
            self.stepped.add(maker)
        self.noted.append((np.asarray(y.value), maker, reader))
        return y


def odd_ones(case, without=()):
    """Who reads a tensor whose steps are not those of the file."""
    reading = Read(case, without)
    reading.logits(case.network, case.x)
    odd = []
    for value, maker, reader in reading.noted:
        scale = case.scale(maker)
        if isinstance(reader, tf_keras.layers.Concatenate):
            # It has one scale, in which those write that it alone reads.
            is_one = scale == case.scale(reader.name)
            is_odd = is_one == (step(value) > 0.9 * scale)
        else:
            # No rule for reshapes: those of a shuffle, which have no name.
            is_odd = scale and not 0.8 < step(value) / scale < 1.25
        if is_odd:
            odd.append((maker, getattr(reader, "name", "answers")))
    return odd


@pytest.mark.parametrize("name", ["gated", "mixed"])
def test_each_tensor_has_the_steps_of_the_file(name, request):
    case = request.getfixturevalue(name)
    qat.check_int8(case.file)
    assert not odd_ones(case)


@pytest.mark.parametrize("name", ["gated", "mixed"])
def test_none_of_them_could_be_missing(name, request):
    case = request.getfixturevalue(name)
    reading = Read(case)
    reading.logits(case.network, case.x)
    assert len(reading.stepped) > 9
    for maker in reading.stepped:
        assert maker in {odd for odd, _ in odd_ones(case, [maker])}


def test_the_accuracy_of_a_file_is_that_of_its_answers(gated):
    answers = evaluate.Runner(gated.file).dequantized(gated.x)
    right = np.mean(np.argmax(answers, -1) == gated.y)
    measured = gated.evaluator.file_accuracy(gated.network)
    assert measured == pytest.approx(right)
    ours = Measurement(gated.seen, gated.weights).logits(gated.network, gated.x)
    exact = gated.evaluator.logits(gated.network, gated.x)
    assert 0 < np.std(ours - exact) / np.std(exact) < 0.1
    assert np.std(ours - answers) / np.std(exact) < 0.1


@pytest.mark.parametrize("is_int8", [True, False])
def test_a_sigmoid_has_steps_of_its_own(gated, is_int8):
    reading = Measurement(gated.seen, gated.weights, is_int8)
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


def test_a_gate_is_rounded_once(gated, monkeypatch):
    gates = []
    real = Measurement.call

    def call(self, layer, signals):
        y = real(self, layer, signals)
        if layer.name.endswith("_gate"):
            gates.append(self.final(y).value.numpy())
        return y

    monkeypatch.setattr(Measurement, "call", call)
    gated.evaluator.accuracy(gated.network)
    [gate] = gates
    steps = gate * 256
    np.testing.assert_array_equal(steps, np.round(steps))


def test_kernels_are_the_integers_of_the_file(gated):
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

    Spy(gated.seen, gated.weights).logits(gated.network, gated.x[:4])
    interpreter = Interpreter(model_content=gated.file)
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


@pytest.mark.slow
def test_bits_of_a_block_are_those_of_its_file():
    """Its answers are much closer to the file's than those in float."""
    bits = {"weight_bits": 4, "activation_bits": 16}
    case = Case("inverted_residual", expansion=2, **bits)
    of_file = mixed_precision.layer_bits(case.file)
    assert of_file["stage1_block1_expand"] == (4, 16)
    assert of_file["stage1_block1_depthwise"] == (8, 16)
    answers = evaluate.Runner(case.file).dequantized(case.x)
    gaps = {}
    for is_int8 in (True, False):
        reading = Measurement(case.seen, case.weights, is_int8)
        logits = np.asarray(reading.logits(case.network, case.x))
        gaps[is_int8] = np.abs(logits - answers).mean()
    assert gaps[True] < 0.2 * gaps[False]
    widths = {
        name: np.unique(
            np.round(kernel / np.abs(kernel).max((0, 1, 2)), 3)
        ).size
        for name, kernel in read_kernels(case).items()
    }
    assert widths["stage1_block1_expand"] <= 15 < widths["stem_conv"]


def read_kernels(case):
    """Kernels of the convolutions of a path, as it rounds them."""
    found = {}

    class Spy(Measurement):
        def rounded(self, layer, kernel, axis):
            value = super().rounded(layer, kernel, axis)
            if value.shape.rank == 4:
                found[layer.name] = value.numpy()
            return value

    Spy(case.seen, case.weights).logits(case.network, case.x[:4])
    return found
