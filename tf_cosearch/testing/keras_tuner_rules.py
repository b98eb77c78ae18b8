"""What KerasTuner expects of an oracle, as its own tests have it."""

from __future__ import annotations

import math
import pathlib
import threading
from typing import Any

import keras_tuner
import numpy as np
import pytest
from keras_tuner.engine.trial import Trial, TrialStatus

from tf_cosearch.benchmark.toys import ToySpace, place, run_trials, toy_estimate
from tf_cosearch.search import objectives
from tf_cosearch.search.algorithms.algorithm import Algorithm
from tf_cosearch.search.oracle.oracle import CoSearchOracle
from tf_cosearch.testing.requirement import require


class KerasTunerRules:
    """What KerasTuner's `engine/oracle_test.py` expects of every oracle.

    Where this package differs on purpose, in what ends a failing search and
    in objectives to minimise, its own rule stands instead.
    """

    algorithm: str | Algorithm | type[Algorithm]
    """What is tested, in a `CoSearchOracle`."""

    def make(self, space: Any, **kwargs: Any) -> CoSearchOracle:
        """Makes the oracle to test.

        Args:
            space: What it searches.
            **kwargs: Arguments of `CoSearchOracle` to hand on.
        """
        return CoSearchOracle(space, self.algorithm, **kwargs)

    def start(
        self, folder: pathlib.Path, space: Any = None, **kwargs: Any
    ) -> CoSearchOracle:
        """Makes an oracle on a toy space, in a project folder."""
        space = space or ToySpace((3, 1, 4, 2, 5, 7), has_inactive=True)
        defaults: dict[str, Any] = {
            "estimate": toy_estimate,
            "max_trials": 24,
            "proposals": 64,
            "seed": 0,
        }
        return place(self.make(space, **{**defaults, **kwargs}), folder)

    def test_create_update_end_and_reload(self, tmp_path: pathlib.Path) -> None:
        """The life of a trial, in memory and on disk."""
        oracle = self.start(tmp_path)
        first = oracle.create_trial("a")
        require(first.status == TrialStatus.RUNNING, "A trial must run.")
        again = oracle.create_trial("a")
        require(
            again.trial_id == first.trial_id,
            "A tuner must get its own running trial again.",
        )
        other = oracle.create_trial("b")
        require(other.trial_id != first.trial_id, "Tuners must not share.")
        with pytest.raises(ValueError, match="Objective value missing"):
            oracle.update_trial(first.trial_id, {"unknown": 0.5})
        for step, value in enumerate((0.2, 0.6, 0.4)):
            metrics = {oracle.objective.name: value}
            oracle.update_trial(first.trial_id, metrics, step=step)
        oracle.end_trial(first.trial_id, TrialStatus.COMPLETED)
        ended = oracle.get_trial(first.trial_id)
        require(ended.best_step == 1, "The best step must be found.")
        require(
            oracle.history.finished()[0].metrics[oracle.objective.name] == 0.6,
            "The best value of a metric must count.",
        )
        reloaded = self.start(tmp_path)
        reloaded.reload()
        saved = reloaded.get_trial(first.trial_id)
        require(saved.status == TrialStatus.COMPLETED, "It must be saved.")
        require(saved.score == ended.score, "So must its score.")
        require(
            reloaded.create_trial("c").trial_id == other.trial_id,
            "What was running must run again.",
        )

    @pytest.mark.parametrize("retries", [0, 1])
    def test_retries(self, tmp_path: pathlib.Path, retries: int) -> None:
        """Invalid and NaN trials run again, failed ones do not."""
        oracle = self.start(tmp_path, max_retries_per_trial=retries)
        for value in (None, math.nan):
            number = len(oracle.trials)
            for _ in range(1 + retries):
                trial = oracle.create_trial("a")
                require(int(trial.trial_id) == number, "Retries come first.")
                _end(oracle, trial, value)
            ended = oracle.get_trial(trial.trial_id)
            require(ended.status == TrialStatus.FAILED, "Retries must end.")
        trial = oracle.create_trial("a")
        trial.status, trial.message = TrialStatus.FAILED, "for good"
        oracle.end_trial(trial)
        after = oracle.create_trial("a")
        require(after.trial_id != trial.trial_id, "A failure is final.")
        _end(oracle, after, 0.5)
        require(
            len(oracle.history.failed()) == 3, "Each failure must be told once."
        )
        best = oracle.get_best_trials()[0]
        require(best.trial_id == after.trial_id, "NaN must not be the best.")

    def test_ends_when_all_trials_fail(self, tmp_path: pathlib.Path) -> None:
        """After so many failures in a row, all of them saved."""
        oracle = self.start(tmp_path, max_consecutive_failed_trials=3)
        for value in (None, None, 0.5, None, None):
            _end(oracle, oracle.create_trial("a"), value)
        last = oracle.create_trial("a")
        with pytest.raises(RuntimeError, match="broken"):
            _end(oracle, last, None)
        require(len(oracle.end_order) == 6, "All trials must have ended.")
        reloaded = self.start(tmp_path, max_consecutive_failed_trials=9)
        reloaded.reload()
        require(len(run_trials(reloaded, 2)) == 2, "It must go on.")

    @pytest.mark.parametrize(
        "objective",
        [
            "val_accuracy",
            keras_tuner.Objective("f1", "max"),
            ["val_accuracy", keras_tuner.Objective("f1", "max")],
        ],
    )
    def test_objectives(self, tmp_path: pathlib.Path, objective: Any) -> None:
        """A string, an `Objective` or a list, whose sum counts."""
        oracle = self.start(tmp_path, objective=objective)
        names = objectives.names(oracle.objective)
        run_trials(oracle, 11, lambda number, _: 0.01 * number)
        for trial in oracle.trials.values():
            value = 0.01 * int(trial.trial_id) * len(names)
            require(
                math.isclose(trial.score or 0, value, abs_tol=1e-9),
                "Without budgets, the score must be the objective.",
            )
        best = oracle.get_best_trials()[0]
        require(int(best.trial_id) == 10, "More must be better.")

    def test_hyperparameters_passed_in(self, tmp_path: pathlib.Path) -> None:
        """Those known in advance are tuned, new ones as is allowed."""
        known = keras_tuner.HyperParameters()
        known.Float("learning_rate", 1e-4, 1e-1, sampling="log")
        oracle = self.start(
            tmp_path, hyperparameters=known, tune_new_entries=False
        )
        rates = set()
        for _ in range(4):
            trial = oracle.create_trial("a")
            rates.add(trial.hyperparameters["learning_rate"])
            trial.hyperparameters.Int("new", 1, 9, default=5)
            _end(oracle, trial, 0.5)
        require(len(rates) == 4, "What is passed in must be tuned.")
        require(all(1e-4 <= rate <= 1e-1 for rate in rates), "Within limits.")
        values = oracle.create_trial("a").hyperparameters.values
        require("new" not in values, "New ones must keep their default.")
        name = oracle.space.parameters[0].name
        known.Fixed(name, 10)
        with pytest.raises(ValueError, match="others than those of the space"):
            self.make(oracle.space, hyperparameters=known)

    def test_new_entries_can_be_refused(self, tmp_path: pathlib.Path) -> None:
        """A hypermodel may then ask for nothing else, and no lock is held."""
        oracle = self.start(tmp_path, allow_new_entries=False)
        trial = oracle.create_trial("a")
        trial.hyperparameters.Int("new", 1, 9)
        with pytest.raises(RuntimeError, match="allow_new_entries"):
            _end(oracle, trial, 0.5)
        _require_free(oracle)

    def test_an_error_leaves_no_lock_held(
        self, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Other threads go on after an error in an algorithm."""
        oracle = self.start(tmp_path)

        def broken(*_: Any) -> None:
            raise OSError("no room")

        for part, name in (
            (oracle.algorithm, "suggest"),
            (oracle.algorithm, "observe"),
            (oracle, "save"),
            (oracle, "score_trial"),
        ):
            with monkeypatch.context() as patch:
                patch.setattr(part, name, broken)
                with pytest.raises(OSError, match="no room"):
                    _end(oracle, oracle.create_trial(name), 0.5)
            _require_free(oracle)

    def test_threads(self, tmp_path: pathlib.Path) -> None:
        """Threads that ask at the same time get different trials."""
        oracle = self.start(tmp_path, max_trials=12)
        errors: list[Exception] = []

        def work(name: str) -> None:
            try:
                while True:
                    trial = oracle.create_trial(name)
                    if trial.status != TrialStatus.RUNNING:
                        return
                    _end(oracle, trial, 0.5)
            except Exception as error:
                errors.append(error)

        threads = [
            threading.Thread(target=work, args=(f"{i}",)) for i in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        require(not errors, f"No thread may fail. Received: {errors}.")
        require(len(oracle.end_order) == 12, "All trials must end, once each.")
        genomes = [oracle.trial_genome(t) for t in oracle.trials.values()]
        different = np.unique(genomes, axis=0)
        require(len(different) == 12, "Designs must differ.")


def _end(oracle: CoSearchOracle, trial: Trial, value: float | None) -> None:
    """Ends a trial with a result, or with none."""
    if value is None:
        trial.status, trial.message = TrialStatus.INVALID, "broken"
    else:
        metrics = dict.fromkeys(objectives.names(oracle.objective), value)
        oracle.update_trial(trial.trial_id, metrics)
        trial.status = TrialStatus.COMPLETED
    oracle.end_trial(trial)


def _require_free(oracle: CoSearchOracle) -> None:
    """Another thread must be able to work with the oracle."""
    ended = threading.Event()

    def ask() -> None:
        oracle.create_trial("another thread")
        ended.set()

    threading.Thread(target=ask, daemon=True).start()
    require(ended.wait(30), "An error must not leave a lock held.")
