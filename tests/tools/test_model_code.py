"""Model files that want to run code, given to the scripts that read any."""

import json
import zipfile

import keras
import pytest
import tensorflow as tf
import tf_keras

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras calls HDF5 legacy


@pytest.fixture(params=["lambda.keras", "lambda.h5", "cell.h5", "module.keras"])
def file(request, tmp_path, monkeypatch):
    """A file that leaves the mark if what it holds is run."""
    mark, path = str(tmp_path / "mark"), tmp_path / request.param

    def touch(x, y=None):
        open(mark, "w").close()
        return x if y is None else y

    image = tf_keras.Input((4, 3))
    layer = tf_keras.layers.SimpleRNN(3)
    if request.param == "cell.h5":
        layer = tf_keras.layers.RNN(
            tf.nn.RNNCellResidualWrapper(layer.cell, residual_fn=touch)
        )
    model = tf_keras.Model(image, layer(image))
    if path.stem == "lambda":
        image = keras.Input((4,))
        model = keras.Model(image, keras.layers.Lambda(touch)(image))
    model.save(path)
    if path.stem == "module":
        (tmp_path / "named.py").write_text(f"open({mark!r}, 'w').close()")
        monkeypatch.syspath_prepend(tmp_path)
        with zipfile.ZipFile(path) as archive:
            texts = {
                name: archive.read(f"{name}.json").decode()
                for name in ("config", "metadata")
            }
        config = json.loads(texts["config"])
        config["config"]["layers"][1] |= {"module": "named"}
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", json.dumps(config))
            archive.writestr("metadata.json", texts["metadata"])
    (tmp_path / "mark").unlink(missing_ok=True)
    return path


def test_no_script_runs_what_a_model_file_holds(call, tmp_path, file):
    measured = tmp_path / "measured.csv"
    measured.write_text(f"network,latency_ms\n{file},2\nmobilenet_v1,3\n")
    for done in (
        call("estimate", f"--model={file}"),
        call(
            "calibrate",
            f"--measurements={measured}",
            "--accelerator=coral_usb",
            f"--output={tmp_path / 'made.yaml'}",
        ),
    ):
        assert file.name in done.message
        assert "must" in done.message
    assert not (tmp_path / "mark").exists()
