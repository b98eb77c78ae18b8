import itertools
import json
import re

import pytest

SMALL = (
    "--landscapes=energy",
    "--trials=12",
    "--seeds=2",
    "--workers=0",
)


def test_quick_json_has_every_figure(call, tmp_path):
    pytest.importorskip("optuna")
    arguments = (
        "--quick",
        "--format=json",
        *SMALL,
        "--algorithms=random,regularized_evolution,optuna_nsga2",
        "--default=regularized_evolution",
        f"--output_dir={tmp_path}",
    )
    result = call("benchmark_oracles", *arguments)
    assert result.code == 0, result.err
    found = json.loads(result.out)
    entries = found["landscapes"]["energy"]
    assert len(entries) == 3
    for entry in entries.values():
        assert entry["seeds"] == 2
        for measure in ("hypervolume", "best_reward"):
            at = entry[measure]["12"]
            low, high = at["quartiles"]
            assert low <= at["median"] <= high
        assert entry["violations"] >= 0
        assert entry["seconds_per_proposal"] > 0
    assert entries["random"]["violations"] == 0
    assert entries["optuna_nsga2"]["violations"] > 0
    assert any("early" in target["what"] for target in found["targets"])
    assert (tmp_path / "benchmark.png").stat().st_size > 10_000
    before = (tmp_path / "runs.jsonl").read_text()
    again = call("benchmark_oracles", *arguments)
    assert json.loads(again.out) == found
    assert (tmp_path / "runs.jsonl").read_text() == before


@pytest.mark.slow
def test_landscapes_may_be_those_of_a_table(call, tmp_path):
    table = tmp_path / "macro.json"
    content = {
        "".join(map(str, digits)): {"test_acc": [70 + sum(digits)]}
        for digits in itertools.product(range(3), repeat=8)
    }
    table.write_text(json.dumps(content))
    arguments = (
        f"--accuracy_table={table}",
        "--algorithms=random,keras_tuner_random",
        "--default=random",
        "--trials=10",
        "--seeds=1",
        "--workers=0",
    )
    done = call("benchmark_oracles", *arguments, "--format=json")
    found = json.loads(done.out)
    assert list(found["landscapes"]) == [
        "table_latency",
        "table_energy",
        "table_three_objectives",
    ]
    assert len(found["needed"]) == 6
    done = call("benchmark_oracles", *arguments, "--landscapes=energy")
    assert "Unknown landscape of --accuracy_table: 'energy'" in done.message


def test_the_table_compares_what_is_searched(call):
    result = call(
        "benchmark_oracles",
        *SMALL,
        "--algorithms=regularized_evolution,keras_tuner_random",
        "--default=regularized_evolution",
        "--searched=joint,network",
        "--trials_of=keras_tuner_random:3",
    )
    assert result.code == 0, result.err
    assert "regularized_evolution/network" in result.out
    assert "best_reward of regularized_evolution" in result.out
    assert "hypervolume" in result.out
    fewer = re.search(r"keras_tuner_random +2 +(.*)", result.out)
    assert fewer
    assert fewer[1].split()[0] == "-"


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--algorithms=randon", "random"),
        ("--landscapes=energi", "energy"),
        ("--searched=nestet", "nested"),
        ("--default=optuna", "optuna_tpe"),
        ("--seeds_of=random:0", "NAME:N"),
        ("--trials_of=randam:2", "random"),
        ("--output=picture.jpeg", ".png"),
    ],
)
def test_a_wrong_flag_is_answered_before_any_run(call, flag, words):
    assert words in call("benchmark_oracles", flag).message
