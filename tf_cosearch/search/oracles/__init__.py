"""The search algorithms: one file each, found by looking.

A module of this package with a public subclass of `CoSearchOracle` is an
algorithm, and the module's name is the algorithm's.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil

from tf_cosearch import configuration
from tf_cosearch.search.oracles.base import CoSearchOracle


def names() -> list[str]:
    """Names of the algorithms.

    Example:
    >>> names()
    ['constrained_bayesian', 'random', 'regularized_evolution']
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
