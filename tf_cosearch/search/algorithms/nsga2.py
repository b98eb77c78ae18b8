"""NSGA-II: a population that spreads along the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tf_cosearch import configuration, metrics
from tf_cosearch.search.algorithms.algorithm import Algorithm
from tf_cosearch.search.genomes import crossover, mutate
from tf_cosearch.search.lineage import DRAWN, Origin, of_brood
from tf_cosearch.search.pareto import non_dominated


class Nsga2(Algorithm):
    """Breeds designs that trade accuracy for costs, without one reward.

    The paper's algorithm, but in a steady state: the parents of each child
    are chosen among the best of all designs so far, so that parallel workers
    never wait for a generation to end. A child over budget is known to be so
    and never trained; designs whose trial failed, and known ones over the
    budgets of today, are dominated by all others.

    Integer genes take the place of the paper's real ones: crossover takes
    every gene from either parent, mutation draws another choice.

    Args:
        objectives: Metrics to improve beside the accuracy, costs or others.
            By default those with a budget, or latency, energy and area if
            there is none.
        population_size: How many of the best designs can be parents; as many
            random designs come first. By default a fifth of the trials, at
            least 4 and at most the paper's 100.
        crossover_probability: Share of the children with two parents; the
            paper's by default.
        mutation_probability: Chance of each gene to change; by default the
            paper's, one gene a child.

    Raises:
        ValueError: If an argument is out of its range.

    Reference: Deb et al., A Fast and Elitist Multiobjective Genetic
    Algorithm: NSGA-II, IEEE Trans. Evolutionary Computation 6(2), 2002;
    constrained domination is definition 1. Nebro and Durillo, On the Effect
    of the Steady-State Selection Scheme in Multi-Objective Genetic
    Algorithms, EMO 2009.
    """

    def __init__(
        self,
        *,
        objectives: Sequence[str] | None = None,
        population_size: int | None = None,
        crossover_probability: float = 0.9,
        mutation_probability: float | None = None,
    ) -> None:
        if isinstance(objectives, str):
            objectives = (objectives,)
        self._objectives = (
            None
            if objectives is None
            else tuple(
                metrics.known_before(name, "objective").name
                for name in objectives
            )
        )
        if population_size is not None:
            configuration.at_least("population_size", population_size, 2)
        self._population_size = population_size
        self.crossover_probability = configuration.share(
            "crossover_probability", crossover_probability
        )
        if mutation_probability is not None:
            configuration.share("mutation_probability", mutation_probability)
        self._mutation_probability = mutation_probability

    @property
    def objectives(self) -> tuple[str, ...]:
        """What is improved beside the accuracy."""
        if self._objectives is not None:
            return self._objectives
        limited = tuple(self.problem.budgets.limits())
        return limited or tuple(metrics.compared())

    @property
    def population_size(self) -> int:
        """How many of the best designs can be parents."""
        trials = self.problem.max_trials or 500
        return self._population_size or max(4, min(100, trials // 5))

    def suggest(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Suggests `[n, P]` children of the best designs so far."""
        space = self.problem.space
        self._brood: tuple[np.ndarray, ...] = ()
        if len(self.problem.history.finished()) < self.population_size:
            return space.sample(rng, n)
        genomes, points, violation = self._designs_so_far()
        rank, crowding = survivors(points, violation, self.population_size)
        best = np.flatnonzero(rank >= 0)
        order = best[np.lexsort((-crowding[best], rank[best]))]
        # A binary tournament: the lower of two places in the order wins.
        places = rng.integers(len(order), size=(2, 2, n)).min(axis=0)
        first, second = genomes[order[places]]
        children = crossover(rng, first, second, self.crossover_probability)
        crossed = children
        genes = max(1, int((np.asarray(space.choice_counts) > 1).sum()))
        probability = self._mutation_probability
        probability = 1 / genes if probability is None else probability
        mutations = rng.binomial(genes, probability, n)
        children = mutate(space, rng, children, mutations)
        self._brood = children, crossed, first, second
        return children

    def origin(self, genome: np.ndarray) -> Origin:
        """Drawn, or a child of one or two of the best."""
        if not self._brood:
            return Origin(DRAWN)
        return of_brood(self.problem, genome, *self._brood)

    def _designs_so_far(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Genomes `[N, P]`, objectives `[N, M]` and violations `[N]`."""
        history = self.problem.history
        done, failed = history.finished(), history.failed()
        costs = {
            name: np.array([d.metrics[name] for d in done])
            for name in done[0].metrics
            if all(name in d.metrics for d in done)
        }
        accuracy = costs[self.problem.accuracy]
        points = np.stack(
            [-accuracy, *metrics.losses(costs, self.objectives)], 1
        )
        lost = np.full((len(failed), points.shape[1]), np.inf)
        return (
            np.stack([*(d.genome for d in done), *failed]),
            np.concatenate([points, lost]),
            np.append(self.problem.budgets.violation(costs), lost[:, 0]),
        )


def survivors(
    points: np.ndarray, violation: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Selects the designs that live on: the paper's main loop.

    Args:
        points: `[N, M]` objectives, each to be minimised.
        violation: `[N]`, 0 where a design is feasible. Feasible designs
            dominate the others, which dominate each other by violation.
        count: How many survive.

    Returns:
        `[N]` ranks, 0 for the first front and -1 for those that do not
        survive, and their `[N]` crowding distances. Of the last front that
        fits in part, the most crowded go.

    Example: the third design is dominated, the fourth infeasible.

    >>> points = np.array([[1, 4], [4, 1], [5, 5], [0, 0]])
    >>> survivors(points, np.array([0, 0, 0, 0.5]), 3)[0]
    array([ 0,  0,  1, -1])
    """
    rank = np.full(len(points), -1)
    crowding = np.zeros(len(points))
    left = np.arange(len(points))
    for front_rank in range(len(points)):
        least = left[violation[left] == violation[left].min()]
        front = least
        if violation[least[0]] == 0:
            front = least[non_dominated(points[least])]
            crowding[front] = crowding_distance(points[front])
        room = count - (rank >= 0).sum()
        chosen = front[np.argsort(-crowding[front], kind="stable")[:room]]
        rank[chosen] = front_rank
        left = np.setdiff1d(left, front)
        if not left.size or (rank >= 0).sum() == count:
            break
    return rank, crowding


def crowding_distance(points: np.ndarray) -> np.ndarray:
    """How far apart the neighbours of each point of a front are.

    Args:
        points: `[N, M]` objectives of one front.

    Returns:
        `[N]`: the sum over the objectives of the distance between the next
        better and the next worse point, relative to the range of the front;
        infinite at its ends.

    Example:
    >>> crowding_distance(np.array([[0, 3], [1, 1], [3, 0]]))
    array([inf,  2., inf])
    """
    distance = np.zeros(len(points))
    for values in points.T:
        order = np.argsort(values, kind="stable")
        extent = values[order[-1]] - values[order[0]]
        distance[order[[0, -1]]] = np.inf
        if extent > 0:
            gaps = values[order[2:]] - values[order[:-2]]
            distance[order[1:-1]] += gaps / extent
    return distance
