"""The designs that a search has finished."""

from __future__ import annotations

import math
import os
import pathlib
import statistics
from collections.abc import Mapping, Sequence

from absl import logging
from keras_tuner.engine.trial import Trial, TrialStatus

from tf_cosearch import configuration, metrics, text
from tf_cosearch.designs import export
from tf_cosearch.designs.export import Design
from tf_cosearch.search.oracle.durable import locked
from tf_cosearch.search.oracle.known_trials import is_known
from tf_cosearch.search.oracle.oracle import CoSearchOracle

_LONGEST = 300  # characters of an error that help


def averaged(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """What a trial reports of its executions.

    Args:
        runs: Metrics of each.

    Returns:
        Their means, the sums of `seconds*`, and as `kept_*` what was measured
        of the best, whose file is kept.
    """
    kept = max(runs, key=lambda run: run["accuracy_int8"])
    return {
        **{
            name: (
                math.fsum if name.startswith("seconds") else statistics.fmean
            )(run[name] for run in runs)
            for name in runs[0]
        },
        **{
            f"kept_{name}": kept[name]
            for name in metrics.names(measured=True)
            if name in kept
        },
    }


def design(
    oracle: CoSearchOracle, project: str | os.PathLike[str], trial: Trial
) -> Design:
    """The design of a finished trial.

    Args:
        oracle: Of the search.
        project: Its folder.
        trial: Which.

    Returns:
        The design; its files lie in the folder of the trial.

    Raises:
        TypeError: If it is no trial.
        ValueError: If it is none of the search, or has not finished.
    """
    advice = "Take one of tuner.oracle.get_best_trials()."
    if not isinstance(trial, Trial):
        raise TypeError(
            f"`trial` must be a trial of the search. Received: {trial!r}. "
            f"{advice}"
        )
    own = oracle.trials.get(trial.trial_id)
    if own is None or trial.status != TrialStatus.COMPLETED:
        status = trial.status if own is not None else "of another search"
        raise ValueError(
            "`trial` must be one that this search has finished. Received: "
            f"trial {trial.trial_id}, which is {status}. {advice}"
        )
    candidate = oracle.space.decode(oracle.trial_genome(trial))
    known = oracle.trial_metrics(trial)
    # A trial reports means; the file is that of one execution.
    kept = {
        name: known[f"kept_{name}"]
        for name in metrics.names(measured=True)
        if f"kept_{name}" in known
    }
    return Design(
        network=candidate.network,
        accelerator=candidate.accelerator,
        hyperparameters=oracle.space.values(candidate.genome),
        metrics={**known, **kept},
        folder=pathlib.Path(project, f"trial_{trial.trial_id}"),
        trial_id=trial.trial_id,
        seed=oracle.seed,
        chips=candidate.chips,
    )


def leave(
    oracle: CoSearchOracle, project: str | os.PathLike[str], trial: Trial
) -> None:
    """Writes what else a design has beside the weights of a finished trial.

    With its `design.json` and `accelerator.yaml` the folder of the trial is
    that of a design: `export.load_design` reads it, and all that takes a
    design. What cannot be described is left out, with a warning.

    Args:
        oracle: Of the search.
        project: Its folder.
        trial: Which; nothing is written of one that has failed.

    Raises:
        OSError: If there is no room.
    """
    if trial.status != TrialStatus.COMPLETED:
        return
    try:
        with locked(oracle):  # a user's model may have to be built for it
            found = design(oracle, project, trial)
            described = found.describe()
    except Exception as error:  # whatever a model of theirs raises
        logging.warning(
            "The design of trial %s was not written: %s",
            trial.trial_id,
            text.line(error, _LONGEST),
        )
        return
    folder = pathlib.Path(project, f"trial_{trial.trial_id}")
    found.save_accelerator(folder)
    export.write_description(folder, described)


def leave_all(oracle: CoSearchOracle, project: str | os.PathLike[str]) -> None:
    """The same of all finished trials whose folders have none."""
    for trial_id, trial in oracle.trials.items():
        path = pathlib.Path(project, f"trial_{trial_id}", export.DESCRIPTION)
        if not path.exists():
            leave(oracle, project, trial)


def best(
    oracle: CoSearchOracle, project: str | os.PathLike[str], count: int
) -> list[Design]:
    """The finished designs of highest reward within the budgets.

    What is only known from a trials.csv has no weights and is left out, with
    a warning if it is better.

    Args:
        oracle: Of the search.
        project: Its folder.
        count: How many.

    Returns:
        Designs, the best first, of equal reward the faster and then the more
        frugal; fewer if fewer were finished.

    Raises:
        ValueError: If the count is not at least 1.
    """
    configuration.at_least("num_designs", count, 1)
    designs = [
        design(oracle, project, trial)
        for trial in oracle.get_best_trials(len(oracle.trials))
        if trial.status == TrialStatus.COMPLETED
    ]

    def rank(design: Design) -> tuple[float, ...]:
        score = oracle.trials[design.trial_id].score
        compared = oracle.budgets.compared()
        return (-score, *metrics.losses(design.metrics, compared))

    designs.sort(key=rank)
    kept = [design for design in designs if not _lacks_files(oracle, design)]
    if designs[0:1] != kept[0:1]:
        logging.warning(
            "Trial %s has the best reward, but no files: its result is known "
            "from a trials.csv alone. Warm start from the folder of that "
            "search to have its design.",
            designs[0].trial_id,
        )
    return kept[:count]


def _lacks_files(oracle: CoSearchOracle, design: Design) -> bool:
    trial = oracle.trials[design.trial_id]
    lacks = design.is_trained and not (design.folder / export.MODEL).exists()
    return is_known(trial) and lacks
