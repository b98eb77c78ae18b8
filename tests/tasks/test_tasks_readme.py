"""Runs what the page of tasks shows."""

import pathlib
import re
import subprocess
import sys

import pytest
import yaml

import tf_cosearch as cs
from tf_cosearch.tasks.speech import tones

ROOT = pathlib.Path(cs.__file__).parent.parent
TEXT = (ROOT / "tf_cosearch/tasks/README.md").read_text()


def test_it_lists_all_tasks():
    shown = re.findall(r"^\| `(\w+)`", TEXT, re.MULTILINE)
    ours = [
        name
        for name in cs.tasks.names()
        if cs.tasks.get(name).__module__.startswith("tf_cosearch.")
    ]
    assert sorted(shown) == ours
    for name in ours:
        kind = cs.tasks.get(name)
        [row] = re.findall(rf"^\| `{name}`.*", TEXT, re.MULTILINE)
        if name != "custom":
            sources = kind().sources().keys() - {"npz"}
            assert [s for s in sources if f"`{s}:" not in row] == []


@pytest.mark.parametrize(
    "is_searched", [False, pytest.param(True, marks=pytest.mark.slow)]
)
def test_python_runs_in_one_session(tmp_path, monkeypatch, is_searched):
    monkeypatch.chdir(tmp_path)
    program = "\n".join(re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL))
    assert program.count("tuner.search(") == 1
    assert program.count("clips=100") == 1
    program = program.replace("clips=100", "clips=10")
    if not is_searched:
        program = re.sub(r"tuner\.search\(.*", "", program)
    names = {"__name__": "readme"}
    try:
        exec(compile(program, "README.md", "exec"), names)  # noqa: S102
        suite = names["TestCounting"]()
        suite.test_perfect_answers_score_1_and_none_is_beyond()
        suite.test_wrong_targets_are_refused()
        suite.test_its_options_are_plain_values()
        assert names["space"].task.slack == 0.3
    finally:
        sys.modules["tf_cosearch.tasks.task"]._TASKS.pop("counting", None)
    found = list(tmp_path.glob("runs/tasks/*/trial_0/model.tflite"))
    assert len(found) == is_searched


def test_options_are_shown_as_a_space_says_them():
    [block] = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    task = cs.tasks.make(yaml.safe_load(block)["task"])
    assert (task.words, task.shape) == (("yes", "no", "up"), (49, 40, 1))


@pytest.mark.slow
def test_commands_run(tmp_path):
    (tmp_path / "tools").symlink_to(ROOT / "tools")
    tones.write(tmp_path / "runs/words", clips=10)  # as the page does
    commands = "".join(re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL))
    for command in commands.splitlines():
        few = command.replace("scenes:500", "scenes:100")
        words = few.replace("tones:100", "tones:10").split()
        words[0] = sys.executable
        if "search.py" in few:
            words += ["--max_trials=1", "--workers=1", "--oracle=random"]
        if "estimate.py" not in few:
            words += ["--epochs=1"]
        done = subprocess.run(
            words, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        is_of_masks = "mean intersection over union" in done.stdout
        assert is_of_masks == ("scenes" in few)
