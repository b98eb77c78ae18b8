"""Trials that an earlier search has trained, as trials of this one."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus

from tf_cosearch import files

if TYPE_CHECKING:
    from tf_cosearch.search.space import SearchSpace

KNOWN = "KNOWN"
"""What trials.csv calls a trial that was not trained in its search."""

_MARK = "Known from "
_OWN_FILES = "trial.json"


class KnownDesign(NamedTuple):
    """A design that an earlier search trained.

    Attributes:
        genome: `[P]` canonical choice indices.
        values: All its hyperparameters, those of a user's model too.
        metrics: What its trial reported.
        folder: Where the files of its trial lie, `None` if there are none.
    """

    genome: np.ndarray
    values: dict[str, Any]
    metrics: dict[str, float]
    folder: pathlib.Path | None


def is_known(trial: Trial) -> bool:
    """Whether a trial was trained in an earlier search."""
    message = trial.message or ""
    return trial.status == TrialStatus.COMPLETED and message.startswith(_MARK)


def files_of(design: KnownDesign) -> Iterator[pathlib.Path]:
    """The files of a design: weights, models, whatever its trial left."""
    for path in sorted(design.folder.iterdir()) if design.folder else ():
        is_own = path.name.startswith((_OWN_FILES, "."))
        if path.is_file() and not path.is_symlink() and not is_own:
            yield path


def copy_files(design: KnownDesign, folder: str | os.PathLike[str]) -> None:
    """Copies what the trial of a design left to the folder of another."""
    for path in files_of(design):
        target = os.path.join(folder, path.name)
        files.write_bytes(target, path.read_bytes())


def trial_of(
    design: KnownDesign,
    source: pathlib.Path,
    trial_id: str,
    space: SearchSpace,
    hyperparameters: keras_tuner.HyperParameters,
    priced: Collection[str],
) -> Trial:
    """The trial that a design is in this search, not scored yet.

    Args:
        design: Of the earlier search.
        source: Where that is.
        trial_id: What to call the trial.
        space: What is searched.
        hyperparameters: All of this search.
        priced: Metrics that this search prices itself.

    Returns:
        A completed trial.
    """
    chosen = hyperparameters.copy()
    chosen.values = {**design.values, **space.values(design.genome)}
    inactive = [
        entry.name for entry in chosen.space if not chosen.is_active(entry.name)
    ]
    for name in inactive:
        chosen.values.pop(name, None)
    trial = Trial(chosen, trial_id, TrialStatus.COMPLETED)
    trial.message = f"{_MARK}{source}"
    for name, value in design.metrics.items():
        # Costs are this search's affair, and it has spent no time.
        if name not in priced and not name.startswith("seconds"):
            trial.metrics.register(name, direction="max")
            trial.metrics.update(name, value)
    return trial
