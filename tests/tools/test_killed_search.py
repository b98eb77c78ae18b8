"""The real thing: trainings on digits by two workers that are killed."""

import csv
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "tools" / "search.py"
TRIALS = 6


def begin(folder, search_flags):
    return subprocess.Popen(
        [
            sys.executable,
            SCRIPT,
            *search_flags,
            f"--max_trials={TRIALS}",
            "--workers=2",
            f"--output_dir={folder}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def pid_of(parent, name):
    """The process of a search by the name it has in it, once it is there."""
    tag = f"KERASTUNER_TUNER_ID={name}\0"
    while parent.poll() is None:
        path = pathlib.Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
        for pid in path.read_text().split():
            if tag in pathlib.Path(f"/proc/{pid}/environ").read_text():
                return int(pid)
        time.sleep(0.05)
    pytest.fail(f"The search has ended: {parent.communicate()[1]}")


def trained(folder):
    """What was trained: each trial with its design."""
    path = folder / "trials.csv"
    rows = list(csv.DictReader(path.read_text().splitlines()))
    return {
        row["trial_id"]: {k: v for k, v in row.items() if "/" in k}
        for row in rows
        if row["status"] == "COMPLETED"
    }


def wait_for_running(folder, count):
    """Waits until so many trials have begun."""
    until = time.monotonic() + 300
    while len(list(folder.glob("trial_*"))) < count:
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.slow
def test_what_is_killed_trains_the_same_designs(tmp_path, search_flags):
    whole = begin(tmp_path / "whole", search_flags)
    _, told = whole.communicate(timeout=600)
    assert whole.returncode == 0, told
    folder = tmp_path / "killed"
    search = begin(folder, search_flags)
    killed = []
    for name, begun in (("worker0", 1), ("chief", 2), ("worker0", 4)):
        wait_for_running(folder, begun)
        time.sleep(1)
        pid = pid_of(search, name)
        os.kill(pid, signal.SIGKILL)
        killed.append(pid)
    _, told = search.communicate(timeout=600)
    assert search.returncode == 0, told
    assert told.count("was killed by SIGKILL") == len(set(killed)) == 3
    expected = trained(tmp_path / "whole")
    assert len(expected) == TRIALS
    assert trained(folder) == expected
    assert (folder / "design" / "model.tflite").is_file()
