"""The search algorithms: one file each, found by looking.

A module of this package with a public subclass of `CoSearchOracle` is an
algorithm, and the module's name is the algorithm's.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from typing import Any

from tf_cosearch import configuration
from tf_cosearch.search.oracle.base import CoSearchOracle

OF_OTHER_TUNERS = ("hyperparameters", "allow_new_entries", "tune_new_entries")
"""Arguments about a user's own model, in a `keras_tuner.Tuner` of theirs."""


def names() -> list[str]:
    """Names of the algorithms.

    Example:
    >>> "grey_box" in names()
    True
    """
    return sorted(_find())


def get(name: str) -> type[CoSearchOracle]:
    """Finds an algorithm by its name.

    Args:
        name: One of `names()`.

    Returns:
        Its class.

    Raises:
        ValueError: If there is none of that name.

    Example:
    >>> get("random").__name__
    'RandomOracle'
    """
    found = _find()
    if name not in found:
        raise configuration.unknown("oracle", name, found)
    return found[name]


def make(
    name: str, chosen: Mapping[str, Any], **arguments: Any
) -> CoSearchOracle:
    """Makes an algorithm for a `CoSearchTuner`.

    Args:
        name: One of `names()`.
        chosen: Options of the user, see `options`.
        **arguments: What the caller sets itself.

    Returns:
        The oracle.

    Raises:
        ValueError: If an option is not known, not the user's to set, or out
            of its range.
        TypeError: If an option is not of its type.
    """
    algorithm = get(name)
    taken = {*arguments, *OF_OTHER_TUNERS}
    known = [each for each in options(algorithm) if each not in taken]
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
        if option not in known:
            raise configuration.unknown(f"option of {name}", option, known)
    try:
        return algorithm(**arguments, **chosen)
    except (TypeError, AttributeError) as error:
        if not chosen:
            raise
        raise TypeError(
            f"Options of {name} must be of the types it documents. Received: "
            f"{dict(chosen)} ({error})."
        ) from error


def options(algorithm: type[CoSearchOracle]) -> list[str]:
    """Names of the arguments that an algorithm can be given.

    Args:
        algorithm: A class of an algorithm.

    Returns:
        Those of the class and of what it is derived from, `space` and
        `budgets` left out.

    Example:
    >>> options(get("regularized_evolution"))[:2]
    ['population_size', 'sample_size']
    """
    return [
        name
        for each in algorithm.__mro__
        if issubclass(each, CoSearchOracle) and "__init__" in vars(each)
        for name, parameter in inspect.signature(each).parameters.items()
        if parameter.kind == parameter.KEYWORD_ONLY
    ]


def _find() -> dict[str, type[CoSearchOracle]]:
    found = {}
    for module_info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{module_info.name}")
        for name, member in inspect.getmembers(module, inspect.isclass):
            if (
                issubclass(member, CoSearchOracle)
                and member is not CoSearchOracle
                and member.__module__ == module.__name__
                and not name.startswith("_")
            ):
                found[module_info.name] = member
    return found
