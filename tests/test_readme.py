"""Runs what the README and pages beside it show, as a reader types it."""

import contextlib
import itertools
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import warnings
from unittest import mock

import numpy as np
import pytest
import small_idx
import yaml

import tf_cosearch as cs
from tf_cosearch import metrics
from tf_cosearch.networks import blocks, layer_ops

ROOT = pathlib.Path(__file__).parent.parent
TOOLS = ROOT / "tools"
PAGES = (
    "README.md",
    "tf_cosearch/benchmark/README.md",
    "tf_cosearch/experiments/README.md",
)
TEXT = "\n".join((ROOT / page).read_text() for page in PAGES)


def code_blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def commands():
    """Commands of all shell blocks, with continued lines in one."""
    text = "".join(code_blocks("bash")).replace("\\\n", "")
    return [
        " ".join(line.split("  #")[0].split()) for line in text.splitlines()
    ]


COMMANDS = commands()
PYTHON = code_blocks("python")

SHORTER = {
    "--space=evolved": "--max_trials=1 --epochs=1",
    "--accuracy=supernet": "--supernet_trials=20 --supernet_epochs=1",
    "runs/cpu ": "--max_trials=1 --epochs=1",
    "runs/board ": "--max_trials=1 --epochs=1",
    "--early_stopping": "--max_trials=2 --epochs=2",
    "digits_mixed.flags": "--max_trials=1 --epochs=1 --max_accuracy_drop=100",
    "--data=scenes": "--data=scenes:100 --max_trials=1 --epochs=1",
    "--data=idx": "--train_size=64 --validation_size=32",
    "--workers=2": "--max_trials=2 --epochs=1 --oracle=random",
    "ssh.sh": "--max_trials=2 --epochs=1 --oracle=random",
    "slurm.sbatch": "--max_trials=2 --epochs=1 --oracle=random",
    "retrain.py": "--epochs=1",
    "train_supernet.py": "--epochs=1",
    "evaluate_supernet.py": "--top=1 --quantization_gap=2",
    "runs/oracles": "--trials=3 --seeds=1 --landscapes=tight_latency "
    "--algorithms=grey_box,keras_tuner_random",
    "runs/trained": "--trials=3 --seeds=1 --algorithms=grey_box,random",
    "runs/searched": "--trials=3 --seeds=1 --landscapes=tight_latency",
    "runs/table": "--max_trials=2 --oracle=random",
    "runs/macro": "--trials=3 --seeds=1 --landscapes=table_latency "
    "--algorithms=grey_box,keras_tuner_random",
    "reproduce.py --experiment": "--seeds=1",
    "runs/memory ": "--trials=20",
    "runs/memory_training": "--trials=3 --trials_per_process=2",
    "benchmark_cost_model.py": "--candidates=5000",
    "quantize.py": "--max_accuracy_drop=100",
}
"""Part of a command -> flags that follow it, as the last ones count."""

ELSEWHERE = {
    "make test": "what runs this",
    "make search": "test_make_search_leaves_what_is_promised",
    "pip install '.[benchmark]'": "test_extras_are_those_of_setup",
}
"""Commands that are not run by `test_commands_run`, and who holds them."""

FASHION = "/usr/share/datasets/fashion-mnist"
"""Where it is installed; elsewhere a small set of ours stands in for it."""

FAST = "kubectl"
"""Part of the one command that imports no TensorFlow.

Tools as processes of their own: `test_nothing_but_the_answer_is_printed`.
"""


def finish(command, folder, path):
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=1200,
    )


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder like a reader's: this checkout, and files of their own."""
    folder = tmp_path_factory.mktemp("desk")
    for name in ("tools", "configs", "tests", "tf_cosearch", ".pytest.ini"):
        (folder / name).symlink_to(ROOT / name)
    rng = np.random.default_rng(0)
    np.savez(
        folder / "mine.npz",
        x_train=rng.random((64, 32, 32, 3), np.float32),
        y_train=np.arange(64) % 10,
    )
    shutil.copy(ROOT / "tests/networks/importers/data/layers.csv", folder)
    shutil.copy(
        ROOT / "configs/accelerators/coral_usb.yaml", folder / "my_chip.yaml"
    )
    (folder / "mine.csv").write_text(
        "network,latency_ms\nmobilenet_v1,2.4\nmobilenet_v2,2.6\n"
        "efficientnet_edgetpu_s,5.0\nmobilenet_edgetpu,3.1\n"
    )
    (program,) = code_blocks("py")
    (folder / "measure.py").write_text(program)
    table = {
        "".join(map(str, digits)): {"test_acc": [60.0 + 2 * sum(digits)] * 3}
        for digits in itertools.product(range(3), repeat=8)
    }
    (folder / "nas-bench-macro_cifar10.json").write_text(json.dumps(table))
    (folder / "fashion").mkdir()
    small_idx.write_set(folder / "fashion", 200, 50, classes=10, pixels=28)
    (folder / "my_search.py").write_text(
        PYTHON[0]
        .replace("max_trials=12", "max_trials=2")
        .replace("epochs=12", "epochs=1")
    )
    return folder


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """PATH with this Python, and stand-ins for the programs of clusters."""
    folder = tmp_path_factory.mktemp("bin")
    for name, script in {
        "ssh": 'bash -c "${@: -1}"',
        "sbatch": 'SLURM_JOB_ID=$$ exec "$@"',
        "srun": 'shift\nSLURM_PROCID=1 "$@" &\nSLURM_PROCID=0 "$@"',
        "kubectl": f'{sys.executable} -c "import sys, yaml; '
        'list(yaml.safe_load_all(open(sys.argv[-1])))" "$@"',
    }.items():
        (folder / name).write_text(f"#!/usr/bin/env bash\n{script}\n")
        (folder / name).chmod(0o755)
    here = pathlib.Path(sys.executable).parent
    return f"{folder}:{here}:{os.environ['PATH']}"


@pytest.fixture(scope="module")
def run_at_desk(desk, path, request):
    """Runs a command as it stands, made shorter; with what it builds on."""
    done = {}

    def run(command):
        if command in done:
            return done[command]
        for earlier in COMMANDS[: COMMANDS.index(command)]:
            made = re.search(r"--output_dir=(\S+)", earlier)
            if made and f"={made[1]} " in command.replace(made[0], ""):
                run(earlier)
        if "=runs/digits" in command and not (desk / "runs/digits").exists():
            finish(
                "python tools/search.py --workers=1 --max_trials=2 --epochs=1 "
                "--output_dir=runs/digits --oracle=random",
                desk,
                path,
            )
        if "my.tflite" in command and not (desk / "my.tflite").exists():
            (desk / "my.tflite").write_bytes(
                request.getfixturevalue("tflite_model")
            )
        if "my.keras" in command and not (desk / "my.keras").exists():
            request.getfixturevalue("keras_model").save(desk / "my.keras")
        shorter = [flags for part, flags in SHORTER.items() if part in command]
        if not pathlib.Path(FASHION).exists():
            shorter.append("--data=idx:fashion" if FASHION in command else "")
        done[command] = finish(" ".join([command, *shorter]), desk, path)
        return done[command]

    return run


@pytest.fixture(scope="module")
def tflite_model():
    import tensorflow as tf
    import tf_keras

    model = tf_keras.Sequential(
        [tf_keras.Input((8, 8, 3)), tf_keras.layers.Conv2D(4, 3)]
    )
    return tf.lite.TFLiteConverter.from_keras_model(model).convert()


@pytest.fixture(scope="module")
def keras_model():
    """Of the images of `mine.npz`."""
    import tf_keras

    layers = [
        tf_keras.layers.Conv2D(4, 3, strides=4, activation="relu"),
        tf_keras.layers.Flatten(),
        tf_keras.layers.Dense(10),
    ]
    return tf_keras.Sequential([tf_keras.Input((32, 32, 3)), *layers])


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(
            command,
            marks=() if FAST in command else pytest.mark.slow,
        )
        for command in COMMANDS
        if command not in ELSEWHERE
    ],
)
def test_commands_run(command, run_at_desk, desk):
    done = run_at_desk(command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    for made in re.findall(
        r"--(?:output_dir|output|plot|roofline)=(\S+)", command
    ):
        assert (desk / made).exists()


def test_every_command_has_flags_that_are_there():
    """Also those which take long: what they say is checked here at once."""
    for command in COMMANDS:
        words = shlex.split(command)
        scripts = [word for word in words if word.startswith("tools/")]
        for script in scripts:
            text = (ROOT / script).read_text()
            text += (ROOT / "tools/command_line.py").read_text()
            after = " ".join(words[words.index(script) + 1 :])
            for name in re.findall(r"--(\w+)", after.partition(" -- ")[0]):
                is_there = f'"{name}"' in text or name == "flagfile"  # absl's
                assert is_there, (command, name)


def test_what_is_shortened_or_run_elsewhere_is_in_the_readme():
    text = "\n".join(COMMANDS)
    assert [part for part in (*SHORTER, *ELSEWHERE) if part not in text] == []


def test_files_and_folders_lie_where_it_says():
    """A file without a folder is told beside one that has."""
    named = re.findall(r"`([a-z_0-9/]+/|[a-z_0-9/]+\.py)`", TEXT)
    assert "networks/blocks/" in named
    package = ROOT / "tf_cosearch"
    missing = [
        path
        for path in named
        if not any((top / path).exists() for top in (ROOT, package, TOOLS))
        and ("/" in path or not any(package.rglob(path)))
    ]
    assert not missing


def test_all_that_blocks_may_call_is_named():
    ours = [
        name
        for name, kind in layer_ops._OPERATIONS.items()
        if kind.__module__.startswith("tf_cosearch.")
    ]
    said = TEXT[TEXT.index("Blocks call `conv`") :].partition(":\n")[0]
    assert set(re.findall(r"`(\w+)`", said)) >= {*ours}


def test_extras_are_those_of_setup():
    setup = (ROOT / "setup.py").read_text()
    extras = re.findall(r"pip install '\.\[(\w+)\]'", TEXT)
    assert extras
    assert all(f'"{extra}": [' in setup for extra in extras)


def test_python_runs_in_one_session(tmp_path, monkeypatch, capsys):
    """All blocks, one after the other, with fewer images, trials, epochs."""
    monkeypatch.chdir(tmp_path)
    program = "\n".join(PYTHON)
    assert program.count("test_size=0.25") == 1
    program = program.replace("test_size=0.25", "train_size=256, test_size=64")
    for long, short, times in (
        ("max_trials=12", "max_trials=1", 1),
        ("epochs=12", "epochs=1", 1),
        ("max_trials=6", "max_trials=1", 1),
        ("epochs=5", "epochs=1", 1),
        ("max_trials=2", "max_trials=1", 2),
        ("epochs=2", "epochs=1", 2),
    ):
        assert program.count(f"{long},") + program.count(f"{long})") == times
        program = program.replace(f"{long},", f"{short},")
        program = program.replace(f"{long})", f"{short})")
    names = {"__name__": "readme"}
    with contextlib.ExitStack() as stack:
        for module, registry, function in (
            (blocks, "_BLOCKS", lambda each: each),
            (layer_ops, "_OPERATIONS", lambda each: each),
            (metrics, "_METRICS", lambda each: each.function),
        ):
            # A reader's session has nothing of other tests, and they of it.
            shipped = {
                name: each
                for name, each in getattr(module, registry).items()
                if function(each).__module__.startswith("tf_cosearch.")
            }
            assert shipped
            stack.enter_context(mock.patch.object(module, registry, shipped))
        # What a library warns of inside a trial would fail it here.
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        exec(compile(program, "README.md", "exec"), names)  # noqa: S102
        assert_block_passes_its_suite()
        assert_metric_passes_its_suite()
    assert_algorithm_passes_its_suite(names["HillClimb"], tmp_path)
    assert_evaluator_passes_its_suite(names["Board"])
    assert names["tuner"].co_oracle.budgets == names["budgets"]
    assert (tmp_path / "runs/example/design/model.tflite").is_file()
    (own,) = (tmp_path / "runs/own").glob("trial_*/model.tflite")
    assert own.stat().st_size
    header = (tmp_path / "runs/own/trials.csv").read_text().split("\n")[0]
    assert {"filters_1", "learning_rate", "pe_array/rows"} <= {
        *header.split(",")
    }
    out = capsys.readouterr().out
    assert "Pareto front" in out
    assert re.search(r"\d\.\d{3} ms", out)
    assert len(names["best"]) == 3
    for folder in ("ours", "theirs"):
        trials = tmp_path.glob(f"runs/{folder}/*/trial_*/trial.json")
        assert ['"COMPLETED"' in t.read_text() for t in trials] == [True]


def assert_block_passes_its_suite():
    from tf_cosearch.testing import BlockSuite

    class Suite(BlockSuite):
        name = "bottleneck"

    Suite().test_rows_equal_a_walk_over_the_built_model()
    Suite().test_stride_and_filters_are_honoured()


def assert_metric_passes_its_suite():
    from tf_cosearch.testing import MetricSuite

    class Suite(MetricSuite):
        name = "spare_kib"

    suite = Suite()
    suite.test_it_is_described()
    suite.test_it_is_one_finite_number_a_design()
    suite.test_no_design_feels_its_neighbours()
    suite.test_networks_times_accelerators_are_pairs()
    suite.test_a_budget_lets_the_better_pass()


def assert_evaluator_passes_its_suite(cls):
    from tf_cosearch.testing import EvaluatorSuite

    suite = EvaluatorSuite()
    suite.evaluator = cls
    suite.test_it_measures_what_it_names()
    suite.test_it_says_what_it_is()
    suite.test_it_says_the_same_again()


def assert_algorithm_passes_its_suite(cls, folder):
    from tf_cosearch.testing import OracleSuite

    suite = OracleSuite()
    suite.algorithm = cls
    for name in (
        "test_same_seed_same_designs",
        "test_continues_what_another_began",
        "test_starts_from_what_is_known",
        "test_no_design_twice",
        "test_goes_on_after_failures",
    ):
        getattr(suite, name)(folder / name)


def test_the_space_loads(tmp_path):
    block, other = code_blocks("yaml")
    path = tmp_path / "space.yaml"
    path.write_text(block)
    space = cs.SearchSpace.load(path)
    assert space.fixed == {"process/node_nm": 28}
    chosen = yaml.safe_load(other)["accelerator"]
    space = cs.SearchSpace.load("digits", accelerator=chosen)
    assert space.family == "systolic"
    assert space.num_networks > 1e6


@pytest.mark.slow
def test_python_runs_as_it_stands(desk, path):
    (desk / "readme.py").write_text("\n".join(PYTHON))
    shutil.rmtree(desk / "runs/example", ignore_errors=True)
    done = finish("python readme.py", desk, path)
    assert done.returncode == 0, done.stderr
    assert (desk / "runs/example/design/model.tflite").is_file()


@pytest.mark.slow
def test_make_search_leaves_what_is_promised(tmp_path):
    """In a copy of this checkout, with this environment as its own."""
    checkout = tmp_path / "checkout"
    shutil.copytree(
        ROOT,
        checkout,
        ignore=shutil.ignore_patterns(".git", ".venv", "runs", "__pycache__"),
    )
    (checkout / ".venv").symlink_to(sys.prefix)
    done = finish(
        "touch .venv/.installed && make search", checkout, os.environ["PATH"]
    )
    assert done.returncode == 0, done.stderr
    promised = re.findall(r"^\| `([\w./*]+)` \|", TEXT, re.MULTILINE)[:7]
    assert "design/model.tflite" in promised
    for pattern in promised:
        assert list((checkout / "runs/digits").glob(pattern)), pattern
