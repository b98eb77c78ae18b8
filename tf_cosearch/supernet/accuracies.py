"""Which accuracy designs are chosen by: trained, a supernet's, or both."""

from __future__ import annotations

import os
import pathlib
from typing import TYPE_CHECKING

from tf_cosearch import configuration
from tf_cosearch.search.oracle.oracle import CoSearchOracle
from tf_cosearch.supernet.options import SupernetOptions

if TYPE_CHECKING:
    from tf_cosearch.supernet.search import SupernetSearch

TRAINED, SUPERNET, BOTH = "trained", "supernet", "both"
ACCURACIES = {
    TRAINED: "trainings alone",
    SUPERNET: "a supernet, whose best designs are trained",
    BOTH: "trainings, which are proposed with a supernet's advice",
}
"""What designs may be chosen by."""

ACCURACY = "accuracy_supernet"
"""What a network's accuracy on shared weights is called."""

TRIALS = 2000
"""Designs that are evaluated on a supernet unless told."""

OBJECTIVES = ("accuracy_int8", "accuracy_qat", "accuracy_float")
"""What a supernet's accuracy stands for."""


def search(
    accuracy: str,
    supernet: SupernetOptions | str | os.PathLike[str] | None,
    supernet_trials: int | None,
    *,
    oracle: CoSearchOracle,
    project: pathlib.Path,
    overwrite: bool,
    lease_seconds: float,
) -> SupernetSearch | None:
    """Makes the search that goes before trainings, if there is to be one.

    Args:
        accuracy: One of `ACCURACIES`.
        supernet: How to train a supernet, or the folder of one.
        supernet_trials: Designs to evaluate on it.
        oracle: Of the search that trains.
        project: Folder of that search.
        overwrite: Whether it is deleted first.
        lease_seconds: See `DurableTuner`.

    Raises:
        TypeError: If an argument is not of its type.
        ValueError: If they contradict each other, or networks of the space
            cannot share weights.
    """
    if accuracy not in ACCURACIES:
        raise configuration.unknown("accuracy", accuracy, ACCURACIES)
    if accuracy == TRAINED:
        _require_none(supernet=supernet, supernet_trials=supernet_trials)
        return None
    _require_of_networks(oracle)
    if accuracy == BOTH and not oracle.algorithm.uses_estimates:
        raise ValueError(
            "accuracy='both' must have an oracle that takes a supernet's "
            f"advice. Received: {type(oracle.algorithm).__name__}. Use "
            "oracle='grey_box', or accuracy='supernet'."
        )
    trials = TRIALS if supernet_trials is None else supernet_trials
    configuration.at_least("supernet_trials", trials, 1)
    if trials < (oracle.own_trials or 0):
        raise ValueError(
            "`supernet_trials` must be max_trials or more, as the best of them "
            f"are trained. Received: {trials}, and {oracle.own_trials}. Judge "
            "more designs, or train fewer."
        )
    if supernet is None:
        supernet = SupernetOptions()
    elif not isinstance(supernet, SupernetOptions):
        if not isinstance(supernet, (str, os.PathLike)):
            raise TypeError(
                "`supernet` must be SupernetOptions, or the folder of a "
                f"supernet. Received: {supernet!r}."
            )
        if overwrite:
            _require_outside(supernet, project)
    from tf_cosearch.supernet.search import SupernetSearch

    return SupernetSearch(
        oracle, supernet, trials, project, lease_seconds, accuracy == SUPERNET
    )


def _require_none(**given: object) -> None:
    for name, value in given.items():
        if value is not None:
            raise ValueError(
                f"`{name}` must be given with accuracy='supernet' or 'both'. "
                f"Received: {value!r} with 'trained', which has no supernet. "
                "Leave it out, or choose another accuracy."
            )


def _require_of_networks(oracle: CoSearchOracle) -> None:
    """Refuses a search that a supernet's accuracy says nothing of."""
    if oracle.objective.name not in OBJECTIVES:
        raise ValueError(
            "With a supernet the objective must be an accuracy that it stands "
            f"for: {', '.join(OBJECTIVES)}. Received: "
            f"{oracle.objective.name}. Use accuracy='trained'."
        )
    if oracle.asked["searched"] == "accelerator":
        raise ValueError(
            "With a supernet networks must be searched. Received: a search of "
            "accelerators for one network. Use accuracy='trained'."
        )


def _require_outside(
    folder: str | os.PathLike[str], project: pathlib.Path
) -> None:
    """Refuses to delete the supernet that is to be used."""
    path = pathlib.Path(folder).resolve()
    if project.resolve() in (path, *path.parents):
        raise ValueError(
            "A supernet must not be in the folder of a search that is "
            f"overwritten. Received: {folder}. Choose another folder for the "
            "new search."
        )
