import os
import pathlib
import random
import subprocess
import sys

import pytest

import tf_cosearch
from tf_cosearch.benchmark import kills
from tf_cosearch.benchmark.kills import KilledSearch, Outcome
from tf_cosearch.benchmark.light_trials import append


@pytest.fixture
def search(tmp_path):
    """A search that has ended, and its folder."""
    folder = tmp_path / "search"
    search = KilledSearch("random", folder, random.Random(0))
    search.make_tuner().run()
    return search, folder


def test_a_search_that_nobody_killed_has_lost_nothing(search):
    outcome = search[0].count(Outcome(kills=2))
    assert outcome.is_good
    assert outcome.kills == 2
    assert 0 < outcome.finished <= kills.TRIALS


def test_a_trial_that_ended_twice_is_counted(search):
    search, folder = search
    for _ in range(3):
        append(folder / kills.LOG, "saved 0")
    outcome = search.count(Outcome())
    assert outcome.duplicated == 3
    assert not outcome.is_good


def test_a_trial_that_is_gone_is_counted(search):
    search, folder = search
    for path in folder.glob("project/trial_0[0-3]/trial.json*"):
        path.unlink()
    assert search.count(Outcome()).lost == 4


def test_a_good_trial_that_a_kill_made_fail_is_counted(search):
    search, folder = search
    count = 0
    for path in sorted(folder.glob("project/trial_*/trial.json")):
        text = path.read_text()
        if '"COMPLETED"' in text and count < 2:
            path.write_text(text.replace('"COMPLETED"', '"FAILED"'))
            count += 1
    assert search.count(Outcome()).lost == count == 2


def test_any_loss_is_bad():
    for name in ("lost", "duplicated", "unreadable", "hung"):
        assert not Outcome(**{name: 1}).is_good
    assert Outcome(kills=9, finished=9, recovery_seconds=9.0).is_good


def test_the_table_ends_with_all_of_them():
    text = kills.table(
        {
            ("random", "chief"): Outcome(kills=2, recovery_seconds=0.5),
            ("random", "all"): Outcome(kills=1, lost=1, recovery_seconds=1.5),
        }
    )
    header, *rows = [line.split() for line in text.splitlines()]
    assert header == ["oracle", "mode", *Outcome._fields]
    assert rows[1] == ["random", "all", "1", "0", "1", "0", "0", "0", "1.5"]
    assert rows[2] == ["all", "3", "0", "1", "0", "0", "0", "1.5"]


@pytest.mark.slow
def test_benchmarks_need_no_pytest(tmp_path):
    """Which only those install who run the tests."""
    (tmp_path / "pytest.py").write_text("raise ImportError('no pytest')")
    names = [
        path.stem
        for path in pathlib.Path(kills.__file__).parent.glob("[!_]*.py")
    ]
    root = pathlib.Path(tf_cosearch.__file__).parent.parent
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"from tf_cosearch.benchmark import {', '.join(names)}",
        ],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{root}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
