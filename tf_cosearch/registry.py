"""Finds the members of a package, each a class in a file of its own.

A module of the package with a public subclass of its base is a member, and the
module's name is the member's. A user's own is such a class anywhere, handed
over as it is, or made.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from tf_cosearch import configuration

Member = TypeVar("Member")


class Registry(Generic[Member]):
    """The members of one package.

    Args:
        package: Its name.
        base: What members are subclasses of.
        flag: What a member is called where one is chosen, for messages.

    Example:
    >>> from tf_cosearch.search.algorithms.algorithm import Algorithm
    >>> members = Registry("tf_cosearch.search.algorithms", Algorithm, "oracle")
    >>> members.get("random").__name__
    'RandomSearch'
    >>> members.options("regularized_evolution")[:2]
    ['population_size', 'sample_size']
    """

    def __init__(self, package: str, base: type[Member], flag: str) -> None:
        self._package, self._base, self._flag = package, base, flag

    def names(self) -> list[str]:
        """Names of the members."""
        return sorted(self._by_name())

    def get(self, name: str) -> type[Member]:
        """Finds the class of a member.

        Args:
            name: One of `names()`.

        Raises:
            ValueError: If there is none of that name.
        """
        known = self._by_name()
        if name not in known:
            raise configuration.unknown(self._flag, name, known)
        return known[name]

    def name(self, member: str | Member | type[Member]) -> str:
        """What a member is called: its name, or that of its class.

        Raises:
            ValueError: If it is none.
        """
        if isinstance(member, str):
            self.get(member)
            return member
        cls = member if isinstance(member, type) else type(member)
        if not issubclass(cls, self._base):
            base = self._base.__name__
            article = "An" if base[0] in "AEIOU" else "A"
            raise ValueError(
                f"{article} {base.lower()} must be one of its names, a "
                f"subclass of {base}, or an instance of one. Received: "
                f"{member!r}. Known names: {', '.join(self.names())}."
            )
        return cls.__name__

    def options(self, member: str | Member | type[Member]) -> list[str]:
        """Names of the options that a member can be made with.

        Args:
            member: Its name or class. One that is made has none any more.

        Returns:
            Those of the class and of what it is derived from.
        """
        if isinstance(member, self._base):
            return []
        cls: Any = self.get(member) if isinstance(member, str) else member
        names = [
            name
            for each in cls.__mro__
            if issubclass(each, self._base) and "__init__" in vars(each)
            for name, parameter in inspect.signature(each).parameters.items()
            if parameter.kind
            in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        ]
        return list(dict.fromkeys(names))

    def make(
        self, member: str | Member | type[Member], chosen: Mapping[str, Any]
    ) -> Member:
        """Makes a member.

        Args:
            member: Its name or class, or one that is made.
            chosen: Its options.

        Raises:
            ValueError: If it is none, or an option is not known.
        """
        called = self.name(member)
        known = self.options(member)
        for option in chosen:
            if option not in known:
                raise configuration.unknown(
                    f"option of {called}", option, known
                )
        if isinstance(member, self._base):
            return member
        cls: Any = self.get(member) if isinstance(member, str) else member
        made: Member = cls(**chosen)
        return made

    def _by_name(self) -> dict[str, type[Member]]:
        package = importlib.import_module(self._package)
        classes: dict[str, type[Member]] = {}
        for module_info in pkgutil.iter_modules(package.__path__):
            module = importlib.import_module(
                f"{self._package}.{module_info.name}"
            )
            for called, member in inspect.getmembers(module, inspect.isclass):
                if (
                    issubclass(member, self._base)
                    and member is not self._base
                    and member.__module__ == module.__name__
                    and not called.startswith("_")
                ):
                    classes[module_info.name] = member
        return classes
