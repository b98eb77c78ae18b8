import json

import hurt_network
import numpy as np
import planted_faults
import pytest
import tf_keras

import tf_cosearch as cs
from tf_cosearch.numerics import quantizing, restoring
from tf_cosearch.training import datasets, evaluate, mixed_precision, qat


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
    assert said["taken_from_training"] == ["validation", "test"]
    content = (tmp_path / "out.tflite").read_bytes()
    qat.check_int8(content)
    assert said["costs"]["file_kib"] == len(content) / 1024
    cost = cs.estimate(
        cs.pad([cs.from_tflite(content)]), cs.load_accelerator("edge_tpu")
    )
    assert np.isclose(said["costs"]["latency_ms"], float(cost.latency_ms[0]))
    assert said["costs"]["not_costed"] == []
    area = said["costs"]["area_mm2"]
    assert np.isclose(area, cs.load_accelerator("edge_tpu").area_mm2())


def test_the_best_is_written_if_the_limit_cannot_be_met(
    quantize, tmp_path, monkeypatch
):
    def accuracy(self, content):
        return 0.9 if content == self._float else 0.5

    monkeypatch.setattr(restoring.Restoration, "_accuracy", accuracy)
    output = tmp_path / "out.tflite"
    done = quantize("own.keras", "--lowest_bits=4", "--max_accuracy_drop=40")
    assert (done.code, done.out.count("lowest bits")) == (0, 1)
    assert "mm2" in done.out
    content = output.read_bytes()
    bits = mixed_precision.layer_bits(content)
    assert bits == {"conv": (4, 8), "logits": (4, 8)}
    output.unlink()
    done = quantize("own.keras", "--lowest_bits=4", "--max_accuracy_drop=39")
    assert done.code == 2
    assert "No file was within 39 points; wrote the best" in done.err
    assert output.read_bytes() == content


def test_operations_without_a_cost_are_named(own):
    model = tf_keras.models.load_model(own / "own.keras")
    images = np.random.default_rng(0).random((8, 8, 8, 1), np.float32)
    int8 = qat.to_tflite(model, images)
    ill = planted_faults.rename(int8, "FULLY_CONNECTED", "LSH_PROJECTION")
    cost = quantizing.costs(ill, cs.load_accelerator("edge_tpu"))
    assert cost["not_costed"] == ["LSH_PROJECTION"]
    said = {
        "accuracy_float": 1,
        "accuracy_lowest": 1,
        "accuracy": 1,
        "accuracy_test": 1,
        "taken_from_training": ["test"],
        "lowest": cost,
        "costs": cost,
        "restored": [],
    }
    table = quantizing.table(said)
    assert "counted as data movement: LSH_PROJECTION" in table
    assert "Of the training images, as there were no others: test." in table


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
    assert "Training images must be [N, 8, 8, 1], what the" in message
    assert "(12, 9, 9, 1)" in message


@pytest.mark.parametrize(
    ("split", "named"), [("val", "Validation"), ("test", "Test")]
)
def test_the_split_whose_images_are_wrong_is_named(
    quantize, tmp_path, split, named
):
    splits = {
        name: np.zeros((20, 8, 8, 1), np.float32)
        for name in ("train", "val", "test")
    }
    splits[split][3] = np.nan
    labels = {f"y_{name}": np.arange(20) % 10 for name in splits}
    images = {f"x_{name}": x for name, x in splits.items()}
    np.savez(tmp_path / "bad.npz", **images, **labels)
    message = quantize("own.keras", f"--data=npz:{tmp_path}/bad.npz").message
    assert f"{named} images must be finite numbers" in message
    assert "in 1 of 20, first in number 3" in message


def test_whole_numbers_are_divided_as_told_or_refused(
    quantize, own, files, tmp_path
):
    with np.load(files / "few.npz") as few:
        splits = dict(few)
    for name in list(splits):
        if name.startswith("x_"):
            splits[name] = np.round(splits[name] * 255).astype(np.uint8)
    np.savez(tmp_path / "bytes.npz", **splits)
    data = f"--data=npz:{tmp_path / 'bytes.npz'}"
    message = quantize("own.keras", data).message
    assert "Received: pixels of dtype uint8. Say --divide=255" in message
    flags = ("--format=json", "--max_accuracy_drop=100")
    said = json.loads(quantize("own.keras", data, "--divide=255", *flags).out)
    assert said["accuracy_float"] > 0.6
    dark = json.loads(quantize("own.keras", data, "--divide=1e5", *flags).out)
    assert dark["accuracy_float"] < 0.4


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
