"""Which designs to train of those that were estimated."""

from __future__ import annotations

import functools
import heapq

import numpy as np

from tf_cosearch import metrics
from tf_cosearch.search.algorithms.algorithm import Algorithm
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.lineage import Origin
from tf_cosearch.search.objectives import Reward
from tf_cosearch.search.pareto import hypervolume, non_dominated
from tf_cosearch.search.pricing import Pricer
from tf_cosearch.search.problem import Estimates

ESTIMATED = "estimated to be among the best"


class Shortlist(Algorithm):
    """Suggests the designs that were estimated to be best.

    The one of highest reward is first; then come those that add most to the
    front of accuracy and costs that the ones before them make; and once none
    adds anything, the others by their reward.
    """

    uses_estimates = True

    def suggest(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Suggests the first `[n, P]` that have not been tried."""
        del rng
        history = self.problem.history
        tried = [result.genome for result in history.finished()]
        tried += [*history.failed(), *history.pending()]
        seen = {genome.tobytes() for genome in tried}
        left = [row.tobytes() not in seen for row in self._order]
        return self._order[np.asarray(left, bool)][:n]

    def origin(self, genome: np.ndarray) -> Origin:
        """Always estimated."""
        return Origin(ESTIMATED)

    @functools.cached_property
    def _order(self) -> np.ndarray:
        problem = self.problem
        if problem.estimates is None:
            raise ValueError(
                "A shortlist must be of designs that were estimated. "
                "Received: no estimates."
            )
        places = order(
            problem.estimates,
            problem.prices,
            problem.budgets,
            problem.reward,
            problem.max_trials,
        )
        return problem.estimates.genomes[places]


def order(
    estimates: Estimates,
    prices: Pricer,
    budgets: Budgets,
    reward: Reward,
    most: int | None = None,
) -> np.ndarray:
    """Orders designs by what is gained by training them.

    Args:
        estimates: Of the designs.
        prices: What they cost.
        budgets: What they may cost; those beyond are left out.
        reward: What they are worth.
        most: How many to choose for the front at most.

    Returns:
        `[K]` indices of designs within the budgets.
    """
    if not len(estimates.genomes):
        return np.zeros(0, np.int64)
    costs = prices(estimates.genomes)
    accuracies = np.asarray(estimates.accuracies, np.float64)
    within = np.flatnonzero(budgets.is_feasible(costs))
    rewards = reward(accuracies, costs)
    by_reward = within[np.argsort(-rewards[within], kind="stable")]
    compared = budgets.compared()
    points = np.stack([-accuracies, *metrics.losses(costs, compared)], axis=1)
    first = spread(points[by_reward], most)
    rest = np.setdiff1d(np.arange(len(by_reward)), first)
    return by_reward[np.concatenate([first, rest])]


def spread(points: np.ndarray, most: int | None = None) -> np.ndarray:
    """Chooses points by the volume that each adds to those before it.

    Volumes are up to the worst of each objective, so that neither units nor an
    offset matter.

    Args:
        points: `[N, M]` objectives, each to be minimised; the first one is
            chosen anyway.
        most: How many to choose at most.

    Returns:
        `[K]` indices, as long as something is added.

    Example: of two at the ends of the front, the wider one goes first.

    >>> points = np.array([[0.0, 9], [4, 5], [8, 0], [9, 9]])
    >>> spread(points).tolist()
    [0, 1, 2]

    Reference: Nemhauser et al., An Analysis of Approximations for Maximizing
    Submodular Set Functions, 1978; Minoux, Accelerated Greedy Algorithms,
    1978: what a point adds never grows, so that few have to be looked at.
    """
    if not len(points):
        return np.zeros(0, np.int64)
    low, high = points.min(axis=0), points.max(axis=0)
    scaled = (points - low) / np.where(high > low, high - low, 1.0)
    worst = np.ones(points.shape[1])
    chosen, volume = [0], hypervolume(scaled[:1], worst)
    front = np.flatnonzero(non_dominated(scaled))
    # What each would add, as far as it was last looked at, and how many were
    # chosen then.
    queue = [(-np.inf, int(place), 0) for place in front if place]
    heapq.heapify(queue)
    while queue and len(chosen) < (most or len(points)):
        gain, place, seen = heapq.heappop(queue)
        if seen < len(chosen):
            together = hypervolume(scaled[[*chosen, place]], worst)
            heapq.heappush(queue, (volume - together, place, len(chosen)))
        elif gain < 0:
            chosen.append(place)
            volume -= gain
        else:
            break
    return np.asarray(chosen)
