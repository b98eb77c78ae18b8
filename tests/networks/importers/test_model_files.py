import os

import keras
import pytest
import tflite_files

from tf_cosearch.networks.importers import model_files


def save_tflite(path, *signatures, op="TANH"):
    """A file with a graph for each signature, every one twice as large."""
    file = tflite_files.File()
    for number, name in enumerate(signatures or ["only"]):
        graph = tflite_files.Graph(file)
        x = graph.input([1, 8])
        weights = graph.weights(4 * 2**number, 8)
        y = graph.add("FULLY_CONNECTED", [x, weights, -1], [[1, 4 * 2**number]])
        graph.add(op, [y], [[1, 4 * 2**number]])
        file.signatures[name] = number
    path.write_bytes(file.content())
    return path


def macs(model):
    return sum(layer.macs for layer in model.layers)


@pytest.mark.parametrize("ending", ["keras", "h5", "KERAS", "H5", "hdf5"])
@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
def test_keras_files_are_read(tmp_path, ending):
    path = tmp_path / f"model.{'keras' if 'k' in ending.lower() else 'h5'}"
    keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)]).save(
        path
    )
    model = model_files.load_model(path.rename(tmp_path / f"model.{ending}"))
    assert macs(model) == 6 * 6 * 4 * 3 * 9
    assert (model.uncosted, model.signatures) == ([], [])


@pytest.mark.parametrize("ending", ["tflite", "TFLITE", "lite", "keras"])
def test_what_is_in_a_file_says_of_which_kind_it_is(tmp_path, ending):
    model = model_files.load_model(save_tflite(tmp_path / f"model.{ending}"))
    assert macs(model) == 32
    assert model.signatures == ["only"]


def test_one_of_several_signatures_is_read(tmp_path):
    path = save_tflite(tmp_path / "model.tflite", "encode", "decode")
    model = model_files.load_model(path)
    assert (macs(model), model.signatures) == (32, ["encode", "decode"])
    model = model_files.load_model(path, signature="decode")
    assert (macs(model), model.signatures) == (64, ["decode", "encode"])
    with pytest.raises(ValueError, match="Did you mean 'decode'"):
        model_files.load_model(path, signature="decod")


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
def test_only_tflite_files_have_signatures(tmp_path):
    path = tmp_path / "model.keras"
    keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)]).save(path)
    with pytest.raises(ValueError, match="Only a TFLite model has signatures"):
        model_files.load_model(path, signature="encode")


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
def test_an_open_image_size_of_a_keras_file(tmp_path):
    path = tmp_path / "model.keras"
    image = keras.Input((None, None, 3))
    keras.Model(image, keras.layers.Conv2D(4, 3)(image)).save(path)
    assert macs(model_files.load_model(path, 10)) == 8 * 8 * 4 * 27
    image = keras.Input((8, 8, 3))
    keras.Model(image, keras.layers.Conv2D(4, 3)(image)).save(path)
    with pytest.raises(ValueError, match="must leave its image size open"):
        model_files.load_model(path, 10)


def test_operations_that_cannot_be_costed_are_named(tmp_path):
    path = save_tflite(tmp_path / "model.tflite", op="OwnOperation")
    assert model_files.load_model(path).uncosted == ["OwnOperation"]


def test_a_model_without_any_cost_is_named(tmp_path):
    image = keras.Input((8, 8, 3))
    keras.Model(image, keras.layers.ReLU()(image)).save(tmp_path / "a.keras")
    with pytest.raises(ValueError, match=r"a\.keras must hold an operation"):
        model_files.load_model(tmp_path / "a.keras")


def test_other_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\.tflite, .*\.h5 or \.hdf5"):
        model_files.load_model(tmp_path / "model.pb")
    for ending in model_files.ENDINGS:
        with pytest.raises(FileNotFoundError, match="must exist"):
            model_files.load_model(tmp_path / f"none{ending}")


@pytest.mark.parametrize("ending", ["tflite", "keras", "h5"])
def test_pipes_folders_and_devices_are_not_read(tmp_path, ending):
    """Nobody writes to the pipe, and the device never ends."""
    for number, make in enumerate(
        (os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero"))
    ):
        path = tmp_path / f"{number}.{ending}"
        make(path)
        with pytest.raises(ValueError, match=f"must be a file.*{path.name}"):
            model_files.load_model(path)
