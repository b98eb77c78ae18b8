"""Calls scripts in this process, which has imported TensorFlow already."""

import contextlib
import importlib.util
import io
import pathlib
import shutil
import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest
from absl import flags

from tf_cosearch.commands import command_line
from tf_cosearch.training import datasets

COMMANDS = pathlib.Path(command_line.__file__).parent
TOOLS = pathlib.Path(__file__).parents[2] / "tools"


class Result(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def message(self):
        """The one line of an error."""
        assert self.code == 1
        assert self.err.startswith("error: ")
        assert self.err.count("\n") == 1
        assert not self.out
        return self.err


def call_script(name, *arguments):
    """What `python tools/NAME.py ARGUMENTS` does, exit code included."""
    path = COMMANDS / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    before = set(flags.FLAGS)
    out, err, code = io.StringIO(), io.StringIO(), 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            spec.loader.exec_module(module)
            command_line.parse([str(path), *map(str, arguments)])
            command_line.guard(module.main)
    except SystemExit as end:
        code = end.code
    finally:
        for flag in set(flags.FLAGS) - before:
            delattr(flags.FLAGS, flag)
    return Result(code, out.getvalue(), err.getvalue())


def call_alone(name, *arguments):
    """Like `call_script`, but searches have one worker: this process."""
    one = ["--workers=1"] if name == "search" else []
    return call_script(name, *one, *arguments)


def search_with(workers):
    """Like `call_script`, but searches have worker processes."""

    def call(name, *arguments):
        given = any(str(a).startswith("--workers") for a in arguments)
        if name != "search" or given:
            return call_script(name, *arguments)
        done = subprocess.run(
            [
                sys.executable,
                TOOLS / "search.py",
                *map(str, arguments),
                f"--workers={workers}",
            ],
            capture_output=True,
            text=True,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture(scope="session")
def call(request):
    workers = request.config.getoption("workers")
    return search_with(workers) if workers > 1 else call_alone


@pytest.fixture(scope="session")
def call_here():
    """Calls in this process whatever `--workers`, for what is patched in it."""
    return call_alone


@pytest.fixture(scope="session")
def files(space_file, tmp_path_factory):
    """A space of networks that train in a moment, and a few digits."""
    folder = tmp_path_factory.mktemp("files")
    shutil.copy(space_file, folder / "tiny.yaml")
    digits = datasets.load("digits")
    np.savez(
        folder / "few.npz",
        x_train=digits.train[0][:320],
        y_train=digits.train[1][:320],
    )
    return folder


@pytest.fixture(scope="session")
def data_flags(files):
    """Flags of the tiny space and of 64 of the few digits."""
    return (
        f"--space={files / 'tiny.yaml'}",
        f"--data=npz:{files / 'few.npz'}",
        "--train_size=64",
    )


@pytest.fixture(scope="session")
def supernet(call_here, data_flags, tmp_path_factory):
    """The folder of one of that space. Not to be written to."""
    folder = tmp_path_factory.mktemp("supernet")
    done = call_here(
        "train_supernet", *data_flags, "--epochs=1", f"--output_dir={folder}"
    )
    assert (done.code, done.err) == (0, "")
    return folder


@pytest.fixture(scope="session")
def search_flags(files):
    """Flags of a search of two trials, but for the folder."""
    return (
        f"--space={files / 'tiny.yaml'}",
        f"--data=npz:{files / 'few.npz'}",
        "--oracle=random",
        "--max_trials=2",
        "--epochs=1",
        "--area_mm2=40",
    )


@pytest.fixture(scope="session")
def finished(call, search_flags, tmp_path_factory):
    """The folder of a finished search. Not to be written to."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    result = call("search", *search_flags, f"--output_dir={folder}")
    assert (result.code, result.err) == (0, "")
    (folder / "stdout.txt").write_text(result.out)
    return folder
