import json
import shutil

import numpy as np
import pytest

from tf_cosearch.numerics import images as splits

LIMITS = ("input_psi", "prediction_psi", "beyond", "saturation", "accuracy")
LOOSE = [f"--limit={name}=99" for name in LIMITS]


@pytest.fixture
def watch(call, finished, data_flags):
    """Calls the script about the finished design."""

    def watch(*arguments):
        return call(
            "monitor",
            f"--design={finished / 'design'}",
            data_flags[1],
            "--noagreement",
            "--window=50",
            *arguments,
        )

    return watch


@pytest.fixture
def images(files):
    with np.load(files / "few.npz") as few:
        return few["x_train"], few["y_train"]


def write(log, name, images, labels=None):
    named = {} if labels is None else {"labels": labels}
    log.mkdir(exist_ok=True)
    np.savez(log / name, images=images, **named)


def lines(done):
    assert done.err == ""
    return [json.loads(line) for line in done.out.splitlines()]


def test_a_log_is_watched_where_it_was_left(watch, images, tmp_path):
    log = tmp_path / "log"
    flags = (f"--log={log}", f"--output_dir={tmp_path / 'watched'}")
    for number in range(3):
        write(log, f"{number}.npz", images[0][:30], images[1][:30])
    loose = ("--limit=input_psi=9", "--limit=accuracy=1")
    done = watch(*flags, *loose)
    assert done.code == 0
    assert [line["images"] for line in lines(done)] == [50, 90]
    assert lines(done)[0]["accuracy_images"] == 50
    # Nothing is new, which is no alarm, whatever the limits are.
    done = watch(*flags, "--limit=beyond=0")
    assert (done.code, done.out) == (0, "")
    assert done.err == f"There is nothing new in {log}: no report.\n"
    # A device that sends bytes.
    write(log, "3.npz", np.zeros((30, 8, 8, 1), np.uint8))
    write(log, "4.npz", 50 * images[0][:50])
    done = watch(*flags, *loose)
    assert done.code == 2
    first, second, rest = lines(done)
    assert (first["images"], first["accuracy_images"]) == (100, 40)
    assert any("beyond is" in alarm for alarm in second["alarms"])
    assert (rest["images"], rest["window"]) == (170, 20)


def test_an_alarm_is_told_once(watch, images, tmp_path):
    """Of a window that is not full, and of an empty log none."""
    log = tmp_path / "log"
    flags = (f"--log={log}", f"--output_dir={tmp_path / 'watched'}")
    flags += ("--window=80",)
    log.mkdir()
    done = watch(*flags, f"--plot={tmp_path / 'none.png'}")
    assert (done.code, done.out) == (0, "")
    assert "no report, and no picture" in done.err
    write(log, "0.npz", 50 * images[0][:60])
    (log / "1.npz").write_bytes(b"PK\x03\x04")
    # The window that no report was of is told by the next call.
    assert watch(*flags).code == 1
    (log / "1.npz").unlink()
    done = watch(*flags)
    assert (done.code, [line["window"] for line in lines(done)]) == (2, [60])
    assert (watch(*flags).code, watch(*flags).out) == (0, "")


def test_a_log_of_other_arrays_is_refused_by_their_names(watch, tmp_path):
    log = tmp_path / "log"
    log.mkdir()
    for arrays, said in (({"x": [0], "y": [1]}, "['x', 'y']"), ({}, "nothing")):
        np.savez(log / "0.npz", **arrays)
        message = watch(f"--log={log}").message
        assert f"with `images`. Received: one with {said}. Those" in message


def test_a_batch_that_is_wrong_loses_nothing(watch, images, tmp_path):
    log, folder = tmp_path / "log", tmp_path / "watched"
    flags = (f"--log={log}", f"--output_dir={folder}")
    write(log, "0.npz", images[0][:40])
    write(log, "1.npz", np.full((2, 8, 8, 1), np.nan, np.float32))
    message = watch(*flags).message
    assert "1.npz: Images must be finite numbers" in message
    (log / "1.npz").write_bytes(b"PK\x03\x04")
    assert "repair it, or move it away" in watch(*flags).message
    (log / "1.npz").unlink()
    write(log, "2.npz", images[0][:5])
    done = watch(*flags, "--limit=input_psi=9")
    assert [line["images"] for line in lines(done)] == [45]
    for path in folder.glob("monitor.json*"):
        path.write_text("{}")
    assert "must be the state of a monitor" in watch(*flags).message
    assert (folder / "monitor.json").read_text() == "{}"


def test_test_images_are_watched_without_a_log(watch, tmp_path, monkeypatch):
    monkeypatch.setattr(splits, "_BATCH", 20)  # so that there are several
    picture = tmp_path / "new" / "watched.png"
    done = watch(f"--plot={picture}", *LOOSE)
    assert done.code == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert lines(done)[-1]["images"] == 64
    assert lines(done)[0]["accuracy"] is not None


def test_an_alarm_outlives_an_error(watch, images, tmp_path):
    log = tmp_path / "log"
    flags = (f"--log={log}", f"--output_dir={tmp_path / 'watched'}")
    write(log, "0.npz", 50 * images[0][:50])
    (log / "1.npz").write_bytes(b"PK\x03\x04")
    done = watch(*flags)
    assert (done.code, done.out.count("beyond is")) == (1, 1)
    assert watch(*flags).code == 1
    write(log, "1.npz", images[0][:5])
    done = watch(*flags)
    assert done.code == 2
    assert "An alarm of a call that ended with an error" in done.err
    assert json.loads(done.out)["alarms"] == []
    done = watch(*flags)
    assert done.code == 0
    assert "An alarm" not in done.err


def test_a_calibration_stays_what_it_was(watch, files, images, tmp_path):
    log = tmp_path / "log"
    flags = (f"--log={log}", f"--output_dir={tmp_path / 'watched'}")
    write(log, "0.npz", images[0][:5])
    assert watch(*flags).code == 0
    message = watch(*flags, "--divide=2").message
    assert "divide of its calibration. Received: 2.0, after None" in message
    message = watch(*flags, "--agreement").message
    assert "go on with its agreement. Received: True, after False" in message
    np.savez(tmp_path / "x.npz", x_train=images[0][::-1], y_train=images[1])
    message = watch(*flags, f"--data=npz:{tmp_path / 'x.npz'}").message
    assert "data of its calibration. Received: validation images" in message
    assert watch(*flags).code == 0


def test_a_log_of_no_numbers_is_refused(watch, tmp_path):
    write(tmp_path / "log", "0.npz", np.full((3, 8, 8, 1), "7"))
    message = watch(f"--log={tmp_path / 'log'}").message
    assert "0.npz: Images must be numbers. Received: dtype <U1" in message


def test_another_design_needs_its_own_state(watch, images, finished, tmp_path):
    write(tmp_path / "log", "0.npz", images[0][:5])
    flags = (
        f"--log={tmp_path / 'log'}",
        f"--output_dir={tmp_path / 'watched'}",
    )
    watch(*flags)
    other = tmp_path / "design"
    shutil.copytree(finished / "design", other)
    content = (other / "model.tflite").read_bytes()
    (other / "model.tflite").write_bytes(content + b"\0")
    message = watch(f"--design={other}", *flags).message
    assert "another model.tflite" in message


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--limit=psi=1", "Unknown limit: 'psi'"),
        ("--limit=accuracy=-1", "must be 0 or more"),
        ("--limit=accuracy", "must be NAME=VALUE"),
        ("--plot=a.txt", "with the ending .png"),
        ("--log=nowhere", "must be a folder of .npz files"),
        ("--output_dir=watched", "must come with a --log to go on with"),
        ("--window=5", "--window"),
        ("--design=nowhere", "must have a design.json"),
    ],
)
def test_wrong_flags_are_refused(watch, argument, message):
    assert message in watch(argument).message
