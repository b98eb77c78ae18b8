"""Runs what the page of tasks shows."""

import pathlib
import re
import subprocess
import sys

import pytest

import tf_cosearch as cs

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


@pytest.mark.slow
def test_commands_run(tmp_path):
    [block] = re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / "tools").symlink_to(ROOT / "tools")
    for command in block.strip().splitlines():
        few = f"{command} --epochs=1".replace("scenes:500", "scenes:100")
        words = few.split()
        words[0] = sys.executable
        if "search.py" in few:
            words += ["--max_trials=1", "--workers=1", "--oracle=random"]
        done = subprocess.run(
            words, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "mean intersection over union" in done.stdout
