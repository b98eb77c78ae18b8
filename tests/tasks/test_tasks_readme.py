"""Runs what the page of tasks shows."""

import re
import sys

import pages
import yaml

import tf_cosearch as cs

PAGE = "tf_cosearch/tasks/README.md"
TEXT = pages.TEXT[PAGE]


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


def test_its_python_runs_but_for_the_search(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    program = pages.program(PAGE)
    assert program.count("tuner.search(") == 1
    assert program.count("clips=100") == 1
    program = program.replace("clips=100", "clips=10")
    program = re.sub(r"tuner\.search\(.*", "", program)
    names = {"__name__": "readme"}
    try:
        exec(compile(program, PAGE, "exec"), names)  # noqa: S102
        suite = names["TestCounting"]()
        suite.test_perfect_answers_score_1_and_none_is_beyond()
        suite.test_wrong_targets_are_refused()
        suite.test_its_options_are_plain_values()
        assert names["space"].task.slack == 0.3
    finally:
        sys.modules["tf_cosearch.tasks.task"]._TASKS.pop("counting", None)


def test_options_are_shown_as_a_space_says_them():
    [block] = pages.code_blocks("yaml", PAGE)
    task = cs.tasks.make(yaml.safe_load(block)["task"])
    assert (task.words, task.shape) == (("yes", "no", "up"), (49, 40, 1))
