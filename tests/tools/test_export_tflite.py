import shutil

import numpy as np
import pytest
import yaml

import tf_cosearch as cs
from tf_cosearch.training import datasets, evaluate, qat


def test_a_design_gives_what_the_search_gave(call, finished, tmp_path):
    source = finished / "design"
    output = tmp_path / "new" / "again.tflite"
    done = call("export_tflite", f"--design={source}", f"--output={output}")
    assert (done.code, done.err) == (0, "")
    images = datasets.load("digits").test[0]
    assert np.array_equal(
        evaluate.predict(str(output), images),
        evaluate.predict(str(source / "model.tflite"), images),
    )


def test_a_network_becomes_all_int8(call, tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "input_shape": [16, 16, 3],
                "classes": 5,
                "stem": {"filters": 8},
                "stages": [{"block": "conv_bn", "filters": 8}],
            }
        )
    )
    output = tmp_path / "small.tflite"
    done = call("export_tflite", f"--network={path}", f"--output={output}")
    assert (done.code, done.err) == (0, "")
    qat.check_int8(output.read_bytes())
    rows = cs.from_tflite(output)
    assert sum(row.macs for row in rows) == cs.load_network(path).macs


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Exactly one of"),
        (("--network=mobilnet_v2",), "Did you mean 'mobilenet_v2'"),
        (("--design=nowhere",), "must have a design.json"),
        (
            ("--network=mobilenet_v2", "--output=a.onnx"),
            "with the ending .tflite",
        ),
    ],
)
def test_wrong_flags_are_refused(call, tmp_path, arguments, message):
    output = f"--output={tmp_path / 'a.tflite'}"
    assert message in call("export_tflite", output, *arguments).message
    assert not any(tmp_path.iterdir())


def test_damaged_weights_are_refused(call, finished, tmp_path):
    folder = tmp_path / "design"
    shutil.copytree(finished / "design", folder)
    (folder / "qat.weights.h5").write_bytes(b"\x89HDF")
    output = tmp_path / "a.tflite"
    done = call("export_tflite", f"--design={folder}", f"--output={output}")
    assert "must hold weights of this network" in done.message
    assert not output.exists()
