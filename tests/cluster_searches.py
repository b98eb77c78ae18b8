"""Searches on clusters, all real but for trainings, which take a moment."""

import contextlib
import pathlib
import time

from tf_cosearch.benchmark.light_trials import LightTuner, toy_oracle

TRIALS = 8

PROGRAM = """
import os, pathlib, sys, time
from tf_cosearch.benchmark.light_trials import LightTuner, append, toy_oracle

folder = pathlib.Path(sys.argv[1])

def note(event):
    me = os.environ.get("KERASTUNER_TUNER_ID") or os.environ["SLURMD_NODENAME"]
    append(folder / "log", f"{me} {event}")

def accuracy(number):
    note(f"begins {number}")
    time.sleep(3 if "ray" in sys.argv else 0.5)
    return 0.5

if __name__ == "__main__":
    LightTuner(
        toy_oracle("random", TRIALS, 0),
        accuracy,
        lambda number: note(f"saved {number}"),
        directory=folder,
        project_name="project",
        overwrite="overwrite" in sys.argv,
        **{"engine": "ray"} if "ray" in sys.argv else {"lease_seconds": 5.0},
    ).run()
""".replace("TRIALS", str(TRIALS))
"""What each process runs: its arguments are a folder, `overwrite`, `ray`."""


def log(folder):
    path = folder / "log"
    return path.read_text().split("\n")[:-1] if path.exists() else []


def count(folder, word):
    """How many trials began, or were saved, as often as it happened."""
    return sum(f" {word} " in line for line in log(folder))


def check(folder):
    """That all trials are there, each of a design of its own and once."""
    oracle = LightTuner(
        toy_oracle("random", TRIALS, 0),
        None,
        None,
        directory=folder,
        project_name="project",
    ).co_oracle
    ended = [oracle.trials[trial_id] for trial_id in oracle.end_order]
    assert [trial.status for trial in ended] == ["COMPLETED"] * TRIALS
    assert len({trial.trial_id for trial in ended}) == TRIALS
    assert len({tuple(oracle.trial_genome(trial)) for trial in ended}) == TRIALS
    saved = [line for line in log(folder) if " saved " in line]
    assert len(saved) == len({*saved}) == TRIALS


def wait_until(is_so, seconds=180):
    """Waits for what is true, and gives it."""
    until = time.monotonic() + seconds
    while not (found := is_so()):
        assert time.monotonic() < until
        time.sleep(0.1)
    return found


def environment(pid):
    """What a process has been started with; nothing if it is over."""
    try:
        text = pathlib.Path(f"/proc/{pid}/environ").read_text()
    except OSError:
        return {}
    return dict(line.split("=", 1) for line in text.split("\0") if "=" in line)


def processes(program="", **variables):
    """Numbers of the processes of that environment."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        if variables.items() <= environment(path.name).items():
            with contextlib.suppress(OSError):
                if program.encode() in (path / "cmdline").read_bytes():
                    found.append(int(path.name))
    return found


def process(program="", **variables):
    """Number of the first of them, once it is there."""
    return wait_until(lambda: processes(program, **variables))[0]
