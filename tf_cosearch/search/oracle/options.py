"""Makes an oracle of what a user chose, by the names of its options."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from tf_cosearch import configuration
from tf_cosearch.search import algorithms
from tf_cosearch.search.algorithms.algorithm import Algorithm
from tf_cosearch.search.oracle.oracle import CoSearchOracle

OF_OTHER_TUNERS = ("hyperparameters", "allow_new_entries", "tune_new_entries")
"""Arguments about a user's own model, in a `keras_tuner.Tuner` of theirs."""


def make(
    algorithm: str | Algorithm | type[Algorithm],
    chosen: Mapping[str, Any],
    **arguments: Any,
) -> CoSearchOracle:
    """Makes an oracle of what a user chose for it, or for its algorithm.

    Args:
        algorithm: Who suggests.
        chosen: Options of the user: of the algorithm, or arguments of
            `CoSearchOracle`.
        **arguments: What the caller sets itself.

    Returns:
        The oracle.

    Raises:
        ValueError: If an option is not known, not the user's to set, or out
            of its range.
        TypeError: If an option is not of its type.
    """
    name = algorithms.name(algorithm)
    not_chosen = {"space", "algorithm", "algorithm_options", *arguments}
    parameters = inspect.signature(CoSearchOracle).parameters
    of_oracle = [
        option
        for option in parameters
        if option not in {*not_chosen, *OF_OTHER_TUNERS}
    ]
    of_algorithm = algorithms.options(algorithm)
    for option in chosen:
        if option in arguments:
            raise ValueError(
                f"{option} must be set as an argument of its own. Received: "
                f"it as an option of {name}."
            )
        if option in OF_OTHER_TUNERS:
            raise ValueError(
                f"{option} must be for a keras_tuner.Tuner of your own, whose "
                f"model may use it. Received: it as an option of {name}. Leave "
                "it out: the training of a search of ours would not use it."
            )
        if option not in (*of_algorithm, *of_oracle):
            raise configuration.unknown(
                f"option of {name}", option, [*of_algorithm, *of_oracle]
            )
    try:
        return CoSearchOracle(
            algorithm=algorithm,
            algorithm_options={
                k: v for k, v in chosen.items() if k in of_algorithm
            },
            **{k: v for k, v in chosen.items() if k not in of_algorithm},
            **arguments,
        )
    except (TypeError, AttributeError) as error:
        if not chosen:
            raise
        raise TypeError(
            f"Options of {name} must be of the types it documents. Received: "
            f"{dict(chosen)} ({error})."
        ) from error
