"""Runs what the pages show, as a reader types it."""

import contextlib
import io
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
import pages
import pytest
import small_idx
import yaml

import tf_cosearch as cs
from tf_cosearch import metrics
from tf_cosearch.commands import command_line
from tf_cosearch.networks import blocks, layer_ops
from tf_cosearch.tasks.speech import tones

ROOT = pages.ROOT
TEXT = "\n".join(pages.TEXT.values())
COMMANDS = pages.commands()
WITH_PYTHON = [page for page in pages.TEXT if pages.program(page)]

SHORTER = {
    "--space=evolved": "--max_trials=1 --epochs=1",
    "--accuracy=supernet": "--supernet_trials=20 --supernet_epochs=1",
    "runs/cpu ": "--max_trials=1 --epochs=1",
    "runs/board ": "--max_trials=1 --epochs=1",
    "--early_stopping": "--max_trials=2 --epochs=2",
    "digits_mixed.flags": "--max_trials=1 --epochs=1 --max_accuracy_drop=100",
    "--task=segmentation": "--data=scenes:100 --max_trials=1 --epochs=1",
    "runs/scenes_longer": "--data=scenes:100",
    "--data=tones": "--data=tones:10 --max_trials=1 --epochs=1 --oracle=random",
    "--data=wav": "--max_trials=1 --epochs=1 --oracle=random",
    "--data=clicks": "--data=clicks:2000 --max_trials=1 --epochs=1 "
    "--oracle=random",
    "--data=idx": "--train_size=64 --validation_size=32",
    "--workers=2": "--max_trials=2 --epochs=1 --oracle=random",
    "--engine=ray": "--max_trials=2 --epochs=1 --oracle=random",
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
    "tools/quantize.py": "--max_accuracy_drop=100",
}
"""Part of a command -> flags that follow it, as the last ones count."""

ELSEWHERE = {
    "make test": "what runs this",
    "make search": "test_make_search_leaves_what_is_promised",
    "pip install '.[benchmark]'": "test_extras_are_those_of_setup",
    "pip install '.[ray]'": "test_extras_are_those_of_setup",
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
    (program,) = pages.code_blocks("py", "tf_cosearch/evaluators/README.md")
    (folder / "measure.py").write_text(program)
    table = {
        "".join(map(str, digits)): {"test_acc": [60.0 + 2 * sum(digits)] * 3}
        for digits in itertools.product(range(3), repeat=8)
    }
    (folder / "nas-bench-macro_cifar10.json").write_text(json.dumps(table))
    tones.write(folder / "runs/words", clips=10)  # as the page of tasks does
    (folder / "fashion").mkdir()
    small_idx.write_set(folder / "fashion", 200, 50, classes=10, pixels=28)
    (folder / "my_search.py").write_text(
        pages.program(pages.FIRST)
        .replace("example", "mine_launched")
        .replace("max_trials=12", "max_trials=2")
        .replace("epochs=12", "epochs=1")
    )
    return folder


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """PATH with this Python, and stand-ins for the programs of clusters."""
    folder = tmp_path_factory.mktemp("bin")
    for name, script in {
        "ssh": "for word; do [[ $word =~ ^127.0.0.1:(.+):127.0.0.1:(.+) ]] "
        '&& there="=${BASH_REMATCH[1]}" here="=${BASH_REMATCH[2]}"; done\n'
        'bash -c "${word/"$there"/"$here"}"',
        "sbatch": "SLURM_JOB_ID=$$ SLURM_NTASKS=2 SLURM_CPUS_PER_TASK=1 "
        'exec "$@"',
        "srun": "shift 2; export SLURM_LAUNCH_NODE_IPADDR=127.0.0.1\n"
        'SLURM_PROCID=1 "$@" &\nSLURM_PROCID=0 "$@"',
        "scancel": "",
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
        for other in COMMANDS:
            made = re.search(r"--output_dir=(\S+)", other)
            if not made or made[0] in command.split():
                continue
            if re.search(rf"={made[1]}[ /]", f"{command} "):
                run(other)
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
            id=command,
            marks=() if FAST in command else pytest.mark.slow,
        )
        for command in COMMANDS
        if command not in ELSEWHERE
    ],
)
def test_commands_run(command, run_at_desk, desk):
    if "--engine=ray" in command:
        pytest.importorskip("ray")
    done = run_at_desk(command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    is_of_masks = "mean intersection over union" in done.stdout
    assert is_of_masks == ("scenes" in command)
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
            name = pathlib.Path(script).name
            text = (ROOT / "tf_cosearch/commands" / name).read_text()
            text += pathlib.Path(command_line.__file__).read_text()
            after = " ".join(words[words.index(script) + 1 :])
            for name in re.findall(r"--(\w+)", after.partition(" -- ")[0]):
                is_there = f'"{name}"' in text or name == "flagfile"  # absl's
                assert is_there, (command, name)


def test_what_is_shortened_or_run_elsewhere_is_in_the_readme():
    text = "\n".join(COMMANDS)
    assert [part for part in (*SHORTER, *ELSEWHERE) if part not in text] == []


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


def run_python(page, names, folder):
    """Runs a page with fewer images, trials, epochs; returns what it prints.

    `names` are those of the session, which the page adds to.
    """
    program = pages.program(page).replace(
        "test_size=0.25", "train_size=256, test_size=64"
    )
    program = re.sub(r"\b(max_trials|epochs)=\d+", r"\1=1", program)
    program = program.replace("clips=100", "clips=10")
    printed = io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        warnings.catch_warnings(),
        contextlib.redirect_stdout(printed),
    ):
        # What a library warns of inside a trial would fail it here.
        warnings.simplefilter("ignore")
        patch.chdir(folder)
        exec(compile(program, page, "exec"), names)  # noqa: S102
    return printed.getvalue()


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """Folder, names and output of a session that ran the first page."""
    folder = tmp_path_factory.mktemp("session")
    names = {"__name__": "readme"}
    return folder, names, run_python(pages.FIRST, names, folder)


@pytest.fixture
def session(first):
    """Another one, in which a page may go on, that leaves nothing behind."""
    folder, names, _ = first
    with contextlib.ExitStack() as stack:
        for module, registry, function in (
            (blocks, "_BLOCKS", lambda each: each),
            (layer_ops, "_OPERATIONS", lambda each: each),
            (metrics, "_METRICS", lambda each: each.function),
            (
                sys.modules["tf_cosearch.tasks.task"],
                "_TASKS",
                lambda each: each,
            ),
        ):
            # A reader's session has nothing of other tests, and they of it.
            shipped = {
                name: each
                for name, each in getattr(module, registry).items()
                if function(each).__module__.startswith("tf_cosearch.")
            }
            assert shipped
            stack.enter_context(mock.patch.object(module, registry, shipped))
        yield folder, dict(names)


def test_python_of_the_first_page(first):
    folder, names, printed = first
    assert "Pareto front" in printed
    assert (folder / "runs/example/design/model.tflite").is_file()
    table = (folder / "runs/example/trials.csv").read_text().splitlines()
    choices = {parameter.name for parameter in names["space"].parameters}
    header = {*table[0].split(",")}
    assert choices <= header
    assert header - choices <= pages.columns().keys()


SLOW = ("tf_cosearch/tasks/README.md",)
"""Their Python, without its search, is run by a test beside others of it."""


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=pytest.mark.slow if page in SLOW else ())
        for page in WITH_PYTHON
        if page != pages.FIRST
    ],
)
def test_python_goes_on_after_the_first_page(page, session):
    folder, names = session
    printed = run_python(page, names, folder)
    if page in LEFT:
        LEFT[page](names, folder, printed)


def assert_own_model(names, folder, printed):
    (own,) = (folder / "runs/own").glob("trial_*/model.tflite")
    assert own.stat().st_size
    header = (folder / "runs/own/trials.csv").read_text().split("\n")[0]
    assert {"filters_1", "learning_rate", "pe_array/rows"} <= {
        *header.split(",")
    }


def assert_additions(names, folder, printed):
    assert re.search(r"\d\.\d{3} ms", printed)
    for name in ("ours", "theirs"):
        trials = folder.glob(f"runs/{name}/*/trial_*/trial.json")
        assert ['"COMPLETED"' in t.read_text() for t in trials] == [True]
    assert_block_passes_its_suite()
    assert_metric_passes_its_suite()
    assert_algorithm_passes_its_suite(names["HillClimb"], folder)
    assert names["tuner"].co_oracle.budgets == names["budgets"]


def assert_best(names, folder, printed):
    assert len(names["best"]) == 3


def assert_masks(names, folder, printed):
    assert [*folder.glob("runs/tasks/*/trial_0/model.tflite")]


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


def assert_evaluator(names, folder, printed):
    from tf_cosearch.testing import EvaluatorSuite

    suite = EvaluatorSuite()
    suite.evaluator = names["Board"]
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


LEFT = {
    "tf_cosearch/README.md": assert_additions,
    "tf_cosearch/cost/README.md": assert_best,
    "tf_cosearch/evaluators/README.md": assert_evaluator,
    "tf_cosearch/tasks/README.md": assert_masks,
    "tf_cosearch/training/README.md": assert_own_model,
}
"""Page -> what its Python leaves."""


def test_the_space_loads(tmp_path):
    block, other, chip = pages.code_blocks("yaml", "configs/README.md")
    path = tmp_path / "space.yaml"
    path.write_text(block)
    space = cs.SearchSpace.load(path)
    assert space.fixed == {"process/node_nm": 28}
    chosen = yaml.safe_load(other)["accelerator"]
    space = cs.SearchSpace.load("digits", accelerator=chosen)
    assert space.family == "systolic"
    assert space.num_networks > 1e6
    path.write_text(chip)
    assert cs.load_accelerator(path).pe_array.rows == 2


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_PYTHON)
def test_python_runs_as_it_stands(page, desk, path):
    """The first page is found done by those after it, which go on."""
    programs = dict.fromkeys([pages.FIRST, page])
    (desk / "page.py").write_text("\n".join(map(pages.program, programs)))
    done = finish("python page.py", desk, path)
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
    said = pages.TEXT["tf_cosearch/designs/README.md"]
    promised = re.findall(r"^\| `([\w./*]+)` \|", said, re.MULTILINE)[:7]
    assert "design/model.tflite" in promised
    for pattern in promised:
        assert list((checkout / "runs/digits").glob(pattern)), pattern
