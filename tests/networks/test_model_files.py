import keras
import pytest

from tf_cosearch.networks import model_files


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
def test_keras_files_are_read(tmp_path):
    path = tmp_path / "model.keras"
    keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)]).save(
        path
    )
    [layer] = model_files.load_layers(path)
    assert layer.macs == 6 * 6 * 4 * 3 * 9


def test_other_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"end in \.tflite, \.keras or \.h5"):
        model_files.load_layers(tmp_path / "model.pb")
    for ending in model_files.ENDINGS:
        with pytest.raises(FileNotFoundError, match="must exist"):
            model_files.load_layers(tmp_path / f"none{ending}")
