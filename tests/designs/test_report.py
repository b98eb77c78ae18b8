import json
import pathlib
import types

import pytest

from tf_cosearch import tasks
from tf_cosearch.designs import report, results
from tf_cosearch.identity import Identity
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.oracle.oracle import CoSearchOracle
from tf_cosearch.testing import ToySpace, place, run_trials, toy_estimate

METRICS = {
    "accuracy_int8": 0.9123,
    "accuracy_qat": 0.92,
    "accuracy_float": 0.93,
    "latency_ms": 0.00022,
    "energy_mj": 0.0000235,
    "area_mm2": 6.967,
    "seconds": 3.2,
}


class Oracle:
    """What `Progress` asks of an oracle."""

    def __init__(self, scores, max_trials=12, budgets=None):
        self.trials = {
            str(i): types.SimpleNamespace(trial_id=str(i), score=score)
            for i, score in enumerate(scores)
        }
        self.end_order = list(self.trials)
        self.own_trials = max_trials
        self.clock = types.SimpleNamespace(
            max_hours=None, is_over=lambda: False
        )
        self.num_known = 0
        self.space = types.SimpleNamespace(task=None)
        self.budgets = budgets or Budgets()
        self.seed = 3
        self.measures = ()
        self.identity = Identity({})
        self.stop_reason = None
        self.prices = types.SimpleNamespace(leaves_out="")
        self.algorithm = types.SimpleNamespace(remarks=[])
        self.prices = types.SimpleNamespace(leaves_out="")
        self.objective = types.SimpleNamespace(name="accuracy_int8")
        self.archive = types.SimpleNamespace(
            front=[
                (trial.trial_id, METRICS)
                for trial in self.trials.values()
                if trial.score is not None
            ]
        )
        results = [
            types.SimpleNamespace(metrics=metrics)
            for _, metrics in self.archive.front
        ]
        self.history = types.SimpleNamespace(finished=lambda: results)

    def trial_metrics(self, trial):
        return METRICS

    def get_best_trials(self, count):
        scored = [t for t in self.trials.values() if t.score is not None]
        return sorted(scored, key=lambda t: -t.score)[:count]


@pytest.fixture
def clock(monkeypatch):
    """A clock that tests set."""
    now = types.SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(report.time, "monotonic", lambda: now.seconds)
    return now


@pytest.fixture
def last_line(capsys):
    return lambda: capsys.readouterr().out.splitlines()[-1]


def shown(oracle, index, failure=None, begun_after=0):
    progress = report.Progress(verbose=1)
    before = Oracle([0.1] * begun_after)
    progress.begin("a space", before)
    trial = oracle.trials[str(index)]
    return progress, lambda: progress.trial(oracle, trial, failure)


def test_a_trial_is_one_line(clock, last_line):
    _, show = shown(Oracle([0.9123]), 0)
    clock.seconds = 4
    show()
    assert last_line() == (
        "1/12  trial 0  int8 91.23%  0.22 µs  23.5 nJ  6.97 mm²  reward "
        "0.9123, the best so far  3 s  (44 s left)"
    )


def test_a_worse_trial_names_the_best(clock, last_line):
    _, show = shown(Oracle([0.95, 0.9123]), 1)
    clock.seconds = 30
    show()
    line = last_line()
    assert "reward 0.9123, best 0.9500 of trial 0" in line
    assert line.endswith("(2 min left)")


def test_over_the_budgets_of_today_is_said(tmp_path, last_line):
    """A worker may have begun it when they were others."""
    space = ToySpace((3, 4, 5, 6))

    def start(budgets):
        oracle = CoSearchOracle(
            space,
            "random",
            budgets,
            estimate=toy_estimate,
            max_trials=9,
            seed=0,
        )
        return place(oracle, tmp_path)

    run_trials(start(Budgets()), 2, lambda number, _: 0.5 + 0.1 * number)
    first = start(Budgets())
    first.reload()
    slow, fast = sorted(
        first.trials.values(), key=lambda t: -first.trial_costs(t)["latency_ms"]
    )
    latency = first.trial_costs(fast)["latency_ms"]
    for limit, told in (
        (0.9 * latency, "over the budgets of today, nothing within so far"),
        (1.001 * latency, "over the budgets of today, best 0."),
    ):
        oracle = start(Budgets(latency_ms=limit))
        oracle.reload()
        progress = report.Progress(verbose=1)
        progress.trial(oracle, oracle.trials[slow.trial_id], None)
        assert told in last_line()
    progress.trial(oracle, oracle.trials[fast.trial_id], None)
    assert ", the best so far" in last_line()
    # Nothing of what comes after stumbles over it, either.
    oracle = start(Budgets(latency_ms=0.9 * latency))
    oracle.reload()
    progress.end(oracle, tmp_path)
    assert last_line().startswith("2 trials finished, 0 failed.")
    assert results.best(oracle, tmp_path, 3) == []
    assert [row["feasible"] for row in report.trial_rows(oracle)] == [False] * 2
    for count in (0, -1, 1.5):
        with pytest.raises(ValueError, match="num_designs"):
            results.best(oracle, tmp_path, count)
        with pytest.raises(ValueError, match="num_trials"):
            progress.end(oracle, tmp_path, count)


def test_time_left_counts_only_trials_of_this_run(clock, last_line):
    _, show = shown(Oracle([0.5] * 10), 9, begun_after=9)
    clock.seconds = 7
    show()
    assert last_line().endswith("(14 s left)")


@pytest.mark.parametrize("max_trials", [1, None])
def test_nothing_is_left_at_the_end_or_without_one(
    clock, last_line, max_trials
):
    _, show = shown(Oracle([0.5], max_trials), 0)
    show()
    line = last_line()
    assert "left" not in line
    assert line.startswith("1/1  " if max_trials else "1  ")


def test_a_failure_is_shown_as_it_is(clock, last_line):
    """Brackets are markup to rich."""
    reason = "ValueError: must be [n, 8]. Received: [/n]."
    _, show = shown(Oracle([None]), 0, failure=reason)
    clock.seconds = 2
    show()
    assert last_line() == f"1/12  trial 0  failed: {reason}  (22 s left)"


def test_the_beginning_says_budgets_and_seed(capsys):
    budgets = Budgets(latency_ms=0.001, area_mm2=10)
    oracle = Oracle([0.5, 0.6], budgets=budgets)
    report.Progress(verbose=1).begin("a space", oracle)
    assert capsys.readouterr().out.splitlines() == [
        "Space a space",
        "Budgets: latency 1 µs, area 10 mm². Seed 3.",
        "Continuing after 2 finished trials.",
    ]


def test_the_end_has_front_and_folder(capsys):
    oracle = Oracle([0.5, None])
    oracle.stop_reason = "no new design meets the budgets"
    report.Progress(verbose=1).end(oracle, pathlib.Path("runs/[a]"))
    printed = capsys.readouterr().out
    assert "The search ended: no new design meets the budgets." in printed
    for header in ("latency (µs)", "energy (nJ)", "area (mm²)"):
        assert header in printed
    assert "91.23%" in printed
    assert "1 trials finished, 1 failed. Everything is in runs/[a]." in printed


def test_the_end_of_nothing_has_no_front(capsys):
    report.Progress(verbose=1).end(Oracle([]), pathlib.Path("runs"))
    printed = capsys.readouterr().out
    assert printed == "0 trials finished, 0 failed. Everything is in runs.\n"


def test_silence(capsys):
    progress = report.Progress(verbose=0)
    oracle = Oracle([0.5])
    progress.begin("a space", oracle)
    progress.trial(oracle, oracle.trials["0"], None)
    progress.end(oracle, pathlib.Path("runs"))
    assert capsys.readouterr().out == ""


ROW = {
    "trial_id": "0",
    "status": "COMPLETED",
    "feasible": True,
    "reward": 0.9,
    **METRICS,
    "stage1/filters": 8,
}


def test_trials_survive_the_disk(tmp_path):
    path = tmp_path / "trials.csv"
    failed = {**dict.fromkeys(ROW, ""), "trial_id": "1", "status": "FAILED"}
    report.write_trials(path, [ROW, failed])
    (row,) = report.read_trials(path)
    assert row["trial_id"] == "0"
    for name in ("reward", "accuracy_int8", "latency_ms", "area_mm2"):
        assert row[name] == ROW[name]


def test_no_trials_are_a_header(tmp_path):
    path = tmp_path / "trials.csv"
    report.write_trials(path, [])
    assert path.read_text() == ",".join(report.trial_columns()) + "\n"
    assert report.read_trials(path) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "", "must have the columns"),
        (lambda text: text.replace("energy_mj", "joule"), "no energy_mj"),
        (
            lambda text: text.replace("0.9123", "good"),
            "accuracy_int8 in .*line",
        ),
        (lambda text: text.replace("0.9123", "nan"), "must be a number"),
        (lambda text: text.split(",0.9")[0], "line 2"),
    ],
)
def test_what_is_no_trials_csv_is_refused(tmp_path, change, message):
    path = tmp_path / "trials.csv"
    report.write_trials(path, [ROW])
    path.write_text(change(path.read_text()))
    with pytest.raises(ValueError, match=message):
        report.read_trials(path)


def test_trials_must_be_a_text_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="must exist"):
        report.read_trials(tmp_path)
    path = tmp_path / "trials.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="must be CSV"):
        report.read_trials(path)


def test_a_trial_that_runs_is_not_the_best(tmp_path):
    """KerasTuner hands one out where no other is within the budgets."""
    oracle = Oracle([None, 0.9])
    oracle.get_best_trials = lambda count: [oracle.trials["0"]]
    with report.Progress(verbose=1).follow(oracle, tmp_path):
        progress, show = shown(oracle, 1)
        show()
    assert progress._best == ""


def test_further_metrics_of_a_task_have_columns_beside_the_accuracies():
    measured = {
        "0": {
            **METRICS,
            "mean_absolute_error_int8": 0.25,
            "kept_auc_int8": 0.7,
        },
        "1": {**METRICS, "auc_int8": 0.75},
    }
    oracle = types.SimpleNamespace(
        trials={
            name: types.SimpleNamespace(
                trial_id=name,
                status="COMPLETED",
                message=None,
                score=0.5,
                hyperparameters=types.SimpleNamespace(values={"units": 3}),
            )
            for name in measured
        },
        measures=(),
        budgets=Budgets(),
        space=types.SimpleNamespace(
            parameters=[types.SimpleNamespace(name="units")]
        ),
        trial_metrics=lambda trial: dict(measured[trial.trial_id]),
    )
    rows = report.trial_rows(oracle)
    names = list(rows[0])
    after = names.index("accuracy_table") + 1
    assert names[after : after + 2] == ["auc_int8", "mean_absolute_error_int8"]
    assert "kept_auc_int8" not in names
    assert len(names) == len(report.trial_columns()) + 3
    assert [row["auc_int8"] for row in rows] == ["", 0.75]
    assert [row["mean_absolute_error_int8"] for row in rows] == [0.25, ""]


def test_a_front_is_of_what_the_task_calls_its_accuracy(capsys):
    oracle = Oracle([0.9123])
    for task, told in (
        (tasks.make("segmentation"), "front of mean intersection over union,"),
        (None, "front of accuracy, latency"),
    ):
        oracle.space.task = task
        report.Progress(verbose=1).end(oracle, pathlib.Path("runs"))
        title = " ".join(capsys.readouterr().out.splitlines()[0].split())
        assert told in title


def test_a_score_is_named_by_the_folder_of_a_search(tmp_path):
    assert report.score_of_run(tmp_path) == "accuracy"
    for task, word in (
        ({"class": "regression"}, "share of variance explained"),
        ({"class": "of_somebody", "size": 3}, "accuracy"),
        (None, "accuracy"),
    ):
        state = {"identity": {"space": {"task": task}}}
        (tmp_path / "oracle.json").write_text(json.dumps(state))
        assert report.score_of_run(tmp_path) == word
    (tmp_path / "oracle.json").write_text("{")
    assert report.score_of_run(tmp_path) == "accuracy"
