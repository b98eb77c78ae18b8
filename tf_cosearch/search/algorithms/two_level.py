"""Fast and slow exploration: many designs priced for each one trained."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tf_cosearch import configuration
from tf_cosearch.search import algorithms
from tf_cosearch.search import genomes as genome_arrays
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.objectives import Reward
from tf_cosearch.search.oracle.base import CoSearchOracle, Finished

if TYPE_CHECKING:
    from tf_cosearch.search.space import SearchSpace

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


class TwoLevelOracle(CoSearchOracle):
    """Lets another algorithm explore hardware before each training.

    Fast level: the inner algorithm suggests designs, the cost model prices
    them, and those that miss the specification are pruned. That is repeated,
    up to `fast_steps` times for a trial, until the share `enough` of a step
    survives: many steps while the algorithm does not know the hardware yet,
    one as soon as it does. After each step but the last the algorithm learns
    from hardware alone, with the reward `U / (1 + violation)`, if it can: see
    `CoSearchOracle.observe_costs`. One that cannot suggests everything in one
    step.

    Slow level: a survivor is trained, and the inner algorithm learns from
    `R = beta * S + (1 - beta) * U`, where `S` is the score of the trial, that
    of `reward`, as with other algorithms.

    The specification is the budgets and `min_utilization`. A least throughput
    is a budget of latency: one image at a time, so 1000 / FPS milliseconds.

    Args:
        space: What is searched.
        budgets: What a design may cost.
        inner: Name of the algorithm that suggests.
        inner_options: Its own arguments; those of `CoSearchOracle` are shared.
        fast_steps: Most hardware-only steps for a trial. Together they price
            `proposals` designs.
        enough: Share of a step's designs that must survive to train one.
        min_utilization: Least utilization of the accelerator. A design below
            is trained only if no new one above is found.
        beta: Weight of the score against utilization in what is learnt.
        **kwargs: Further arguments of `CoSearchOracle`.

    Raises:
        ValueError: If an argument is out of its range or unknown.

    Reference: Jiang et al., Hardware/Software Co-Exploration of Neural
    Architectures, IEEE TCAD 39(12), 2020, arXiv 1907.04650. The reward of the
    fast level and the rule for its length are ours.
    """

    def __init__(
        self,
        space: SearchSpace,
        budgets: Budgets | None = None,
        *,
        inner: str = "reinforce",
        inner_options: Mapping[str, Any] | None = None,
        fast_steps: int = 20,
        enough: float = 0.5,
        min_utilization: float = 0.0,
        beta: float = 0.9,
        **kwargs: Any,
    ) -> None:
        super().__init__(space, budgets, **kwargs)
        shared = set(vars(self)) - {"reward", "_finished"}
        self.fast_steps = configuration.at_least("fast_steps", fast_steps, 1)
        self.enough = _share("enough", enough)
        self.min_utilization = _share("min_utilization", min_utilization)
        self._shared = shared
        self._slow_reward = SlowReward(self.reward, beta)
        options = {} if inner_options is None else inner_options
        known = [name for name in algorithms.names() if name != _NAME]
        if inner not in known:
            raise configuration.unknown("inner oracle", inner, known)
        cls = algorithms.get(inner)
        common = algorithms.options(CoSearchOracle)
        own = [name for name in algorithms.options(cls) if name not in common]
        configuration.check_keys(options, "inner_options", own)
        # What is known reaches it as finished trials do.
        shared_options = {**kwargs, "warm_start": None}
        self._make_inner = functools.partial(
            cls, space, budgets, **shared_options, **options
        )
        self._inner = self._make_inner()

    def suggest(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Explores the fast level for survivors, `[N, P]`, the latest first."""
        inner = self._with_history()
        learns = type(inner).observe_costs is not CoSearchOracle.observe_costs
        steps = self.fast_steps if learns else 1
        survivors: list[np.ndarray] = []
        for step in range(steps):
            suggested = inner.suggest(rng, -(-n // steps))
            held = self.hold(suggested)
            genomes = genome_arrays.check(self.space, held)
            costs = self._pricer.price(genomes)
            survives = self._survives(costs)
            survivors.insert(0, genomes[survives])
            if survives.mean() >= self.enough or step == steps - 1:
                break
            inner.observe_costs(genomes, self.fast_reward(costs))
        found = np.concatenate(survivors)
        return found if len(found) else genomes

    def choose(
        self,
        rng: np.random.Generator,
        genomes: np.ndarray,
        costs: dict[str, np.ndarray],
    ) -> int:
        """Chooses as the inner algorithm does."""
        return self._with_history().choose(rng, genomes, costs)

    def observe(
        self, genome: np.ndarray, metrics: dict[str, float], reward: float
    ) -> None:
        """Teaches the inner algorithm what a trained design is worth."""
        inner = self._with_history()
        slow = float(inner.reward(metrics[self.objective.name], metrics))
        result = Finished(genome, metrics, slow)
        inner._finished[str(len(inner._finished))] = result
        inner.observe(*result)

    def observe_failure(self, genome: np.ndarray, reason: str) -> None:
        """Tells the inner algorithm."""
        self._with_history().observe_failure(genome, reason)

    def fast_reward(self, costs: Mapping[str, Any]) -> np.ndarray:
        """What designs are worth by their hardware alone.

        Args:
            costs: `[N]` of each.

        Returns:
            `[N]` utilizations, divided by 1 plus the sum of the relative
            amounts by which the specification is missed.
        """
        utilization = np.asarray(costs["utilization"], np.float64)
        violation = self.budgets.violation(costs)
        if self.min_utilization:
            lack = 1 - utilization / self.min_utilization
            violation = violation + np.maximum(lack, 0)
        rewards: np.ndarray = utilization / (1 + violation)
        return rewards

    def reload(self) -> None:
        """Continues a run; the inner algorithm learns it anew."""
        self._inner = self._make_inner()
        super().reload()

    def _survives(self, costs: Mapping[str, Any]) -> np.ndarray:
        efficient = np.asarray(costs["utilization"]) >= self.min_utilization
        return self.budgets.is_feasible(costs) & efficient

    def _with_history(self) -> CoSearchOracle:
        """The inner algorithm, which sees this run as its own.

        It has no folder and creates no trials; what `CoSearchOracle` keeps is
        shared, but for what it is to learn from.
        """
        history = {name: vars(self)[name] for name in self._shared}
        self._inner.__dict__.update(history)
        self._inner.reward = self._slow_reward
        return self._inner


def _share(name: str, value: Any) -> float:
    checked = configuration.number(value, f"`{name}`")
    if not 0 <= checked <= 1:
        raise ValueError(f"`{name}` must be from 0 to 1. Received: {value}.")
    return checked
