"""The search on a supernet: thousands of designs, none of which is trained."""

from __future__ import annotations

import functools
import hashlib
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from tf_cosearch.engines import chief, launch, worker
from tf_cosearch.engines.tuner import DurableTuner
from tf_cosearch.identity import Identity
from tf_cosearch.search import algorithms
from tf_cosearch.search.algorithms.algorithm import Algorithm
from tf_cosearch.search.oracle import durable
from tf_cosearch.search.oracle.oracle import CoSearchOracle
from tf_cosearch.search.problem import Estimates, Problem
from tf_cosearch.search.shortlist import Shortlist
from tf_cosearch.supernet.accuracies import ACCURACY
from tf_cosearch.supernet.evaluation import Evaluator
from tf_cosearch.supernet.options import SupernetOptions
from tf_cosearch.supernet.paths import CONTROLLERS
from tf_cosearch.supernet.progress import Clock
from tf_cosearch.supernet.supernet import Supernet
from tf_cosearch.supernet.weights import require_blocks
from tf_cosearch.training import settings
from tf_cosearch.training.inputs import Inputs

ALGORITHM = "nsga2"
"""Who suggests them if the algorithm of the search is too slow for so many."""

POPULATION = 50
"""Its parents, as many as HSCoNAS has; of fewer than 250 designs a fifth."""

FOLDER = "supernet"
"""Folder of the supernet, and of the search on it, within a project."""

_SEARCH = "search"


class SupernetSearch:
    """What comes before trainings: shared weights, and a search on them.

    Args:
        oracle: Of the search that trains designs. The search here is the same
            by another accuracy.
        source: How to train a supernet, or the folder of one.
        max_trials: Designs to evaluate.
        project: Folder of the search. A supernet that is trained here, and
            the search on it, are kept there.
        lease_seconds: As of `DurableTuner`.
        is_alone: Whether the best designs are trained, and no others.

    Attributes:
        algorithm: Who suggests trainings then; `None` if the oracle's does.

    Raises:
        ValueError: If the networks are not made of blocks.
    """

    def __init__(
        self,
        oracle: CoSearchOracle,
        source: SupernetOptions | str | os.PathLike[str],
        max_trials: int,
        project: str | os.PathLike[str],
        lease_seconds: float,
        is_alone: bool,
    ) -> None:
        self._oracle = oracle
        self.algorithm = Shortlist() if is_alone else None
        self._source = source
        self._max_trials = max_trials
        self._folder = pathlib.Path(project, FOLDER)
        self._lease_seconds = lease_seconds
        self._networks = oracle.space.network_space
        self._supernet: Supernet | None = None
        self._data: Inputs | None = None
        self._described: Mapping[str, Any] | None = None
        self._known: dict[tuple[int, ...], float] = {}
        require_blocks(self._networks)

    def prepare(
        self, data: Inputs, described: Mapping[str, Any] | None
    ) -> None:
        """Refuses what cannot be, before anything is trained.

        Args:
            data: What `inputs.prepare` returned.
            described: What tells the data from others.

        Raises:
            ValueError: If networks cannot share weights, there are too few
                images, or the supernet that is given, or that was begun here,
                is of another space, other data or options.
        """
        self._data, self._described = data, described
        if not isinstance(self._source, SupernetOptions):
            self._supernet = Supernet.load(
                self._source, self._networks, described
            )
        elif not launch.is_worker():
            supernet = Supernet(self._networks, self._source, self._oracle.seed)
            supernet.check(data, self._folder, described, self._goal)
            supernet.weights  # noqa: B018, says whether they can be shared
            self._supernet = supernet

    @property
    def weight_bytes(self) -> int:
        """Memory of the shared weights, as far as they are here already."""
        made = self._supernet
        return 0 if made is None else made.weights.bytes

    def run(self, verbose: int) -> Estimates | None:
        """Trains the weights, unless they are, and searches.

        Args:
            verbose: 0 is silent.

        Returns:
            What it estimated; nothing on a worker.

        Raises:
            RuntimeError: If evaluations keep failing for the same reason.
            FloatingPointError: If the training diverges.
            ValueError: If no design meets the budgets of what it shrank to.
        """
        self._report_unguarded(verbose)
        if launch.is_worker():
            worker.wait_for_chief(self._oracle)
        elif isinstance(self._source, SupernetOptions):
            with chief.busy(self._oracle, "trains a supernet"):
                self._trained.train(
                    self._inputs,
                    self._folder,
                    self._described,
                    verbose,
                    goal=self._goal,
                )
        choices = self._trained.choices if self._trained.remarks else ()
        oracle = self._oracle.counterpart(
            None if self._oracle.algorithm.is_quick else self._searcher(),
            ACCURACY,
            self._max_trials,
            choices,
            [self._known_values(each) for each in self._trained.designs],
        )
        self._report_shrinking(oracle)
        tuner = EvaluationTuner(
            oracle,
            self,
            verbose,
            directory=os.fspath(self._folder / _SEARCH),
            project_name=self._name(oracle),
            lease_seconds=self._lease_seconds,
        )
        for result in oracle.history.finished():  # before it was continued
            self._known[self._genes(result.genome)] = result.metrics[ACCURACY]
        tuner.run()
        if launch.is_worker():
            return None
        finished = oracle.history.finished()
        shape = (-1, len(oracle.space.parameters))
        return Estimates(
            np.asarray([r.genome for r in finished], np.int64).reshape(shape),
            np.asarray([r.metrics[ACCURACY] for r in finished]),
            choices,
        )

    @property
    def _goal(self) -> Problem | None:
        """What a controller that draws paths is to solve."""
        source = self._source
        if isinstance(source, SupernetOptions) and source.paths in CONTROLLERS:
            return self._oracle.algorithm.problem
        return None

    def _searcher(self) -> Algorithm:
        parents = min(POPULATION, max(4, self._max_trials // 5))
        return algorithms.make(ALGORITHM, {"population_size": parents})

    def _known_values(self, design: Mapping[str, Any]) -> dict[str, Any]:
        """What a design of a controller has for the choices there are here.

        Another search than that of the training may have other accelerators.
        """
        return {
            parameter.name: design[parameter.name]
            for parameter in self._oracle.space.parameters
            if design.get(parameter.name) in parameter.choices
        }

    def _report_unguarded(self, verbose: int) -> None:
        """Says, before the work, which budgets do not count in the ranking."""
        budgets = self._oracle.budgets
        names = budgets.limits(measured=True).keys() - budgets.limits().keys()
        if names and not launch.is_worker():
            _console(verbose).print(
                f"The supernet ranks designs whatever their "
                f"{' and '.join(sorted(names))}, which only trainings measure: "
                "those that are trained are held to the budget."
            )

    def _report_shrinking(self, oracle: CoSearchOracle) -> None:
        """Has a summary of the search say what is left, if that will do."""
        remarks = self._trained.remarks
        if self.algorithm is not None:
            self.algorithm.remarks = remarks
        if not remarks or launch.is_worker():
            return
        try:
            oracle.check_feasible()
        except ValueError as error:
            raise ValueError(
                "What a supernet's space has shrunk to must have designs "
                f"within the budgets. Received: {'; '.join(remarks)}. {error} "
                "Or train a supernet with fewer `shrink_stages`."
            ) from None

    def judge(self, genome: np.ndarray) -> dict[str, float]:
        """What the network of a design has on the shared weights, by name.

        Args:
            genome: `[P]`, canonical.
        """
        genes = self._genes(genome)
        if genes not in self._known:
            network = self._networks.decode(genes)
            self._known[genes] = self._evaluator.accuracy(network)
        return {ACCURACY: self._known[genes]}

    def _genes(self, genome: np.ndarray) -> tuple[int, ...]:
        """Of the network alone: accelerators do not matter to accuracy."""
        split = self._oracle.space.num_network_parameters
        return tuple(genome[:split].tolist())

    @functools.cached_property
    def _evaluator(self) -> Evaluator:
        return Evaluator(self._trained.weights, self._inputs)

    @property
    def _trained(self) -> Supernet:
        if self._supernet is None:  # a worker, which the chief has called
            self._supernet = Supernet.load(
                self._folder, self._networks, self._described
            )
        return self._supernet

    @property
    def _inputs(self) -> Inputs:
        if self._data is None:
            raise ValueError(
                "Accuracies must be of some data. Received: none. Call "
                "`prepare`."
            )
        return self._data

    def _name(self, oracle: CoSearchOracle) -> str:
        """What the search is called by: whatever it follows from.

        Others, of other budgets for example, may lie beside it.
        """
        if launch.is_worker():
            return "worker"  # which leaves nothing there
        algorithm = {
            name.strip("_"): value
            for name, value in vars(oracle.algorithm).items()
            if name != "problem"
        }
        digest = hashlib.blake2b(digest_size=8)
        for key in sorted(self._trained.weights.arrays):
            digest.update(self._trained.weights.arrays[key].tobytes())
        asked = {
            "weights": digest.hexdigest(),
            "budgets": oracle.budgets.limits(),
            "reward": oracle.reward,
            "algorithm": [type(oracle.algorithm), algorithm],
            "asked": oracle.asked,
        }
        return Identity({}, training=settings.plain(asked)).digest()[:12]


class EvaluationTuner(DurableTuner):
    """Evaluates designs on shared weights in the place of trainings.

    Args:
        oracle: Proposes.
        search: Has the weights.
        verbose: 0 is silent.
        **others: For `DurableTuner`.
    """

    def __init__(
        self,
        oracle: CoSearchOracle,
        search: SupernetSearch,
        verbose: int,
        **others: Any,
    ) -> None:
        super().__init__(oracle, **others)
        self._search = search
        self._console = _console(verbose)
        self._clock = Clock(self.co_oracle.max_trials)

    def on_search_begin(self) -> None:
        """Starts the clock; from now on the search can be continued."""
        self.save()
        done = len(self.co_oracle.end_order)
        self._clock = Clock(self.co_oracle.max_trials, done)

    def run_trial(self, trial: Any) -> dict[str, float]:
        """Evaluates the design of a trial."""
        genome = self.co_oracle.trial_genome(trial)
        return self._search.judge(genome)

    def on_trial_saved(self, trial: Any) -> None:
        """Prints a line of progress now and then."""
        done = len(self.co_oracle.end_order)
        left = self._clock.left(done)
        if left is None:
            return
        best = next(iter(self.co_oracle.get_best_trials(1)), None)
        value = 0.0 if best is None else durable.reported(best)[ACCURACY]
        self._console.print(
            f"{done}/{self.co_oracle.max_trials} designs evaluated on the "
            f"supernet  best of {value:.2%} there{left}"
        )


def _console(verbose: int) -> Any:
    from rich.console import Console

    return Console(
        quiet=not verbose, highlight=False, markup=False, soft_wrap=True
    )
