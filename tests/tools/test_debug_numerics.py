import json

import numpy as np
import pytest
import tf_keras

from tf_cosearch.training import qat


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A float model and the int8 file that was made from it."""
    folder = tmp_path_factory.mktemp("saved")
    model = tf_keras.Sequential(
        [
            tf_keras.Input((8, 8, 1)),
            tf_keras.layers.Conv2D(4, 3, activation="relu", name="conv"),
            tf_keras.layers.Flatten(),
            tf_keras.layers.Dense(10, name="logits"),
        ]
    )
    model.save(folder / "own.keras")
    images = np.random.default_rng(0).random((16, 8, 8, 1), np.float32)
    (folder / "own.tflite").write_bytes(qat.to_tflite(model, images))
    (folder / "float.tflite").write_bytes(qat.to_float_tflite(model))
    return folder


def test_a_design_is_compared_with_its_own_weights(
    call, finished, data_flags, tmp_path
):
    picture = tmp_path / "new" / "noise.png"
    done = call(
        "debug_numerics",
        f"--design={finished / 'design'}",
        data_flags[1],
        "--images=20",
        "--format=json",
        f"--plot={picture}",
    )
    assert (done.code, done.err) == (0, "")
    layers = json.loads(done.out)["layers"]
    assert {"image", "stem_conv", "logits"} <= {
        each["layer"] for each in layers
    }
    # Float weights of before the quantization-aware phase would be far off.
    assert min(float(layer["sqnr_db"]) for layer in layers) > 15
    ratios = [each["weight_sqnr_db"] for each in layers]
    assert min(float(each) for each in ratios if each is not None) > 35
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_two_files_are_compared(call, saved):
    done = call(
        "debug_numerics",
        f"--float={saved / 'own.keras'}",
        f"--quantized={saved / 'own.tflite'}",
        "--top=2",
    )
    assert (done.code, done.err) == (0, "")
    assert "CONV_2D" in done.out
    assert "and 1 layers of less noise." in done.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Exactly one of"),
        (("--design=nowhere",), "must have a design.json"),
        (("--float=a.keras",), "Exactly one of --design, --quantized"),
        (("--float=a.keras", "--quantized=b.tflite"), "must exist"),
        (("--float={}/own.tflite", "--quantized={}/own.keras"), "start like"),
        (("--float={}/own.keras", "--quantized={}/float.tflite"), "integers"),
        (
            ("--float={}/own.tflite", "--quantized={}/own.tflite"),
            "must be in float",
        ),
        (
            (
                "--float={}/own.keras",
                "--quantized={}/own.tflite",
                "--divide=-1",
            ),
            "must be a positive number",
        ),
        (
            (
                "--float={}/own.keras",
                "--quantized={}/own.tflite",
                "--plot=a.txt",
            ),
            "with the ending .png",
        ),
    ],
)
def test_wrong_flags_are_refused(call, saved, arguments, message):
    given = [argument.format(saved) for argument in arguments]
    assert message in call("debug_numerics", *given).message
