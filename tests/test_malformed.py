"""Readers answer malformed files with one clear error, whatever is wrong."""

import importlib.util
import json
import pathlib
import re
import resource
import shutil
import sys
import zipfile

import keras_tuner
import numpy as np
import pytest
import tflite_files
import yaml
from absl import flags
from hypothesis import HealthCheck, given, settings
from keras_tuner.engine.trial import Trial
from malformed import (
    as_json,
    as_yaml,
    byte_edits,
    edit_bytes,
    edit_values,
    stopped_after,
    value_edits,
)

import tf_cosearch as cs
from tf_cosearch import configuration, metrics
from tf_cosearch.accelerators import presets
from tf_cosearch.commands import command_line
from tf_cosearch.cost.calibrate import measurements
from tf_cosearch.designs import export, report, run_file
from tf_cosearch.networks.importers import (
    keras_files,
    layers_csv,
    tflite_import,
)
from tf_cosearch.networks.spaces.template import Template
from tf_cosearch.search import early_stopping, executions, objectives
from tf_cosearch.search.accuracy_table import AccuracyTable
from tf_cosearch.search.oracle import trial_files
from tf_cosearch.search.oracle.oracle import CoSearchOracle
from tf_cosearch.search.space import SearchSpace
from tf_cosearch.testing import ToySpace, place, run_trials, toy_estimate
from tf_cosearch.training import datasets

SECONDS = 10.0
MOST_BYTES = 2**30
COMMANDS = pathlib.Path(command_line.__file__).parent

TRIALS = ",".join(report.trial_columns())
LAYERS = "name,H,W,Cin,Cout,Kh,Kw,stride,groups,OH,OW\nc,8,8,3,16,3,3,1,1,8,8\n"
MEASURED = "network,input_px,latency_ms,device\nmobilenet_v2,,2.5,a\n"


def examples(few, many):
    """Few examples, always the same ones, or many new ones under `slow`."""
    default = settings(
        max_examples=few,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    slow = settings(default, max_examples=many, derandomize=False)

    def decorate(test):
        return pytest.mark.parametrize(
            "count",
            [
                pytest.param(default, id="few"),
                pytest.param(slow, id="many", marks=pytest.mark.slow),
            ],
        )(test)

    return decorate


def refuses_or_reads(read, *arguments):
    """Calls a reader; the only errors are ours, and tell what is wrong."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with stopped_after(SECONDS):
        try:
            read(*arguments)
        except (ValueError, RuntimeError, FileNotFoundError) as error:
            told = str(error)
            assert re.search("Received|Unknown|Missing", told), repr(told)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert (after - before) * 1024 < MOST_BYTES


def attack(count, tmp_path, content, edits, edit, read, name):
    @count
    @given(edits=edits)
    def attempt(edits):
        path = tmp_path / name
        path.write_bytes(edit(content, edits))
        refuses_or_reads(read, path)

    attempt()


def read_space(path):
    space = SearchSpace.load(path)
    space.summary()
    space.batch(space.sample(np.random.default_rng(0), 2))


def read_network(path):
    cs.load_network(path).layers()


YAML = {
    "accelerator": ("accelerators", "coral_usb", presets.load_accelerator),
    "network": ("networks", "efficientnet_lite0", read_network),
    "space": ("spaces", "digits", read_space),
}


@examples(60, 4000)
@pytest.mark.parametrize("kind", YAML)
@pytest.mark.parametrize("how", ["bytes", "values"])
def test_yaml(tmp_path, kind, how, count):
    folder, name, read = YAML[kind]
    content = configuration.shipped(folder, f"{name}.yaml").read_bytes()
    if how == "bytes":
        given_edits, edit = byte_edits(), edit_bytes
    else:
        content = yaml.safe_load(content)
        given_edits = value_edits()

        def edit(tree, edits):
            return as_yaml(edit_values(tree, edits))

    attack(count, tmp_path, content, given_edits, edit, read, "file.yaml")


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n"
    for i in range(20)
)


@pytest.mark.parametrize("kind", YAML)
@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        "stem: &a {filters: *a}",
        "stages: &a [*a]\nstem: {}",
        "!!python/object/apply:os._exit [3]",
        "stem: !!python/name:os.system ''",
        "stages: " + "[" * 1_000,
        pytest.param("stages: " + "[" * 100_000, marks=pytest.mark.slow),
        "? [a, b]\n: 1",
        "? {a: b}\n: 1",
        "<<: [1]",
        "\ud800",
        "process: {node_nm: 2026-02-31}",
        "a: !!binary '*'",
        "a: !!int ''",
        "a: !!float x",
        "a: !!set 3",
        "a: !!omap 3",
        "a: 1:99:99",
        "\tx",
    ],
)
def test_yaml_tricks(tmp_path, kind, text):
    path = tmp_path / "file.yaml"
    path.write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(ValueError, match=r"Received|Unknown"), stopped_after(5):
        YAML[kind][2](path)


def trials_csv():
    columns = report.trial_columns()
    row = ["1"] * len(columns)
    row[columns.index("status")] = "COMPLETED"
    return f"{TRIALS}\n{','.join(row)}\n".encode()


CSV = {
    "layers": (LAYERS.encode(), layers_csv.read_layers_csv),
    "measurements": (MEASURED.encode(), measurements.read_measurements),
    "trials": (trials_csv(), report.read_trials),
}


@examples(100, 4000)
@pytest.mark.parametrize("kind", CSV)
def test_csv(tmp_path, kind, count):
    content, read = CSV[kind]
    read_path = tmp_path / "whole.csv"
    read_path.write_bytes(content)
    assert read(read_path)
    attack(count, tmp_path, content, byte_edits(), edit_bytes, read, "file.csv")


def finished_design(folder):
    network = cs.load_network("mobilenet_v2")
    design = export.Design(
        network=network,
        accelerator=cs.load_accelerator("edge_tpu"),
        hyperparameters={"stage1/filters": 8},
        metrics={
            **dict.fromkeys(metrics.accuracies(), 0.5),
            **dict.fromkeys(metrics.compared(), 1.5),
        },
        folder=folder,
        trial_id="3",
        seed=0,
    )
    return design.describe()


def read_design(path):
    shutil.copy(path, path.parent / export.DESCRIPTION)
    design = export.load_design(path.parent)
    design.network.layers()
    design.describe()


@examples(60, 4000)
@pytest.mark.parametrize("how", ["bytes", "values"])
def test_design(tmp_path, how, count):
    tree = json.loads(as_json(finished_design(tmp_path)))
    if how == "bytes":
        content, edits, edit = as_json(tree), byte_edits(), edit_bytes
    else:
        content, edits = tree, value_edits()

        def edit(tree, edits):
            return as_json(edit_values(tree, edits))

    attack(count, tmp_path, content, edits, edit, read_design, "file.json")


def start(folder):
    return place(
        CoSearchOracle(
            ToySpace((5, 6, 7)),
            "random",
            estimate=toy_estimate,
            proposals=16,
            seed=0,
            max_trials=6,
        ),
        folder,
    )


@examples(50, 2000)
@pytest.mark.parametrize("name", ["oracle.json", "trial_1/trial.json"])
@pytest.mark.parametrize("how", ["bytes", "values"])
@pytest.mark.parametrize("has_copy", [False, True])
def test_state(tmp_path, name, how, has_copy, count):
    run_trials(start(tmp_path), 3)
    path = tmp_path / "project" / name
    whole = path.read_bytes()
    copy = path.with_name(f"{path.name}.bak")
    backup = {
        file: file.read_bytes()
        for file in (tmp_path / "project").rglob("*.json*")
    }
    edits = byte_edits() if how == "bytes" else value_edits()

    @count
    @given(edits=edits)
    def attempt(edits):
        for file, content in backup.items():
            file.write_bytes(content)
        damaged = (
            edit_bytes(whole, edits)
            if how == "bytes"
            else as_json(edit_values(json.loads(whole), edits))
        )
        path.write_bytes(damaged)
        if has_copy:
            copy.write_bytes(whole)
        else:
            copy.unlink()
        oracle = start(tmp_path)

        def read():
            oracle.reload()
            run_trials(oracle, 1)

        refuses_or_reads(read)

    attempt()


@pytest.mark.parametrize("wrong", [None, 3, ["a"]])
def test_a_hyperparameter_without_a_name_is_refused(tmp_path, wrong):
    run_trials(start(tmp_path), 1)
    path = tmp_path / "project" / "oracle.json"
    state = json.loads(path.read_text())
    state["hyperparameters"]["space"][0]["config"]["name"] = wrong
    path.write_text(json.dumps(state))
    path.with_name("oracle.json.bak").unlink()
    with pytest.raises(RuntimeError, match=r"'name'\] must be str"):
        start(tmp_path).reload()


@examples(60, 2000)
@pytest.mark.parametrize("how", ["bytes", "values"])
def test_execution(tmp_path, how, count):
    """A damaged one counts as none, for its training and for all others."""
    costs = dict.fromkeys(metrics.compared(), 1.5)
    folder = tmp_path / "trial_0"
    folder.mkdir()
    whole = executions.Execution(folder, 0, "mine", costs)
    whole.epoch({"val_accuracy": [0.1, 0.2, 0.3]}, 2)
    whole.end({"accuracy_int8": 0.25})
    path = folder / "execution_0.json"
    path.with_name(f"{path.name}.bak").unlink()
    tree = json.loads(path.read_text())
    if how == "bytes":
        content, edits, edit = as_json(tree), byte_edits(), edit_bytes
    else:
        content, edits = tree, value_edits()

        def edit(tree, edits):
            return as_json(edit_values(tree, edits))

    def read(path):
        shutil.copy(path, folder)
        again = executions.Execution(folder, 0, "mine", costs)
        sum((again.metrics or {}).values(), sum(again.curve.accuracies))
        curves = executions.Curves(
            tmp_path,
            "accuracy_int8",
            objectives.get("hard", cs.Budgets()),
            early_stopping.get("median"),
        )
        assert len(curves.beside(tmp_path / "trial_1")) <= 1
        curves.is_losing(whole.curve, tmp_path / "trial_1")
        curves.forecast(whole.curve, tmp_path / "trial_1")

    attack(count, tmp_path, content, edits, edit, read, "execution_0.json")


@pytest.fixture
def search_script(monkeypatch):
    """The module of `cosearch search`, its flags parsed."""
    spec = importlib.util.spec_from_file_location(
        "search", COMMANDS / "search.py"
    )
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "search", module)  # for its types
    before = set(flags.FLAGS)
    spec.loader.exec_module(module)
    yield module
    for flag in set(flags.FLAGS) - before:
        delattr(flags.FLAGS, flag)
    flags.FLAGS.unparse_flags()


MACRO = {
    "input_shape": [8, 8, 3],
    "classes": 4,
    "stem": {"filters": 8},
    "stages": [
        {"block": "nas_bench_macro", "filters": 16, "operator": [0, 1, 2]}
    ],
}


@examples(60, 2000)
@pytest.mark.parametrize("how", ["bytes", "values"])
@pytest.mark.parametrize("kind", ["own", "macro"])
def test_accuracy_table(tmp_path, kind, how, count):
    space = SearchSpace(Template(MACRO, "macro"), {"pe_array/rows": [1, 2]})
    entries = {
        str(digit): {"test_acc": [90.5, 91], "flops": network.macs}
        for digit in range(3)
        for network in [space.network_space.decode((digit,))]
    }
    tree = entries
    if kind == "own":
        networks = [
            {"choices": [int(digit)], "accuracies": [0.9, 0.91]}
            for digit in entries
        ]
        names = [space.parameters[0].name]
        tree = {"parameters": names, "networks": networks}
    if how == "bytes":
        content, edits, edit = as_json(tree), byte_edits(), edit_bytes
    else:
        content, edits = tree, value_edits()

        def edit(tree, edits):
            return as_json(edit_values(tree, edits))

    def read(path):
        table = AccuracyTable(path, space)
        for genome in space.sample(np.random.default_rng(0), 3):
            assert all(0 <= a <= 1 for a in table.accuracies(genome))
        table.drawn(genome, 0, table.trainings)

    (tmp_path / "table.json").write_bytes(as_json(tree))
    read(tmp_path / "table.json")
    attack(count, tmp_path, content, edits, edit, read, "table.json")


@examples(60, 2000)
@pytest.mark.parametrize("how", ["bytes", "values"])
def test_run_json(tmp_path, how, count):
    flags = {"data": "digits", "image_size": None, "epochs": 3, "budget": []}
    run_file.write(tmp_path, flags, SearchSpace.load("digits"), seed=0)
    tree = json.loads((tmp_path / run_file.NAME).read_text())
    if how == "bytes":
        content, edits, edit = as_json(tree), byte_edits(), edit_bytes
    else:
        content, edits = tree, value_edits()

        def edit(tree, edits):
            return as_json(edit_values(tree, edits))

    def read(path):
        run_file.read(path.parent)

    attack(count, tmp_path, content, edits, edit, read, "run.json")


@examples(100, 3000)
def test_flag_file(tmp_path, search_script, capsys, count):
    text = configuration.shipped("searches", "digits.flags").read_bytes()

    @count
    @given(edits=byte_edits())
    def attempt(edits):
        path = tmp_path / "file.flags"
        path.write_bytes(edit_bytes(text, edits))
        capsys.readouterr()
        with stopped_after(SECONDS):
            try:
                command_line.parse(
                    ["search.py", "--output_dir=x", f"--flagfile={path}"]
                )
            except SystemExit as end:
                told = capsys.readouterr()
                if end.code != 0:  # --help is no error
                    assert told.err.startswith("error: ")
                    assert told.err.count("\n") == 1
        flags.FLAGS.unparse_flags()

    attempt()


@pytest.fixture(scope="module")
def tflite():
    import tensorflow as tf
    import tf_keras

    kl = tf_keras.layers
    x = image = tf_keras.Input((8, 8, 3))
    x = kl.Conv2D(4, 3, activation="relu6")(x)
    x = kl.Add()([x, kl.DepthwiseConv2D(3, padding="same")(x)])
    x = kl.Conv2DTranspose(4, 3, strides=2)(x)
    x = kl.Dense(5)(kl.GlobalAveragePooling2D()(kl.MaxPooling2D(2)(x)))
    model = tf_keras.Model(image, kl.Softmax()(x))
    return tf.lite.TFLiteConverter.from_keras_model(model).convert()


@pytest.fixture(scope="module")
def tflite_loop():
    return tflite_files.loop(0, "LESS", 9, 2)


@examples(200, 20_000)
@pytest.mark.parametrize("kind", ["tflite", "tflite_loop"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_tflite(request, kind, count):
    tflite = request.getfixturevalue(kind)

    def read(content):
        rows = tflite_import.from_tflite(content, str)
        cs.pad([rows])

    read(tflite)

    @count
    @given(edits=byte_edits(6))
    def attempt(edits):
        refuses_or_reads(read, edit_bytes(tflite, edits))

    attempt()


@examples(60, 3000)
@pytest.mark.parametrize("input_px", [None, 16])
def test_keras_config(tmp_path, input_px, count):
    import keras

    kl = keras.layers
    x = image = keras.Input((None, None, 3))
    x = kl.Conv2D(4, 3, activation="relu")(x)
    x = kl.Add()([keras.ops.relu(x), kl.BatchNormalization()(x)])
    x = kl.TimeDistributed(kl.Dense(2))(kl.Resizing(3, 4)(x))
    x = kl.RepeatVector(2)(kl.Flatten()(x))
    x = kl.Bidirectional(kl.LSTM(2))(x)
    tree = json.loads(keras.Model(image, x).to_json())
    metadata = json.dumps({"keras_version": keras.__version__})
    path = tmp_path / "file.keras"

    @count
    @given(edits=value_edits())
    def attempt(edits):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", as_json(edit_values(tree, edits)))
            archive.writestr("metadata.json", metadata)
        refuses_or_reads(keras_files.load_keras, path, input_px)

    attempt()


@examples(60, 2000)
def test_npz(tmp_path, count):
    path = tmp_path / "few.npz"
    rng = np.random.default_rng(0)
    np.savez(
        path,
        x_train=rng.random((40, 4, 4, 1), np.float32),
        y_train=rng.integers(0, 2, 40),
    )

    def read(path):
        datasets.load(f"npz:{path}")

    content = path.read_bytes()
    attack(count, tmp_path, content, byte_edits(), edit_bytes, read, "file.npz")


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/b", "..", "\x00"])
@pytest.mark.parametrize("kind", ["accelerators", "networks", "spaces"])
def test_names_of_files_do_not_lead_out_of_their_folder(kind, name):
    with pytest.raises(ValueError, match="Unknown name"):
        configuration.load(kind, name)


def test_what_is_no_unicode_in_a_state_can_be_said(tmp_path, caplog):
    folder = tmp_path / "trial_0"
    folder.mkdir()
    state = Trial(keras_tuner.HyperParameters(), trial_id="0").get_state()
    kind = {"class_name": "\ud800", "config": {"name": "a", "conditions": []}}
    state["hyperparameters"]["space"] = [kind]
    (folder / "trial.json").write_text(json.dumps(state))
    trial_files.read_trials(tmp_path)
    assert "\\ud800" in caplog.text
    caplog.text.encode()
