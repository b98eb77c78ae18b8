"""The KerasTuner oracle of a joint search, made of parts.

KerasTuner asks an oracle for trials and tells it their results; `DurableOracle`
adds what KerasTuner lacks, so that no kill loses a trial. That is what an
oracle is, and the one base class. What a search is made of, the oracle holds:

- an `Algorithm`, which suggests and observes, and knows nothing of KerasTuner;
- a `Scope`: what may be chosen;
- a `Scoring`: which design a trial is, and what it is worth;
- `Proposals`, which bring suggestions through scope and screen;
- a `History` of results, and the Pareto archive;
- an `EarlierSearch`, until its trials have been entered here.

Parts are held, not inherited, so that each can be read, tested and exchanged
alone, and so that an algorithm inside another one is the same as on its own.
All but the last are made anew when a run is continued.
"""

from __future__ import annotations

import dataclasses
import math
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras_tuner
import numpy as np
from absl import logging
from keras_tuner.engine.trial import Trial, TrialStatus

from tf_cosearch import configuration
from tf_cosearch.identity import AnotherRunError, Identity
from tf_cosearch.metrics.values import Values
from tf_cosearch.search import algorithms, measured, objectives
from tf_cosearch.search import budgets as budgets_lib
from tf_cosearch.search import space as space_lib
from tf_cosearch.search.algorithms.algorithm import Algorithm
from tf_cosearch.search.algorithms.shrinking import ShrunkSpace
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.correction import Correction
from tf_cosearch.search.genomes import check, fixed_genes
from tf_cosearch.search.oracle import (
    durable,
    known_trials,
    published_starts,
)
from tf_cosearch.search.oracle import hyperparameters as hyperparameters_lib
from tf_cosearch.search.oracle import warm_start as warm_start_lib
from tf_cosearch.search.oracle.known_trials import KnownDesign, is_known
from tf_cosearch.search.oracle.proposals import Proposals
from tf_cosearch.search.oracle.scoring import Scoring
from tf_cosearch.search.oracle.state import OriginState
from tf_cosearch.search.oracle.warm_start import EarlierSearch
from tf_cosearch.search.pareto import ParetoArchive
from tf_cosearch.search.pricing import Pricer
from tf_cosearch.search.problem import (
    Estimates,
    History,
    Problem,
)
from tf_cosearch.search.scope import Scope

if TYPE_CHECKING:
    from tf_cosearch.search.space import SearchSpace


class CoSearchOracle(durable.DurableOracle):
    """A KerasTuner oracle over joint designs, screened by the cost model.

    For every trial an algorithm suggests genomes, thousands if it likes. They
    are priced together, and only a new one within the budgets is trained.

    Proposals depend on the seed, on the number of the trial and on what has
    finished, and on nothing else. A run that is continued therefore proposes
    what it would have proposed without the interruption, as long as trials
    run one at a time.

    What an earlier search finished becomes a completed trial of this one: it
    teaches algorithms and may be the best, but is not trained again and not
    counted in `max_trials`. Its costs are priced here.

    Args:
        space: What is searched.
        algorithm: Who suggests: a name of `algorithms.names()`, an
            `Algorithm`, or a class of them.
        budgets: What a design may cost. No design above is ever trained.
        algorithm_options: Options of the algorithm, unless it is made.
        objective: The metric that is the accuracy, a `keras_tuner.Objective`
            to maximise or its name; of a list of them, their sum. Defaults to
            `accuracy_int8`.
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
        start_from: Networks to try after those, each with its exact best
            accelerator: names of published ones, or YAML files, that the
            space holds. One that meets the budgets on none is skipped.
        warm_start: Folder of an earlier search of the space, or its
            trials.csv: what is known, also with other budgets.
        hyperparameters: Those of a user's own model beside the space, if they
            are to be known in advance. They are drawn at random, and for a
            `keras_tuner.Tuner` alone: a `CoSearchTuner` refuses them.
        allow_new_entries: Whether such a model may add hyperparameters.
        tune_new_entries: Whether those that it adds are drawn at random, or
            keep their default.
        max_retries_per_trial: How often to repeat a trial that fails.
        max_consecutive_failed_trials: Failures in a row for the same reason
            that end the search.
        estimate: Prices `space.batch(genomes)`; defaults to the cost model.

    Attributes:
        algorithm: The one at work; it has observed all of the history.
        history: The trials so far, as algorithms see them.
        archive: The Pareto front of all that is known and within budgets.
        own_trials: Most trials of this search, `None` without a limit;
            `max_trials` counts the known ones in, as KerasTuner does.
        earlier: What is known before the search begins, `None` once it has
            become trials.
        identity: What trials must have in common to be compared.
        asked: The arguments that say where to look.
        measures: Names of costs that an evaluator measures in each trial.
        stop_reason: Why nothing more is proposed; `None` as long as it is.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        space: SearchSpace,
        algorithm: str | Algorithm | type[Algorithm] = "grey_box",
        budgets: Budgets | None = None,
        *,
        algorithm_options: Mapping[str, Any] | None = None,
        objective: Any = None,
        reward: str | objectives.Reward = "hard",
        max_trials: int | None = 100,
        proposals: int = 2048,
        seed: int | None = None,
        searched: str = "joint",
        fixed: Mapping[str, Any] | np.ndarray | None = None,
        initial_designs: Sequence[Mapping[str, Any] | np.ndarray] = (),
        start_from: Sequence[str] = (),
        warm_start: str | os.PathLike[str] | None = None,
        hyperparameters: keras_tuner.HyperParameters | None = None,
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
        if not (estimate is None or callable(estimate)):
            raise ValueError(
                f"`estimate` must be a function. Received: {estimate!r}."
            )
        if not space.parameters:
            raise ValueError(
                f"A search must have choices. Received: {space.name}, whose "
                "network and accelerator are all fixed. Give a parameter a "
                "list, or a hyperparameter values."
            )
        accuracy = objectives.accuracy_objective(objective)
        self._unused = algorithms.make(algorithm, algorithm_options or {})
        self.space = space
        self.budgets = budgets_lib.given(budgets) or Budgets()
        self.reward = objectives.get(reward, self.budgets)
        self.proposals = configuration.at_least("proposals", proposals, 1)
        self.prices = Pricer(space, self.proposals, estimate)
        self.own_trials = max_trials
        self.identity = Identity(space_lib.describe(space))
        self.stop_reason: str | None = None
        self.earlier: EarlierSearch | None = None
        if warm_start is not None:
            needed = objectives.names(accuracy)
            self.earlier = warm_start_lib.read(warm_start, space, needed)
        super().__init__(
            objective=accuracy,
            max_trials=max_trials,
            hyperparameters=hyperparameters_lib.beside(space, hyperparameters),
            allow_new_entries=allow_new_entries,
            tune_new_entries=tune_new_entries,
            # KerasTuner would draw one from Python's own random numbers, which
            # are the user's, and takes 0 for none.
            seed=1,
            max_retries_per_trial=configuration.at_least(
                "max_retries_per_trial", max_retries_per_trial, 0
            ),
            max_consecutive_failed_trials=configuration.at_least(
                "max_consecutive_failed_trials",
                max_consecutive_failed_trials,
                1,
            ),
        )
        self._requested_seed = seed
        drawn = int(np.random.default_rng().integers(2**31))
        self.seed = drawn if seed is None else int(seed)
        if start_from and searched == "accelerator":
            raise ValueError(
                "`start_from` must be for a search of networks. Received: "
                f"{start_from} for one of accelerators. Give the network as "
                "`fixed`."
            )
        self.asked: dict[str, Any] = {
            "searched": searched,
            "fixed": fixed,
            "initial_designs": initial_designs,
            "start_from": start_from,
            "proposals": proposals,
            "estimate": estimate,
        }
        self.measures: tuple[str, ...] = ()
        self._measure: Callable[..., dict[str, float]] | None = None
        self._choices: Sequence[Sequence[int]] = ()
        self._estimates: Estimates | None = None
        self._initial = [fixed_genes(space, d) for d in initial_designs]
        self._networks = published_starts.encode(space, start_from)
        self._scoring = Scoring(
            space, self.prices, self.budgets, self.reward, self.objective
        )
        self._held: dict[str, list[int]] = {}
        self._origins: dict[str, OriginState] = {}
        self._begin()

    def _begin(self) -> None:
        """Makes the parts that a search begins with, or is continued with."""
        space, budgets, prices = self.space, self.budgets, self.prices
        self.history = History(self._pending, lambda: len(self.trials))
        self.archive = ParetoArchive(self.objective.name, budgets.compared())
        scope = Scope(
            space,
            prices,
            budgets,
            self.reward,
            searched=self.asked["searched"],
            fixed=self.asked["fixed"],
            max_trials=self.own_trials,
            seed=self.seed,
            held=self._held,
        )
        self._proposals = Proposals(
            space,
            prices,
            budgets,
            scope,
            seed=self.seed,
            batch=self.proposals,
            number=lambda: self.num_own,
            best=self._best,
            initial=self._initial,
            networks=self._networks,
            shrunk=ShrunkSpace(space, self._choices) if self._choices else None,
            inside=() if self._estimates is None else self._estimates.genomes,
        )
        self.algorithm = self._unused.on(
            Problem(
                space=space,
                budgets=budgets,
                reward=self.reward,
                accuracy=self.objective.name,
                max_trials=self.own_trials,
                seed=self.seed,
                prices=prices,
                history=self.history,
                hold=self._proposals.hold,
                suggested=self._proposals.suggested,
                screened=self._proposals.screened,
                estimates=self._estimates,
            )
        )

    def _pending(self) -> list[np.ndarray]:
        return self._scoring.genomes(
            trial
            for trial in self.trials.values()
            if trial.trial_id not in self.end_order
        )

    def _best(self) -> np.ndarray | None:
        best = self.history.best()
        return None if best is None else best.genome

    # What a trial is, and what it is worth.

    def costs(self, genomes: Any) -> Values:
        """Prices designs with the cost model.

        Args:
            genomes: `[N, P]` choice indices.

        Returns:
            `[N]` float64 numbers for each scalar of `Cost`, and the metrics
            that follow.
        """
        return self.prices(genomes)

    def trial_genome(self, trial: Trial) -> np.ndarray:
        """The `[P]` canonical genome of a trial of this search."""
        return self._scoring.genome(trial)

    def trial_costs(self, trial: Trial) -> dict[str, float]:
        """What the design of a trial costs, as measured or as predicted."""
        return self._scoring.costs(trial)

    def trial_metrics(self, trial: Trial) -> dict[str, float]:
        """What its design costs and what it reported, which goes first."""
        return self._scoring.metrics(trial)

    def get_best_trials(self, num_trials: int = 1) -> list[Trial]:
        """The best trials, as KerasTuner's; none that is over budget.

        A run may have such trials from another time, with other budgets.
        """
        return [
            trial
            for trial in super().get_best_trials(len(self.trials))
            if trial.status != TrialStatus.COMPLETED
            or self.budgets.is_feasible(
                {**self.trial_metrics(trial), **self.trial_costs(trial)}
            )
        ][:num_trials]

    @property
    def num_known(self) -> int:
        """Number of trials that an earlier search has trained."""
        return sum(map(is_known, self.trials.values()))

    @property
    def num_own(self) -> int:
        """Number of trials begun that are this search's own."""
        return len(self.trials) - self.num_known

    def check_feasible(self) -> None:
        """Makes sure, before anything is trained, that limits can be met.

        Prices random and extreme designs, and descends from those closest to
        the budgets; a small space is priced completely. So for targets of the
        reward that are others than the budgets.

        Raises:
            ValueError: If none of them meets the budgets, or the targets, see
                `Budgets.explain`.
        """
        self._proposals.check_feasible(self.budgets, self.reward.targets)

    # How KerasTuner drives it.

    def create_trial(self, tuner_id: str) -> Trial:
        """Creates a trial of a new design within the budgets.

        Raises:
            ValueError: If there has been no trial, and can be none because
                nothing meets the budgets.
        """
        self.take_known()
        trial = super().create_trial(tuner_id)
        if trial.status == TrialStatus.STOPPED and not self.num_own:
            self.check_feasible()
            if self._proposals.asked:
                raise ValueError(
                    "Some design must meet the budgets. Received: "
                    f"{self._proposals.asked} that may by what is predicted, "
                    "each over a budget by what the evaluator says. Relax the "
                    "budgets."
                )
        names = measured.compared(self.measures)
        if names and trial.status == TrialStatus.RUNNING:
            with durable.locked(self):
                costs = self.trial_costs(trial)
                measured.note(trial, measured.predicted(costs, names))
        return trial

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Finds the design of the next trial; called by `create_trial`."""
        rng = np.random.default_rng([self.seed, len(self.trials)])
        self.prices.reach.begin(len(self.trials))
        tried = self._scoring.genomes(self.trials.values())
        genome = self._proposals.propose(rng, tried, self.algorithm.suggest)
        if genome is None:
            count = len(self.trials)
            asked = self._proposals.asked
            self.stop_reason = (
                f"{asked} more that may be within the budgets are not, says "
                "the evaluator"
                if asked
                else f"all {count} designs within the budgets have been tried"
                if self._proposals.designs is not None
                else f"no new design within the budgets found after {count}"
            )
            logging.info("The search ends: %s.", self.stop_reason)
            return {"status": TrialStatus.STOPPED}
        values = hyperparameters_lib.complete(
            self.space.values(genome), self.hyperparameters, rng
        )
        self._origins[trial_id] = self._origin(genome)
        return {"status": TrialStatus.RUNNING, "values": values}

    def _origin(self, genome: np.ndarray) -> OriginState:
        """Who has just proposed a design, and what it was made of."""
        by, how = type(self.algorithm).__name__, self._proposals.how
        if how is not None:
            return {"by": by, "how": how, "parents": []}
        origin = self.algorithm.origin(genome)
        ids = {}
        if origin.parents:
            ids = {
                self.trial_genome(trial).tobytes(): trial_id
                for trial_id, trial in self.trials.items()
                if trial.hyperparameters.values
            }
        genomes = [parent.tobytes() for parent in origin.parents]
        parents = [ids[parent] for parent in genomes if parent in ids]
        return {"by": by, "how": origin.how, "parents": parents}

    def trial_state(self, trial: Trial) -> dict[str, Any]:
        """What a trial's file holds: who proposed it, too."""
        state = super().trial_state(trial)
        if trial.trial_id in self._origins:
            state["origin"] = self._origins[trial.trial_id]
        return state

    def score_trial(self, trial: Trial) -> None:
        """Gives a trial its reward; NaN if its accuracy is no number."""
        self._scoring.score(trial)

    def on_trial_ended(self, trial: Trial) -> None:
        """Enters a trial into the history and tells the algorithm."""
        result = self._scoring.result(trial)
        known = self.trial_metrics(trial)
        # What is over a budget must not push out what is within.
        if not result.failure and self.budgets.is_feasible(known):
            self.archive.add(trial.trial_id, known)
        self.history.add(result)
        self.algorithm.observe(result)

    # Who measures.

    def measure_by(
        self,
        described: Mapping[str, Any],
        costs: Sequence[str],
        measure: Callable[[np.ndarray, str], dict[str, float]] | None = None,
    ) -> None:
        """Lets an evaluator say what designs cost, before a search begins.

        Args:
            described: What tells the evaluator from others, as plain JSON.
            costs: Names of what it measures in each trial.
            measure: Measures a design whose files are known from an earlier
                search, from genome and folder to what its trial reports.
        """
        self.identity = dataclasses.replace(self.identity, evaluator=described)
        self.measures, self._measure = tuple(costs), measure
        self.prices.correction = Correction(measured.compared(costs))

    # Another search of the same before this one.

    def counterpart(
        self,
        algorithm: Algorithm | None,
        objective: str,
        max_trials: int,
        choices: Sequence[Sequence[int]] = (),
        initial_designs: Sequence[Mapping[str, Any]] = (),
    ) -> CoSearchOracle:
        """An oracle of the same search by an accuracy that costs less.

        Args:
            algorithm: Who suggests there; by default as here.
            objective: The name of that accuracy.
            max_trials: Most trials of it.
            choices: The genes that are left of each parameter of the network,
                all by default.
            initial_designs: What to try after those of this search.
        """
        first = [*self.asked["initial_designs"], *initial_designs]
        oracle = CoSearchOracle(
            self.space,
            algorithm or self._unused,
            self.budgets,
            objective=objective,
            reward=self.reward,
            max_trials=max_trials,
            seed=self.seed,
            **{**self.asked, "initial_designs": first},
        )
        oracle.prices.limit_as(self.prices)
        oracle._choices, oracle._held = choices, {**self._held}
        oracle._begin()
        return oracle

    def expect(
        self, estimates: Estimates, algorithm: Algorithm | None = None
    ) -> None:
        """Tells algorithms what designs are thought to reach.

        From now on nothing is proposed whose choices the estimates have
        dropped, but what was to be tried first.

        Args:
            estimates: Of some designs, for example those of a counterpart.
            algorithm: Who suggests from now on; by default as before.
        """
        with durable.locked(self):
            self._estimates, self._choices = estimates, estimates.choices
            self._unused = algorithm or self._unused
            self._begin_again()

    # What an earlier search has left.

    def take_known(self) -> None:
        """Enters what an earlier search has trained, once, as trials."""
        with durable.locked(self):
            if self.earlier is None:
                return
            tried = self._scoring.genomes(self.trials.values())
            before = {genome.tobytes() for genome in tried}
            new = [
                design
                for design in self.earlier.designs
                if design.genome.tobytes() not in before
            ]
            self._scoring.price([design.genome for design in new])
            most = (self.own_trials or 0) + self.num_known + len(new)
            for design in new:
                number = f"{len(self.trials):0{len(str(most))}d}"
                self._enter(number, design, self.earlier.source)
            self.earlier = None
            self._make_room()
            self.save()

    def _enter(
        self, trial_id: str, design: KnownDesign, source: pathlib.Path
    ) -> None:
        trial = known_trials.trial_of(
            design._replace(metrics=measured.without(design.metrics)),
            source,
            trial_id,
            self.space,
            self.hyperparameters,
            self.prices.of(design.genome),
        )
        folder = self._get_trial_dir(trial_id)
        known_trials.copy_files(design, folder)
        if self._measure is not None:
            measured.note(trial, self._measure(design.genome, folder))
        self.score_trial(trial)
        self._save_trial(trial)  # last, so that a kill leaves no half of it
        self.trials[trial_id] = trial
        self.start_order.append(trial_id)
        self.end_order.append(trial_id)
        self.on_trial_ended(trial)

    def _make_room(self) -> None:
        # KerasTuner counts all trials.
        if self.own_trials is not None:
            self.max_trials = self.own_trials + self.num_known

    def identify(
        self,
        data: Mapping[str, Any],
        training: Mapping[str, Any],
        versions: Mapping[str, str] | None = None,
    ) -> None:
        """Says what its trials have in common, so that they can be compared.

        Args:
            data: What tells the data from others, as plain JSON.
            training: The settings of the training.
            versions: Of the packages that train.

        Raises:
            AnotherRunError: If this run, or the earlier search that it knows
                of, has had others.
        """
        evaluator = self.identity.evaluator
        now = Identity(self.identity.space, data, training, versions, evaluator)
        if self.trials:
            self._require_same(now, self.identity)
        if self.earlier is not None:
            self.earlier.require_comparable(now)
        self.identity = now

    def _require_same(self, now: Identity, before: Identity) -> None:
        now.require_same(
            before,
            "A search must be continued with the space, data, training and "
            "evaluator it was begun with",
            self._project_dir,
            "another folder, or overwrite=True (--overwrite)",
        )

    def __getstate__(self) -> dict[str, Any]:
        """Sent without who proposes, and what only proposals need."""
        state = super().__getstate__()
        if not self.is_sending:
            return state
        proposing = ("algorithm", "history", "archive", "_proposals", "_unused")
        others = ("earlier", "_estimates", "_choices")
        return {**state, **dict.fromkeys(proposing + others)}

    # How a run is continued.

    def get_state(self) -> dict[str, Any]:
        """The state beside the trials, as plain JSON."""
        return {
            **super().get_state(),
            "identity": dataclasses.asdict(self.identity),
            "settings": self._settings(),
            "held": self._held,
        }

    def _settings(self) -> dict[str, Any]:
        return {
            "algorithm": type(self.algorithm).__name__,
            "searched": self.asked["searched"],
            "objective": self.objective.name,
            "reward": repr(self.reward),
            "budgets": self.budgets.limits(measured=True),
            "max_trials": self.own_trials,
            "max_hours": self.clock.max_hours,
            "start_from": [*map(str, self.asked["start_from"])],
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores `get_state`.

        Raises:
            AnotherRunError: If the state belongs to another space, or to an
                earlier version.
        """
        if "identity" not in state:
            raise AnotherRunError(
                "A run must be continued with the version it was begun with. "
                f"Received: {self._project_dir}, of an earlier one. Use "
                "another project_name, and its trials.csv as `warm_start`."
            )
        before = Identity.from_state(state["identity"])
        evaluator = self.identity.evaluator
        now = Identity(
            self.identity.space,
            # Nothing is compared before there is a trial.
            evaluator=evaluator if self.trials else None,
        )
        self._require_same(now, before)
        super().set_state(state)
        for name, genome in state.get("held", {}).items():
            self._held[name] = check(self.space, [genome])[0].tolist()
        if self._requested_seed is not None:
            self.seed = self._requested_seed
        configuration.at_least("seed", self.seed, 0)
        if self.identity.training is None:
            evaluator = evaluator or before.evaluator
            self.identity = dataclasses.replace(before, evaluator=evaluator)

    def reload(self) -> None:
        """Continues a run; budgets, reward and algorithm may have changed.

        Raises:
            ValueError: If the run belongs to another space, or its trials
                lack the objective.
        """
        super().reload()
        self._origins = {
            trial_id: trial.origin
            for trial_id, trial in self.trials.items()
            if getattr(trial, "origin", None)
        }
        # Another process may have gone on with it.
        self.prices.reach.keep_in(self._project_dir)
        self._scoring.forget()
        self._make_room()
        self._drop_infeasible()
        self._begin_again()

    def _begin_again(self) -> None:
        """Makes new parts and tells them all that has ended."""
        self._begin()
        ended = [self.trials[i] for i in self.end_order]
        ended = [trial for trial in ended if trial.hyperparameters.values]
        if not ended:
            return
        self._scoring.price([self.trial_genome(trial) for trial in ended])
        for trial in ended:
            if trial.status == TrialStatus.COMPLETED:
                self._score_again(trial)
            self.on_trial_ended(trial)

    def _set_project_dir(self, directory: Any, project_name: str) -> None:
        super()._set_project_dir(directory, project_name)
        self.prices.reach.keep_in(self._project_dir)

    def take(self, trial: Trial, failures: int) -> None:
        """See `DurableOracle.take`."""
        self._scoring.forget()
        super().take(trial, failures)

    def check_trial(self, trial: Trial) -> None:
        """Raises any error if a trial is none of a design of this space."""
        super().check_trial(trial)
        if trial.hyperparameters.values:
            self._scoring.forget(trial.trial_id)
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
