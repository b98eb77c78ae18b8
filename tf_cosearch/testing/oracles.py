"""What an algorithm must do, whoever wrote it."""

from __future__ import annotations

import math
import pathlib
import random
from typing import Any

import numpy as np
import pytest
from keras_tuner.engine.base_tuner import BaseTuner

from tf_cosearch.benchmark.toys import (
    ToySpace,
    place,
    run_trials,
    toy_estimate,
)
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.oracle.oracle import CoSearchOracle
from tf_cosearch.search.scope import SEARCHED
from tf_cosearch.testing.keras_tuner_rules import KerasTunerRules
from tf_cosearch.testing.requirement import require


class OracleSuite(KerasTunerRules):
    """What every algorithm must pass. Subclass it and set `algorithm`."""

    def test_designs_are_inside_the_space(self, tmp_path: pathlib.Path) -> None:
        """Every parameter has one of its choices; inactive genes are 0."""
        oracle = self.start(tmp_path)
        genomes = np.asarray(run_trials(oracle, 20))
        counts = oracle.space.choice_counts
        require(len(genomes) == 20, "All 20 trials must run.")
        inside = ((genomes >= 0) & (genomes < counts)).all()
        require(bool(inside), "Every gene must be one of its choices.")
        for trial in oracle.trials.values():
            values = trial.hyperparameters.values
            for parameter in oracle.space.parameters:
                require(
                    values[parameter.name] in parameter.choices,
                    f"{parameter.name} must be one of its choices.",
                )

    def test_same_seed_same_designs(self, tmp_path: pathlib.Path) -> None:
        """Chance comes from the seed alone; 0 is one like any other."""
        first = run_trials(self.start(tmp_path / "1", seed=0), 12)
        random.seed(1)
        second = run_trials(self.start(tmp_path / "2", seed=0), 12)
        require(first == second, "Seed 0 must propose the same twice.")
        other = run_trials(self.start(tmp_path / "3", seed=7), 12)
        require(first != other, "Seeds 0 and 7 must differ.")

    @pytest.mark.parametrize("seed", [0, None])
    def test_continues_as_if_never_stopped(
        self, tmp_path: pathlib.Path, seed: int | None
    ) -> None:
        """A reloaded oracle proposes what the first would have."""
        uninterrupted = self.start(tmp_path / "1", seed=seed)
        started = self.start(tmp_path / "2", seed=uninterrupted.seed)
        expected = run_trials(uninterrupted, 16)
        begun = run_trials(started, 10)
        started.create_trial("killed while it ran")
        reloaded = self.start(tmp_path / "2", seed=seed)
        reloaded.reload()
        continued = run_trials(reloaded, 6)
        require(
            begun + continued == expected,
            "A continued search must propose what it would have without the "
            "interruption. State that `suggest` uses must follow from "
            "the history or be built in `observe`.",
        )
        require(len(reloaded.end_order) == 16, "No trial may be lost.")

    def test_continues_what_another_began(self, tmp_path: pathlib.Path) -> None:
        """Algorithm, budgets and length may change from one day to the next."""

        def accuracy(number: int, genome: np.ndarray) -> float:
            if number == 2:
                raise ArithmeticError("broken")
            return 0.1 * number

        space = ToySpace((5, 4, 6))
        defaults: dict[str, Any] = {"estimate": toy_estimate, "seed": 0}
        other = CoSearchOracle(space, "random", max_trials=6, **defaults)  # type: ignore[arg-type]
        begun = run_trials(place(other, tmp_path), 6, accuracy)
        budgets = Budgets(area_mm2=5.0)
        oracle = self.start(tmp_path, space, max_trials=12, budgets=budgets)
        oracle.reload()
        genomes = run_trials(oracle, 12)
        require(len(genomes) == 6, "The trials left must run.")
        require(len(oracle.history.finished()) == 11, "No trial may be lost.")
        feasible = budgets.is_feasible(oracle.costs(genomes))
        require(bool(feasible.all()), "The budgets of today must be met.")
        different = {tuple(genome) for genome in begun + genomes}
        require(len(different) == 12, "No design may be tried twice.")

    def test_starts_from_what_is_known(self, tmp_path: pathlib.Path) -> None:
        """An earlier search teaches, and is not repeated."""
        space = ToySpace((5, 4, 6))
        known = run_trials(self.start(tmp_path / "1", space), 14)
        options: dict[str, Any] = {
            "warm_start": tmp_path / "1" / "project",
            "max_trials": 6,
            "budgets": Budgets(area_mm2=5.0),
        }
        oracle = self.start(tmp_path / "2", space, **options)
        genomes = run_trials(oracle, 12)
        require(len(genomes) == 6, "Known trials must not count.")
        different = {tuple(genome) for genome in known + genomes}
        require(len(different) == 20, "No known design may be tried again.")
        require(
            len(oracle.history.finished()) == 20, "Known ones are finished."
        )
        feasible = options["budgets"].is_feasible(oracle.costs(genomes))
        require(bool(feasible.all()), "The budgets of today must be met.")
        begun = run_trials(self.start(tmp_path / "3", space, **options), 3)
        reloaded = self.start(tmp_path / "3", space, **options)
        reloaded.reload()
        require(
            begun + run_trials(reloaded, 6) == genomes,
            "It must continue identically.",
        )

    def test_no_design_twice(self, tmp_path: pathlib.Path) -> None:
        """No training is wasted on what is known."""
        space = ToySpace((2, 3, 5), has_inactive=True)
        genomes = run_trials(self.start(tmp_path, space), 24)
        different = {tuple(genome) for genome in genomes}
        require(len(different) == len(genomes), "Designs must differ.")
        require(len(different) == space.size, "All designs must be found.")

    @pytest.mark.parametrize(
        "counts", [(1,), (1, 1), (2,), (1, 2), (3,), (1, 3, 1)]
    )
    def test_ends_when_nothing_is_left(
        self, tmp_path: pathlib.Path, counts: tuple[int, ...]
    ) -> None:
        """A small space is exhausted, and the search stops."""
        oracle = self.start(tmp_path, ToySpace(counts))
        genomes = run_trials(oracle, 8)
        require(
            len(genomes) == math.prod(counts),
            f"A space of {math.prod(counts)} designs must give as many.",
        )
        trial = oracle.create_trial("tuner0")
        require(trial.status == "STOPPED", "The search must stop then.")

    @pytest.mark.parametrize("searched", list(SEARCHED))
    def test_chooses_only_what_is_searched(
        self, tmp_path: pathlib.Path, searched: str
    ) -> None:
        """A side that is held is that of the start, or of the best design."""
        budgets = Budgets(latency_ms=1.7)
        oracle = self.start(
            tmp_path,
            ToySpace((7, 5, 4, 6)),
            searched=searched,
            budgets=budgets,
            max_trials=12,
        )
        genomes = np.asarray(run_trials(oracle, 12))
        require(len(genomes) == 12, "All 12 trials must run.")
        first = max(
            oracle.history.finished()[:6], key=lambda trial: trial.reward
        )
        feasible = budgets.is_feasible(oracle.costs(genomes))
        require(bool(feasible.all()), "Every design must meet the budgets.")
        networks, accelerators = genomes[:, :2], genomes[:, 2:]
        held = {
            "network": [(accelerators, accelerators[0])],
            "accelerator": [(networks, networks[0])],
            "phased": [
                (networks[:6], networks[0]),
                (accelerators[6:], first.genome[2:]),
            ],
            "phased_reverse": [
                (accelerators[:6], accelerators[0]),
                (networks[6:], first.genome[:2]),
            ],
        }.get(searched, [])
        for genes, expected in held:
            require(
                bool((genes == expected).all()),
                "A side that is not searched must be held, in a second phase "
                "at the best of the first.",
            )
        if searched == "nested":
            different = {tuple(network) for network in networks.tolist()}
            require(len(different) == 12, "Networks must differ.")

    def test_parallel_workers(self, tmp_path: pathlib.Path) -> None:
        """Equal finishing order, equal designs; none is handed out twice."""

        def run(folder: str) -> list[list[int]]:
            oracle = self.start(tmp_path / folder)
            running: list[Any] = []
            for number in range(16):
                running.append(oracle.create_trial(f"tuner{number}"))
                if len(running) == 3 or number == 15:
                    trial = running.pop(number % len(running))
                    value = float(oracle.trial_genome(trial).mean())
                    metrics = {oracle.objective.name: value}
                    oracle.update_trial(trial.trial_id, metrics)
                    trial.status = "COMPLETED"
                    oracle.end_trial(trial)
            trials = oracle.trials.values()
            return [oracle.trial_genome(t).tolist() for t in trials]

        first = run("1")
        different = {tuple(genome) for genome in first}
        require(len(different) == 16, "Designs must differ.")
        require(first == run("2"), "Workers in the same order, same designs.")

    def test_searches_a_huge_space(self, tmp_path: pathlib.Path) -> None:
        """Nothing may depend on the size of the space."""
        oracle = self.start(tmp_path, ToySpace((10,) * 20))
        require(len(run_trials(oracle, 10)) == 10, "All trials must run.")

    def test_no_design_over_budget(self, tmp_path: pathlib.Path) -> None:
        """What exceeds a budget is never trained."""
        budgets = Budgets(latency_ms=1.5, area_mm2=4.0)
        oracle = self.start(tmp_path, budgets=budgets)
        genomes = np.asarray(run_trials(oracle, 20))
        feasible = budgets.is_feasible(oracle.costs(genomes))
        require(len(genomes) == 20, "All trials must run.")
        require(bool(feasible.all()), "Every design must meet the budgets.")

    def test_goes_on_after_failures(self, tmp_path: pathlib.Path) -> None:
        """Neither NaN nor a failed trial ends or derails the search."""

        def accuracy(number: int, genome: np.ndarray) -> float:
            if number % 3 == 1:
                raise ArithmeticError(f"trial {number} failed")
            return math.nan if number % 3 == 2 else 0.5

        oracle = self.start(tmp_path)
        genomes = run_trials(oracle, 24, accuracy)
        require(len(genomes) == 24, "All trials must run.")
        require(len(oracle.history.finished()) == 8, "A third of them is good.")
        require(len(oracle.archive.front) > 0, "Good ones are archived.")

    def test_works_in_a_keras_tuner(self, tmp_path: pathlib.Path) -> None:
        """Any KerasTuner tuner can use it."""
        space = ToySpace((3, 4, 5))

        class Tuner(BaseTuner):
            def run_trial(self, trial: Any, **_: Any) -> dict[str, float]:
                return {"accuracy_int8": trial.hyperparameters["gene2/units"]}

        oracle = self.make(
            space, estimate=toy_estimate, max_trials=8, proposals=32, seed=0
        )
        tuner = Tuner(oracle, directory=str(tmp_path), project_name="tuner")
        tuner.search(verbose=0)
        best = tuner.get_best_hyperparameters()[0]
        tried = [t.hyperparameters for t in oracle.trials.values()]
        require(len(tried) == 8, "All trials must run.")
        require(
            best["gene2/units"] == max(t["gene2/units"] for t in tried),
            "The best trial must be that of the best accuracy.",
        )
