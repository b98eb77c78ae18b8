"""The evaluator of a search at work: what is measured, and when."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypedDict

import keras_tuner
import numpy as np
from absl import logging

from tf_cosearch import accelerators, evaluators, files
from tf_cosearch.designs import export
from tf_cosearch.evaluators.analytic import Analytic
from tf_cosearch.evaluators.evaluator import (
    BuiltDesign,
    Evaluation,
    Evaluator,
    RefusedError,
    check_costs,
)
from tf_cosearch.evaluators.measurement import Measurements
from tf_cosearch.search import genomes as genome_arrays
from tf_cosearch.search import measured

if TYPE_CHECKING:
    from tf_cosearch.search.oracle.oracle import CoSearchOracle

QUANTILES = (0.5, 0.1, 0.9)
"""Of analytic latency: what is measured before the first trial, untrained."""

FOLDER = "probes"
"""Where they lie in the folder of a search."""

PROBES = "probes.json"
"""What they are, in that folder."""

NO_FILE = pathlib.Path(os.devnull)
"""What stands for the file of a design that is not trained."""

_DRAWN = 64
_SEED = 2**32 - 9  # a trial number nobody reaches


class ProbesState(TypedDict):
    """What `probes.json` holds.

    Attributes:
        space: Fingerprint of the space.
        genomes: Of the designs.
        evaluator: Whom they were shown.
        refused: Why it cannot measure some of them, by number.
    """

    space: str
    genomes: list[list[int]]
    evaluator: dict[str, Any]
    refused: dict[str, str]


class Measuring:
    """What an evaluator is asked in a search.

    The analytic model screens designs; the file of each trial is measured
    once it is trained. Before the first trial, files of three untrained
    networks are: a device that does not work ends the search before it
    begins, and the model is corrected before it screens anything.

    Args:
        evaluator: Who measures.
        oracle: Of the search.
        project: Its folder.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        oracle: CoSearchOracle,
        project: str | os.PathLike[str],
    ) -> None:
        self.evaluator = evaluator
        self._oracle = oracle
        self._folder = pathlib.Path(project, FOLDER)
        self._measurements = Measurements(
            evaluator, self._folder.parent, self._known_probe
        )
        if oracle.space.most_chips > 1 and not evaluator.takes_chips:
            raise ValueError(
                "An evaluator of designs of several chips must price these. "
                f"Received: {type(evaluator).__name__} for a space of up to "
                f"{oracle.space.most_chips} chips. Use the evaluator pipeline."
            )
        space = oracle.space
        evaluator.check(accelerators.from_paths(space.fixed, space.family))
        costs = () if self.is_analytic else check_costs(evaluator.costs)
        known = None if self.is_analytic else self.known
        oracle.measure_by(evaluator.describe(), costs, known)
        self._asked: dict[bytes, dict[str, float] | None] = {}
        oracle.prices.ask = None if evaluator.needs_file else self._ask

    @property
    def is_analytic(self) -> bool:
        """Whether what is measured is what screened, so that nothing is."""
        return type(self.evaluator) is Analytic

    def trial(
        self,
        genome: np.ndarray,
        folder: pathlib.Path,
        expected: Mapping[str, float],
    ) -> dict[str, float]:
        """Measures the trained file of a trial.

        Args:
            genome: Of the design.
            folder: Of the trial.
            expected: What it is thought to cost.

        Returns:
            What the trial reports: all costs, some of them measured.

        Raises:
            FailedTrialError: If the evaluator refuses the design.
            FatalRuntimeError: If the device keeps failing; what was trained
                is kept, and the trial goes on from there.
        """
        if self.is_analytic:
            return {}
        try:
            return self._measure(genome, folder / export.MODEL, expected)
        except RefusedError as error:
            raise keras_tuner.errors.FailedTrialError(str(error)) from error
        except RuntimeError as error:
            raise keras_tuner.errors.FatalRuntimeError(str(error)) from error

    def known(self, genome: np.ndarray, folder: str) -> dict[str, float]:
        """The same of a trial that an earlier search has trained.

        One without files has nothing to measure, and is not chosen either.
        """
        tflite = pathlib.Path(folder, export.MODEL)
        if not tflite.is_file():
            return {}
        try:
            numbers = self._measure(genome, tflite, {})
            return {**numbers, "seconds": numbers[measured.SECONDS]}
        except RefusedError as error:
            logging.warning("%s cannot be measured: %s", tflite, error)
            return {}

    def probe(self, untrained: Callable[[np.ndarray], bytes]) -> None:
        """Measures a few untrained networks, once in a search.

        Args:
            untrained: From a genome to an int8 file of its network.

        Raises:
            RuntimeError: If the device keeps failing.
            ValueError: If it refuses all of them.
        """
        state = self._probes() or self._chosen()
        evaluator = self._oracle.identity.evaluator
        if state["evaluator"] != evaluator:
            state |= {"evaluator": dict(evaluator or {}), "refused": {}}
        refused = dict(state["refused"])
        for number, genome in enumerate(state["genomes"]):
            if str(number) not in refused:
                try:
                    self._probe(number, np.asarray(genome), untrained)
                except ValueError as error:  # or it cannot be converted
                    refused[str(number)] = str(error)
        if len(refused) == len(state["genomes"]):
            raise ValueError(
                f"{type(self.evaluator).__name__} must be able to measure some "
                f"network of the space. Received: a refusal of {len(refused)}, "
                f"the last one: {refused[max(refused)]}"
            )
        if refused != state["refused"]:
            state["refused"] = refused
            files.write_json(self._folder / PROBES, state)

    def _chosen(self) -> ProbesState:
        """Chooses them, and writes down which they are, before any is made."""
        state: ProbesState = {
            "space": self._oracle.identity.space["fingerprint"],
            "genomes": self._spread().tolist(),
            "evaluator": dict(self._oracle.identity.evaluator or {}),
            "refused": {},
        }
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(exist_ok=True)
        files.write_json(self._folder / PROBES, state)
        return state

    def _probes(self) -> ProbesState | None:
        """What was chosen before; None if there is nothing of this space."""
        with contextlib.suppress(ValueError):
            state, _ = files.read_json(self._folder / PROBES, ProbesState)
            space = self._oracle.identity.space["fingerprint"]
            if state is not None and state["space"] == space:
                genome_arrays.check(self._oracle.space, state["genomes"])
                return state
        return None

    def _probe(
        self,
        number: int,
        genome: np.ndarray,
        untrained: Callable[[np.ndarray], bytes],
    ) -> None:
        tflite = self._folder / str(number) / export.MODEL
        if not tflite.is_file():
            tflite.parent.mkdir(exist_ok=True)
            files.write_bytes(tflite, untrained(genome))
        costs = self._evaluate(genome, tflite, {}).costs
        known = {n: costs[n].value for n in measured.compared(costs)}
        self._oracle.prices.learn(genome, known, is_trained=False)

    def _known_probe(self) -> BuiltDesign | None:
        """The first that was measured, whichever process has done so."""
        state = self._probes()
        for number, genome in enumerate(state["genomes"] if state else ()):
            tflite = self._folder / str(number) / export.MODEL
            if tflite.is_file() and self._measurements.read(tflite):
                return self._built(np.asarray(genome), tflite)
        return None

    def _spread(self) -> np.ndarray:
        """`[N, P]` designs: one in the middle, a fast and a slow one."""
        oracle, prices = self._oracle, self._oracle.prices
        rng = np.random.default_rng([oracle.seed, _SEED])
        fixed = oracle.asked["fixed"]
        given = genome_arrays.fixed_genes(
            oracle.space, {} if fixed is None else fixed
        )
        drawn = oracle.space.sample(rng, _DRAWN)
        drawn[:, list(given)] = list(given.values())
        drawn = genome_arrays.check(oracle.space, drawn)
        with prices.reach.afresh():
            drawn = prices.within_reach(drawn)
        order = np.argsort(prices.analytic(drawn)["latency_ms"])
        rows = np.quantile(np.arange(len(drawn)), QUANTILES).astype(int)
        return genome_arrays.unseen(drawn[order[rows]])

    def _measure(
        self,
        genome: np.ndarray,
        tflite: pathlib.Path,
        expected: Mapping[str, float],
    ) -> dict[str, float]:
        evaluation = self._evaluate(genome, tflite, expected)
        prices = self._oracle.prices
        values = {n: cost.value for n, cost in evaluation.costs.items()}
        names = measured.compared(values)
        analytic = prices.analytic_of(genome)
        counted = prices.overlaid(genome, {n: values[n] for n in names})
        return {
            **values,
            **{n: counted[n] for n in analytic if n in counted},
            **{f"{n}{measured.ANALYTIC}": analytic[n] for n in names},
            **{
                f"{n}{measured.NOISE}": cost.noise
                for n, cost in evaluation.costs.items()
            },
            measured.SECONDS: evaluation.seconds,
        }

    def _evaluate(
        self,
        genome: np.ndarray,
        tflite: pathlib.Path,
        expected: Mapping[str, float],
    ) -> Evaluation:
        design = self._built(genome, tflite)
        return self._measurements.measure(design, expected)

    def _ask(self, genome: np.ndarray) -> dict[str, float] | None:
        """All values of a design that has no file yet; None without answer."""
        key = genome.tobytes()
        if key not in self._asked:  # what is over budget comes up again
            self._asked[key] = self._answer(genome)
        known = self._asked[key]
        return known and self._oracle.prices.overlaid(genome, known)

    def _answer(self, genome: np.ndarray) -> dict[str, float] | None:
        try:
            costs = self.evaluator(self._built(genome, NO_FILE)).costs
        except Exception:
            # What fails here fails once more, and is told, in a trial. An
            # oracle that raises an error would keep its lock.
            return None
        return {n: costs[n].value for n in measured.compared(costs)}

    def _built(self, genome: np.ndarray, tflite: pathlib.Path) -> BuiltDesign:
        candidate = self._oracle.space.decode(genome)
        layers = candidate.network.layers()
        return BuiltDesign(
            layers, candidate.accelerator, tflite, candidate.chips
        )


def make(
    evaluator: str | Evaluator | type[Evaluator],
    options: Mapping[str, Any] | None,
) -> Evaluator:
    """Makes the evaluator that a user chose.

    Args:
        evaluator: Its name or class, or one that is made.
        options: Its options.

    Raises:
        ValueError: If it is none, or an option is not possible.
        TypeError: If options are no mapping.
    """
    if not isinstance(options, (Mapping, type(None))):
        raise TypeError(
            "`evaluator_options` must map names to values. Received: "
            f"{options!r}."
        )
    return evaluators.make(evaluator, options or {})
