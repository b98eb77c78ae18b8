"""What a `CoSearchTuner` is made of, from what it was given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import tensorflow as tf

from tf_cosearch import configuration
from tf_cosearch.designs import report
from tf_cosearch.evaluators.analytic import Analytic
from tf_cosearch.evaluators.evaluator import Evaluator
from tf_cosearch.search import objectives
from tf_cosearch.search.accuracy_table import AccuracyTable
from tf_cosearch.search.algorithms.algorithm import Algorithm
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.oracle import options
from tf_cosearch.search.oracle.oracle import CoSearchOracle
from tf_cosearch.search.space import SearchSpace
from tf_cosearch.tasks import Task

TRIALS = 20
"""Designs that are trained unless told."""


def oracle(
    space: SearchSpace,
    chosen: str | Algorithm | type[Algorithm] | CoSearchOracle,
    oracle_options: Any,
    is_timed: bool = False,
    **given: Any,
) -> CoSearchOracle:
    """The oracle of a search: the one given, or one that is made.

    Args:
        space: What is searched.
        chosen: Who suggests, or an oracle.
        oracle_options: Further arguments, if it is made.
        is_timed: Whether the search ends by hours, so that trials need not be
            counted.
        **given: Arguments of a `CoSearchOracle` by name; None is the default.

    Raises:
        TypeError: If the options are no mapping.
        ValueError: If an oracle is over another space, or given arguments
            that it has itself.
    """
    if not isinstance(oracle_options, (Mapping, type(None))):
        raise TypeError(
            "`oracle_options` must map names to values. Received: "
            f"{oracle_options!r}."
        )
    named = [name for name, value in given.items() if value is not None]
    if not isinstance(chosen, CoSearchOracle):
        trials = None if is_timed else TRIALS
        defaults = {"max_trials": trials, "reward": "hard", "start_from": ()}
        filled = {
            name: defaults.get(name) if value is None else value
            for name, value in given.items()
            if name in named or name != "objective"  # which has one there
        }
        return options.make(chosen, oracle_options or {}, space=space, **filled)
    made = cast("CoSearchOracle", chosen)
    if made.space is not space:
        raise ValueError(
            "`oracle` must be over `space`. Received: a CoSearchOracle "
            "over another one. Pass the space that it was made with, which "
            "has the task."
        )
    named += ["oracle_options"] if oracle_options else []
    if named:
        raise ValueError(
            f"{', '.join(named)} must be given to the oracle itself. "
            f"Received: them beside a {type(chosen).__name__}. Pass "
            "them where it is made, or the name of its algorithm here."
        )
    return made


def joint_space(
    space: SearchSpace | None, hypermodel: Any, accelerator: Any, task: Any
) -> SearchSpace:
    """What is searched."""
    if task is not None and space is not None and hypermodel is None:
        space = space.with_task(task)
    elif task is not None:
        raise ValueError(
            "`task` must be given with a space alone, as a model of your own "
            f"has an end, a loss and metrics. Received: {task!r} with "
            f"{'no space' if hypermodel is None else 'a hypermodel'}. Leave "
            "it out."
        )
    is_over_space = getattr(hypermodel, "space", None) is space
    if space is None and hypermodel is not None:
        joint = SearchSpace.from_hypermodel(hypermodel, accelerator)
    elif space is None or not isinstance(space, SearchSpace):
        raise TypeError(
            f"`space` must be a SearchSpace. Received: {space!r}. Use "
            "SearchSpace.load(name), or give a model of your own as "
            "`hypermodel`."
        )
    elif accelerator is not None:
        raise ValueError(
            "`accelerator` must be given to SearchSpace.load. Received: it "
            "beside a space, which has accelerators."
        )
    elif hypermodel is None:
        joint = space
    elif not is_over_space:
        raise ValueError(
            "Beside a space, `hypermodel` must be a CoSearchHyperModel over "
            f"it. Received: {hypermodel!r}. Leave the space out to search a "
            "model of your own."
        )
    else:
        joint = space.with_hypermodel(hypermodel)
    return joint


def quantization(space: SearchSpace, given: str | None) -> str:
    """How networks become int8: as given, or as their task has it.

    Raises:
        ValueError: If the networks of the task cannot become so.
    """
    task = space.task
    known = Task.quantizations if task is None else task.quantizations
    if given is None:
        return known[0]
    if task is not None and given in {*Task.quantizations} - {*known}:
        raise ValueError(
            f"`quantization` of {task.name} must be "
            f"{' or '.join(known)}. Received: {given!r}. Leave "
            "it out."
        )
    return given


def require_other_names(space: SearchSpace, costs: Sequence[str]) -> None:
    """Refuses hyperparameters that would be taken for results."""
    columns = set(report.trial_columns(costs))
    names = {parameter.name for parameter in space.parameters}
    if taken := sorted(names & columns):
        raise ValueError(
            "Hyperparameters must have other names than columns of "
            f"trials.csv. Received: {', '.join(taken)}. Rename them."
        )


def require_space_alone(oracle: CoSearchOracle) -> None:
    """Refuses hyperparameters that would be drawn, but never used."""
    entries = [entry.name for entry in oracle.hyperparameters.space]
    earlier = oracle.earlier.designs if oracle.earlier is not None else []
    known = [name for design in earlier for name in design.values]
    tried = [
        name
        for trial in oracle.trials.values()
        for name in trial.hyperparameters.values
    ]
    names = {parameter.name for parameter in oracle.space.parameters}
    others = [name for name in entries + known + tried if name not in names]
    if others:
        raise ValueError(
            "A CoSearchTuner must search its space alone, as its training "
            "uses no other hyperparameters. Received: "
            f"{', '.join(dict.fromkeys(others))}. Leave them out, or set what "
            "they stand for by an argument such as learning_rate; a "
            "keras_tuner.Tuner of your own may use them."
        )


def require_table_alone(
    read: AccuracyTable,
    executions: int,
    *,
    accuracy: str,
    evaluator: Evaluator,
    **of_training: Any,
) -> None:
    """Refuses settings of trainings beside a table of accuracies.

    Args:
        read: The table.
        executions: Trainings that each trial takes.
        accuracy: Which accuracy designs are chosen by.
        evaluator: Who measures.
        **of_training: Other settings of a training; None is left out.

    Raises:
        ValueError: If one is of trainings, which there are none of.
    """
    if executions > read.trainings:
        raise ValueError(
            "`executions_per_trial` must be at most what the table has of each "
            f"network, {read.trainings}. Received: {executions}."
        )
    changed = [name for name, value in of_training.items() if value is not None]
    if accuracy != "trained":
        changed.append("accuracy")
    if type(evaluator) is not Analytic:
        changed.append("evaluator")
    if changed:
        raise ValueError(
            f"{', '.join(changed)} must be left out with accuracy_table, as "
            "nothing is trained, and there is no file to measure. Received: "
            "both."
        )


def require_no_file(budgets: Budgets) -> None:
    """Refuses budgets on what only a trained file can tell."""
    named = budgets.limits(measured=True).keys() - budgets.limits().keys()
    if named:
        raise ValueError(
            "Budgets must be on what is known without a file with "
            f"accuracy_table. Received: {', '.join(sorted(named))}. Leave it "
            "out."
        )


def require_one_device(strategy: Any = None) -> None:
    """Refuses to share a training among devices.

    What makes a training repeatable and lets it go on after a kill, its
    checkpoints, dropout and order of data, is made for one device.

    Args:
        strategy: As KerasTuner takes it; one in whose scope this is called is
            found by itself.

    Raises:
        ValueError: If there is a strategy.
    """
    if strategy is None and tf.distribute.has_strategy():
        strategy = tf.distribute.get_strategy()
    if strategy is not None:
        raise ValueError(
            "A trial must train on one device, without a "
            f"distribution_strategy. Received: {type(strategy).__name__}. "
            "Leave it out; to use several GPUs give each a worker of its own, "
            "by CUDA_VISIBLE_DEVICES."
        )


def require_untrained(given: Mapping[str, Any]) -> None:
    """Refuses data and settings of a training where nothing is trained."""
    named = [name for name, value in given.items() if value is not None]
    if named:
        raise ValueError(
            f"{', '.join(named)} must be left out with accuracy_table, as "
            "nothing is trained. Received: both. Call `search()`."
        )


def require_measured(oracle: CoSearchOracle, measured: Sequence[str]) -> None:
    """Refuses to train for an accuracy that no trial will report."""
    for name in objectives.names(oracle.objective):
        if name not in measured:
            raise configuration.unknown(
                "objective of a CoSearchTuner", name, measured
            )
