import json
import shutil

import numpy as np
import pytest

import tf_cosearch as cs
from tf_cosearch.designs import export
from tf_cosearch.training import inputs, phases


@pytest.fixture
def data(files):
    return f"--data=npz:{files / 'few.npz'}"


def test_trains_on_and_leaves_a_design(call, finished, data, tmp_path):
    source = finished / "design"
    before = {path.name: path.read_bytes() for path in source.iterdir()}
    arguments = (
        "retrain",
        f"--design={source}",
        data,
        "--epochs=4",
        f"--output_dir={tmp_path}",
    )
    done = call(*arguments)
    assert (done.code, done.err) == (0, "")
    old, new = cs.load_design(source), cs.load_design(tmp_path)
    assert new.network == old.network
    assert new.accelerator == old.accelerator
    accuracy = new.metrics["accuracy_int8"]
    assert accuracy > old.metrics["accuracy_int8"]  # trained on, not anew
    assert f"{accuracy:.2%} now" in done.out
    assert 0 <= new.metrics["accuracy_int8_test"] <= 1
    assert {p.name: p.read_bytes() for p in source.iterdir()} == before
    # A second design is not lost by accident.
    assert "pass --overwrite" in call(*arguments).message


@pytest.mark.parametrize(
    ("shape", "labels", "message"),
    [
        ((50, 9, 9, 1), np.arange(50) % 10, "[N, 8, 8, 1]"),
        ((50, 8, 8, 3), np.arange(50) % 10, "[N, 8, 8, 1]"),
        ((50, 8, 8, 1), np.arange(50) % 12, "must be in [0, 10)"),
    ],
)
def test_other_data_than_the_design_takes_are_refused(
    call, finished, tmp_path, shape, labels, message
):
    np.savez(tmp_path / "d.npz", x_train=np.zeros(shape), y_train=labels)
    done = call(
        "retrain",
        f"--design={finished / 'design'}",
        f"--data=npz:{tmp_path / 'd.npz'}",
        f"--output_dir={tmp_path / 'out'}",
    )
    assert message in done.message


def test_a_part_of_the_data(call, finished, data, tmp_path, monkeypatch):
    def prepare(x, y, *, validation_data, **others):
        raise ValueError(f"{len(x)} and {len(validation_data[0])}")

    monkeypatch.setattr(inputs, "prepare", prepare)
    done = call(
        "retrain",
        f"--design={finished / 'design'}",
        data,
        f"--output_dir={tmp_path / 'out'}",
        "--train_size=100",
        "--validation_size=30",
    )
    assert "100 and 30" in done.message


@pytest.mark.parametrize("name", ["design.json", "float.weights.h5"])
def test_damaged_designs_are_refused(
    call, finished, data, tmp_path, name, monkeypatch
):
    folder = tmp_path / "design"
    shutil.copytree(finished / "design", folder)
    monkeypatch.setattr(phases.Run, "fit", None)  # nothing may be trained
    arguments = (
        "retrain",
        f"--design={folder}",
        data,
        f"--output_dir={tmp_path / 'out'}",
    )
    (folder / name).write_bytes((folder / name).read_bytes()[:20])
    assert name in call(*arguments).message
    (folder / name).unlink()
    assert name in call(*arguments).message


def test_a_diverging_training_writes_no_design(call, finished, data, tmp_path):
    done = call(
        "retrain",
        f"--design={finished / 'design'}",
        data,
        "--epochs=3",
        "--learning_rate=1e30",
        f"--output_dir={tmp_path}",
    )
    assert "Lower the learning rate" in done.message
    assert not any(tmp_path.iterdir())


def test_description_counts_what_the_files_hold(finished):
    folder = finished / "design"
    written = json.loads((folder / export.DESCRIPTION).read_text())
    rows = cs.from_tflite(folder / export.MODEL)
    assert written["params"] == sum(row.params for row in rows)
    assert written["macs"] == sum(row.macs for row in rows)
