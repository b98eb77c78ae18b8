"""Searches whose designs are measured; nothing is trained but pretended."""

import csv
import dataclasses
import json
import os
import pathlib
import shutil

import keras_tuner
import numpy as np
import pytest
from devices import device
from light_searches import few, pretend, small_tuner

import tf_cosearch as cs
from tf_cosearch.accelerators import pipelines
from tf_cosearch.engines import chief, launch
from tf_cosearch.evaluators.evaluator import RefusedError
from tf_cosearch.evaluators.measurement import FILE
from tf_cosearch.identity import AnotherRunError
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.training import datasets, fit


class Board(cs.Evaluator):
    """Takes 1 ms for each million multiply-accumulates, and 0.1 ms more."""

    costs = ("latency_ms", "celsius")
    pause_s = 0.01
    retries = 1
    calls: list

    def __init__(self, failures=(), factor=1.0):
        self._failures = list(failures)
        self._factor = factor
        self.calls = self._calls = []

    def describe(self):
        return {"class": "Board"}

    def trials(self):
        """Those it was asked for, beside files that it knows."""
        return [name for name in self.calls if name.startswith("trial")]

    def measure(self, design):
        self._calls.append(design.tflite.parent.name)
        if self._failures and (failure := self._failures.pop(0)):
            raise failure
        return {
            "latency_ms": cs.Quantity(
                self._factor * board_ms(design.layers), "ms", 0.01
            ),
            "celsius": cs.Quantity(40.0, "°C"),
        }


def board_ms(layers):
    return 0.1 + sum(layer.macs for layer in layers) / 1e6


@pytest.fixture(scope="module")
def data():
    return few(datasets.load("digits"))


@pytest.fixture(autouse=True)
def trainings(monkeypatch):
    """Pretended trainings; a list grows with every one."""
    calls = []

    def train(recipe, data, **settings):
        calls.append(settings["seed"])
        trained = pretend(recipe, data)
        return dataclasses.replace(
            trained,
            tflite=f"trained {len(calls)}".encode(),
            accuracy_int8=0.5 + settings["seed"] % 97 / 1000,
        )

    monkeypatch.setattr(fit, "train", train)
    monkeypatch.setattr(fit, "untrained", lambda recipe, data: b"untrained")
    return calls


def searched(space, folder, data, board, **options):
    options = {"budgets": None, "max_trials": 3, **options}
    tuner = small_tuner(space, folder, evaluator=board, **options)
    tuner.search(**data)
    return tuner


def rows(tuner):
    path = pathlib.Path(tuner.project_dir) / "trials.csv"
    with path.open() as file:
        return list(csv.DictReader(file))


def ms_of(tuner, trial):
    layers = tuner.design(trial).network.layers()
    return board_ms(layers)


def test_what_was_measured_counts_and_the_rest_stands_beside(
    space, data, tmp_path, capsys
):
    tuner = searched(space, tmp_path, {**data, "verbose": 1}, Board())
    trials = list(tuner.oracle.trials.values())
    for trial, row in zip(trials, rows(tuner), strict=True):
        expected = ms_of(tuner, trial)
        design = tuner.design(trial)
        cost = cs.estimate(
            cs.pad([design.network.layers()]), design.accelerator
        )
        analytic = float(cost.latency_ms[0])
        assert float(row["latency_ms"]) == pytest.approx(expected)
        assert float(row["latency_ms_analytic"]) == pytest.approx(analytic)
        assert float(row["latency_ms_noise"]) == 0.01
        assert float(row["celsius"]) == 40.0
        # What follows from it follows from what was measured.
        energy = float(row["energy_mj"])
        assert float(row["edp"]) == pytest.approx(energy * expected)
        assert float(row["throughput_fps"]) == pytest.approx(1e3 / expected)
        described = design.describe()
        assert described["costs"]["latency_ms"] == pytest.approx(expected)
        assert described["measured"]["latency_ms"] == {
            "value": pytest.approx(expected),
            "unit": "ms",
            "noise": 0.01,
            "predicted": pytest.approx(float(row["latency_ms_predicted"])),
            "analytic": pytest.approx(analytic),
        }
        assert described["measured"]["celsius"]["unit"] == "°C"
    printed = " ".join(capsys.readouterr().out.split())
    assert "ms (predicted" in printed
    assert "Measured by Board, a call" in printed
    assert "│ predicted" in printed or "┃ predicted" in printed


@pytest.mark.parametrize("needs_file", [False, True])
def test_what_needs_no_file_is_asked_before_a_training(
    space, data, tmp_path, needs_file
):
    """A bit more than the budget on some chips, which nobody can predict."""

    asked = []

    class Moody(Board):
        def measure(self, design):
            if str(design.tflite) == os.devnull:
                asked.append((design.layers, design.accelerator))
            costs = super().measure(design)
            rows = design.accelerator.pe_array.rows
            if rows == 4 and str(design.tflite) == os.devnull:
                raise OSError("nobody there")
            if rows in (2, 6):
                costs["latency_ms"] = cs.Quantity(2.01, "ms")
            return costs

    board = Moody()
    board.needs_file = needs_file
    tuner = searched(
        space,
        tmp_path,
        data,
        board,
        budgets=Budgets(latency_ms=2.0),
        max_trials=6,
    )
    feasible = [row["feasible"] == "True" for row in rows(tuner)]
    assert len(feasible) == 6
    assert all(feasible) is not needs_file
    if not needs_file:  # what is over a budget comes up again
        genome = tuner.oracle.trial_genome(tuner.oracle.trials["0"])
        told = [tuner.oracle.prices.ask(genome) for _ in range(2)]
        assert told[0] == told[1]
        assert len(asked) == len({str(each) for each in asked})


@pytest.mark.parametrize(
    ("chips", "area_mm2", "trials"),
    [
        ([1, 2, 3], 20, 5),
        pytest.param(
            ["own+edge_tpu_v3", "edge_tpu_v3+own"],
            120,
            2,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_search_chooses_which_chips_there_are(
    data, tmp_path, chips, area_mm2, trials
):
    space = cs.SearchSpace.load("digits", accelerator={"chips": chips})
    budgets = Budgets(throughput_fps=1e6, area_mm2=area_mm2)
    tuner = searched(
        space, tmp_path, data, "pipeline", budgets=budgets, max_trials=trials
    )
    found = set()
    for trial, row in zip(
        tuner.oracle.trials.values(), rows(tuner), strict=True
    ):
        design = space.decode(tuner.oracle.trial_genome(trial))
        found.add(design.chips)
        assert row["chips"] == str(design.chips)
        assert tuner.design(trial).chips == design.chips
        cut = cs.partition(
            design.network,
            pipelines.of(design.chips, design.accelerator),
            cs.Link.of(design.accelerator),
        )
        for name in ("throughput_fps", "area_mm2", "latency_ms", "energy_mj"):
            value = pytest.approx(getattr(cut, name), rel=1e-5)
            assert float(row[name]) == value
        assert float(row["busy_share"]) == pytest.approx(cut.utilization)
        assert row["feasible"] == "True"
    assert found - {1}


def test_predictions_are_on_the_scale_of_the_device(space, data, tmp_path):
    """The board takes a thousand times what the model says."""
    tuner = searched(space, tmp_path, data, Board(), max_trials=6)
    for row in rows(tuner):
        predicted = float(row["latency_ms_predicted"])
        measured = float(row["latency_ms"])
        assert float(row["latency_ms_analytic"]) < measured / 20
        assert measured / 10 < predicted < measured * 10


def test_a_search_begins_with_untrained_networks(
    space, data, tmp_path, trainings
):
    board = Board()
    searched(space, tmp_path, data, board, max_trials=1)
    assert board.calls == ["0", "1", "2", "trial_0"]
    again = Board()
    searched(space, tmp_path, data, again, max_trials=2)
    assert again.trials() == ["trial_1"]
    assert len(trainings) == 2


def test_a_chief_listens_before_it_measures(space, data, tmp_path, monkeypatch):
    """So that workers of a cluster, which are there, may wait for it."""
    first = searched(space, tmp_path / "a", data, "analytic", max_trials=2)
    port = launch.free_port("127.0.0.1")
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "chief")
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", str(port))
    asked = []

    class Watched(Board):
        def measure(self, design):
            asked.append(launch.listens("127.0.0.1", port))
            return super().measure(design)

    def serve(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(chief, "serve", serve)
    known = {"warm_start": first.project_dir}
    with pytest.raises(KeyboardInterrupt):
        searched(space, tmp_path / "b", data, Watched(), **known)
    # Three untrained ones, and two that are known.
    assert asked == [True] * 5


def probes(tuner):
    path = pathlib.Path(tuner.project_dir) / "probes" / "probes.json"
    return json.loads(path.read_text())


@pytest.mark.parametrize("searched", ["phased", "network"])
def test_a_continued_search_has_the_untrained_networks_it_had(
    searched, space, data, tmp_path
):
    options = {"searched": searched, "proposals": 64}
    first = searched_by(options, space, tmp_path, data, Board(), 2)
    board = Board()
    second = searched_by(options, space, tmp_path, data, board, 4)
    assert probes(second) == probes(first)
    assert board.calls == ["trial_2", "0", "trial_3"]  # 0 to compare


def searched_by(options, space, folder, data, board, most):
    return searched(
        space, folder, data, board, max_trials=most, oracle_options=options
    )


def test_what_refuses_an_untrained_network_is_not_asked_again(
    space, data, tmp_path
):
    failures = [RefusedError("It needs 300 KiB.")]
    first = searched(space, tmp_path, data, Board(failures), max_trials=1)
    assert "300 KiB" in probes(first)["refused"]["0"]
    board = Board()
    searched(space, tmp_path, data, board, max_trials=2)
    assert board.calls == ["trial_1", "1"]  # 1 to compare


def test_an_untrained_network_that_is_tried_counts_once(space, data, tmp_path):
    """Trained, it takes twice the time, which goes before."""

    class Twice(Board):
        def measure(self, design):
            self._factor = 1 + design.tflite.parent.name.startswith("trial")
            return super().measure(design)

    known = probes(searched(space, tmp_path, data, Twice(), max_trials=1))
    options = {"proposals": 64, "initial_designs": known["genomes"][:1]}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    one = searched_by(options, space, whole, data, Twice(), 3)
    for most in (2, 3):
        other = searched_by(options, space, parts, data, Twice(), most)
    for mine, theirs in zip(rows(one), rows(other), strict=True):
        for end in ("", "_predicted"):
            name = f"latency_ms{end}"
            assert mine[name] == theirs[name]
    trial = other.oracle.trials["0"]
    assert other.oracle.trial_costs(trial)["latency_ms"] == pytest.approx(
        2 * ms_of(other, trial)
    )


def test_a_broken_device_ends_a_search_before_it_begins(
    space, data, tmp_path, trainings
):
    with pytest.raises(RuntimeError, match=r"2 failures in a row.*no board"):
        searched(space, tmp_path, data, Board([OSError("no board")] * 2))
    assert not trainings

    class Other(Board):
        def describe(self):
            return {"class": "Other"}

    # Nothing was measured, so that it is still to be chosen by whom.
    tuner = searched(space, tmp_path, data, Other(), max_trials=1)
    assert tuner.co_oracle.identity.evaluator == {"class": "Other"}


def test_budgets_apply_to_what_was_measured(space, data, tmp_path, capsys):
    """Of the model all designs are within; of the board, only small ones."""
    tuner = searched(
        space,
        tmp_path,
        {**data, "verbose": 1},
        Board(),
        budgets=Budgets(latency_ms=0.15),
    )
    over = [row for row in rows(tuner) if float(row["latency_ms"]) > 0.15]
    told = capsys.readouterr().out.count("over the budgets as measured")
    assert told == len(over)
    for row in rows(tuner):
        assert (row["feasible"] == "True") == (float(row["latency_ms"]) <= 0.15)
    for design in tuner.best_designs(9):
        assert design.metrics["latency_ms"] <= 0.15


def test_a_device_may_be_faster_than_the_model(space, data, tmp_path):
    """Budgets that no design meets by the model are met by the device."""
    budgets = Budgets(latency_ms=1.5e-7)
    board = Board(factor=1e-6)
    tuner = searched(space, tmp_path, data, board, budgets=budgets)
    assert min(float(row["latency_ms_analytic"]) for row in rows(tuner)) > 1e-5
    assert len(rows(tuner)) == 3


def test_a_failure_costs_a_repetition_and_no_trial(
    space, data, tmp_path, trainings
):
    failures = [None, None, None, RuntimeError("cable")]
    tuner = searched(space, tmp_path, data, Board(failures))
    assert {row["status"] for row in rows(tuner)} == {"COMPLETED"}
    assert len(trainings) == 3


def test_a_dead_device_ends_a_search_and_loses_no_training(
    space, data, tmp_path, trainings
):
    failures = [None] * 4 + [RuntimeError("cable")] * 2
    with pytest.raises(
        keras_tuner.errors.FatalRuntimeError,
        match=r"2 failures in a row, the last one: cable\. Nothing is lost",
    ):
        searched(space, tmp_path, data, Board(failures))
    assert len(trainings) == 2
    board = Board()
    tuner = searched(space, tmp_path, data, board)
    assert len(trainings) == 3  # the second was kept
    assert board.trials() == ["trial_1", "trial_2"]
    assert [row["status"] for row in rows(tuner)] == ["COMPLETED"] * 3


def test_a_device_that_has_become_slow_is_told_from_a_slow_design(
    space, data, tmp_path, trainings
):
    class Hot(Board):
        def measure(self, design):
            self._factor = 2.0 if self.trials() else 1.0
            return super().measure(design)

    with pytest.raises(RuntimeError, match=r"Received: 2 times that, .* cool"):
        searched(space, tmp_path, data, Hot())
    assert len(trainings) == 2
    cool = searched(space, tmp_path, data, Board())
    assert len(trainings) == 3
    for row in rows(cool):
        trial = cool.oracle.trials[row["trial_id"]]
        assert float(row["latency_ms"]) == pytest.approx(ms_of(cool, trial))


def test_a_kill_after_a_measurement_repeats_neither(
    space, data, tmp_path, trainings, monkeypatch
):
    with monkeypatch.context() as patch:

        def killed(self, trial):
            raise KeyboardInterrupt

        patch.setattr(cs.CoSearchTuner, "on_trial_end", killed)
        with pytest.raises(KeyboardInterrupt):
            searched(space, tmp_path, data, Board())
    board = Board()
    tuner = searched(space, tmp_path, data, board, max_trials=1)
    assert board.calls == []
    assert len(trainings) == 1
    (row,) = rows(tuner)
    trial = tuner.oracle.trials["0"]
    assert float(row["latency_ms"]) == pytest.approx(ms_of(tuner, trial))


def test_a_design_that_is_refused_fails_its_trial_alone(space, data, tmp_path):
    failures = [None] * 4 + [RefusedError("It needs 300 KiB.")]
    tuner = searched(space, tmp_path, data, Board(failures))
    assert [row["status"] for row in rows(tuner)] == [
        "COMPLETED",
        "FAILED",
        "COMPLETED",
    ]
    assert "Board refused the design: It needs 300" in (
        tuner.oracle.trials["1"].message
    )


def test_a_space_that_is_refused_is_refused_at_once(
    space, data, tmp_path, trainings
):
    failures = [RefusedError("too large")] * 3
    with pytest.raises(
        ValueError, match=r"Board must .* refusal of 3, .* too large"
    ):
        searched(space, tmp_path, data, Board(failures))
    assert not trainings


def test_a_run_goes_on_with_the_evaluator_it_was_begun_with(
    space, data, tmp_path
):
    searched(space, tmp_path, data, Board(), max_trials=1)
    with pytest.raises(AnotherRunError, match="evaluator=Board, not Analytic"):
        searched(space, tmp_path, data, "analytic")
    searched(space, tmp_path / "other", data, "analytic", max_trials=1)
    with pytest.raises(AnotherRunError, match="evaluator=Analytic, not Board"):
        searched(space, tmp_path / "other", data, Board())


def test_a_continued_run_predicts_as_one_that_went_on(space, data, tmp_path):
    whole = searched(space, tmp_path / "whole", data, Board(), max_trials=4)
    for most in (2, 4):
        parts = searched(
            space, tmp_path / "parts", data, Board(), max_trials=most
        )
    for one, other in zip(rows(whole), rows(parts), strict=True):
        assert {k: v for k, v in one.items() if "seconds" not in k} == {
            k: v for k, v in other.items() if "seconds" not in k
        }


def test_seconds_of_two_executions_and_a_measurement_add_up(
    space, data, tmp_path, monkeypatch
):
    """Trainings of 3 s, and what a call took."""

    def train(recipe, data, **settings):
        trained = pretend(recipe, data)
        return dataclasses.replace(
            trained, seconds={**trained.seconds, "float": 2.0, "qat": 1.0}
        )

    monkeypatch.setattr(fit, "train", train)
    options = {"executions_per_trial": 2, "max_trials": 1}
    first = searched(space, tmp_path / "a", data, Board(), **options)
    (row,) = rows(first)
    parts = {
        name: float(value)
        for name, value in row.items()
        if name.startswith("seconds_")
    }
    assert (parts["seconds_float"], parts["seconds_qat"]) == (4.0, 2.0)
    assert parts["seconds_measurement"] > 0
    assert float(row["seconds"]) == pytest.approx(sum(parts.values()))
    second = searched(
        space,
        tmp_path / "b",
        data,
        Board(factor=1.1),
        warm_start=first.project_dir,
        **options,
    )
    known, _ = rows(second)
    assert known["seconds"] == known["seconds_measurement"]
    assert known["seconds_float"] == ""


@pytest.mark.parametrize("before", ["board", "analytic"])
def test_what_an_earlier_search_trained_is_measured_here(
    before, space, data, tmp_path, trainings
):
    evaluator = Board() if before == "board" else "analytic"
    first = searched(space, tmp_path / "first", data, evaluator, max_trials=2)
    board = Board()
    second = searched(
        space,
        tmp_path / "second",
        data,
        board,
        max_trials=1,
        warm_start=first.project_dir,
    )
    assert len(trainings) == 3
    known = [row for row in rows(second) if row["status"] == "KNOWN"]
    assert len(known) == 2
    for row in known:
        trial = second.oracle.trials[row["trial_id"]]
        assert float(row["latency_ms"]) == pytest.approx(ms_of(second, trial))
    measured = [] if before == "board" else ["trial_0", "trial_1"]
    assert board.trials() == [*measured, "trial_2"]


def test_what_was_measured_does_not_outlast_its_evaluator(
    space, data, tmp_path
):
    first = searched(space, tmp_path / "first", data, Board(), max_trials=2)
    second = searched(
        space,
        tmp_path / "second",
        data,
        "analytic",
        max_trials=1,
        warm_start=first.project_dir,
    )
    for row in rows(second):
        assert "celsius" not in row
        assert float(row["latency_ms"]) < 0.05
    for design in second.best_designs(9):
        assert "measured" not in design.describe()
    assert "measured" in first.best_designs(1)[0].describe()


def test_results_without_files_are_not_measured_and_not_chosen(
    space, data, tmp_path
):
    first = searched(space, tmp_path / "first", data, Board(), max_trials=2)
    path = shutil.copy(pathlib.Path(first.project_dir) / "trials.csv", tmp_path)
    second = searched(
        space, tmp_path / "second", data, Board(), max_trials=1, warm_start=path
    )
    assert [row["latency_ms_noise"] for row in rows(second)][:2] == ["", ""]
    assert [design.trial_id for design in second.best_designs(9)] == ["2"]


def test_costs_are_no_names_of_hyperparameters(space, tmp_path):
    board = Board()
    board.costs = ("stage1/filters",)
    with pytest.raises(ValueError, match="a list of names"):
        small_tuner(space, tmp_path, evaluator=board)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"evaluator": "vella"}, ValueError, "Did you mean 'vela'"),
        ({"evaluator": 3}, ValueError, "An evaluator must be"),
        ({"evaluator_options": 3}, TypeError, "must map names to values"),
        ({"evaluator_options": {"a": 1}}, ValueError, "option of analytic"),
    ],
)
def test_arguments_are_checked(arguments, error, message, space, tmp_path):
    with pytest.raises(error, match=message):
        small_tuner(space, tmp_path, **arguments)


def test_a_program_measures_a_search(space, data, tmp_path):
    program = device(
        tmp_path,
        """
        size = os.path.getsize(sys.argv[1])
        print(json.dumps({"latency_ms": size / 1e3}))
        """,
    )
    tuner = small_tuner(
        space,
        tmp_path,
        budgets=None,
        evaluator="command",
        evaluator_options={"program": program},
    )
    tuner.search(**data)
    for row in rows(tuner):
        assert float(row["latency_ms"]) == len("trained 1") / 1e3
    record = pathlib.Path(tuner.project_dir) / "trial_0" / FILE
    assert json.loads(record.read_text())["units"] == {"latency_ms": "ms"}


def test_without_one_nothing_changes(space, data, tmp_path):
    tuner = searched(space, tmp_path, data, "analytic", max_trials=1)
    (row,) = rows(tuner)
    assert not [
        name for name in row if name.endswith(("_noise", "measurement"))
    ]
    folder = pathlib.Path(tuner.project_dir)
    assert not (folder / "probes").exists()
    assert "measured" not in tuner.best_designs(1)[0].describe()
    assert np.isfinite(float(row["latency_ms"]))
