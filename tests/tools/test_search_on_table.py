"""`tools/search.py --accuracy_table`: nothing is trained."""

import csv
import itertools
import json

import pytest
import yaml

import tf_cosearch as cs

SPACE = {
    "input_shape": [8, 8, 3],
    "classes": 4,
    "stem": {"filters": 8},
    "stages": [
        {
            "block": "nas_bench_macro",
            "per": "block",
            "operator": [0, 1, 2],
            "filters": 16,
            "stride": 2,
            "repeats": 2,
        }
    ],
}


@pytest.fixture(scope="module")
def flags(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    (folder / "small.yaml").write_text(yaml.safe_dump(SPACE))
    table = {
        f"{first}{second}": {"test_acc": [50.0 + 20 * first + 5 * second]}
        for first, second in itertools.product(range(3), repeat=2)
    }
    (folder / "table.json").write_text(json.dumps(table))
    return (
        f"--space={folder / 'small.yaml'}",
        f"--accuracy_table={folder / 'table.json'}",
        "--oracle=random",
        "--oracle_option=proposals=64",
        "--max_trials=3",
    )


def test_a_search_takes_accuracies_of_a_table(call_here, flags, tmp_path):
    folder = tmp_path / "run"
    done = call_here("search", *flags, f"--output_dir={folder}")
    assert (done.code, done.err) == (0, "")
    assert "in the table" in done.out
    assert "no model, as none was trained" in done.out
    with (folder / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        digits = [int(row[f"stage1/block{n}/operator"]) for n in (1, 2)]
        expected = 0.5 + 0.2 * digits[0] + 0.05 * digits[1]
        assert float(row["accuracy_table"]) == pytest.approx(expected)
        assert row["accuracy_int8"] == ""
    best = max(float(row["accuracy_table"]) for row in rows)
    design = cs.load_design(folder / "design")
    assert design.metrics["accuracy_table"] == best
    run = json.loads((folder / "run.json").read_text())
    assert run["flags"]["accuracy_table"].endswith("table.json")
    compared = call_here(
        "compare_searches",
        f"--search=table={folder}",
        "--budget=latency_ms=1",
        "--format=json",
    )
    assert (compared.code, compared.err) == (0, "")
    assert str(best)[:6] in compared.out
    picture = tmp_path / "front.png"
    drawn = call_here(
        "plot_pareto",
        f"--trials={folder / 'trials.csv'}",
        f"--output={picture}",
    )
    assert (drawn.code, drawn.err) == (0, "")
    assert picture.stat().st_size > 1000


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("--data=digits", "--data must be left out with --accuracy_table"),
        ("--epochs=3", "--epochs must be left out"),
        ("--supernet_trials=3", "--supernet_trials must be left out"),
        ("--early_stopping=median", "early_stopping must be left out"),
        ("--executions_per_trial=2", "at most what the table has of each"),
        ("--max_accuracy_drop=2", "known without a file"),
    ],
)
def test_flags_of_trainings_are_refused(
    call_here, flags, tmp_path, given, message
):
    done = call_here("search", *flags, given, f"--output_dir={tmp_path / 'r'}")
    assert message in done.message


def test_a_table_of_another_space_is_refused_before_there_is_a_folder(
    call_here, flags, tmp_path
):
    done = call_here(
        "search",
        *flags,
        "--space=nas_bench_macro",
        f"--output_dir={tmp_path / 'run'}",
    )
    assert "a digit for each of the 8 choices" in done.message
    assert not (tmp_path / "run").exists()
