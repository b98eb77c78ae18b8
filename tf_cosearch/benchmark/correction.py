"""How far predictions are off, by how many measurements they learn from."""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from absl import logging

from tf_cosearch.evaluators.evaluator import (
    BuiltDesign,
    Evaluator,
    RefusedError,
)
from tf_cosearch.evaluators.measurement import Measurements
from tf_cosearch.metrics.values import Values
from tf_cosearch.search import genomes as genome_arrays
from tf_cosearch.search.correction import Correction
from tf_cosearch.search.pricing import Pricer

if TYPE_CHECKING:
    from tf_cosearch.search.space import SearchSpace

BATCH = 64


class Errors(NamedTuple):
    """Errors of the designs that were not learned from, in percent.

    Medians of the designs, means of the draws.

    Attributes:
        learned: Designs that were.
        alone: Of the analytic model.
        ratio: Of it times what those took of its prediction, in the median.
        corrected: Of it as a search corrects it.
    """

    learned: int
    alone: float
    ratio: float
    corrected: float


def measured(
    space: SearchSpace,
    untrained: Callable[[np.ndarray], bytes],
    evaluator: Evaluator,
    cost: str,
    designs: int,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Measures random designs that are not trained.

    Args:
        space: Of the designs.
        untrained: From a genome to an int8 file of its network.
        evaluator: Who measures.
        cost: Which of its costs.
        designs: How many, at most; those that are refused are left out, and
            all that follow when the device keeps failing.
        seed: What they follow from.

    Returns:
        Their genomes `[N, P]`, and that cost `[N]`.

    Raises:
        ValueError: If all are refused.
        RuntimeError: If the device keeps failing from the first one on.
    """
    rng = np.random.default_rng(seed)
    genomes = space.canonical(space.sample(rng, designs))
    kept: list[np.ndarray] = []
    values: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        judge = Measurements(evaluator, pathlib.Path(folder), lambda: None)
        for number, genome in enumerate(genome_arrays.unseen(genomes)):
            tflite = pathlib.Path(folder, str(number), "model.tflite")
            tflite.parent.mkdir()
            tflite.write_bytes(untrained(genome))
            candidate = space.decode(genome)
            layers = candidate.network.layers()
            design = BuiltDesign(layers, candidate.accelerator, tflite)
            try:
                values.append(judge.measure(design, {}).costs[cost].value)
            except RefusedError:
                continue
            except RuntimeError as error:
                if not kept:
                    raise
                logging.warning(
                    "%s keeps failing, so that only the %d designs measured "
                    "before count. Received: %s",
                    type(evaluator).__name__,
                    len(kept),
                    error.__cause__ or error,
                )
                break
            kept.append(genome)
    if not kept:
        raise ValueError(
            f"{type(evaluator).__name__} must be able to measure some network "
            f"of the space. Received: a refusal of {len(genomes)}."
        )
    return np.stack(kept), np.asarray(values)


def errors(
    space: SearchSpace,
    genomes: np.ndarray,
    values: np.ndarray,
    cost: str,
    learned: int,
    draws: int = 20,
    seed: int = 0,
) -> Errors:
    """Learns from some designs, and predicts the others, again and again.

    Args:
        space: Of the designs.
        genomes: `[N, P]`, canonical.
        values: `[N]` what was measured of them.
        cost: What that is.
        learned: How many to learn from, fewer than `N`.
        draws: How often that many are drawn.
        seed: What the draws follow from.
    """
    rng = np.random.default_rng(seed)
    analytic = Pricer(space, BATCH).analytic(genomes)
    model = analytic[cost]
    rows = []
    for _ in range(draws):
        order = rng.permutation(len(genomes))
        known, others = order[:learned], order[learned:]
        ratio = np.exp(np.median(np.log(values[known] / model[known])))
        corrected = _corrected(analytic, values, cost, known)
        rows.append(
            [
                np.median(np.abs(predicted[others] / values[others] - 1))
                for predicted in (model, ratio * model, corrected)
            ]
        )
    return Errors(learned, *(100 * np.mean(rows, axis=0)).tolist())


def _corrected(
    analytic: Values, values: np.ndarray, cost: str, known: np.ndarray
) -> np.ndarray:
    correction = Correction([cost])
    for row in known:
        correction.add(row, analytic.at([row]), {cost: values[row]})
    return np.asarray(correction(analytic)[cost])


def table(rows: list[Errors]) -> str:
    """The errors as text, a line each.

    Example:
    >>> print(table([Errors(12, 99.0, 58.0, 7.0)]))
    learned from  model alone  one ratio  corrected
              12       99.0 %     58.0 %      7.0 %
    """
    lines = ["learned from  model alone  one ratio  corrected"]
    lines += [
        f"{row.learned:12}  {row.alone:9.1f} %  {row.ratio:7.1f} %  "
        f"{row.corrected:7.1f} %"
        for row in rows
    ]
    return "\n".join(lines)
