import re

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tf_cosearch.networks.precision import Precision
from tf_cosearch.training import evaluate, mixed_precision, qat


def _settled(build, waves):
    """A model with batch statistics, as training would leave it."""
    tf_keras.utils.set_random_seed(0)
    model = build(tf_keras)
    (x, _), _ = waves
    for _ in range(30):
        model(x, training=True)
    return model


@pytest.fixture(scope="module")
def model(build, waves):
    return _settled(build, waves)


@pytest.fixture(scope="module")
def calibrated(model, waves):
    quantized = qat.quantize(model)
    qat.calibrate(quantized, waves[0][0])
    return quantized


@pytest.fixture(scope="module")
def tflite(calibrated):
    return qat.to_tflite(calibrated)


def _ranges(quantized):
    return {
        weight.name: float(np.max(weight.numpy()))
        for weight in quantized.weights
        if re.search("output_m..:0|post_activation_m..:0", weight.name)
    }


def test_quantize_keeps_the_float_model_and_its_weights(build, waves):
    model = _settled(build, waves)
    before = model.get_weights()
    quantized = qat.quantize(model)
    kernels = {weight.name: weight.numpy() for weight in quantized.weights}
    for weight in model.weights:
        np.testing.assert_array_equal(kernels[weight.name], weight.numpy())
    quantized.set_weights([w + 1 for w in quantized.get_weights()])
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_calibration_finds_ranges_and_moves_nothing_else(model, waves):
    quantized = qat.quantize(model)
    before = {w.name: w.numpy() for w in quantized.weights}
    qat.calibrate(quantized, waves[0][0])
    for weight in quantized.weights:
        if not weight.name.endswith(("_min:0", "_max:0")):
            np.testing.assert_array_equal(weight.numpy(), before[weight.name])
    ranges = _ranges(quantized)
    outputs = tf_keras.Model(
        model.input, [model.get_layer("add").output, model.output]
    )
    # Quantization shifts values a little.
    for name, values in zip(
        ("quant_add/output", "quant_logits/post_activation"),
        outputs(waves[0][0], training=False),
        strict=True,
    ):
        seen = [float(tf.reduce_min(values)), float(tf.reduce_max(values))]
        np.testing.assert_allclose(
            [ranges[f"{name}_min:0"], ranges[f"{name}_max:0"]],
            seen,
            atol=0.15 * np.ptp(seen),
        )


def test_images_are_calibrated_in_batches_that_fit(build, waves, monkeypatch):
    tf_keras.utils.set_random_seed(0)
    model = build(tf_keras)
    # What the batch normalizations have seen differs from what they see.
    model.set_weights([w + 0.1 for w in model.get_weights()])

    def calibrated(batch_bytes):
        monkeypatch.setattr(qat, "_BATCH_BYTES", batch_bytes)
        quantized = qat.quantize(model)
        quantized.trainable = True
        seen = []
        run = quantized.call
        monkeypatch.setattr(
            quantized,
            "call",
            lambda x, **given: seen.append(len(x)) or run(x, **given),
        )
        trainable = len(quantized.trainable_weights)
        qat.calibrate(quantized, waves[0][0][:50])
        assert len(quantized.trainable_weights) == trainable
        assert quantized.get_layer("quant_dropout").layer.rate == 0.1
        return _ranges(quantized), seen

    whole, seen = calibrated(2**26)
    assert seen == [50] * 4
    # The largest outputs, of 4 x 4 x 16 numbers, take 1 KiB an image.
    parts, seen = calibrated(20 * 2**10)
    assert seen == [20, 20, 10] * 4
    assert parts.keys() == whole.keys()
    for name, value in whole.items():
        assert parts[name] == pytest.approx(value, rel=1e-3, abs=1e-3), name


def test_grouped_convolution_equals_the_compiled_one(build, waves):
    x, y = waves[0]

    def gradients(prepare):
        tf_keras.utils.set_random_seed(0)
        model = build(tf_keras)
        prepare(model)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(
                tf_keras.losses.sparse_categorical_crossentropy(
                    y[:32], model(x[:32], training=False), from_logits=True
                )
            )
        return tape.gradient(loss, model.trainable_variables)

    native = gradients(qat.run_groups_natively)
    for found, expected in zip(
        native, gradients(lambda model: None), strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_no_graph_of_training_is_compiled(calibrated):
    function = tf.function(calibrated).get_concrete_function(
        tf.TensorSpec((1, 8, 8, 1))
    )
    names = {op.type for op in function.graph.get_operations()}
    assert "Conv2D" in names
    assert not names & {"PartitionedCall", "StatefulPartitionedCall"}


def test_file_agrees_with_the_model(calibrated, tflite, waves):
    _, (x, _) = waves
    faked = calibrated.predict(x, verbose=0).argmax(1)
    assert np.mean(faked == evaluate.predict(tflite, x)) > 0.95


@pytest.mark.filterwarnings("ignore:Statistics for quantized")
def test_fast_conversion_equals_that_of_keras(calibrated, tflite, waves):
    converter = tf.lite.TFLiteConverter.from_keras_model(calibrated)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    slow = evaluate.Runner(converter.convert())
    fast = evaluate.Runner(tflite)
    _, (x, _) = waves
    np.testing.assert_array_equal(slow.outputs(x), fast.outputs(x))


def test_float_file_is_refused(model):
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [tf.function(model).get_concrete_function(tf.TensorSpec((1, 8, 8, 1)))],
        model,
    )
    with pytest.raises(ValueError, match=r"Received \d+ float tensors: "):
        qat.check_int8(converter.convert())


def test_layer_without_int8_counterpart_is_named():
    images = tf_keras.Input((8, 8, 1))
    x = tf_keras.layers.LayerNormalization(name="odd_one")(images)
    model = tf_keras.Model(images, tf_keras.layers.Flatten()(x))
    with pytest.raises(ValueError, match=r"int8 counterpart.*odd_one"):
        qat.quantize(model)


def test_weights_reload_exactly(build, model, calibrated, waves, tmp_path):
    qat.save_weights(model, tmp_path / "float.weights.h5")
    qat.save_weights(calibrated, tmp_path / "qat.weights.h5")
    assert len(list(tmp_path.iterdir())) == 2
    other = build(tf_keras)
    qat.load_weights(other, tmp_path / "float.weights.h5")
    requantized = qat.quantize(other)
    qat.load_weights(requantized, tmp_path / "qat.weights.h5")
    x = waves[1][0][:8]
    np.testing.assert_array_equal(other(x), model(x))
    np.testing.assert_array_equal(requantized(x), calibrated(x))
    keras3 = build(keras)
    keras3.load_weights(tmp_path / "float.weights.h5")
    np.testing.assert_allclose(keras3(x), model(x), atol=1e-5)


def test_a_failed_save_leaves_the_old_file(model, tmp_path, monkeypatch):
    path = tmp_path / "float.weights.h5"
    path.write_text("old")

    def fail(self, path, *args, **kwargs):
        path.write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(tf_keras.Model, "save_weights", fail)
    with pytest.raises(OSError, match="disk full"):
        qat.save_weights(model, path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_weights_that_do_not_fit(build, model, tmp_path):
    path = tmp_path / "a.weights.h5"
    with pytest.raises(FileNotFoundError, match="must exist"):
        qat.load_weights(model, path)
    path.write_bytes(b"no weights")
    with pytest.raises(ValueError, match="weights of this network"):
        qat.load_weights(model, path)
    qat.save_weights(model, path)
    with pytest.raises(ValueError, match="weights of this network"):
        qat.load_weights(build(tf_keras, squeeze=True), path)
    with pytest.raises(ValueError, match="must end in"):
        qat.save_weights(model, tmp_path / "a.h5")


@pytest.mark.parametrize(
    "layer",
    [tf_keras.layers.AveragePooling2D(3, 1), tf_keras.layers.UpSampling2D(2)],
)
def test_what_keeps_its_scale_takes_no_rescaling(layer):
    image = tf_keras.Input((8, 8, 3))
    y = tf_keras.layers.Conv2D(8, 3)(image)
    y = tf_keras.layers.Activation("swish")(y)
    y = tf_keras.layers.Conv2D(4, 1)(layer(y))
    network = qat.quantize(tf_keras.Model(image, y))
    network.compile("sgd", "mse")
    images = np.random.default_rng(0).random((64, 8, 8, 3), np.float32)
    network.fit(images, np.zeros((64, *network.output_shape[1:])), verbose=0)
    interpreter = evaluate.open_interpreter(qat.to_tflite(network))
    operations = [each["op_name"] for each in interpreter._get_ops_details()]
    assert operations.count("CONV_2D") == 2
    assert "QUANTIZE" not in operations


@pytest.mark.parametrize("relu", ["ReLU", "Activation"])
def test_the_kernel_before_a_relu_is_rounded_in_training_too(relu):
    """TFMOT leaves it as it is, and the file 8 bits whatever was asked."""
    layers = tf_keras.layers
    tf_keras.utils.set_random_seed(0)
    image = tf_keras.Input((4, 4, 2))
    y = layers.Dense(3, name="hidden")(layers.Flatten()(image))
    y = layers.ReLU()(y) if relu == "ReLU" else layers.Activation("relu")(y)
    model = tf_keras.Model(image, layers.Dense(2, name="logits")(y))
    bits = {"hidden": Precision(weight_bits=4)}
    quantized = qat.quantize(model, lambda name: bits.get(name, Precision()))
    images = np.random.default_rng(0).random((32, 4, 4, 2), np.float32)
    qat.calibrate(quantized, images)
    file = qat.to_tflite(quantized)
    told = mixed_precision.layer_bits(file)
    assert told == {"hidden": (4, 8), "logits": (8, 8)}
    answers = evaluate.Runner(file).dequantized(images)
    expected = quantized(images, training=False).numpy()
    assert np.abs(answers - expected).max() < 0.02 * np.abs(expected).max()
    exact = model(images, training=False).numpy()
    assert np.abs(exact - expected).max() > 0.02 * np.abs(expected).max()
