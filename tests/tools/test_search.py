import csv
import json
import os
import pathlib
import signal
import struct
import subprocess
import sys
import time

import keras_tuner
import numpy as np
import pytest
from light_searches import interrupt_second_training

import tf_cosearch as cs
from tf_cosearch.designs import report
from tf_cosearch.training import fit

SCRIPT = pathlib.Path(__file__).parents[2] / "tools" / "search.py"


def rows(folder):
    with (folder / "trials.csv").open() as file:
        return list(csv.DictReader(file))


def proposals(folder):
    return [{k: v for k, v in row.items() if "/" in k} for row in rows(folder)]


def test_run_json_keeps_its_contract(finished, files, num_chips):
    run = json.loads((finished / "run.json").read_text())
    assert set(run) == {"flags", "space", "versions", "seed"}
    assert run["seed"] == 0
    assert run["flags"]["oracle"] == "random"
    assert run["flags"]["data"] == f"npz:{files / 'few.npz'}"
    assert run["flags"]["batch_size"] == 32  # what was not given is there too
    assert {"latency_ms", "energy_mj", "area_mm2", "max_trials"} < set(
        run["flags"]
    )
    assert run["space"]["name"] == "tiny"
    assert run["space"]["parameters"]["stage1/filters"] == [8, 16]
    assert run["space"]["accelerators"] == num_chips
    assert run["versions"]["keras-tuner"] == keras_tuner.__version__
    assert run["versions"]["tf_cosearch"] == cs.__version__


def test_trials_csv_has_a_row_a_trial(finished):
    run = json.loads((finished / "run.json").read_text())
    table = rows(finished)
    parameters = list(run["space"]["parameters"])
    assert list(table[0]) == [*report.trial_columns(), *parameters]
    assert [row["trial_id"] for row in table] == ["0", "1"]
    for row in table:
        assert row["status"] == "COMPLETED"
        assert float(row["area_mm2"]) <= 40
        for name, choices in run["space"]["parameters"].items():
            assert row[name] in map(str, choices)


def test_picture_is_a_png_of_slide_size(finished):
    content = (finished / "pareto.png").read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    assert width >= 1000
    assert height >= 600
    assert len(content) > 10_000


def test_design_can_be_used(finished):
    folder = finished / "design"
    assert {path.name for path in folder.iterdir()} == {
        "model.tflite",
        "accelerator.yaml",
        "design.json",
        "float.weights.h5",
        "qat.weights.h5",
    }
    design = cs.load_design(folder)
    best = max(rows(finished), key=lambda row: float(row["reward"]))
    assert design.trial_id == best["trial_id"]
    assert 0 <= design.metrics["accuracy_int8_test"] <= 1


def test_search_tells_where_it_is_and_what_it_found(finished):
    printed = (finished / "stdout.txt").read_text()
    assert "Budgets: area 40 mm²" in printed
    lines = [x for x in printed.splitlines() if x.startswith(("1/2", "2/2"))]
    assert len(lines) == 2
    assert "left)" in lines[0]
    assert "left" not in lines[1]
    assert "Pareto front" in printed
    assert f"{finished / 'design'}: model.tflite" in printed


@pytest.mark.slow
def test_same_seed_gives_the_same_search(
    call, search_flags, finished, tmp_path
):
    again, other = tmp_path / "again", tmp_path / "other"
    call("search", *search_flags, f"--output_dir={again}")
    call(
        "search",
        *search_flags,
        f"--output_dir={other}",
        "--seed=1",
        "--max_trials=1",
    )

    def without_time(folder):
        return [
            {name: row[name] for name in row if not name.startswith("seconds")}
            for row in rows(folder)
        ]

    assert without_time(again) == without_time(finished)
    assert proposals(other)[0] not in proposals(finished)


@pytest.mark.slow
def test_same_seed_gives_the_same_evolution(call, search_flags, tmp_path):
    runs = [tmp_path / "one", tmp_path / "two"]
    for folder in runs:
        done = call(
            "search",
            *search_flags,
            "--oracle=regularized_evolution",
            "--max_trials=8",
            f"--output_dir={folder}",
        )
        assert done.code == 0
    assert proposals(runs[0]) == proposals(runs[1])
    assert len(proposals(runs[0])) == 8


@pytest.fixture
def copied(call, search_flags, tmp_path):
    """The folder of a search of a single trial, to go on from."""
    folder = tmp_path / "run"
    arguments = (*search_flags, f"--output_dir={folder}")
    assert call("search", *arguments, "--max_trials=1").code == 0
    return folder, arguments


def test_a_search_goes_on_only_as_it_began(call, copied, files, tmp_path):
    folder, arguments = copied
    before = rows(folder)
    for flag, hint in (
        ("--epochs=2", "training.epochs=1, not 2"),
        ("--seed=1", "--seed=0, not 1"),
        ("--data=digits", "data.training_examples="),
        ("--train_size=100", "data.training_examples=192, not 100"),
        ("--validation_size=30", "data.validation_examples=64, not 30"),
        ("--learning_rate=0.1", "training.optimizer.learning_rate"),
        ("--accelerator=edge_tpu", "space.parameters.pe_array/"),
    ):
        message = call("search", *arguments, flag).message
        assert hint in message
        assert "--overwrite" in message
    assert rows(folder) == before
    done = call("search", *arguments, "--max_trials=2", "--area_mm2=50")
    assert "Continuing after 1 finished" in done.out
    assert rows(folder)[:1] == before
    assert len(rows(folder)) == 2
    done = call(
        "search", *arguments, "--max_trials=1", "--seed=1", "--overwrite"
    )
    assert done.code == 0
    assert len(rows(folder)) == 1
    assert json.loads((folder / "run.json").read_text())["seed"] == 1


def test_only_a_search_is_ever_deleted(call, search_flags, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    for flag in ("--overwrite", "--nooverwrite"):
        message = call(
            "search", *search_flags, f"--output_dir={tmp_path}", flag
        ).message
        assert "holds something else" in message
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(
    call_here, search_flags, tmp_path, monkeypatch
):
    interrupt_second_training(monkeypatch)
    arguments = (*search_flags, f"--output_dir={tmp_path / 'run'}")
    stopped = call_here("search", *arguments)
    assert stopped.code == 130
    assert "the same command goes on" in stopped.err
    kept = rows(tmp_path / "run")
    assert len(kept) == 1
    assert call_here("search", *arguments).code == 0
    assert rows(tmp_path / "run")[:1] == kept


@pytest.mark.slow
def test_sigkill_loses_no_finished_trial(call, search_flags, tmp_path):
    folder = tmp_path / "run"
    arguments = (*search_flags, f"--output_dir={folder}")
    with (tmp_path / "stderr.txt").open("w") as stderr:
        killed = subprocess.Popen(
            [sys.executable, SCRIPT, "--workers=1", *arguments],
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
    deadline = time.monotonic() + 60
    while not (folder / "trials.csv").exists():
        assert time.monotonic() < deadline
        assert killed.poll() is None
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert (tmp_path / "stderr.txt").read_text() == ""  # no noise of TensorFlow
    kept = rows(folder)
    assert len(kept) == 1
    done = call("search", *arguments)
    assert (done.code, done.err) == (0, "")
    assert "Continuing after 1 finished trials." in done.out
    assert rows(folder)[:1] == kept
    assert len(rows(folder)) == 2
    assert (folder / "design" / "model.tflite").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_is_answered_in_a_line(search_flags, tmp_path, workers):
    running = subprocess.Popen(
        [
            sys.executable,
            SCRIPT,
            *search_flags,
            f"--output_dir={tmp_path}",
            f"--workers={workers}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not (tmp_path / "trials.csv").exists():
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does
    said = running.communicate()[1]
    assert said.strip().count("\n") == 0
    assert "the same command goes on" in said
    assert running.returncode == 130


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--qat_epochs=5", "--qat_epochs must be at most --epochs"),
        ("--learning_rate=nan", "must be a positive number"),
        ("--latency_ms=0", "must be a positive number"),
        ("--area_mm2=inf", "must be a positive number"),
        ("--seed=-1", "0, 2147483647"),
        ("--max_trials=0", "positive integer"),
        ("--executions_per_trial=0", "positive integer"),
        ("--train_size=0", "positive integer"),
        ("--validation_size=65", "must be at most 64"),
        ("--image_size=8", "height,width"),
        ("--image_size=9,9", "for images:FOLDER and tfds:NAME"),
        ("--reward=medium", "hard|soft"),
        ("--oracle=randm", "Did you mean 'random'"),
        ("--oracle_option=proposal=9", "Did you mean 'proposals'"),
        ("--oracle_option=proposals", "must be NAME=VALUE"),
        ("--oracle_option=proposals=0", "at least 1. Received: 0"),
        ("--oracle_option=proposals=[1", "must be a number, a word or a"),
        ("--oracle_option=seed=1", "must be set as an argument of its own"),
        ("--oracle_option=initial_designs=3", "of the types it documents"),
        ("--searched=netwrk", "Did you mean 'network'"),
        ("--held_network=mobilenet_v2", "must be one of the networks of"),
        ("--held_accelerator=edge_tpu", "of a side that is not searched"),
        (
            "--held_accelerator=pixel6_edge_tpu",
            "where all of the space have 4096",
        ),
        (
            "--held_accelerator=edge_tpu --searched=accelerator",
            "with --searched=accelerator",
        ),
        (
            "--oracle_option=proposals=9 --oracle_option=proposals=8",
            "given once. Received: proposals again",
        ),
        ("--oracle_option=tune_new_entries=false", "Tuner of your own"),
        ("--held_accelerator=edge_tp", "Did you mean 'edge_tpu'"),
        ("--reward=absolute", "must have a target"),
        ("--start_from=mobilenet_v2", "Published networks in tiny: none"),
        ("--start_from=nowhere.yaml", "The file must exist"),
        ("--warm_start=nowhere", "must be given by its folder"),
        ("--data=digts", "Did you mean 'digits'"),
        ("--space=digit", "Did you mean 'digits'"),
        ("--accelerator=edge_tp", "Did you mean 'edge_tpu'"),
        ("--engine=spark", "local|ray"),
        ("--ray_address=auto", "are for --engine=ray"),
        ("--cpus_per_trial=2", "are for --engine=ray"),
        ("--gpus_per_trial=0", "are for --engine=ray"),
        ("--engine=ray --gpus_per_trial=-1", "0"),
        ("--engine=ray --ray_address=head", "must be auto, local, or HOST"),
        ("--engine=ray --lease_seconds=9", "must be left out with --engine"),
        ("--flagfile=nowhere", "--flagfile must be a file, or one of"),
        ("--data=tfds:mnist", "pip install"),
        ("more", "Arguments must be flags. Received: more"),
    ],
)
def test_wrong_flags_are_refused(call, search_flags, tmp_path, flag, message):
    folder = tmp_path / "run"
    flags = flag.split(" ")
    done = call("search", *search_flags, f"--output_dir={folder}", *flags)
    assert message in done.message
    assert not folder.exists()


def test_budgets_nothing_meets_are_explained(call, search_flags, tmp_path):
    arguments = (*search_flags, f"--output_dir={tmp_path}")
    message = call("search", *arguments, "--area_mm2=0.1").message
    assert "the smallest area_mm2 seen is 1.66" in message
    assert "Raise area_mm2 to" in message
    assert not any(tmp_path.glob("trial_*"))
    # What was not begun does not hold the folder.
    assert call("search", *arguments, "--max_trials=1", "--seed=2").code == 0


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("space", "stags: []", "Did you mean 'stages'"),
        ("space", "classes: 10", "Missing key"),
        ("space", "classes: [", "must be YAML"),
        ("accelerator", "pe_array: {rowz: 1}", "Did you mean 'rows'"),
        ("accelerator", "pe_array: {rows: -3}", "must lie in 1 to 1024"),
        ("accelerator", "", "must hold a mapping"),
    ],
)
def test_wrong_yaml_is_refused(
    call, search_flags, tmp_path, file, text, message
):
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    folder = tmp_path / "run"
    done = call(
        "search", *search_flags, f"--{file}={path}", f"--output_dir={folder}"
    )
    assert message in done.message
    assert "wrong.yaml" in done.message
    assert not folder.exists()


X = np.zeros((50, 8, 8, 1), np.float32)
Y = np.arange(50) % 10


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_train": X.reshape(50, 64), "y_train": Y}, "[N, H, W]"),
        ({"x_train": X + np.nan, "y_train": Y}, "training data must be finite"),
        ({"x_train": X, "y_train": Y - 1}, "must be in [0, 9)"),
        ({"x_train": X, "y_train": Y[:40]}, "a label for each"),
        ({"x_train": X, "y_train": Y + 0.5}, "must be integers"),
        ({"x_train": X[:0], "y_train": Y[:0]}, "at least one"),
        ({"x_train": X[:3], "y_train": Y[:3]}, "at least one"),
        (
            {"x_train": X, "y_train": Y, "x_val": X, "y_val": Y - 1},
            "validation data must be in [0, 10)",
        ),
        (
            {"x_train": X, "y_train": Y, "x_test": X[:0], "y_test": Y[:0]},
            "test data must have one label per image",
        ),
        (
            {"x_train": X, "y_train": Y, "x_test": X + np.inf, "y_test": Y},
            "test data must be finite",
        ),
        ({"x": X, "y": Y}, "must hold x_train and y_train"),
    ],
)
def test_wrong_data_are_refused(call, search_flags, tmp_path, arrays, message):
    np.savez(tmp_path / "data.npz", **arrays)
    folder = tmp_path / "run"
    done = call(
        "search",
        *search_flags,
        f"--data=npz:{tmp_path / 'data.npz'}",
        f"--output_dir={folder}",
    )
    assert message in done.message
    assert not folder.exists()


def test_damaged_data_are_refused(call, search_flags, files, tmp_path):
    path = tmp_path / "data.npz"
    path.write_bytes((files / "few.npz").read_bytes()[:5000])
    done = call(
        "search",
        *search_flags,
        f"--data=npz:{path}",
        f"--output_dir={tmp_path / 'run'}",
    )
    assert "must be a file of numpy.savez" in done.message


def test_a_search_without_a_finished_trial_fails(
    call_here, search_flags, tmp_path, monkeypatch
):
    def fails(*args, **kwargs):
        raise MemoryError("no [red] memory [/]")

    monkeypatch.setattr(fit, "train", fails)
    done = call_here("search", *search_flags, f"--output_dir={tmp_path}")
    assert done.code == 1
    assert "failed: MemoryError: no [red] memory [/]" in done.out
    assert "must finish a trial" in done.err
    assert [row["status"] for row in rows(tmp_path)] == ["FAILED", "FAILED"]


@pytest.mark.slow
def test_what_fails_again_and_again_leaves_a_page_of_reasons(
    call_here, search_flags, tmp_path, monkeypatch
):
    def fails(*args, **kwargs):
        raise MemoryError("no room for this")

    monkeypatch.setattr(fit, "train", fails)
    flags = [*search_flags, f"--output_dir={tmp_path}", "--max_trials=5"]
    done = call_here("search", *flags)
    assert done.code == 1
    assert "must not all fail" in done.err
    assert "no room for this" in (tmp_path / "report.html").read_text()


@pytest.mark.slow
def test_of_many_processes_one_says_what_is_wrong(search_flags, tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            SCRIPT,
            *search_flags,
            f"--output_dir={tmp_path}",
            "--max_trials=8",
            "--learning_rate=1e38",
            "--workers=2",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: Trials must not all fail")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--budget=edpp=1"], "Unknown budget: 'edpp'. Did you mean 'edp'?"),
        (["--budget=edp"], "--budget must be NAME=VALUE"),
        (["--budget=edp=1", "--budget=edp=2"], "must be given once"),
        (["--budget=area_mm2=1"], "--area_mm2 and --budget"),
        (["--budget=edp=-1"], "The budget edp must be positive"),
        (["--max_accuracy_drop=-1"], "max_accuracy_drop"),
        (["--budget=accuracy_drop=-1"], "accuracy_drop must be 0 or more"),
        (
            ["--budget=accuracy_drop=1", "--max_accuracy_drop=1"],
            "--max_accuracy_drop and --budget",
        ),
        (["--budget=edp=fast"], "The budget edp must be"),
        (["--budget=accuracy_qat=0.9"], "accuracy_qat, which a trial meas"),
    ],
)
def test_wrong_budgets_are_refused(
    call_here, search_flags, tmp_path, given, message
):
    done = call_here(
        "search", *search_flags, f"--output_dir={tmp_path}", *given
    )
    assert message in done.message


def test_budgets_on_any_metric_are_kept(call_here, search_flags, tmp_path):
    folder = tmp_path / "run"
    done = call_here(
        "search",
        *search_flags,
        "--budget=model_kib=3",
        "--budget=throughput_fps=1e6",
        "--max_trials=1",
        f"--output_dir={folder}",
    )
    assert (done.code, done.err) == (0, "")
    assert "throughput at least 1,000,000 fps" in done.out
    (row,) = rows(folder)
    assert float(row["model_kib"]) <= 3
    assert float(row["throughput_fps"]) >= 1e6
