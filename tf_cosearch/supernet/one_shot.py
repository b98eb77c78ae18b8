"""One-shot search: a controller is trained together with the shared weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_cosearch.networks.network import Network
from tf_cosearch.networks.spaces.template import Template
from tf_cosearch.search import algorithms
from tf_cosearch.search.genomes import check, unseen
from tf_cosearch.search.problem import History, Problem, Result
from tf_cosearch.supernet.evaluation import Evaluator
from tf_cosearch.supernet.paths import Paths
from tf_cosearch.training.settings import plain

SAMPLES = 32
"""Designs that are drawn for a step, of which one takes part."""

DESIGNS = 50
"""Most designs of the controller that a search starts from."""

WARM_UP = 0.25
"""Share of the steps in which weights alone are trained. The controller draws
almost uniformly as long as it has not learnt."""

_DRAWS = 2**32 - 5  # a step nobody reaches


class OneShot(Paths):
    """The network of a step is that of a design which a controller draws.

    After the step the network's accuracy on some validation images, and what
    the design costs, exactly, make its reward, from which the controller
    learns. So what is better is trained more often. Of the designs that are
    drawn, the first one within the budgets takes part, or else the one that is
    nearest to them.

    NAHAS does this with costs of a learnt model, and takes the most likely
    design in the end. Here costs are exact, and a search goes on from designs
    that the controller draws then.

    Args:
        networks: The space of the supernet.
        choices: The choices that are left of each parameter.
        algorithm: Name of the controller, `reinforce` or `ppo`.
        goal: What it is to solve.
        evaluator: Of the weights that are trained.
        steps: Of the whole training.

    Reference: Zhou et al., Rethinking Co-design of Neural Architectures and
    Hardware Accelerators, arXiv 2102.08619 (NAHAS), one-shot search; Bender et
    al., TuNAS, CVPR 2020, which it follows.
    """

    def __init__(
        self,
        networks: Template,
        choices: Sequence[Sequence[int]] | None,
        algorithm: str,
        goal: Problem,
        evaluator: Evaluator,
        steps: int,
    ) -> None:
        super().__init__(networks, choices)
        self._goal, self._evaluator, self._steps = goal, evaluator, steps
        history = History(pending=list, begun=lambda: self._drawn)
        self._controller = algorithms.make(algorithm, {}).on(
            dataclasses.replace(goal, history=history, estimates=None)
        )
        self._drawn = 0
        self._genomes: list[np.ndarray] = []
        self._rewards: list[float] = []

    def draw(self, rng: np.random.Generator) -> list[Network]:
        """The network of a step."""
        genomes = self._sample(rng, SAMPLES)
        violation = self._violation(genomes)
        self._last = genomes[int(np.argmin(violation))]
        self._drawn += 1
        return [self._network(self._last)]

    def learn(self) -> None:
        """Lets the controller observe what the last design is worth now."""
        if self._drawn <= WARM_UP * self._steps:
            return
        costs = self._goal.prices(self._last[None])
        accuracy = self._evaluator.rough_accuracy(self._network(self._last))
        reward = float(self._goal.reward([accuracy], costs)[0])
        # What no accelerator can run has none.
        self._observe(self._last, reward if np.isfinite(reward) else 0.0)

    def _observe(self, genome: np.ndarray, reward: float) -> None:
        self._genomes.append(genome)
        self._rewards.append(reward)
        self._controller.observe(Result(genome, {}, reward))

    def state(self) -> dict[str, Any]:
        """What it has observed: a controller that is told so is the same."""
        shape = (-1, len(self._goal.space.parameters))
        return {
            "drawn": self._drawn,
            "genomes": np.reshape(np.array(self._genomes, np.int64), shape),
            "rewards": np.array(self._rewards, np.float64),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state`, for one that has observed nothing."""
        if state:
            self._drawn = state["drawn"]
            for genome, reward in zip(
                state["genomes"], state["rewards"].tolist(), strict=True
            ):
                self._observe(genome, reward)

    def result(self) -> dict[str, Any]:
        """What is left to a search: values of designs by name.

        They are drawn once the training has ended, and within the budgets.
        """
        rng = np.random.default_rng([self._goal.seed, _DRAWS])
        drawn = self._sample(rng, DESIGNS * SAMPLES)
        genomes = unseen(drawn)
        within = genomes[self._violation(genomes) == 0][:DESIGNS]
        space = self._goal.space
        return {"designs": [space.values(genome) for genome in within]}

    def _sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Draws `[count, P]` designs."""
        drawn: list[np.ndarray] = []
        while len(drawn) < count:
            drawn += [*self._controller.suggest(rng, count)]
        genomes = self._goal.hold(np.stack(drawn[:count]))
        return check(self._goal.space, genomes)

    def _violation(self, genomes: np.ndarray) -> np.ndarray:
        costs = self._goal.prices(genomes)
        return np.nan_to_num(self._goal.budgets.violation(costs), nan=np.inf)

    def _network(self, genome: np.ndarray) -> Network:
        split = self._goal.space.num_network_parameters
        return self.network(tuple(genome[:split].tolist()))


def describe(goal: Problem) -> dict[str, Any]:
    """What tells a goal from others, as plain values."""
    nothing = np.zeros((1, len(goal.space.parameters)), np.int64)
    return {
        "space": goal.space.fingerprint,
        "budgets": goal.budgets.limits(),
        "reward": plain(goal.reward),
        "held": goal.hold(nothing)[0].tolist(),
        "seed": goal.seed,
    }
