"""What a trial is, and what it is worth: its design, costs and reward."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus

from tf_cosearch.search import measured, objectives
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.genomes import check, of_values
from tf_cosearch.search.oracle import durable
from tf_cosearch.search.pricing import Pricer
from tf_cosearch.search.problem import Result

if TYPE_CHECKING:
    from tf_cosearch.search.space import SearchSpace

EXPECTED = "accuracy_expected"
"""The metric of a trial that was stopped early which algorithms learn from.

Its score, the archive and the designs have what was measured.
"""


class Scoring:
    """Reads trials of KerasTuner as designs of a space, and scores them.

    Args:
        space: What is searched.
        prices: What designs cost; learns what was measured of them.
        budgets: Those on what trials measure count here.
        reward: What a trial is scored by.
        accuracy: The metric that is the accuracy.
    """

    def __init__(
        self,
        space: SearchSpace,
        prices: Pricer,
        budgets: Budgets,
        reward: objectives.Reward,
        accuracy: keras_tuner.Objective,
    ) -> None:
        self._space, self._prices, self._budgets = space, prices, budgets
        self._reward, self._accuracy = reward, accuracy
        self._genomes: dict[str, np.ndarray] = {}

    def genome(self, trial: Trial) -> np.ndarray:
        """The `[P]` canonical genome of a trial."""
        if trial.trial_id not in self._genomes:
            genome = of_values(self._space, trial.hyperparameters.values)
            self._genomes[trial.trial_id] = check(self._space, [genome])[0]
        return self._genomes[trial.trial_id]

    def genomes(self, trials: Iterable[Trial]) -> list[np.ndarray]:
        """Genomes of those trials that have a design."""
        return [self.genome(t) for t in trials if t.hyperparameters.values]

    def forget(self, trial_id: str | None = None) -> None:
        """Drops what was read of a trial, or all: files may be others now."""
        dropped = [*self._genomes] if trial_id is None else [trial_id]
        for each in dropped:
            self._genomes.pop(each, None)

    def price(self, genomes: Sequence[np.ndarray]) -> None:
        """Prices designs at once that are asked for one by one."""
        if genomes:
            stacked = np.stack(genomes)
            split = self._space.num_network_parameters
            self._prices.reach.know(stacked[:, :split])
            self._prices.remember(stacked)

    def costs(self, trial: Trial) -> dict[str, float]:
        """What the design of a trial costs, as measured or as predicted."""
        return self._prices.of(self.genome(trial))

    def metrics(self, trial: Trial) -> dict[str, float]:
        """What its design costs and what it reported, which goes first."""
        reported = durable.reported(trial)
        if self._accuracy.has_value(reported):
            # A sum of metrics is one, too.
            value = self._accuracy.get_value(reported)
            reported[self._accuracy.name] = value
        return {**self.costs(trial), **reported}

    def score(self, trial: Trial) -> None:
        """Gives a trial its reward; NaN if its accuracy is no number."""
        self._learn_costs(trial)
        name = self._accuracy.name
        known = self.metrics(trial)
        accuracy = known.get(name, math.nan)
        if math.isfinite(accuracy):
            accuracy = self._guarded(accuracy, known)
            trial.score = float(self._reward(accuracy, self.costs(trial)))
            first = objectives.names(self._accuracy)[0]
            trial.best_step = trial.metrics.get_best_step(first)
        else:
            trial.score = math.nan
            trial.message = f"{name} must be finite. Received: {accuracy}."

    def _learn_costs(self, trial: Trial) -> None:
        """Learns from what was measured in a trial, for all to come."""
        names = self._prices.correction.names
        costs = measured.of_trial(durable.reported(trial), names)
        if costs:
            self._prices.learn(self.genome(trial), costs)

    def result(self, trial: Trial) -> Result:
        """A trial that has ended, as algorithms see it."""
        genome, costs = self.genome(trial), self.costs(trial)
        if trial.status != TrialStatus.COMPLETED:
            worth = float(self._reward(0.0, costs))
            return Result(genome, costs, worth, durable.reason(trial))
        metrics, reward = self.metrics(trial), float(trial.score or 0.0)
        name = self._accuracy.name
        accuracy = metrics.get(EXPECTED, metrics[name])
        guarded = self._guarded(accuracy, metrics)
        if guarded != metrics[name]:
            metrics = {**metrics, name: guarded}
            reward = float(self._reward(guarded, costs))
        return Result(genome, metrics, reward)

    def _guarded(self, accuracy: float, known: Mapping[str, float]) -> float:
        """What an accuracy counts beside budgets on what a trial measures.

        Twice of what is allowed, or a point where no drop is, makes it half,
        so that every algorithm learns to keep away.
        """
        return accuracy / (1 + float(self._budgets.excess(known)))
