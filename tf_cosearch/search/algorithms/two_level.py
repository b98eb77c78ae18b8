"""Fast and slow exploration: many designs priced for each one trained."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from tf_cosearch import configuration
from tf_cosearch.search import algorithms
from tf_cosearch.search import genomes as genome_arrays
from tf_cosearch.search.algorithms.algorithm import Algorithm
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.lineage import Origin
from tf_cosearch.search.objectives import Reward
from tf_cosearch.search.problem import History, Result

_NAME = __name__.rpartition(".")[2]


@dataclasses.dataclass(frozen=True)
class SlowReward(Reward):
    """What the slow level teaches: `R = beta * S + (1 - beta) * U`.

    `S` is the score of a trial, which with the hard product is the accuracy of
    a design within its targets, and `U` the utilization.

    Attributes:
        score: What trials are scored by.
        beta: From 0, for efficient hardware, to 1, for accurate networks.

    Raises:
        ValueError: If `beta` is out of its range.

    Example:
    >>> from tf_cosearch.search.objectives import WeightedProduct
    >>> reward = SlowReward(WeightedProduct(), beta=0.75)
    >>> round(float(reward(0.8, {"utilization": 0.4})), 6)
    0.7
    """

    score: Reward
    beta: float = 0.9

    def __post_init__(self) -> None:
        _share("beta", self.beta)

    @property
    def targets(self) -> Budgets | None:
        """Those of the score."""
        return self.score.targets

    def parts(self, costs: Mapping[str, Any]) -> tuple[Any, Any]:
        """The factor of the score, and both terms."""
        factor, term = self.score.parts(costs)
        utilization = np.asarray(costs["utilization"], np.float64)
        slow = self.beta * term + (1 - self.beta) * utilization
        return self.beta * factor, slow

    def aimed_at(self, budgets: Budgets) -> SlowReward:
        """The same with a score that is aimed at them."""
        return dataclasses.replace(self, score=self.score.aimed_at(budgets))


@runtime_checkable
class Explorer(Protocol):
    """An algorithm that can learn from hardware alone, between trainings."""

    def explore(self, genomes: np.ndarray, rewards: np.ndarray) -> None:
        """Learns from designs that were priced, but not trained.

        A run that is continued does not call it again, so that what is learnt
        here must not outlast the next `observe`.

        Args:
            genomes: `[N, P]`, canonical.
            rewards: `[N]` what they are worth by their costs alone.
        """


class TwoLevel(Algorithm):
    """Lets another algorithm explore hardware before each training.

    Fast level: the inner algorithm suggests designs, the cost model prices
    them, and those that miss the specification are pruned. That is repeated,
    up to `fast_steps` times for a trial, until the share `enough` of a step
    survives: many steps while the algorithm does not know the hardware yet,
    one as soon as it does. After each step but the last the algorithm learns
    from hardware alone, with the reward `U / (1 + violation)`, if it is an
    `Explorer`. One that is not suggests everything in one step.

    Slow level: a survivor is trained, and the inner algorithm learns from
    `R = beta * S + (1 - beta) * U`, where `S` is the score of the trial, that
    of `reward`, as with other algorithms.

    The specification is the budgets and `min_utilization`. A least throughput
    is a budget of latency: one image at a time, so 1000 / FPS milliseconds.

    Args:
        inner: Name of the algorithm that suggests.
        inner_options: Its options.
        fast_steps: Most hardware-only steps for a trial. Together they price
            `proposals` designs.
        enough: Share of a step's designs that must survive to train one.
        min_utilization: Least utilization of the accelerator. A design below
            is trained only if no new one above is found.
        beta: Weight of the score against utilization in what is learnt.

    Raises:
        ValueError: If an argument is out of its range or unknown.

    Reference: Jiang et al., Hardware/Software Co-Exploration of Neural
    Architectures, IEEE TCAD 39(12), 2020, arXiv 1907.04650. The reward of the
    fast level and the rule for its length are ours.
    """

    def __init__(
        self,
        *,
        inner: str = "reinforce",
        inner_options: Mapping[str, Any] | None = None,
        fast_steps: int = 20,
        enough: float = 0.5,
        min_utilization: float = 0.0,
        beta: float = 0.9,
    ) -> None:
        self.fast_steps = configuration.at_least("fast_steps", fast_steps, 1)
        self.enough = _share("enough", enough)
        self.min_utilization = _share("min_utilization", min_utilization)
        self.beta = _share("beta", beta)
        options = {} if inner_options is None else inner_options
        known = [name for name in algorithms.names() if name != _NAME]
        if inner not in known:
            raise configuration.unknown("inner oracle", inner, known)
        cls = algorithms.get(inner)
        configuration.check_keys(
            options, "inner_options", algorithms.options(cls)
        )
        self._algorithm = cls(**options)

    @property
    def is_quick(self) -> bool:  # type: ignore[override]
        """As the inner algorithm."""
        return self._algorithm.is_quick

    @property
    def uses_estimates(self) -> bool:  # type: ignore[override]
        """As the inner algorithm."""
        return self._algorithm.uses_estimates

    @functools.cached_property
    def inner(self) -> Algorithm:
        """The algorithm that suggests, with a history of its own.

        Its problem is the same but for what it learns: each trial of this
        search stands in its history with the reward of the slow level.
        """
        problem, history = self.problem, self.problem.history
        return self._algorithm.on(
            dataclasses.replace(
                problem,
                reward=SlowReward(problem.reward, self.beta),
                history=History(history.pending, history.begun),
            )
        )

    def suggest(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Explores the fast level for survivors, `[N, P]`, the latest first."""
        inner, problem = self.inner, self.problem
        steps = self.fast_steps if isinstance(inner, Explorer) else 1
        genomes = np.zeros((0, len(problem.space.parameters)), np.int64)
        survivors = [genomes]
        for step in range(steps):
            suggested = inner.suggest(rng, -(-n // steps))
            if not len(suggested):
                break
            genomes = problem.prices.within_reach(
                genome_arrays.check(problem.space, problem.hold(suggested))
            )
            if not len(genomes):
                break
            costs = problem.prices.price(genomes)
            survives = self._survives(costs)
            survivors.insert(0, genomes[survives])
            if survives.mean() >= self.enough or step == steps - 1:
                break
            if isinstance(inner, Explorer):
                inner.explore(genomes, self.fast_reward(costs))
        suggestion = np.concatenate(survivors)
        return suggestion if len(suggestion) else genomes

    def origin(self, genome: np.ndarray) -> Origin:
        """As the inner algorithm says."""
        return self.inner.origin(genome)

    def observe(self, result: Result) -> None:
        """Teaches the inner algorithm what a trial is worth."""
        problem = self.inner.problem
        accuracy = result.metrics.get(problem.accuracy, 0.0)
        slow = float(problem.reward(accuracy, result.metrics))
        learnt = result._replace(reward=slow)
        problem.history.add(learnt)
        self.inner.observe(learnt)

    def fast_reward(self, costs: Mapping[str, Any]) -> np.ndarray:
        """What designs are worth by their hardware alone.

        Args:
            costs: `[N]` of each.

        Returns:
            `[N]` utilizations, divided by 1 plus the sum of the relative
            amounts by which the specification is missed.
        """
        utilization = np.asarray(costs["utilization"], np.float64)
        violation = self.problem.budgets.violation(costs)
        if self.min_utilization:
            lack = 1 - utilization / self.min_utilization
            violation = violation + np.maximum(lack, 0)
        rewards: np.ndarray = utilization / (1 + violation)
        return rewards

    def _survives(self, costs: Mapping[str, Any]) -> np.ndarray:
        efficient = np.asarray(costs["utilization"]) >= self.min_utilization
        return self.problem.budgets.is_feasible(costs) & efficient


def _share(name: str, value: Any) -> float:
    checked = configuration.number(value, f"`{name}`")
    if not 0 <= checked <= 1:
        raise ValueError(f"`{name}` must be from 0 to 1. Received: {value}.")
    return checked
