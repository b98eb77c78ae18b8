import json

import hurt_network
import numpy as np
import pytest
import tf_keras

import tf_cosearch as cs
from tf_cosearch.numerics import quantizing
from tf_cosearch.training import datasets, evaluate, qat


@pytest.fixture(scope="module")
def own(tmp_path_factory, files):
    """A trained model of the few digits, and others that cannot be used."""
    folder = tmp_path_factory.mktemp("own")
    kl = tf_keras.layers
    image = tf_keras.Input((8, 8, 1))
    x = kl.Conv2D(8, 3, strides=2, activation="relu", name="conv")(image)
    model = tf_keras.Model(image, kl.Dense(10, name="logits")(kl.Flatten()(x)))
    model.compile(
        tf_keras.optimizers.Adam(0.01),
        tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    with np.load(files / "few.npz") as few:
        model.fit(few["x_train"], few["y_train"], epochs=5, verbose=0)
    model.save(folder / "own.keras")
    one = tf_keras.Sequential([tf_keras.Input((8, 8, 1)), kl.Flatten()])
    one.add(kl.Dense(1))
    one.save(folder / "one.keras")
    code = tf_keras.Sequential([tf_keras.Input((8, 8, 1)), kl.Flatten()])
    code.add(kl.Lambda(lambda x: x))
    code.save(folder / "code.keras")
    model.set_weights([w * np.nan for w in model.get_weights()])
    model.save(folder / "nan.keras")
    return folder


@pytest.fixture
def quantize(call, own, data_flags, tmp_path):
    def quantize(model, *arguments):
        return call(
            "quantize",
            f"--model={own / model}",
            f"--output={tmp_path / 'out.tflite'}",
            data_flags[1],
            *arguments,
        )

    return quantize


def test_a_file_is_written_and_priced(quantize, tmp_path):
    done = quantize("own.keras", "--format=json", "--max_accuracy_drop=100")
    assert done.code == 0
    said = json.loads(done.out)
    assert said["restored"] == []
    assert said["accuracy_float"] > 0.6
    content = (tmp_path / "out.tflite").read_bytes()
    qat.check_int8(content)
    assert said["costs"]["file_kib"] == len(content) / 1024
    cost = cs.estimate(
        cs.pad([cs.from_tflite(content)]), cs.load_accelerator("edge_tpu")
    )
    assert np.isclose(said["costs"]["latency_ms"], float(cost.latency_ms[0]))
    done = quantize("own.keras", "--lowest_bits=4", "--accelerator=edge_tpu_v1")
    assert done.code in (0, 2)
    assert "lowest bits" in done.out
    assert len((tmp_path / "out.tflite").read_bytes()) < len(content)


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        ("own.keras", ("--max_accuracy_drop=-1",), "max_accuracy_drop"),
        ("own.keras", ("--lowest_bits=3",), "lowest_bits"),
        ("own.keras", ("--output=a.onnx",), "with the ending .tflite"),
        ("own.keras", ("--accelerator=nothing",), "nothing"),
        ("own.keras", ("--data=digits", "--divide=0"), "divide"),
        ("nowhere.keras", (), "must exist"),
        ("one.keras", (), "2 or more classes"),
        ("code.keras", (), "must not bring code"),
        ("nan.keras", (), "must be finite numbers"),
    ],
)
def test_what_cannot_be_quantized_is_refused(
    quantize, tmp_path, model, arguments, message
):
    assert message in quantize(model, *arguments).message
    assert not (tmp_path / "out.tflite").exists()


def test_data_of_another_shape_are_refused(quantize, tmp_path):
    np.savez(
        tmp_path / "big.npz",
        x_train=np.zeros((20, 9, 9, 1), np.float32),
        y_train=np.arange(20) % 10,
    )
    message = quantize("own.keras", f"--data=npz:{tmp_path}/big.npz").message
    assert "must be [N, 8, 8, 1], what the network takes" in message
    assert "(12, 9, 9, 1)" in message


@pytest.mark.slow
@pytest.mark.parametrize("bits", [8, 4])
def test_a_network_that_8_bits_ruin_is_saved(call, tmp_path, bits):
    """The evidence: channels scaled apart, before and after."""
    model = hurt_network.trained(datasets.load("digits"))
    hurt_network.scale_apart(model)
    model.save(tmp_path / "hurt.keras")
    done = call(
        "quantize",
        f"--model={tmp_path / 'hurt.keras'}",
        "--data=digits",
        "--max_accuracy_drop=0.5",
        f"--lowest_bits={bits}",
        f"--output={tmp_path / 'out.tflite'}",
        "--format=json",
    )
    said = json.loads(done.out)
    print(f"\n{bits} bits:\n{quantizing.table(said)}")  # noqa: T201
    assert done.code == 0
    assert said["accuracy_float"] > 0.95
    assert said["accuracy_lowest"] < 0.5
    assert said["accuracy"] >= said["accuracy_float"] - 0.005
    test = datasets.load("digits").test
    path = str(tmp_path / "out.tflite")
    assert evaluate.accuracy(path, [test]) == said["accuracy_test"] > 0.94
