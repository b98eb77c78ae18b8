import os
import pathlib
import subprocess
import sys
import tempfile
import time

import pytest
from absl import flags
from absl.testing import flagsaver

from tf_cosearch import commands
from tf_cosearch.commands import command_line

TOOLS = pathlib.Path(__file__).parents[2] / "tools"
SCRIPTS = {
    "search": "--max_trails=3",
    "estimate": "--netwrk=x",
    "retrain": "--output_dri=x",
    "export_tflite": "--netwrk=x",
    "plot_pareto": "--trails=x",
    "benchmark_cost_model": "--fromat=x",
    "calibrate": "--acelerator=x",
    "benchmark_oracles": "--fromat=x",
    "launch": "--wrkers=2",
    "measure_ethos_u": "--ouput=x",
    "measure_memory": "--trails=1",
    "stress_search": "--kils=1",
    "validate_cost_model": "--fromat=x",
    "train_supernet": "--epoch=1",
    "evaluate_supernet": "--suprnet=x",
    "compare_searches": "--serch=x",
    "benchmark_correction": "--lerned=x",
    "debug_numerics": "--quantised=x",
    "monitor": "--windw=x",
    "quantize": "--ouput=x",
    "compare_bit_widths": "--ouput=x",
    "export_trials": "--rum=x",
    "report": "--rum=x",
    "reproduce": "--experimnt=x",
}


def run(name, *arguments):
    return subprocess.run(
        [sys.executable, TOOLS / f"{name}.py", *arguments],
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )


def test_every_script_is_known_here():
    names = {path.stem for path in TOOLS.glob("*.py")}
    assert names == {*SCRIPTS} == {*commands.names()}


@pytest.mark.parametrize(("name", "flag"), SCRIPTS.items())
def test_a_wrong_flag_is_one_line_with_the_closest_known_one(name, flag):
    done = run(name, flag)
    assert done.returncode == 1
    assert not done.stdout
    assert done.stderr.count("\n") == 1
    assert "Did you mean:" in done.stderr


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        (
            "compare_searches",
            ["--search=a=b"],
            "--budget must be given. Received: nothing. NAME=VALUE, the budget",
        ),
        ("compare_searches", [], "--search must be given. Received: nothing."),
        ("search", [], "--output_dir must be given. Received: nothing. Where"),
        (
            "estimate",
            [],
            "one of --model, --network, --layers must be given. Received: none",
        ),
        (
            "estimate",
            ["--model=a", "--layers=b"],
            "must be given. Received: --model and --layers. See --help.",
        ),
    ],
)
def test_what_must_be_given_is_said(name, arguments, message):
    done = run(name, *arguments)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert "None" not in done.stderr


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_says_what_the_script_does_and_how_to_call_it(name):
    done = run(name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"python tools/{name}.py --" in done.stdout
    assert "--[no]debug" in done.stdout


@pytest.fixture(autouse=True)
def parsed():
    flags.FLAGS.mark_as_parsed()


def guarded(error, capsys):
    def main():
        raise error

    with pytest.raises(SystemExit) as end:
        command_line.guard(main)
    return end.value.code, capsys.readouterr().err


def test_an_error_on_purpose_stands_for_itself(capsys):
    code, message = guarded(ValueError("A must hold.\n  Received: b."), capsys)
    assert (code, message) == (1, "error: A must hold. Received: b.\n")


def test_an_unexpected_error_says_its_type_and_how_to_see_more(capsys):
    code, message = guarded(KeyError("rows"), capsys)
    assert (code, message) == (
        1,
        "error: KeyError: 'rows' (--debug shows where)\n",
    )


def test_debug_shows_the_traceback(capsys):
    def main():
        raise ValueError("A must hold.")

    with (
        flagsaver.flagsaver(debug=True),
        pytest.raises(ValueError, match="A must hold"),
    ):
        command_line.guard(main)


def test_ctrl_c_has_its_own_exit_code(capsys):
    code, message = guarded(KeyboardInterrupt("Go on."), capsys)
    assert (code, message) == (130, "\nStopped. Go on.\n")


def test_only_lines_of_cpp_are_noise():
    noise = [
        b"I0000 00:00:1795493539.657 14210 port.cc:153] oneDNN custom",
        b"W0727 04:02:14.123456  140 xla/stream_executor/a_b.cc:12] slow",
        b"WARNING: All log messages before absl::InitializeLog() is called",
    ]
    kept = [
        b"WARNING: ATAN2 cannot be costed; it counts as data movement.",
        b"W0727 04:02:14.123456 140 durable.py:275] trial.json cannot be read",
        b"error: Some design must meet the budgets.",
    ]
    assert all(command_line._NOISE.match(line) for line in noise)
    assert not any(command_line._NOISE.match(line) for line in kept)


def test_output_folders_are_made(tmp_path):
    folder = command_line.output_folder(str(tmp_path / "a" / "b"))
    assert folder.is_dir()
    assert os.listdir(folder) == []


def test_output_folders_must_take_files(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "inside"):
        with pytest.raises(ValueError, match=r"--output_dir must be .*file"):
            command_line.output_folder(str(path))

    def refuse(dir):
        raise PermissionError(13, "Permission denied", dir)

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(ValueError, match="Permission denied"):
        command_line.output_folder(str(tmp_path))


def test_output_files_need_their_ending_and_a_folder(tmp_path):
    with pytest.raises(ValueError, match=r"ending \.png, \.svg"):
        command_line.output_file(str(tmp_path / "a.gif"), ".png", ".svg")
    path = tmp_path / "new" / "a.svg"
    assert command_line.output_file(str(path), ".png", ".svg") == path
    assert path.parent.is_dir()


def test_a_flag_of_a_very_long_name_is_one_line():
    done = run("launch", "--" + "x" * 3000)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


def test_ctrl_c_comes_again_where_python_ignores_it(monkeypatch, capsys):
    monkeypatch.setattr(sys, "unraisablehook", command_line.interrupt_again)

    class Thrown:
        def __del__(self):
            raise KeyboardInterrupt

    def throw_away():
        Thrown()
        for _ in range(1000):
            time.sleep(0.01)

    with pytest.raises(KeyboardInterrupt):
        throw_away()
    assert capsys.readouterr().err == ""


def test_what_else_python_ignores_is_told(monkeypatch, capsys):
    monkeypatch.setattr(sys, "unraisablehook", command_line.interrupt_again)

    class Thrown:
        def __del__(self):
            raise ValueError("lost")

    Thrown()
    assert "lost" in capsys.readouterr().err
