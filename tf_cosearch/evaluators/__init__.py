"""Who says what a design costs: one file each, found by looking.

A module of this package with a public subclass of `Evaluator` is an
evaluator, and the module's name is the evaluator's. One of a user's own is
such a class anywhere, and handed to the tuner.
"""

from __future__ import annotations

from tf_cosearch.evaluators.evaluator import Evaluator
from tf_cosearch.registry import Registry

_MEMBERS = Registry(__name__, Evaluator, "evaluator")
names = _MEMBERS.names
get = _MEMBERS.get
options = _MEMBERS.options
make = _MEMBERS.make
