"""The search algorithms: one file each, found by looking.

A module of this package with a public subclass of `Algorithm` is an
algorithm, and the module's name is the algorithm's. One of a user's own is
such a class anywhere, and handed to the tuner.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from typing import Any

from tf_cosearch import configuration
from tf_cosearch.search.algorithms.algorithm import Algorithm


def names() -> list[str]:
    """Names of the algorithms.

    Example:
    >>> "grey_box" in names()
    True
    """
    return sorted(_by_name())


def get(name: str) -> type[Algorithm]:
    """Finds an algorithm by its name.

    Args:
        name: One of `names()`.

    Returns:
        Its class.

    Raises:
        ValueError: If there is none of that name.

    Example:
    >>> get("random").__name__
    'RandomSearch'
    """
    known = _by_name()
    if name not in known:
        raise configuration.unknown("oracle", name, known)
    return known[name]


def options(algorithm: str | Algorithm | type[Algorithm]) -> list[str]:
    """Names of the options that an algorithm can be made with.

    Args:
        algorithm: Its name or class. One that is made has none any more.

    Returns:
        Those of the class and of what it is derived from.

    Example:
    >>> options("regularized_evolution")[:2]
    ['population_size', 'sample_size']
    """
    if isinstance(algorithm, Algorithm):
        return []
    cls = get(algorithm) if isinstance(algorithm, str) else algorithm
    names = [
        name
        for each in cls.__mro__
        if issubclass(each, Algorithm) and "__init__" in vars(each)
        for name, parameter in inspect.signature(each).parameters.items()
        if parameter.kind
        in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    return list(dict.fromkeys(names))


def make(
    algorithm: str | Algorithm | type[Algorithm], chosen: Mapping[str, Any]
) -> Algorithm:
    """Makes an algorithm.

    Args:
        algorithm: Its name or class, or one that is made.
        chosen: Its options.

    Returns:
        The algorithm.

    Raises:
        ValueError: If it is none, or an option is not known.
    """
    called = name(algorithm)
    known = options(algorithm)
    for option in chosen:
        if option not in known:
            raise configuration.unknown(f"option of {called}", option, known)
    if isinstance(algorithm, Algorithm):
        return algorithm
    cls = get(algorithm) if isinstance(algorithm, str) else algorithm
    return cls(**chosen)


def name(algorithm: str | Algorithm | type[Algorithm]) -> str:
    """What an algorithm is called: its name, or that of its class.

    Raises:
        ValueError: If it is no algorithm.
    """
    if isinstance(algorithm, str):
        get(algorithm)
        return algorithm
    cls = algorithm if isinstance(algorithm, type) else type(algorithm)
    if not issubclass(cls, Algorithm):
        raise ValueError(
            "An algorithm must be one of its names, a subclass of Algorithm, "
            f"or an instance of one. Received: {algorithm!r}. Known names: "
            f"{', '.join(names())}."
        )
    return cls.__name__


def _by_name() -> dict[str, type[Algorithm]]:
    classes = {}
    for module_info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{module_info.name}")
        for called, member in inspect.getmembers(module, inspect.isclass):
            if (
                issubclass(member, Algorithm)
                and member is not Algorithm
                and member.__module__ == module.__name__
                and not called.startswith("_")
            ):
                classes[module_info.name] = member
    return classes
