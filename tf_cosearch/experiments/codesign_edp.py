"""How much energy-delay product does hardware made for a network save?"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_cosearch.accelerators import presets
from tf_cosearch.benchmark import samplers
from tf_cosearch.benchmark.landscapes import Landscape
from tf_cosearch.cost.model import estimate
from tf_cosearch.experiments import (
    Findings,
    Setting,
    experiment,
    slide,
    wins,
)
from tf_cosearch.experiments.one_network import OneNetwork
from tf_cosearch.networks import published
from tf_cosearch.networks.workload import Layer, pad
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.exact import best_accelerators
from tf_cosearch.search.objectives import WeightedProduct
from tf_cosearch.search.space import SearchSpace

PUBLISHED = {
    "resnet18": 18.3,
    "dqn": 40.2,
    "mlp": 21.8,
    "transformer_encoder": 16.0,
}
"""What they save on each network, in percent."""

START = "edge_tpu"
ALGORITHMS = ("constrained_bayesian", "random")


@dataclasses.dataclass(frozen=True)
class Workload(Landscape):
    """Hardware for one network, rewarded by what it saves.

    Attributes:
        network: Name of the published network.
        start_edp: Of the hand-tuned chip.
    """

    network: str = ""
    start_edp: float = 1.0

    @functools.cached_property
    def space(self) -> SearchSpace:
        """All accelerators, for this network."""
        layers = published.load(self.network)
        return SearchSpace(OneNetwork(self.network, layers))

    @functools.cached_property
    def reward(self) -> WeightedProduct:
        """How many times better than the hand-tuned chip."""
        targets = Budgets(edp=self.start_edp)
        return WeightedProduct(targets, p=-1.0, q=-1.0)

    def accuracy(self, genome: np.ndarray) -> float:
        """1, as the network is given."""
        return 1.0


@experiment(
    paper="Shi et al., arXiv 2010.02075",
    question="How much energy-delay product does hardware save that is made "
    "for ResNet, DQN, an MLP, a Transformer, on the area of a hand-tuned chip?",
)
def codesign_edp(setting: Setting) -> Findings:
    """Searches accelerators for each network, from no larger than `edge_tpu`.

    The exact optimum is known, as all 50,000 are priced. Short: 16 trials of
    constrained Bayesian optimization and of random search. Long: 50, as they.
    Their start is another chip (Eyeriss) and their mappings are searched, ours
    are the best of 34. Exact costs, of which the product follows, are features
    of our surrogate, so that it finds the best chip soon; theirs had to learn.
    """
    trials = 16 if setting.is_short else 50
    rows: list[dict[str, Any]] = []
    for name in PUBLISHED:
        start, area, best = exact(name, published.load(name))
        row: dict[str, Any] = {
            "network": name,
            "start_edp": start,
            "exact_edp": best,
            "exact_saving": 100 * (1 - best / start),
            "published_saving": PUBLISHED[name],
        }
        place = Workload(
            name, Budgets(area_mm2=area), ("area_mm2",), 0.0,
            network=name, start_edp=start,
        )  # fmt: skip
        found = {
            algorithm: [
                _best(place, algorithm, seed, trials)
                for seed in range(setting.seeds)
            ]
            for algorithm in ALGORITHMS
        }
        rows.append(row | _compared(found))
    told = ", ".join(
        f"{row['network']} {row['constrained_bayesian_saving']:.0f} % (random "
        f"{row['random_saving']:.0f} %, less on {row['seeds_ahead']} of "
        f"{setting.seeds} seeds, exact {row['exact_saving']:.0f} %, "
        f"theirs {row['published_saving']:.0f} %)"
        for row in rows
    )
    return Findings(
        rows,
        _holds(rows, setting.seeds),
        f"saved after {trials} trials, {told}",
        functools.partial(_draw, rows),
        setting.seeds,
    )


def _compared(found: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Percent saved in the median, and on how many seeds more than at random.

    Args:
        found: By algorithm, of each seed, how many times better than the
            hand-tuned chip.
    """
    savings = {
        f"{algorithm}_saving": 100 * (1 - 1 / float(np.median(factors)))
        for algorithm, factors in found.items()
    }
    learned, random = (found[algorithm] for algorithm in ALGORITHMS)
    gains = [a - b for a, b in zip(learned, random, strict=True)]
    return savings | {"seeds_ahead": wins.count(gains)}


def _holds(rows: Sequence[Mapping[str, Any]], seeds: int) -> bool:
    """Whether learning saves on all, on most seeds more than at random."""
    return all(
        row["constrained_bayesian_saving"] > 0
        and row["seeds_ahead"] > seeds / 2
        for row in rows
    )


def exact(name: str, layers: list[Layer]) -> tuple[float, float, float]:
    """EDP of the start, its area, and the EDP of the best chip as large."""
    chip = presets.load_accelerator(START)
    cost = estimate(pad([layers]), chip)
    start = float(cost.energy_mj[0]) * float(cost.latency_ms[0])
    area = float(cost.area_mm2[0]) * (1 + 1e-6)  # of float32
    best = best_accelerators(layers, Budgets(area_mm2=area), goal="edp")[0]
    return start, area, best.goal


def _best(place: Workload, algorithm: str, seed: int, trials: int) -> float:
    run = samplers.run(place, algorithm, seed, trials)
    return max(e.reward for e in run.evaluations if e.is_feasible)


def _draw(rows: Sequence[Mapping[str, Any]], path: pathlib.Path) -> None:
    title = "Energy-delay product saved on the area of the hand-tuned chip"
    with slide.panels(path, title) as (axes,):
        kinds = {
            "constrained Bayesian": "constrained_bayesian_saving",
            "random": "random_saving",
            "exact optimum": "exact_saving",
            "published (other start)": "published_saving",
        }
        slide.bars(
            axes,
            [row["network"] for row in rows],
            {kind: [row[key] for row in rows] for kind, key in kinds.items()},
            "percent saved",
        )
