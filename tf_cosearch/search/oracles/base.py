"""What every search algorithm stands on: screening, scoring, history."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import keras_tuner
import numpy as np
from absl import logging
from keras_tuner.engine.trial import Trial, TrialStatus

from tf_cosearch import configuration
from tf_cosearch.search import objectives
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.genomes import (
    all_designs,
    check,
    complete,
    fixed_genes,
)
from tf_cosearch.search.oracles import durable
from tf_cosearch.search.pareto import ParetoArchive
from tf_cosearch.search.pricing import Pricer
from tf_cosearch.search.scope import Scope
from tf_cosearch.search.screening import Screen

if TYPE_CHECKING:
    from tf_cosearch.search.space import SearchSpace

SUGGESTIONS = 3
"""Times that an algorithm is asked before the screen looks elsewhere."""

_CHECK = 2**32 - 1  # a trial number nobody reaches, for `check_feasible`


class Finished(NamedTuple):
    """A completed trial, as an algorithm sees it.

    Attributes:
        genome: `[P]` choice indices.
        metrics: What the trial reported, and what its design costs.
        reward: What the search maximises.
    """

    genome: np.ndarray
    metrics: dict[str, float]
    reward: float


class CoSearchOracle(durable.DurableOracle):
    """A KerasTuner oracle over joint designs, screened by the cost model.

    For every trial an algorithm suggests genomes, thousands if it likes. They
    are priced together, and only a new one within the budgets is trained. So
    an algorithm is one method, `suggest`; it may look at `finished()`, and
    override `choose`, `observe` and `observe_failure`.

    Proposals depend on the seed, on the number of the trial and on what has
    finished, and on nothing else. A run that is continued therefore proposes
    what it would have proposed without the interruption, as long as trials
    run one at a time.

    Args:
        space: What is searched.
        budgets: What a design may cost. No design above is ever trained.
        objective: The metric that is the accuracy, a `keras_tuner.Objective`
            to maximise or its name. Defaults to `accuracy_int8`.
        reward: `hard`, `soft`, `absolute` or a `Reward`: what a trial is
            scored by. Its targets default to the budgets.
        max_trials: Most trials to run; `None` is no limit.
        proposals: Most candidates to price at once.
        seed: Non-negative integer. `None` draws one, kept with the run.
        searched: One of `scope.SEARCHED`: both sides together, one of them,
            one after the other, or networks with their best accelerators.
        fixed: The side that is not searched, or where a phased search
            starts: a genome, or values by name. What it leaves open is drawn
            until the design meets the budgets.
        initial_designs: Designs to try first: genomes, or mappings of
            parameter names to values. What a mapping leaves open, for example
            the accelerator of a published network, is drawn until the design
            meets the budgets. One that never does is skipped.
        allow_new_entries: Whether a hypermodel may add hyperparameters.
        tune_new_entries: Whether those are drawn at random, or keep their
            default.
        max_retries_per_trial: How often to repeat a trial that fails.
        max_consecutive_failed_trials: Failures in a row for the same reason
            that end the search.
        estimate: Prices `space.batch(genomes)`; defaults to the cost model.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        space: SearchSpace,
        budgets: Budgets | None = None,
        *,
        objective: str | keras_tuner.Objective | None = None,
        reward: str | objectives.Reward = "hard",
        max_trials: int | None = 100,
        proposals: int = 2048,
        seed: int | None = None,
        searched: str = "joint",
        fixed: Mapping[str, Any] | np.ndarray | None = None,
        initial_designs: Sequence[Mapping[str, Any] | np.ndarray] = (),
        allow_new_entries: bool = True,
        tune_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
        estimate: Callable[..., Any] | None = None,
    ) -> None:
        if max_trials is not None:
            configuration.at_least("max_trials", max_trials, 1)
        if seed is not None:
            configuration.at_least("seed", seed, 0)
        super().__init__(
            objective=objectives.accuracy_objective(objective),
            max_trials=max_trials,
            hyperparameters=space.hyperparameters(),
            allow_new_entries=allow_new_entries,
            tune_new_entries=tune_new_entries,
            seed=seed,
            max_retries_per_trial=configuration.at_least(
                "max_retries_per_trial", max_retries_per_trial, 0
            ),
            max_consecutive_failed_trials=configuration.at_least(
                "max_consecutive_failed_trials",
                max_consecutive_failed_trials,
                1,
            ),
        )
        self.space = space
        self.budgets = budgets or Budgets()
        self.reward = objectives.get(reward, self.budgets)
        self.proposals = configuration.at_least("proposals", proposals, 1)
        self._requested_seed = seed
        # KerasTuner takes seed 0 for none.
        drawn = int(np.random.default_rng().integers(2**31))
        self.seed = drawn if seed is None else int(seed)
        self._initial_genes = [fixed_genes(space, d) for d in initial_designs]
        self.archive = ParetoArchive(self.objective.name)
        self.stop_reason: str | None = None
        self._pricer = Pricer(space, self.proposals, estimate)
        self._scope = Scope(
            space,
            self._pricer,
            self.budgets,
            self.reward,
            searched=searched,
            fixed=fixed,
            max_trials=max_trials,
            seed=self.seed,
        )
        self._finished: dict[str, Finished] = {}
        self._failed: list[np.ndarray] = []
        self._genomes: dict[str, np.ndarray] = {}

    # What an algorithm defines.

    def suggest(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Suggests candidates for one trial, the best first.

        Args:
            rng: The only source of chance to use.
            n: How many can be priced at once.

        Returns:
            `[N, P]` integer genomes. They need not be canonical, new,
            feasible or within what is searched: the oracle takes care of
            that.
        """
        raise NotImplementedError

    def choose(
        self,
        rng: np.random.Generator,
        genomes: np.ndarray,
        costs: dict[str, np.ndarray],
    ) -> int:
        """Chooses what to train; by default what was suggested first.

        Args:
            rng: The only source of chance to use.
            genomes: `[K, P]`, all new and feasible, in suggested order.
            costs: What they cost, `[K]` each.

        Returns:
            An index below `K`.
        """
        return 0

    def observe(
        self, genome: np.ndarray, metrics: dict[str, float], reward: float
    ) -> None:
        """Called once for every completed trial, in the order they end.

        A run that is continued calls it again for the trials so far, so an
        algorithm need not save what it learns here.
        """

    def observe_failure(self, genome: np.ndarray, reason: str) -> None:
        """Like `observe`, for a trial that failed for good."""

    def observe_costs(self, genomes: np.ndarray, rewards: np.ndarray) -> None:
        """Learns from designs that were priced, but not trained; optional.

        `two_level` calls it between calls of `suggest` for one trial. A run
        that is continued does not call it again, so that what is learnt here
        must not outlast the next `observe` or `observe_failure`.

        Args:
            genomes: `[N, P]`, canonical.
            rewards: `[N]` what they are worth by their costs alone.
        """

    # What it can rely on.

    @property
    def remarks(self) -> list[str]:
        """Lines that a summary of the search should have."""
        return []

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

    def hold(self, genomes: Any) -> np.ndarray:
        """Gives designs the genes that the next trial does not choose.

        Args:
            genomes: `[N, P]` choice indices.

        Returns:
            `[N, P]`; with a side that is held fixed, all have the same.
        """
        finished = self.finished()
        best = max(finished, key=lambda trial: trial.reward, default=None)
        return self._scope.hold(genomes, len(self.trials), best and best.genome)

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
        return {**self.trial_costs(trial), **durable.reported(trial)}

    def check_feasible(self) -> None:
        """Makes sure, before anything is trained, that the budgets can be met.

        Prices random and extreme designs, and descends from those closest to
        the budgets; a small space is priced completely.

        Raises:
            ValueError: If none of them meets the budgets, see
                `Budgets.explain`.
        """
        rng = np.random.default_rng([self.seed, _CHECK])
        screen = Screen(self.space, self._pricer, self.budgets)
        largest = np.asarray(self.space.choice_counts) - 1
        first = [np.stack([np.zeros_like(largest), largest])]
        first += [
            complete(self.space, rng, genes, self.proposals)
            for genes in self._initial_genes
        ]
        wider = screen.wider(rng, self.proposals, self._designs)
        for proposals in itertools.chain(first, wider):
            if len(screen.admit(self.hold(proposals))[0]):
                return
        raise ValueError(screen.explain())

    # How KerasTuner drives it.

    def create_trial(self, tuner_id: str) -> Trial:
        """Creates a trial of a new design within the budgets.

        Raises:
            ValueError: If there has been no trial, and can be none because
                nothing meets the budgets.
        """
        trial = super().create_trial(tuner_id)
        if trial.status == TrialStatus.STOPPED and not self.trials:
            self.check_feasible()
        return trial

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Finds the design of the next trial; called by `create_trial`."""
        rng = np.random.default_rng([self.seed, len(self.trials)])
        genome = self._propose(rng)
        if genome is None:
            count = len(self.trials)
            self.stop_reason = (
                f"all {count} designs within the budgets have been tried"
                if self._designs is not None
                else f"no new design within the budgets found after {count}"
            )
            logging.info("The search ends: %s.", self.stop_reason)
            return {"status": TrialStatus.STOPPED}
        values = self._with_new_entries(self.space.values(genome), rng)
        return {"status": TrialStatus.RUNNING, "values": values}

    def score_trial(self, trial: Trial) -> None:
        """Gives a trial its reward; NaN if its accuracy is no number."""
        name = self.objective.name
        accuracy = durable.reported(trial).get(name, math.nan)
        if math.isfinite(accuracy):
            costs = self.trial_costs(trial)
            trial.score = float(self.reward(accuracy, costs))
            trial.best_step = trial.metrics.get_best_step(name)
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
        result = Finished(
            self.trial_genome(trial), self.trial_metrics(trial), trial.score
        )
        self._finished[trial.trial_id] = result
        self.archive.add(trial.trial_id, result.metrics)
        self.observe(*result)

    def get_state(self) -> dict[str, Any]:
        """The state beside the trials, as plain JSON."""
        return {
            **super().get_state(),
            "space_fingerprint": self.space.fingerprint,
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
        self._drop_infeasible()
        self.archive = ParetoArchive(self.objective.name)
        ended = [self.trials[i] for i in self.end_order]
        ended = [trial for trial in ended if trial.hyperparameters.values]
        if not ended:
            return
        genomes = np.stack([self.trial_genome(trial) for trial in ended])
        self._pricer.remember(genomes, self._pricer.price(genomes))
        for trial in ended:
            if trial.status == TrialStatus.COMPLETED:
                self._score_again(trial)
            self.on_trial_ended(trial)

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

    # How a design is found.

    def _propose(self, rng: np.random.Generator) -> np.ndarray | None:
        tried = [
            self.trial_genome(trial)
            for trial in self.trials.values()
            if trial.hyperparameters.values
        ]
        screen = Screen(self.space, self._pricer, self.budgets, tried)
        for proposals in self._rounds(rng, screen):
            within = (
                self._scope.pair(rng, proposals, tried)
                if self._scope.searched == "nested"
                else self.hold(proposals)
            )
            genomes, costs = screen.admit(within)
            if len(genomes):
                index = self.choose(rng, genomes, costs)
                chosen = {
                    name: values[[index]] for name, values in costs.items()
                }
                self._pricer.remember(genomes[[index]], chosen)
                return genomes[index]
        return None

    def _rounds(
        self, rng: np.random.Generator, screen: Screen
    ) -> Iterator[np.ndarray]:
        """Proposals, until one is new and feasible."""
        for genes in self._initial_genes[len(self.trials) :][:1]:
            yield complete(self.space, rng, genes, self.proposals)
        for _ in range(SUGGESTIONS):
            yield self.suggest(rng, self.proposals)
        yield from screen.wider(rng, self.proposals, self._designs)

    @functools.cached_property
    def _designs(self) -> np.ndarray | None:
        return all_designs(self.space)

    def _with_new_entries(
        self, values: Mapping[str, Any], rng: np.random.Generator
    ) -> dict[str, Any]:
        """Adds the hyperparameters that are not part of the space."""
        chosen = keras_tuner.HyperParameters()
        chosen.values = dict(values)
        for entry in self.hyperparameters.space:
            chosen.merge([entry], overwrite=False)
            if entry.name not in values and chosen.is_active(entry):
                seed = int(rng.integers(2**31))
                chosen.values[entry.name] = entry.random_sample(seed)
        return dict(chosen.values)
