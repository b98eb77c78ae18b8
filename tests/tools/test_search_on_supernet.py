"""The script that searches, with a supernet."""

import csv
import dataclasses
import json

import pytest
from light_searches import pretend

import tf_cosearch as cs
from tf_cosearch.commands import command_line
from tf_cosearch.designs import outcome
from tf_cosearch.engines import launch
from tf_cosearch.supernet.supernet import Supernet
from tf_cosearch.training import fit

LIGHT = ("networks=12", "accelerators=8", "limits=16", "warm_up=2")


@pytest.fixture
def light(monkeypatch):
    """Trainings that take no time, and leave nothing to export."""
    monkeypatch.setattr(fit, "train", pretend)
    monkeypatch.setattr(outcome, "leave", lambda *design: "Left.")


@pytest.fixture(scope="module")
def both(data_flags):
    """Flags of four trainings that a supernet advises."""
    return (
        *data_flags,
        "--accuracy=both",
        *(f"--oracle_option={option}" for option in LIGHT),
        "--supernet_trials=8",
        "--max_trials=4",
        "--epochs=1",
    )


def rows(folder):
    with (folder / "trials.csv").open() as file:
        return list(csv.DictReader(file))


def test_each_option_has_a_flag():
    names = [field.name for field in dataclasses.fields(cs.SupernetOptions)]
    assert sorted(names) == sorted(command_line.OF_SUPERNET)


def test_a_supernet_that_is_there_advises(
    call_here, light, both, supernet, tmp_path
):
    result = call_here(
        "search",
        *both,
        "--supernet_trials=6",
        "--accelerator=edge_tpu",
        f"--supernet={supernet}",
        f"--output_dir={tmp_path}",
    )
    assert (result.code, result.err) == (0, "")
    assert "6/6 designs evaluated on the supernet" in result.out
    assert [path.name for path in (tmp_path / "supernet").iterdir()] == [
        "search"
    ]
    assert len(rows(tmp_path)) == 4
    assert all(
        0 <= float(row["accuracy_supernet"]) <= 1 for row in rows(tmp_path)
    )
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["flags"]["supernet"] == str(supernet)


def test_one_is_trained_as_flags_say(call_here, light, both, space, tmp_path):
    flags = (
        "--supernet_epochs=2",
        "--supernet_learning_rate=0.5",
        "--supernet_paths=sandwich",
        "--supernet_apart=",
        "--supernet_norms_apart",
        "--supernet_shrink_stages=1",
        "--supernet_shrink_keep=0.4",
    )
    result = call_here("search", *both, *flags, f"--output_dir={tmp_path}")
    assert (result.code, result.err) == (0, "")
    net = Supernet.load(tmp_path / "supernet", space.network_space)
    assert net.options == cs.SupernetOptions(
        epochs=2,
        learning_rate=0.5,
        paths="sandwich",
        apart=(),
        norms_apart=True,
        shrink_stages=1,
        shrink_keep=0.4,
    )
    # One network is left, which the four have on different accelerators.
    assert [len(left) for left in net.choices] == [1, 1, 1]
    names = [parameter.name for parameter in space.network_space.parameters]
    assert len({tuple(row[n] for n in names) for row in rows(tmp_path)}) == 1
    assert "Space shrunk to 1/8" in result.out
    other = ("--supernet_epochs=3", f"--output_dir={tmp_path}")
    result = call_here("search", *both, *flags, *other)
    assert "options.epochs=2, not 3" in result.message


def test_workers_are_planned_with_the_shared_weights(
    call_here, both, supernet, space, tmp_path, monkeypatch
):
    def plan(need, *of_supernet):
        raise ValueError(f"held {of_supernet}.")

    monkeypatch.setattr(launch, "default_workers", plan)
    folder = tmp_path / "run"
    search = ("search", *both, "--workers=0", f"--output_dir={folder}")
    size = 4 * Supernet.load(supernet, space.network_space).weights.count
    message = call_here(*search, f"--supernet={supernet}").message
    assert f"held ({size}, {2 * size})" in message
    assert f"held ({size}, {4 * size})" in call_here(*search).message
    message = call_here(*search, "--supernet=elsewhere").message
    assert "A supernet must be a folder" in message
    message = call_here(*search, "--accuracy=trained").message
    assert "held ()" in message


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--supernet_epochs=3"], "for --accuracy=supernet or both"),
        (["--supernet_norms_apart"], "for --accuracy=supernet or both"),
        (
            ["--accuracy=both", "--supernet=a", "--supernet_paths=uniform"],
            "unless --supernet is given",
        ),
        (
            ["--accuracy=both", "--supernet_paths=sandwhich"],
            "Did you mean 'sandwich'",
        ),
        (
            ["--accuracy=both", "--supernet_shrink_keep=0.3"],
            "for a space that shrinks",
        ),
        (["--accuracy=both", "--supernet_learning_rate=-1"], "positive"),
    ],
)
def test_wrong_flags_are_refused_before_data_are_read(
    call_here, data_flags, tmp_path, monkeypatch, flags, words
):
    monkeypatch.setattr(command_line, "load_data", None)
    folder = tmp_path / "run"
    result = call_here("search", *data_flags, *flags, f"--output_dir={folder}")
    assert words in result.message
    assert not folder.exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--supernet_trials=5"], "`supernet_trials` must be given with"),
        (["--supernet=elsewhere"], "`supernet` must be given with"),
        (["--accuracy=both"], "oracle='grey_box'"),
        (["--accuracy=supernet", "--supernet=none"], "none"),
        (
            ["--accuracy=supernet", "--budget=latency_ms=1e-9"],
            "latency",
        ),
    ],
)
def test_what_a_supernet_cannot_do_is_one_line(
    call_here, search_flags, tmp_path, flags, message
):
    folder = tmp_path / "run"
    result = call_here(
        "search", *search_flags, *flags, f"--output_dir={folder}"
    )
    assert message in result.message
    assert not list(folder.glob("supernet/supernet*"))


@pytest.mark.slow
def test_the_best_of_what_a_supernet_judged_is_exported(
    call, search_flags, tmp_path
):
    flags = ("--accuracy=supernet", "--supernet_trials=12")
    first, second = tmp_path / "first", tmp_path / "second"
    result = call("search", *search_flags, *flags, f"--output_dir={first}")
    assert (result.code, result.err) == (0, "")
    assert "12/12 designs evaluated on the supernet" in result.out
    design = json.loads((first / "design" / "design.json").read_text())
    assert 0 < design["accuracies"]["accuracy_supernet"] <= 1
    result = call(
        "search",
        *search_flags,
        *flags,
        f"--supernet={first / 'supernet'}",
        "--latency_ms=0.01",
        f"--output_dir={second}",
    )
    assert (result.code, result.err) == (0, "")
    assert not list(second.glob("supernet/supernet*"))
