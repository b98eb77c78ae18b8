"""Runs a search algorithm, ours or another's, on a landscape.

Ours are all of `algorithms.names()`, with their defaults and the budgets as
budgets. The rivals run through their own public interfaces, with the same
constraints as far as they take them, set up as their documentation advises:

| rival                  | set up                                            |
|------------------------|---------------------------------------------------|
| `keras_tuner_random`   | as it comes; it knows no constraints              |
| `keras_tuner_bayesian` | as it comes; above a budget the reward shrinks    |
|                        | with the excess, so that there is a slope         |
| `optuna_tpe`           | as it comes (multivariate); constraints; for the  |
|                        | reward                                            |
| `optuna_tpe_pareto`    | as it comes; constraints; for the front           |
| `optuna_nsga2`         | 20 a generation instead of 50, so that more of    |
|                        | them fit into the trials; constraints; for the    |
|                        | front                                             |
| `optuna_gp`            | a Gaussian process, as it comes; each constraint  |
|                        | has one, too; for the reward; needs PyTorch       |
| `screened_tpe`         | as `optuna_tpe`; asks the cost model first        |
| `screened_nsga2`       | as `optuna_nsga2`; asks the cost model first      |

Optuna is told that numbers are ordered (indices of the choices), KerasTuner
knows from the space. An infeasible design would have been trained, so it takes
a trial, but with those that ask the cost model first: they propose until a
design is within the budgets, are told by how much the others exceed them, and
those cost nothing.

Reference: optuna.readthedocs.io on TPESampler (version 5: multivariate by
default for one objective, where it is reported to outperform; `constant_liar`
is for parallel trials, `group` for conditional parameters), NSGAIISampler and
GPSampler (constrained log expected improvement).
"""

from __future__ import annotations

import functools
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras_tuner
import numpy as np
from keras_tuner.engine.base_tuner import BaseTuner

from tf_cosearch import configuration, metrics
from tf_cosearch.benchmark.landscapes import Evaluation, Landscape
from tf_cosearch.search import algorithms
from tf_cosearch.search.oracle import options as options_lib
from tf_cosearch.search.pricing import Pricer

OPTIONS: dict[str, dict[str, Any]] = {
    # They train the first feasible design they suggest; to price more of them
    # takes time and finds nothing.
    "random": {"proposals": 256},
    "regularized_evolution": {"proposals": 256},
}
"""What algorithms are told beside the landscape and the seed."""

PATIENCE = 1_000
"""Designs that a sampler rejects for a trial before it takes one."""

Evaluate = Callable[[Mapping[str, Any]], Evaluation]


class Run(NamedTuple):
    """One algorithm on one landscape with one seed.

    Attributes:
        evaluations: What the trials found out, in order. Fewer than asked for
            if the algorithm stopped.
        seconds: What each proposal took, with what the algorithm did at the
            end of the trial before, without the evaluation.
    """

    evaluations: list[Evaluation]
    seconds: list[float]


def names() -> list[str]:
    """Names of all algorithms, ours first."""
    return [*algorithms.names(), *RIVALS]


def run(
    landscape: Landscape,
    algorithm: str,
    seed: int,
    trials: int,
    **options: Any,
) -> Run:
    """Runs an algorithm.

    Args:
        landscape: What it is run on.
        algorithm: One of `names()`.
        seed: Not negative.
        trials: How many.
        **options: Of the algorithm, or of its oracle, if it is one of ours.

    Returns:
        The `Run`.

    Raises:
        ValueError: If the algorithm is unknown.
    """
    if algorithm not in names():
        raise configuration.unknown("algorithm", algorithm, names())
    record = Run([], [])
    if algorithm in RIVALS:
        search = functools.partial(RIVALS[algorithm], landscape, seed, trials)
    else:
        if "objectives" in algorithms.options(algorithm):
            options = {"objectives": landscape.objectives, **options}
        oracle = options_lib.make(
            algorithm,
            {**OPTIONS.get(algorithm, {}), **options},
            space=landscape.space,
            budgets=landscape.budgets,
            reward=landscape.reward,
            max_trials=trials,
            seed=seed,
        )
        # Compiles the cost model, which is not the algorithm's time.
        genome = landscape.space.sample(np.random.default_rng(0), 1)
        oracle.costs(np.repeat(genome, oracle.proposals, axis=0))
        search = functools.partial(
            _drive, oracle, trials, lambda evaluation: evaluation.accuracy
        )
    ended = time.perf_counter()

    def evaluate(values: Mapping[str, Any]) -> Evaluation:
        nonlocal ended
        record.seconds.append(time.perf_counter() - ended)
        record.evaluations.append(landscape.evaluate(values))
        ended = time.perf_counter()
        return record.evaluations[-1]

    search(evaluate)
    return record


def feasible_genomes(landscape: Landscape, count: int) -> list[np.ndarray]:
    """Draws designs within the budgets, to start a search from.

    Args:
        landscape: Where.
        count: How many.

    Returns:
        `[P]` genomes.
    """
    rng = np.random.default_rng(0)
    pricer = Pricer(landscape.space, 256)
    feasible: list[np.ndarray] = []
    while len(feasible) < count:
        genomes = landscape.space.sample(rng, 256)
        is_feasible = landscape.budgets.is_feasible(pricer.price(genomes))
        feasible.extend(genomes[is_feasible])
    return feasible[:count]


def _drive(
    oracle: keras_tuner.Oracle,
    trials: int,
    report: Callable[[Evaluation], float],
    evaluate: Evaluate,
) -> None:
    """Runs the trials of any KerasTuner oracle, as a tuner would."""
    with tempfile.TemporaryDirectory() as folder:
        BaseTuner(oracle, directory=folder, project_name="benchmark")
        oracle.verbose = 0
        for _ in range(trials):
            trial = oracle.create_trial("tuner0")
            if trial.status != "RUNNING":
                break
            value = report(evaluate(trial.hyperparameters.values))
            oracle.update_trial(trial.trial_id, {oracle.objective.name: value})
            trial.status = "COMPLETED"
            oracle.end_trial(trial)


def _keras_tuner(oracle_class: Any) -> Callable[..., None]:
    def search(
        landscape: Landscape, seed: int, trials: int, evaluate: Evaluate
    ) -> None:
        oracle = oracle_class(
            objective=keras_tuner.Objective("reward", "max"),
            max_trials=trials,
            hyperparameters=landscape.space.hyperparameters(),
            seed=seed + 1,  # it takes 0 for none
        )
        with warnings.catch_warnings():  # of the fit of its Gaussian process
            warnings.simplefilter("ignore")
            _drive(
                oracle, trials, lambda evaluation: evaluation.reward, evaluate
            )

    return search


def _optuna(
    make: Callable[[Any, int], Any], pareto: bool, screened: bool = False
) -> Callable[..., None]:
    def search(
        landscape: Landscape, seed: int, trials: int, evaluate: Evaluate
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        names = ["reward"]
        if pareto:
            names = ["accuracy", *landscape.objectives]
        directions: list[Any] = ["maximize", *["minimize"] * len(names)]
        study = optuna.create_study(
            directions=directions[: len(names)],
            sampler=make(optuna.samplers, seed),
        )
        for _ in range(trials):
            trial, values, fits = _ask(study, landscape)
            patience = PATIENCE if screened else 0
            while patience and not fits:
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                trial, values, fits = _ask(study, landscape)
                patience -= 1
            evaluation = evaluate(values)
            answers = {
                "reward": evaluation.reward,
                "accuracy": evaluation.accuracy,
            }
            answers |= {
                name: min(metrics.get(name).loss(evaluation.costs[name]), 1e6)
                for name in landscape.objectives
            }
            study.tell(trial, [answers[name] for name in names])

    return search


def _ask(study: Any, landscape: Landscape) -> tuple[Any, dict[str, Any], bool]:
    """A trial of Optuna, its values, and whether the budgets are met."""
    trial = study.ask()
    values = _suggest(trial, landscape)
    excess = landscape.excess(values)
    for name, value in excess.items():
        trial.set_constraint(name, min(value, 1e6))
    return trial, values, all(value <= 0 for value in excess.values())


def _suggest(trial: Any, landscape: Landscape) -> dict[str, Any]:
    """Lets a trial of Optuna choose a value for every parameter."""
    values = {}
    for name, choices in landscape.space.parameters:
        if isinstance(choices[0], str):
            values[name] = trial.suggest_categorical(name, choices)
        else:
            index = trial.suggest_int(name, 0, len(choices) - 1)
            values[name] = choices[index]
    return values


def _tpe(samplers: Any, seed: int) -> Any:
    return samplers.TPESampler(seed=seed)


def _nsga2(samplers: Any, seed: int) -> Any:
    return samplers.NSGAIISampler(population_size=20, seed=seed)


def _gp(samplers: Any, seed: int) -> Any:
    return samplers.GPSampler(seed=seed)


RIVALS: dict[str, Callable[..., None]] = {
    "keras_tuner_random": _keras_tuner(keras_tuner.oracles.RandomSearchOracle),
    "keras_tuner_bayesian": _keras_tuner(
        keras_tuner.oracles.BayesianOptimizationOracle
    ),
    "optuna_tpe": _optuna(_tpe, pareto=False),
    "optuna_tpe_pareto": _optuna(_tpe, pareto=True),
    "optuna_nsga2": _optuna(_nsga2, pareto=True),
    "optuna_gp": _optuna(_gp, pareto=False),
    "screened_tpe": _optuna(_tpe, pareto=False, screened=True),
    "screened_nsga2": _optuna(_nsga2, pareto=True, screened=True),
}
"""Those that are not ours, by name: `(landscape, seed, trials, evaluate)`."""

NEEDS: dict[str, tuple[str, ...]] = {
    name: ("optuna", "torch") if name == "optuna_gp" else ("optuna",)
    for name in RIVALS
    if not name.startswith("keras_tuner")
}
"""Modules of the `benchmark` extra that a rival needs."""
