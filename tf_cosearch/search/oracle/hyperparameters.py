"""Hyperparameters of a user's own model, beside those of a space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras_tuner
import numpy as np

if TYPE_CHECKING:
    from tf_cosearch.search.space import SearchSpace


def beside(
    space: SearchSpace, others: keras_tuner.HyperParameters | None
) -> keras_tuner.HyperParameters:
    """The hyperparameters of a space, and others beside them.

    Args:
        space: What is searched.
        others: Those of a model, if they are known in advance.

    Returns:
        Both.

    Raises:
        ValueError: If one of the others is part of the space.
    """
    both = space.hyperparameters()
    entries = [] if others is None else others.space
    names = {parameter.name for parameter in space.parameters}
    for entry in entries:
        if entry.name in names:
            raise ValueError(
                "`hyperparameters` must be others than those of the space. "
                f"Received: {entry.name}. Restrict it in the space, or hold "
                "its side with `searched` and `fixed`."
            )
    both.merge(entries)
    return both


def complete(
    values: Mapping[str, Any],
    hyperparameters: keras_tuner.HyperParameters,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Draws the hyperparameters that a design does not choose.

    Args:
        values: Of the parameters of the space.
        hyperparameters: What `beside` returned, and what models added.
        rng: Where chance comes from.

    Returns:
        Values of all that are active.
    """
    chosen = keras_tuner.HyperParameters()
    chosen.values = dict(values)
    for entry in hyperparameters.space:
        chosen.merge([entry], overwrite=False)
        if entry.name not in values and chosen.is_active(entry):
            seed = int(rng.integers(2**31))
            chosen.values[entry.name] = entry.random_sample(seed)
    return dict(chosen.values)
