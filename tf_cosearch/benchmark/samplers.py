"""Runs a search algorithm, ours or another's, on a landscape.

Ours are all of `oracles.names()`, with their defaults and the budgets as
budgets. The rivals run through their own public interfaces, with the same
constraints as far as they take them, set up as their documentation advises:

| rival                   | set up                                              |
|-------------------------|-----------------------------------------------------|
| `keras_tuner_random`    | as it is; it knows no constraints                   |
| `keras_tuner_bayesian`  | as it is; above a budget the reward shrinks with    |
|                         | the excess, so that there is a slope to follow      |
| `optuna_tpe`            | multivariate; constraints; maximises the reward     |
| `optuna_tpe_pareto`     | constraints; maximises the front                    |
| `optuna_nsga2`          | populations of 20, so that some generations fit     |
|                         | into the trials; constraints; maximises the front   |

Optuna is told that numbers are ordered (indices of the choices), KerasTuner
knows from the space. Rivals cannot ask the cost model first: an infeasible
design of theirs would have been trained, so it takes a trial.

Reference: optuna.readthedocs.io, TPESampler: multivariate TPE is reported to
outperform the independent one, and is no default for several objectives;
10 random trials first. NSGAIISampler: 50 a generation by default.
"""

from __future__ import annotations

import inspect
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras_tuner
import numpy as np
from keras_tuner.engine.base_tuner import BaseTuner

from tf_cosearch import configuration
from tf_cosearch.benchmark.landscapes import Evaluation, Landscape
from tf_cosearch.search import oracles
from tf_cosearch.search.oracles.base import CoSearchOracle

OPTIONS: dict[str, dict[str, Any]] = {
    # They train the first feasible design they suggest; to price more of them
    # takes time and finds nothing.
    "random": {"proposals": 256},
    "regularized_evolution": {"proposals": 256},
}
"""What algorithms are told beside the landscape and the seed."""

Evaluate = Callable[[Mapping[str, Any]], Evaluation]


class Run(NamedTuple):
    """One algorithm on one landscape with one seed.

    Attributes:
        evaluations: What the trials found out, in order. Fewer than asked for
            if the algorithm stopped.
        seconds_per_proposal: What a trial took, without its evaluation.
    """

    evaluations: list[Evaluation]
    seconds_per_proposal: float


def names() -> list[str]:
    """Names of all algorithms, ours first."""
    return [*oracles.names(), *_RIVALS]


def searches(algorithm: str) -> bool:
    """Whether an algorithm can be told what to search.

    Args:
        algorithm: One of `names()`.

    Returns:
        Whether its oracle takes `searched`.

    Raises:
        ValueError: If there is none of that name.
    """
    if algorithm not in names():
        raise configuration.unknown("algorithm", algorithm, names())
    known = inspect.signature(CoSearchOracle).parameters
    return algorithm not in _RIVALS and "searched" in known


def run(
    landscape: Landscape,
    algorithm: str,
    seed: int,
    trials: int,
    searched: str = "joint",
) -> Run:
    """Runs an algorithm.

    Args:
        landscape: What it is run on.
        algorithm: One of `names()`.
        seed: Not negative.
        trials: How many.
        searched: What is searched, for an oracle that can be told so.

    Returns:
        The `Run`.

    Raises:
        ValueError: If the algorithm is unknown.
        ImportError: If it needs Optuna, and that is not installed.
    """
    can_be_told = searches(algorithm)
    evaluations: list[Evaluation] = []
    evaluating = 0.0

    def evaluate(values: Mapping[str, Any]) -> Evaluation:
        nonlocal evaluating
        start = time.perf_counter()
        evaluations.append(landscape.evaluate(values))
        evaluating += time.perf_counter() - start
        return evaluations[-1]

    if algorithm in _RIVALS:
        search = _RIVALS[algorithm]
        start = time.perf_counter()
        search(landscape, seed, trials, evaluate)
    else:
        told = {"searched": searched} if can_be_told else {}
        oracle = ours(landscape, algorithm, seed, trials, **told)
        warm_up(oracle)
        start = time.perf_counter()
        _drive(oracle, trials, evaluate, lambda found: found.accuracy)
    spent = time.perf_counter() - start - evaluating
    return Run(evaluations, spent / max(1, len(evaluations)))


def ours(
    landscape: Landscape, algorithm: str, seed: int, trials: int, **options: Any
) -> CoSearchOracle:
    """Makes one of our oracles for a landscape.

    Args:
        landscape: What it is run on.
        algorithm: One of `oracles.names()`.
        seed: Not negative.
        trials: How many.
        **options: Further arguments of the oracle.

    Returns:
        The oracle, without a project folder.
    """
    return oracles.get(algorithm)(
        landscape.space,
        landscape.budgets,
        reward=landscape.reward,
        max_trials=trials,
        seed=seed,
        **{**OPTIONS.get(algorithm, {}), **options},
    )


def warm_up(oracle: CoSearchOracle) -> None:
    """Compiles the cost model for the batches of an oracle.

    Args:
        oracle: Whose they are.
    """
    genomes = oracle.space.sample(np.random.default_rng(0), oracle.proposals)
    oracle.costs(genomes)


def _drive(
    oracle: keras_tuner.Oracle,
    trials: int,
    evaluate: Evaluate,
    report: Callable[[Evaluation], float],
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
            _drive(oracle, trials, evaluate, lambda found: found.reward)

    return search


def _optuna(make: Callable[[Any, int], Any], pareto: bool) -> Any:
    def search(
        landscape: Landscape, seed: int, trials: int, evaluate: Evaluate
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        names = ["reward"]
        if pareto:
            names = ["accuracy", *landscape.objectives]
        study = optuna.create_study(
            directions=["maximize"] + ["minimize"] * (len(names) - 1),
            sampler=make(optuna.samplers, seed),
        )
        for _ in range(trials):
            trial = study.ask()
            found = evaluate(_suggest(trial, landscape))
            for name, excess in found.excess.items():
                trial.set_constraint(name, min(excess, 1e6))
            known = {"reward": found.reward, "accuracy": found.accuracy}
            known |= {k: min(found.costs[k], 1e6) for k in landscape.objectives}
            study.tell(trial, [known[name] for name in names])

    return search


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


_RIVALS: dict[str, Callable[..., None]] = {
    "keras_tuner_random": _keras_tuner(keras_tuner.oracles.RandomSearchOracle),
    "keras_tuner_bayesian": _keras_tuner(
        keras_tuner.oracles.BayesianOptimizationOracle
    ),
    "optuna_tpe": _optuna(
        lambda samplers, seed: samplers.TPESampler(
            multivariate=True, seed=seed
        ),
        pareto=False,
    ),
    "optuna_tpe_pareto": _optuna(
        lambda samplers, seed: samplers.TPESampler(seed=seed), pareto=True
    ),
    "optuna_nsga2": _optuna(
        lambda samplers, seed: samplers.NSGAIISampler(
            population_size=20, seed=seed
        ),
        pareto=True,
    ),
}
