"""The search algorithms: one file each, found by looking.

A module of this package with a public subclass of `Algorithm` is an
algorithm, and the module's name is the algorithm's. One of a user's own is
such a class anywhere, and handed to the tuner.
"""

from __future__ import annotations

from tf_cosearch.registry import Registry
from tf_cosearch.search.algorithms.algorithm import Algorithm

_MEMBERS = Registry(__name__, Algorithm, "oracle")
names = _MEMBERS.names
get = _MEMBERS.get
name = _MEMBERS.name
options = _MEMBERS.options
make = _MEMBERS.make
