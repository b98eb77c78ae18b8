"""The script that trains a supernet alone."""

import itertools

import pytest

import tf_cosearch as cs
from tf_cosearch.supernet import training
from tf_cosearch.supernet.supernet import Supernet


@pytest.fixture(scope="module")
def flags(data_flags):
    return (*data_flags, "--epochs=2", "--seed=3")


def test_it_trains_and_goes_on(call_here, flags, space, tmp_path, monkeypatch):
    folder = tmp_path / "supernet"
    real, steps = training.train_step, itertools.count()

    def interrupted(*args):
        if next(steps) == 2:
            raise KeyboardInterrupt
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(training, "train_step", interrupted)
        result = call_here("train_supernet", *flags, f"--output_dir={folder}")
    assert result.code == 130
    assert f"1 of 2 epochs are in {folder}; the same command" in result.err
    result = call_here("train_supernet", *flags, f"--output_dir={folder}")
    assert (result.code, result.err) == (0, "")
    assert "Continuing after 1 epochs." in result.out
    assert result.out.splitlines()[-1].startswith("2 epochs in ")
    assert result.out.endswith(f"Wrote {folder}.\n")
    net = Supernet.load(folder, space.network_space)
    assert (net.seed, net.options.epochs) == (3, 2)
    (folder / "mine.txt").touch()
    other = (f"--output_dir={folder}", "--learning_rate=0.01", "--apart=")
    message = call_here("train_supernet", *flags, *other).message
    before = cs.SupernetOptions().learning_rate
    assert f"options.learning_rate={before}, not 0.01" in message
    assert "--overwrite" in message
    few = ("--train_size=20", "--overwrite")
    assert "32 or more" in call_here("train_supernet", *flags, *other, *few).err
    assert Supernet.load(folder, space.network_space).epochs == 2  # still there
    result = call_here("train_supernet", *flags, *other, "--overwrite")
    assert (result.code, result.err) == (0, "")
    net = Supernet.load(folder, space.network_space)
    assert (net.options.learning_rate, net.options.apart) == (0.01, ())
    assert (folder / "mine.txt").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--paths=sandwhich"], "Did you mean 'sandwich'"),
        (["--apart=blocks"], "Did you mean 'block'"),
        (["--train_size=20"], "32 or more images"),
        (["--image_size=9,9"], "--image_size is for images"),
        (["--epochs=0"], "--epochs"),
        (["--output_dir=/proc/none"], "--output_dir must be in a folder"),
    ],
)
def test_what_it_refuses(call_here, flags, tmp_path, more, words):
    result = call_here(
        "train_supernet", *flags, f"--output_dir={tmp_path}", *more
    )
    assert words in result.message
    assert not list(tmp_path.glob("supernet*"))
