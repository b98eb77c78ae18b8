import json
import pathlib
import subprocess
import sys

import command_line

SCRIPT = pathlib.Path(command_line.__file__).parent / "stress_search.py"


def test_a_few_kills_lose_nothing():
    # A process of its own: it forks, which one with threads should not.
    done = subprocess.run(
        [
            sys.executable,
            SCRIPT,
            "--kills=8",
            "--seed=1",
            "--oracle=random",
            "--format=json",
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.pop("recovery_seconds") < 30
    assert found.pop("finished") > 20
    assert found == {
        "kills": 8,
        "lost": 0,
        "duplicated": 0,
        "unreadable": 0,
        "hung": 0,
    }
