"""Trials of a search that fail, stop, are interrupted or retried."""

import csv
import dataclasses
import json

import keras
import keras_tuner
import numpy as np
import pytest
from light_searches import (
    few,
    interrupt_second_training,
    pretend,
    small_tuner,
)

import tf_cosearch as cs
from tf_cosearch.designs import report
from tf_cosearch.search import early_stopping
from tf_cosearch.training import checkpoint, datasets, fit


@pytest.fixture(scope="module")
def data():
    return datasets.load("digits")


def test_a_failed_trial_is_recorded_and_the_search_goes_on(
    space, data, tmp_path, monkeypatch, capsys
):
    real, calls = fit.train, []

    def fails_once(*args, **kwargs):
        calls.append(1)
        if len(calls) == 1:
            raise FloatingPointError("Training diverged: the loss is NaN.")
        return real(*args, **kwargs)

    monkeypatch.setattr(fit, "train", fails_once)
    tuner = small_tuner(space, tmp_path)
    tuner.search(**{**few(data), "verbose": 1}, epochs=1)
    statuses = [t.status for t in tuner.oracle.trials.values()]
    assert statuses == ["FAILED", "COMPLETED"]
    assert "the loss is NaN" in capsys.readouterr().out
    rows = (tmp_path / "project" / "trials.csv").read_text().splitlines()
    assert rows[1].startswith("0,FAILED,True,,,,,")
    kept = json.loads((tmp_path / "project/trial_0/trial.json").read_text())
    assert "the loss is NaN" in kept["message"]
    assert len(tuner.best_designs(5)) == 1


def test_a_search_stops_when_all_trials_fail_alike(
    space, data, tmp_path, monkeypatch
):
    def fails(*args, **kwargs):
        raise MemoryError("out of memory")

    monkeypatch.setattr(fit, "train", fails)
    tuner = small_tuner(space, tmp_path, max_trials=9)
    with pytest.raises(
        RuntimeError, match=r"3 failures in a row .*out of memory"
    ):
        tuner.search(**few(data), epochs=1)
    assert len(tuner.oracle.trials) == 3
    assert tuner.best_designs() == []


def test_ctrl_c_loses_only_the_running_trial(
    space, data, tmp_path, monkeypatch
):
    calls = interrupt_second_training(monkeypatch)
    tuner = small_tuner(space, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        tuner.search(**few(data), epochs=1)
    assert (tmp_path / "project" / "report.html").is_file()
    told = []
    again = small_tuner(space, tmp_path, on_trial_end=told.append)
    again.search(**few(data), epochs=1)
    assert len(calls) == 3
    (record,) = told  # of the trial that ended after the interruption
    assert record.search == f"project-{again.co_oracle.search_id}"
    assert again.co_oracle.search_id == tuner.co_oracle.search_id
    assert record.trial_id == "1"
    assert record.metrics["area_mm2"] > 0
    assert record.score == again.oracle.trials["1"].score
    statuses = [t.status for t in again.oracle.trials.values()]
    assert statuses == ["COMPLETED", "COMPLETED"]


def test_an_error_that_ends_a_search_leaves_its_page(
    space, data, tmp_path, monkeypatch
):
    calls = []

    def ends_all(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise keras_tuner.errors.FatalTypeError("not to be tried again")
        return pretend(*args, **kwargs)

    monkeypatch.setattr(fit, "train", ends_all)
    tuner = small_tuner(space, tmp_path)
    with pytest.raises(keras_tuner.errors.FatalTypeError):
        tuner.search(**few(data), epochs=1)
    assert (tmp_path / "project" / "report.html").is_file()


@pytest.mark.slow
def test_executions_are_averaged_and_the_exported_file_is_one_of_them(
    space, data, tmp_path
):
    from tf_cosearch.training import evaluate, inputs

    tuner = small_tuner(space, tmp_path, max_trials=1, executions_per_trial=3)
    given = few(data)
    tuner.search(**given, epochs=1)
    design = tuner.best_designs(1)[0]
    design.export(tmp_path / "design")
    written = json.loads((tmp_path / "design/design.json").read_text())
    batches = inputs.batches(*given["validation_data"]).as_numpy_iterator()
    accuracy = evaluate.accuracy(tmp_path / "design/model.tflite", batches)
    assert written["accuracies"]["accuracy_int8"] == accuracy
    mean = tuner.oracle.trials["0"].metrics.get_best_value("accuracy_int8")
    assert mean <= accuracy
    assert tuner.oracle.trials["0"].score == pytest.approx(mean)


def test_tighter_budgets_on_resume_are_kept_to(
    space, data, tmp_path, monkeypatch
):
    tuner = small_tuner(space, tmp_path, max_trials=4)
    monkeypatch.setattr(fit, "train", pretend)
    tuner.search(**few(data), epochs=1)
    areas = sorted(
        design.metrics["area_mm2"] for design in tuner.best_designs(4)
    )
    limit = (areas[0] + areas[1]) / 2
    again = small_tuner(
        space, tmp_path, max_trials=4, budgets=cs.Budgets(area_mm2=limit)
    )
    assert [d.metrics["area_mm2"] for d in again.best_designs(1)] == areas[:1]
    assert len(again.best_designs(4)) == 1


def test_of_equal_rewards_the_faster_design_is_chosen(
    space, data, tmp_path, monkeypatch
):
    tuner = small_tuner(space, tmp_path, max_trials=6)
    monkeypatch.setattr(fit, "train", pretend)
    tuner.search(**few(data), epochs=1)
    latencies = [d.metrics["latency_ms"] for d in tuner.best_designs(6)]
    assert len(latencies) == 6
    assert latencies == sorted(latencies)
    assert latencies != sorted(latencies, reverse=True)


def test_an_unfinished_design_over_new_budgets_is_not_trained(
    space, data, tmp_path, monkeypatch
):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(fit, "train", interrupted)
    tuner = small_tuner(space, tmp_path, max_trials=2)
    with pytest.raises(KeyboardInterrupt):
        tuner.search(**few(data), epochs=1)
    (trial,) = tuner.oracle.trials.values()
    area = tuner.oracle.trial_costs(trial)["area_mm2"]
    monkeypatch.setattr(fit, "train", pretend)
    again = small_tuner(
        space, tmp_path, max_trials=2, budgets=cs.Budgets(area_mm2=area * 0.9)
    )
    again.search(**few(data), epochs=1)
    statuses = [t.status for t in again.oracle.trials.values()]
    assert statuses == ["FAILED", "COMPLETED"]
    assert "exceeds the budgets" in again.oracle.trials["0"].message


def test_a_retry_tries_another_seed_and_tells_the_first_line(
    space, data, tmp_path, monkeypatch, capsys
):
    seeds = []

    def fails(*args, seed, **kwargs):
        seeds.append(seed)
        raise RuntimeError("Out of resources\n\t[[{{node x}}]] [Op:y]")

    monkeypatch.setattr(fit, "train", fails)
    tuner = small_tuner(
        space,
        tmp_path,
        max_trials=1,
        oracle_options={"proposals": 64, "max_retries_per_trial": 1},
    )
    tuner.search(**{**few(data), "verbose": 1}, epochs=1)
    assert len(set(seeds)) == 2
    assert "RuntimeError: Out of resources" in capsys.readouterr().out


class Killed(BaseException):
    """What no code catches."""


@pytest.mark.slow
def test_an_interrupted_trial_goes_on_where_it_was(
    space, data, tmp_path, monkeypatch
):
    monkeypatch.setattr(checkpoint, "SHARE", np.inf)
    seen = []

    class Log(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seen.append(epoch)
            if len(seen) in killed:
                raise Killed

    def search():
        tuner = small_tuner(
            space, tmp_path, max_trials=1, executions_per_trial=2
        )
        tuner.search(**few(data), epochs=3, callbacks=[Log()])
        return tuner

    # In the float phase of the first training, and in that of the second.
    killed = (2, 6)
    for _ in killed:
        with pytest.raises(Killed):
            search()
    (design,) = search().best_designs()
    assert seen == [0, 1, 1, 2, 0, 1, 1, 2]
    assert design.metrics["accuracy_int8"] > 0
    assert not list(design.folder.glob("*.checkpoint*"))


def test_a_finished_training_is_not_repeated(
    space, data, tmp_path, monkeypatch
):
    calls = []

    def counted(*args, **kwargs):
        calls.append(kwargs["seed"])
        return pretend(*args, **kwargs)

    def killed(*args, **kwargs):
        raise Killed

    monkeypatch.setattr(fit, "train", counted)
    tuner = small_tuner(space, tmp_path, max_trials=1, executions_per_trial=2)
    monkeypatch.setattr(tuner.oracle, "update_trial", killed)
    with pytest.raises(Killed):
        tuner.search(**few(data), epochs=1)
    assert len(calls) == 2
    again = small_tuner(space, tmp_path, max_trials=1, executions_per_trial=2)
    again.search(**few(data), epochs=1)
    assert len(calls) == len(set(calls)) == 2
    assert len(again.best_designs()) == 1


def curve_of(accuracies):
    """A training that takes no time and goes through these accuracies."""

    def train(build, data, *, on_epoch, **kwargs):
        for epoch in range(1, len(accuracies) + 1):
            history = {"val_accuracy": accuracies[:epoch]}
            if on_epoch(history, epoch):
                return dataclasses.replace(
                    pretend(build, data),
                    accuracy_int8=accuracies[epoch - 1],
                    stopped_epoch=epoch,
                )
        return pretend(build, data)

    return train


def test_a_losing_trial_stops_in_order(
    space, data, tmp_path, monkeypatch, capsys
):
    class Alternating:
        """Accuracies of two trials; costs that let the first dominate."""

        def __call__(self, *args, **kwargs):
            return self.curves.pop(0)(*args, **kwargs)

        curves = [  # noqa: RUF012
            curve_of([0.4, 0.45, 0.5]),
            curve_of([0.1, 0.2, 0.6]),
        ]

    monkeypatch.setattr(fit, "train", Alternating())
    monkeypatch.setattr(
        early_stopping, "_dominating", lambda _, reached, *names: list(reached)
    )
    tuner = small_tuner(
        space,
        tmp_path,
        early_stopping=early_stopping.MedianStopping(startup=1, grace=1),
        executions_per_trial=1,
    )
    tuner.search(**{**few(data), "verbose": 1}, epochs=3)
    printed = capsys.readouterr().out
    assert "stopped after epoch 2" in printed
    assert "2 trials finished (1 of them stopped early)" in printed
    lines = (tmp_path / "project/trials.csv").read_text().splitlines()
    rows = list(csv.DictReader(lines))
    assert [row["stopped_epoch"] for row in rows] == ["", "2"]
    assert [row["status"] for row in rows] == ["COMPLETED", "COMPLETED"]
    # What was measured is reported; what is expected, 0.2 and the 0.05 that
    # the other gained from there, is learned.
    assert [row["accuracy_int8"] for row in rows] == ["0.5", "0.2"]
    resumed = small_tuner(space, tmp_path)
    for oracle in (tuner.oracle, resumed.oracle):
        learned = [
            trial.metrics["accuracy_int8"]
            for trial in oracle.history.finished()
        ]
        assert learned == pytest.approx([0.5, 0.25])
        assert oracle.history.finished()[1].reward == pytest.approx(0.25)
    designs = resumed.best_designs(2)
    assert [d.metrics["accuracy_int8"] for d in designs] == [0.5, 0.2]
    assert len(report.read_trials(tmp_path / "project/trials.csv")) == 2
