"""`cosearch`, whichever command follows."""

import subprocess
import sys

import pytest

from tf_cosearch import commands

PROGRAM = (
    sys.executable,
    "-c",
    "from tf_cosearch.commands import main; main()",
)


def cosearch(*arguments, cwd=None):
    return subprocess.run(
        [*PROGRAM, *arguments], cwd=cwd, capture_output=True, text=True
    )


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_it_lists_commands_with_what_they_do(arguments):
    done = cosearch(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split() for line in done.stdout.splitlines()]
    for name in commands.names():
        assert [name, *commands.summary(name).split()] in lines


def test_what_it_does_stands_in_the_docstring():
    for name in commands.names():
        assert commands.summary(name).endswith(".")


@pytest.mark.parametrize(
    ("given", "meant"),
    [("serch", "search"), ("train-supernet", "train_supernet")],
)
def test_an_unknown_command_is_answered_with_the_nearest(given, meant):
    done = cosearch(given, "--max_trials=2")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: Unknown command: {given!r}. Did")
    assert f"Did you mean {meant!r}?" in done.stderr
    assert done.stderr.count("\n") == 1


def test_help_and_errors_name_the_command_as_it_is_typed():
    assert (
        "    cosearch search --flagfile=" in cosearch("search", "--help").stdout
    )
    assert "cosearch launch --workers=2 --" in cosearch("launch", "--").stderr


@pytest.mark.parametrize("form", ["--flagfile={}", "-flagfile {}"])
def test_a_file_of_flags_is_a_path_or_a_name(form, tmp_path):
    """Those of a search are none of `launch`, whose answer names the first."""
    given = form.format("digits").split()
    assert "flag 'space'" in cosearch("launch", *given, cwd=tmp_path).stderr
    (tmp_path / "digits").mkdir()  # as of a search
    assert "flag 'space'" in cosearch("launch", *given, cwd=tmp_path).stderr
    (tmp_path / "digits").rmdir()
    (tmp_path / "digits").write_text("--mine=1")
    assert "flag 'mine'" in cosearch("launch", *given, cwd=tmp_path).stderr
    done = cosearch("launch", *form.format("digit").split(), cwd=tmp_path)
    assert done.stderr == (
        "error: --flagfile must be a file, or one of digits, digits_mixed. "
        "Received: 'digit', which does not exist.\n"
    )
