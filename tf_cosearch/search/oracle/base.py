"""What every search algorithm stands on: proposals within the budgets."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras_tuner
import numpy as np
from absl import logging
from keras_tuner.engine.trial import Trial, TrialStatus

from tf_cosearch import configuration
from tf_cosearch.search import budgets as budgets_lib
from tf_cosearch.search import objectives
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.genomes import all_designs, complete, fixed_genes
from tf_cosearch.search.oracle import published_starts
from tf_cosearch.search.oracle import warm_start as warm_start_files
from tf_cosearch.search.oracle.history import Finished as Finished
from tf_cosearch.search.oracle.history import HistoryOracle
from tf_cosearch.search.oracle.screening import Screen
from tf_cosearch.search.pricing import Pricer
from tf_cosearch.search.scope import Scope

if TYPE_CHECKING:
    from tf_cosearch.search.space import SearchSpace

SUGGESTIONS = 3
"""Times that an algorithm is asked before the screen looks elsewhere."""

_CHECK = 2**32 - 1  # trial numbers nobody reaches
_STARTS = 2**32 - 4


class CoSearchOracle(HistoryOracle):
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
            trials.csv: what is known, also with other budgets. See
            `HistoryOracle`.
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

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        space: SearchSpace,
        budgets: Budgets | None = None,
        *,
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
        accuracy = objectives.accuracy_objective(objective)
        budgets = budgets_lib.given(budgets) or Budgets()
        self.proposals = configuration.at_least("proposals", proposals, 1)
        earlier = None
        if warm_start is not None:
            measured = objectives.names(accuracy)
            earlier = warm_start_files.read(warm_start, space, measured)
        if not (estimate is None or callable(estimate)):
            raise ValueError(
                f"`estimate` must be a function. Received: {estimate!r}."
            )
        super().__init__(
            space,
            budgets,
            objectives.get(reward, budgets),
            Pricer(space, self.proposals, estimate),
            earlier,
            objective=accuracy,
            max_trials=max_trials,
            hyperparameters=_with_space(space, hyperparameters),
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
        self._initial_genes = [fixed_genes(space, d) for d in initial_designs]
        if start_from and searched == "accelerator":
            raise ValueError(
                "`start_from` must be for a search of networks. Received: "
                f"{start_from} for one of accelerators. Give the network as "
                "`fixed`."
            )
        self._start_networks = published_starts.encode(space, start_from)
        self.stop_reason: str | None = None
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

    def hold(self, genomes: Any) -> np.ndarray:
        """Gives designs the genes that the next trial does not choose.

        Args:
            genomes: `[N, P]` choice indices.

        Returns:
            `[N, P]`; with a side that is held fixed, all have the same.
        """
        finished = self.finished()
        best = max(finished, key=lambda trial: trial.reward, default=None)
        return self._scope.hold(genomes, self.num_own, best and best.genome)

    def check_feasible(self) -> None:
        """Makes sure, before anything is trained, that limits can be met.

        Prices random and extreme designs, and descends from those closest to
        the budgets; a small space is priced completely. So for targets of the
        reward that are others than the budgets.

        Raises:
            ValueError: If none of them meets the budgets, or the targets, see
                `Budgets.explain`.
        """
        self._require_reachable(self.budgets)
        targets = self.reward.targets or self.budgets
        if targets.limits().items() <= self.budgets.limits().items():
            return
        try:
            self._require_reachable(targets)
        except ValueError as error:
            raise ValueError(
                "Targets of the reward must be within reach, as budgets. "
                f"{error}"
            ) from None

    def _require_reachable(self, budgets: Budgets) -> None:
        rng = np.random.default_rng([self.seed, _CHECK])
        screen = Screen(self.space, self._pricer, budgets)
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
        self.take_known()
        trial = super().create_trial(tuner_id)
        if trial.status == TrialStatus.STOPPED and not self.num_own:
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
        for genes in self._initial_genes[self.num_own :][:1]:
            yield complete(self.space, rng, genes, self.proposals)
        if self._start_networks and 0 not in self._scope.held(self.num_own):
            yield from self._starts[:, None]
        for _ in range(SUGGESTIONS):
            yield self.suggest(rng, self.proposals)
        yield from screen.wider(rng, self.proposals, self._designs)

    @functools.cached_property
    def _starts(self) -> np.ndarray:
        """`[S, P]` designs of the networks to start from."""
        rng = np.random.default_rng([self.seed, _STARTS])
        networks = np.asarray(list(self._start_networks.values()))
        designs = self._scope.best_pairs(rng, networks)
        within = self.budgets.is_feasible(self.costs(self.hold(designs)))
        for name, fits in zip(self._start_networks, within, strict=True):
            if not fits:
                logging.warning(
                    "%s meets the budgets on no accelerator that may be "
                    "chosen; the search does not start from it.",
                    name,
                )
        return designs[within]

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


def _with_space(
    space: SearchSpace, others: keras_tuner.HyperParameters | None
) -> keras_tuner.HyperParameters:
    """The hyperparameters of a space, and others beside them."""
    all_of_them = space.hyperparameters()
    entries = [] if others is None else others.space
    names = {parameter.name for parameter in space.parameters}
    for entry in entries:
        if entry.name in names:
            raise ValueError(
                "`hyperparameters` must be others than those of the space. "
                f"Received: {entry.name}. Restrict it in the space, or hold "
                "its side with `searched` and `fixed`."
            )
    all_of_them.merge(entries)
    return all_of_them
