"""Searches that go on, or begin, with what is known already."""

import csv
import shutil

import keras
import numpy as np
import pytest

import tf_cosearch as cs
from tf_cosearch.designs import report
from tf_cosearch.search.early_stopping import MedianStopping
from tf_cosearch.search.oracle import clock
from tf_cosearch.training import datasets, fit


@pytest.fixture(scope="module")
def data():
    x, y = datasets.load("digits").train
    return {
        "x": x[:320],
        "y": y[:320],
        "validation_data": (x[320:400], y[320:400]),
        "verbose": 0,
    }


@pytest.fixture
def pretend(monkeypatch):
    """Trainings that take no time; the first is the best."""
    trained = []

    class Trained:
        seconds = dict.fromkeys(report.PHASES[1:], 0.0)
        stopped_epoch = None
        others = {}  # noqa: RUF012

        def __init__(self):
            accuracy = 0.9 / (1 + len(trained))
            self.accuracy_int8 = self.accuracy_qat = accuracy
            self.accuracy_float = accuracy
            self.tflite = b"model %d" % len(trained)

        metrics = fit.Trained.metrics

        def save_weights(self, folder):
            for name in ("float.weights.h5", "qat.weights.h5"):
                (folder / name).write_text("weights")

    def train(*args, **kwargs):
        result = Trained()
        trained.append(result)
        return result

    monkeypatch.setattr(fit, "train", train)
    return trained


def tuner(space, folder, name, **kwargs):
    defaults = {
        "oracle": "random",
        "max_trials": 3,
        "seed": 0,
        "oracle_options": {"proposals": 64},
    }
    return cs.CoSearchTuner(
        space, directory=folder, project_name=name, **{**defaults, **kwargs}
    )


def rows(folder):
    with (folder / "trials.csv").open() as file:
        return list(csv.DictReader(file))


def other(data, **changes):
    x, y = data["x"].copy(), data["y"]
    x[0] = 1 - x[0]
    return {**data, "x": x, "y": y, **changes}


def test_other_data_and_training_are_refused_with_the_reason(
    space, data, tmp_path, pretend
):
    tuner(space, tmp_path, "run").search(**data, epochs=2)
    before = (tmp_path / "run" / "trials.csv").read_bytes()
    fewer = {**data, "x": data["x"][:-1], "y": data["y"][:-1]}
    for settings, told in (
        ({**fewer, "epochs": 2}, "training_examples=320, not 319"),
        ({**other(data), "epochs": 2}, "training_sample="),
        ({**data, "epochs": 3}, "epochs=2, not 3"),
        ({**data, "epochs": 2, "batch_size": 8}, "batch_size=32, not 8"),
    ):
        again = tuner(space, tmp_path, "run", max_trials=9)
        with pytest.raises(ValueError, match=f"continued with.*{told}"):
            again.search(**settings)
    assert len(pretend) == 3
    assert (tmp_path / "run" / "trials.csv").read_bytes() == before


def adam(rate):
    return {"optimizer": keras.optimizers.Adam(rate)}


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (
            {},
            {"learning_rate": 0.1},
            r"optimizer\.learning_rate=0\.01, not 0\.1",
        ),
        (adam(1e-3), adam(0.1), r"optimizer\.learning_rate=0\.001, not 0\.1"),
        ({}, adam(0.01), "optimizer=Adam along a cosine, not Adam"),
        ({}, {"qat_epochs": 2}, "qat_epochs=1, not 2"),
        ({}, {"executions_per_trial": 2}, "executions_per_trial=1, not 2"),
        ({}, {"early_stopping": "median"}, "early_stopping=None, not Median"),
        (
            {"early_stopping": MedianStopping(grace=2)},
            {"early_stopping": "median"},
            r"early_stopping\.grace=2, not 1",
        ),
    ],
)
def test_another_training_is_refused_with_what_differs(
    space, data, tmp_path, pretend, before, now, told
):
    tuner(space, tmp_path, "run", **before).search(**data, epochs=2)
    again = tuner(space, tmp_path, "run", max_trials=4, **now)
    with pytest.raises(ValueError, match=told):
        again.search(**data, epochs=2)
    trained = len(pretend)
    tuner(
        space,
        tmp_path,
        "run",
        max_trials=4,
        reward="soft",
        oracle="nsga2",
        budgets=cs.Budgets(latency_ms=1),
        **before,
    ).search(**data, epochs=2)
    assert len(pretend) == trained + 1


def test_other_callbacks_are_refused_with_what_differs(
    space, data, tmp_path, pretend
):
    def search(patience, *others):
        stop = keras.callbacks.EarlyStopping("val_loss", patience=patience)
        callbacks = [stop, *others]
        tuner(space, tmp_path, "run").search(
            **data, epochs=2, callbacks=callbacks
        )

    search(4)
    with pytest.raises(ValueError, match=r"callbacks\[0\].patience=4, not 5"):
        search(5)
    nan = keras.callbacks.TerminateOnNaN()
    with pytest.raises(
        ValueError, match=r"=\[EarlyStopping\], not \[EarlyStopping, Termin"
    ):
        search(4, nan)
    search(4, keras.callbacks.CSVLogger(tmp_path / "log.csv"))


def test_hours_bound_a_search_over_its_interruptions(
    space, data, tmp_path, pretend, monkeypatch, capsys
):
    now = [0.0]
    monkeypatch.setattr(clock.time, "monotonic", lambda: now[0])

    def an_hour_later(record):
        now[0] += 3600

    def searched(**limits):
        begun = tuner(
            space,
            tmp_path,
            "run",
            on_trial_end=an_hour_later,
            **{"max_trials": None, **limits},
        )
        begun.search(**{**data, "verbose": 1}, epochs=1)
        return [int(row["trial_id"]) for row in rows(tmp_path / "run")]

    # One begins at 0 h and one at 1 h, which ends though time is up.
    assert searched(max_hours=1.5) == [0, 1]
    assert "its 1.5 h are up" in capsys.readouterr().out
    now[0] += 50 * 3600  # while nothing is searched
    assert searched(max_hours=1.5) == [0, 1]
    assert searched(max_hours=3.5) == [0, 1, 2, 3]
    assert "of 3.5 h)" in capsys.readouterr().out
    assert searched(max_hours=9, max_trials=5) == [0, 1, 2, 3, 4]
    for hours in (0, -1, float("nan"), "long"):
        with pytest.raises(ValueError, match="max_hours"):
            tuner(space, tmp_path, "run", max_hours=hours)


def test_hours_of_a_training_that_is_interrupted_count(
    space, data, tmp_path, pretend, monkeypatch
):
    now = [0.0]
    monkeypatch.setattr(clock.time, "monotonic", lambda: now[0])

    def interrupted(*args, on_epoch, **kwargs):
        now[0] += 3600
        on_epoch({"loss": [1.0], "val_accuracy": [0.5]}, 1)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fit, "train", interrupted)
        with pytest.raises(KeyboardInterrupt):
            tuner(space, tmp_path, "run", max_hours=1).search(**data, epochs=2)
    tuner(space, tmp_path, "run", max_hours=1).search(**data, epochs=2)
    assert not pretend  # its time was up
    tuner(space, tmp_path, "run", max_hours=2).search(**data, epochs=2)
    assert len(pretend) == 3


@pytest.mark.parametrize("oracle", ["regularized_evolution", "nsga2"])
def test_more_trials_other_budgets_and_algorithms_go_on(
    space, data, tmp_path, pretend, oracle
):
    first = tuner(space, tmp_path, "run")
    first.search(**data, epochs=2)
    areas = [d.metrics["area_mm2"] for d in first.best_designs(3)]
    limit = float(np.median(areas))
    again = tuner(
        space,
        tmp_path,
        "run",
        oracle=oracle,
        max_trials=5,
        budgets=cs.Budgets(area_mm2=limit),
    )
    again.search(**data, epochs=2)
    table = rows(tmp_path / "run")
    assert [row["trial_id"] for row in table] == list("01234")
    assert all(float(row["area_mm2"]) <= limit for row in table[3:])
    best = again.best_designs(5)
    assert len(best) == 4
    assert best[0].metrics["area_mm2"] <= limit


def test_a_known_design_is_chosen_from_files_of_its_own(
    space, data, tmp_path, pretend, capsys
):
    tuner(space, tmp_path, "earlier").search(**data, epochs=2)
    earlier = rows(tmp_path / "earlier")
    new = tuner(
        space,
        tmp_path,
        "new",
        warm_start=tmp_path / "earlier",
        max_trials=2,
        seed=5,
    )
    new.search(**{**data, "verbose": 1}, epochs=2)
    assert len(pretend) == 3 + 2
    printed = capsys.readouterr().out
    assert "Known from earlier searches: 3 designs" in printed
    assert "2/2  trial 4" in printed
    assert "2 trials finished, 0 failed, 3 known before." in printed
    shutil.rmtree(tmp_path / "earlier")
    table = rows(tmp_path / "new")
    assert [row["status"] for row in table] == ["KNOWN"] * 3 + ["COMPLETED"] * 2
    assert [row["seconds"] for row in table[:3]] == [""] * 3
    for known, trained in zip(table[:3], earlier, strict=True):
        for name in ("reward", "accuracy_int8", "stage1/block"):
            assert known[name] == trained[name]
        for name in ("latency_ms", "energy_mj", "area_mm2"):
            assert float(known[name]) == pytest.approx(float(trained[name]))
    (best,) = tuner(space, tmp_path, "new").best_designs(1)
    assert best.trial_id == "0"
    best.export(tmp_path / "design")
    assert (tmp_path / "design" / "model.tflite").read_bytes() == b"model 0"
    assert report.read_trials(tmp_path / "new" / "trials.csv")[0]["reward"]


def test_other_data_and_training_are_no_warm_start(
    space, data, tmp_path, pretend
):
    tuner(space, tmp_path, "earlier").search(**data, epochs=2)
    for settings in ({**data, "epochs": 1}, {**other(data), "epochs": 2}):
        new = tuner(
            space, tmp_path, "new", warm_start=tmp_path / "earlier", seed=5
        )
        with pytest.raises(ValueError, match="same space, data and training"):
            new.search(**settings)
    assert len(pretend) == 3
    digits = cs.SearchSpace.load("digits")
    with pytest.raises(ValueError, match=r"with space\.parameters"):
        tuner(digits, tmp_path, "new", warm_start=tmp_path / "earlier")
    with pytest.raises(ValueError, match="that is overwritten"):
        tuner(
            space,
            tmp_path,
            "earlier",
            overwrite=True,
            warm_start=tmp_path / "earlier",
        )
    assert len(rows(tmp_path / "earlier")) == 3


def test_a_file_alone_gives_no_design(
    space, data, tmp_path, pretend, monkeypatch
):
    tuner(space, tmp_path, "earlier").search(**data, epochs=2)
    path = tmp_path / "alone.csv"
    path.write_bytes((tmp_path / "earlier" / "trials.csv").read_bytes())
    new = tuner(space, tmp_path, "new", warm_start=path, max_trials=1, seed=5)
    new.search(**data, epochs=2)
    told = []
    monkeypatch.setattr("absl.logging.warning", lambda *text: told.append(text))
    (best,) = new.best_designs(4)
    assert best.trial_id == "3"
    ((text, trial_id),) = told
    assert trial_id == "0"
    assert "no files" in text


def test_a_reward_must_have_targets_within_reach(
    space, data, tmp_path, pretend
):
    reward = cs.WeightedProduct(cs.Budgets(latency_ms=1e-9))
    with pytest.raises(
        ValueError, match="Targets of the reward must be within"
    ):
        tuner(space, tmp_path, "run", reward=reward).search(**data, epochs=2)
    assert not pretend
    assert not (tmp_path / "run" / "trials.csv").exists()
