"""What a search knows: its trials, what they cost, and what they gave."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from absl import logging
from keras_tuner.engine.trial import Trial, TrialStatus

from tf_cosearch import configuration, files
from tf_cosearch.search import objectives
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.genomes import check
from tf_cosearch.search.oracle import conditions as conditions_lib
from tf_cosearch.search.oracle import durable, warm_start
from tf_cosearch.search.oracle.warm_start import (
    EarlierSearch,
    KnownDesign,
    is_known,
)
from tf_cosearch.search.pareto import ParetoArchive
from tf_cosearch.search.pricing import Pricer

if TYPE_CHECKING:
    from tf_cosearch.search.space import SearchSpace


EXPECTED = "accuracy_expected"
"""The metric of a trial that was stopped early which algorithms learn from.

Its score, the archive and the designs have what was measured.
"""


class Finished(NamedTuple):
    """A completed trial, as an algorithm sees it.

    Attributes:
        genome: `[P]` choice indices.
        metrics: What the trial reported, and what its design costs. The
            accuracy of one that was stopped early is that expected of it.
        reward: What the search maximises.
    """

    genome: np.ndarray
    metrics: dict[str, float]
    reward: float


class HistoryOracle(durable.DurableOracle):
    """Keeps what trials gave, here and in an earlier search.

    What an earlier search finished becomes a completed trial of this one: it
    teaches algorithms and may be the best, but is not trained again and not
    counted in `max_trials`. Its costs are priced here.

    Args:
        space: What is searched.
        budgets: What a design may cost.
        reward: What a trial is scored by.
        pricer: Says what designs cost.
        earlier: What is known before the search begins, if anything.
        seed: `None` draws one, kept with the run.
        **kwargs: For KerasTuner's oracle.

    Attributes:
        own_trials: Most trials of this search, `None` without a limit;
            `max_trials` counts the known ones in, as KerasTuner does.
        earlier: What is known before the search begins, `None` once it has
            become trials.
        archive: The Pareto front of all that is known.
        conditions: What trials must have in common to be compared, data and
            training; `None` if nobody has said.
    """

    def __init__(
        self,
        space: SearchSpace,
        budgets: Budgets,
        reward: objectives.Reward,
        pricer: Pricer,
        earlier: EarlierSearch | None,
        seed: int | None,
        **kwargs: Any,
    ) -> None:
        # KerasTuner would draw one from Python's own random numbers, which are
        # the user's, and takes 0 for none.
        super().__init__(seed=1, **kwargs)
        self._requested_seed = seed
        drawn = int(np.random.default_rng().integers(2**31))
        self.seed = drawn if seed is None else int(seed)
        self.space = space
        self.budgets = budgets
        self.reward = reward
        self.archive = ParetoArchive(self.objective.name)
        self.conditions: dict[str, Any] | None = None
        self._pricer = pricer
        self.earlier = earlier
        self.own_trials: int | None = kwargs["max_trials"]
        self._finished: dict[str, Finished] = {}
        self._failed: list[np.ndarray] = []
        self._genomes: dict[str, np.ndarray] = {}

    def observe(
        self, genome: np.ndarray, metrics: dict[str, float], reward: float
    ) -> None:
        """Called once for every completed trial, in the order they end.

        A run that is continued calls it again for the trials so far, so an
        algorithm need not save what it learns here.
        """

    def observe_failure(self, genome: np.ndarray, reason: str) -> None:
        """Like `observe`, for a trial that failed for good."""

    def finished(self) -> list[Finished]:
        """The completed trials in the order they ended."""
        return list(self._finished.values())

    def failed(self) -> list[np.ndarray]:
        """Genomes `[P]` of the trials that failed for good."""
        return list(self._failed)

    def pending(self) -> list[np.ndarray]:
        """Genomes `[P]` of the trials that others are running just now."""
        return [
            self.trial_genome(trial)
            for trial in self.trials.values()
            if trial.trial_id not in self.end_order
            and trial.hyperparameters.values
        ]

    def costs(self, genomes: Any) -> dict[str, np.ndarray]:
        """Prices designs with the cost model.

        Args:
            genomes: `[N, P]` choice indices.

        Returns:
            `[N]` float64 numbers for each scalar of `Cost`.
        """
        return self._pricer(genomes)

    def trial_genome(self, trial: Trial) -> np.ndarray:
        """The `[P]` canonical genome of a trial of this search."""
        if trial.trial_id not in self._genomes:
            values = trial.hyperparameters.values
            genome = self.space.genome(
                {p.name: values[p.name] for p in self.space.parameters}
            )
            self._genomes[trial.trial_id] = check(self.space, [genome])[0]
        return self._genomes[trial.trial_id]

    def trial_costs(self, trial: Trial) -> dict[str, float]:
        """What the design of a trial costs."""
        return self._pricer.of(self.trial_genome(trial))

    def trial_metrics(self, trial: Trial) -> dict[str, float]:
        """What its design costs and what it reported, which goes first."""
        reported = durable.reported(trial)
        if self.objective.has_value(reported):
            # A sum of metrics is one, too.
            reported[self.objective.name] = self.objective.get_value(reported)
        return {**self.trial_costs(trial), **reported}

    def get_best_trials(self, num_trials: int = 1) -> list[Trial]:
        """The best trials, as KerasTuner's; none that is over budget.

        A run may have such trials from another time, with other budgets.
        """
        return [
            trial
            for trial in super().get_best_trials(len(self.trials))
            if trial.status != TrialStatus.COMPLETED
            or self.budgets.is_feasible(self.trial_costs(trial))
        ][:num_trials]

    # How KerasTuner drives it.

    def score_trial(self, trial: Trial) -> None:
        """Gives a trial its reward; NaN if its accuracy is no number."""
        name = self.objective.name
        accuracy = self.trial_metrics(trial).get(name, math.nan)
        if math.isfinite(accuracy):
            costs = self.trial_costs(trial)
            trial.score = float(self.reward(accuracy, costs))
            first = objectives.names(self.objective)[0]
            trial.best_step = trial.metrics.get_best_step(first)
        else:
            trial.score = math.nan
            trial.message = f"{name} must be finite. Received: {accuracy}."

    def on_trial_ended(self, trial: Trial) -> None:
        """Enters a trial into the history and tells the algorithm."""
        if trial.status != TrialStatus.COMPLETED:
            genome = self.trial_genome(trial)
            self._failed.append(genome)
            self.observe_failure(genome, durable.reason(trial))
            return
        metrics, reward = self.trial_metrics(trial), trial.score
        self.archive.add(trial.trial_id, metrics)
        if EXPECTED in metrics:
            metrics = {**metrics, self.objective.name: metrics[EXPECTED]}
            reward = float(self.reward(metrics[EXPECTED], metrics))
        result = Finished(self.trial_genome(trial), metrics, reward)
        self._finished[trial.trial_id] = result
        self.observe(*result)

    # What an earlier search has left.

    @property
    def num_known(self) -> int:
        """Number of trials that an earlier search has trained."""
        return sum(map(is_known, self.trials.values()))

    @property
    def num_own(self) -> int:
        """Number of trials begun that are this search's own."""
        return len(self.trials) - self.num_known

    def take_known(self) -> None:
        """Enters what an earlier search has trained, once, as trials."""
        with durable.locked(self):
            if self.earlier is None:
                return
            tried = {
                self.trial_genome(trial).tobytes()
                for trial in self.trials.values()
                if trial.hyperparameters.values
            }
            new = [
                design
                for design in self.earlier.designs
                if design.genome.tobytes() not in tried
            ]
            self._price([design.genome for design in new])
            most = (self.own_trials or 0) + self.num_known + len(new)
            for design in new:
                number = f"{len(self.trials):0{len(str(most))}d}"
                self._enter(number, design, self.earlier)
            self.earlier = None
            self._make_room()
            self.save()

    def _enter(
        self, trial_id: str, design: KnownDesign, earlier: EarlierSearch
    ) -> None:
        hyperparameters = self.hyperparameters.copy()
        hyperparameters.values = {
            **design.values,
            **self.space.values(design.genome),
        }
        trial = Trial(hyperparameters, trial_id, TrialStatus.COMPLETED)
        trial.message = warm_start.mark(earlier.source)
        costs = self._pricer.of(design.genome)
        for name, value in design.metrics.items():
            # Costs are this search's affair, and it has spent no time.
            if name not in costs and not name.startswith("seconds"):
                trial.metrics.register(name, direction="max")
                trial.metrics.update(name, value)
        self.score_trial(trial)
        for path in warm_start.files_of(design):
            target = os.path.join(self._get_trial_dir(trial_id), path.name)
            files.write_bytes(target, path.read_bytes())
        self._save_trial(trial)  # last, so that a kill leaves no half of it
        self.trials[trial_id] = trial
        self.start_order.append(trial_id)
        self.end_order.append(trial_id)
        self.on_trial_ended(trial)

    def _make_room(self) -> None:
        # KerasTuner counts all trials.
        if self.own_trials is not None:
            self.max_trials = self.own_trials + self.num_known

    def require_conditions(self, conditions: dict[str, Any]) -> None:
        """Makes sure that accuracies here can be compared with each other.

        Args:
            conditions: What trials have in common, as plain JSON.

        Raises:
            ValueError: If this run, or the earlier search that it knows of,
                has had others.
        """
        if self.trials:
            conditions_lib.require_same(
                self.conditions,
                conditions,
                "A search must be continued with the data and training it was "
                "begun with",
                self._project_dir,
                "another project_name, or overwrite=True",
            )
        if self.earlier is not None:
            if self.earlier.conditions is None:
                logging.warning(
                    "%s does not say which data and training its accuracies "
                    "are of; they are taken to be the same as here.",
                    self.earlier.source,
                )
            conditions_lib.require_same(
                self.earlier.conditions,
                conditions,
                "A warm start must be from a search of the same data and "
                "training, or accuracies cannot be compared",
                self.earlier.source,
                "no warm start",
            )
        self.conditions = conditions

    # How a run is continued.

    def get_state(self) -> dict[str, Any]:
        """The state beside the trials, as plain JSON."""
        return {
            **super().get_state(),
            "space_fingerprint": self.space.fingerprint,
            "conditions": self.conditions,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores `get_state`.

        Raises:
            AnotherSpaceError: If the state belongs to another space.
        """
        if state["space_fingerprint"] != self.space.fingerprint:
            raise durable.AnotherSpaceError(
                "A run must be continued with the space it was begun with. "
                f"Received: another space than that of {self._project_dir}. "
                "Use another project_name, or overwrite=True."
            )
        super().set_state(state)
        if self._requested_seed is not None:
            self.seed = self._requested_seed
        configuration.at_least("seed", self.seed, 0)
        if self.conditions is None:
            self.conditions = state.get("conditions")

    def reload(self) -> None:
        """Continues a run; budgets, reward and algorithm may have changed.

        Raises:
            ValueError: If the run belongs to another space, or its trials
                lack the objective.
        """
        super().reload()
        self._genomes.clear()
        self._finished.clear()
        self._failed.clear()
        self._make_room()
        self._drop_infeasible()
        self.archive = ParetoArchive(self.objective.name)
        ended = [self.trials[i] for i in self.end_order]
        ended = [trial for trial in ended if trial.hyperparameters.values]
        if not ended:
            return
        self._price([self.trial_genome(trial) for trial in ended])
        for trial in ended:
            if trial.status == TrialStatus.COMPLETED:
                self._score_again(trial)
            self.on_trial_ended(trial)

    def _price(self, genomes: list[np.ndarray]) -> None:
        """Prices designs at once that are asked for one by one."""
        if genomes:
            stacked = np.stack(genomes)
            self._pricer.remember(stacked, self._pricer.price(stacked))

    def check_trial(self, trial: Trial) -> None:
        """Raises any error if a trial is none of a design of this space."""
        super().check_trial(trial)
        if trial.hyperparameters.values:
            self._genomes.pop(trial.trial_id, None)
            self.trial_genome(trial)

    def _drop_infeasible(self) -> None:
        """Ends trials that were not finished and exceed today's budgets."""
        for trial_id in list(self._retry_queue):
            trial = self.trials[trial_id]
            costs = self.trial_costs(trial)
            if not self.budgets.is_feasible(costs):
                self._retry_queue.remove(trial_id)
                trial.status = TrialStatus.FAILED
                trial.message = "The design exceeds the budgets of today."
                self.end_order.append(trial_id)
                self._save_trial(trial)

    def _score_again(self, trial: Trial) -> None:
        self.score_trial(trial)
        if math.isnan(trial.score):
            raise ValueError(
                "The objective must be among the metrics of the trials so "
                f"far. Received: {self.objective.name}; trial "
                f"{trial.trial_id} has {', '.join(trial.metrics.metrics)}. "
                "Use the objective of the run, or another project_name."
            )
