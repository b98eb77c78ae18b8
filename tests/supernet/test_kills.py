"""A search on a supernet goes on wherever it was killed."""

import csv
import json
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
EVALUATED = "project/supernet/search/*/trial_*/trial.json"


SPACE = """
input_shape: [8, 8, 1]
classes: 10
stem: {filters: [4, 8, 12]}
stages:
  - {block: [conv_bn, inverted_residual], filters: [8, 12, 16], stride: 2}
  - {block: conv_bn, filters: [8, 12], stride: 2, kernel_size: [1, 3]}
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Folders of searches, and what they noted."""
    folder = tmp_path_factory.mktemp("killed")
    space_file = folder / "space.yaml"
    space_file.write_text(SPACE)
    done = subprocess.run(
        [sys.executable, HERE / "killed.py", space_file, folder],
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout.splitlines()[-1]), done.stderr


def trained(folder):
    with (folder / "project" / "trials.csv").open() as file:
        return [
            {k: v for k, v in row.items() if not k.startswith("seconds")}
            for row in csv.DictReader(file)
        ]


def evaluated(folder):
    found = {}
    for path in folder.glob(EVALUATED):
        trial = json.loads(path.read_text())
        assert trial["status"] == "COMPLETED"
        values = trial["hyperparameters"]["values"]
        found[json.dumps(values)] = trial["score"]
    return found


@pytest.mark.slow
def test_alone_it_loses_what_was_running_and_nothing_else(killed):
    folder, told, said = killed
    whole, alone = told["whole"], told["alone"]
    for each in (whole, alone):
        assert each["codes"] == {"one": 0}, said
        assert not each["kills_left"]
    assert trained(folder / "alone") == trained(folder / "whole")
    assert evaluated(folder / "alone") == evaluated(folder / "whole")
    # Of short epochs not each is saved, see `Checkpoints`; of long ones, on a
    # busy machine, none is lost.
    assert whole["epoch"] <= alone["epoch"] < whole["epoch"] + 4
    assert alone["evaluation"] == whole["evaluation"] + 1
    assert alone["training"] == whole["training"] + 1
    assert alone["trained"] == whole["trained"]


@pytest.mark.slow
def test_with_workers_it_ends_whoever_is_killed(killed):
    folder, told, said = killed
    crew = told["crew"]
    assert crew["codes"] == dict.fromkeys(("chief", "worker0", "worker1"), 0), (
        said
    )
    assert (crew["kills_left"], crew["is_hung"]) == (0, False)
    assert crew["epoch"] < told["whole"]["epoch"] + 4
    found = evaluated(folder / "crew")
    assert len(found) == len(evaluated(folder / "whole"))
    rows = trained(folder / "crew")
    assert [row["status"] for row in rows] == ["COMPLETED"] * len(rows)
    assert len(rows) == len(trained(folder / "whole"))
    assert all(row["accuracy_supernet"] for row in rows)
    # Which designs are proposed depends on who is faster; accuracies do not.
    known = evaluated(folder / "whole")
    both = found.keys() & known.keys()
    assert both
    for key in both:  # a report has float32
        assert found[key] == pytest.approx(known[key], rel=1e-6)
