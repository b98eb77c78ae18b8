import json
import pathlib
import subprocess
import sys

import pytest

from tf_cosearch.benchmark import kills as kills_lib

SCRIPT = pathlib.Path(__file__).parents[2] / "tools" / "stress_search.py"


@pytest.mark.parametrize(
    ("oracle", "mode", "kills", "finished"),
    [
        pytest.param("random", None, 5, 10, marks=pytest.mark.slow),
        pytest.param("random", None, 8, 20, marks=pytest.mark.slow),
        pytest.param("random", "node", 2, 3, marks=pytest.mark.slow),
        pytest.param("random", "task", 2, 3, marks=pytest.mark.slow),
        pytest.param("random", "driver", 2, 3, marks=pytest.mark.slow),
        ("grey_box", "all", 3, 3),
    ],
)
def test_a_few_kills_lose_nothing(oracle, mode, kills, finished):
    is_ray = mode in kills_lib.RAY_MODES
    if is_ray:
        pytest.importorskip("ray")
    # A process of its own: it forks, which one with threads should not.
    done = subprocess.run(
        [
            sys.executable,
            SCRIPT,
            f"--kills={kills}",
            "--seed=1",
            f"--oracle={oracle}",
            "--format=json",
            *([f"--mode={mode}"] if mode else []),
            *(["--engine=ray"] if is_ray else []),
        ],
        capture_output=True,
        text=True,
        timeout=900 if is_ray else 120,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.pop("recovery_seconds") < (200 if is_ray else 30)
    assert found.pop("finished") > finished
    assert found == {
        "kills": kills,
        "lost": 0,
        "duplicated": 0,
        "unreadable": 0,
        "hung": 0,
    }
