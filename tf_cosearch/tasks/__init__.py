"""What networks are for, one file a task, found by scan; see README.md."""

from __future__ import annotations

import importlib
import pkgutil

from tf_cosearch.tasks.classification import CLASSIFICATION, Classification
from tf_cosearch.tasks.task import Task, get, make, names, task

__all__ = [
    "CLASSIFICATION",
    "Classification",
    "Task",
    "get",
    "make",
    "names",
    "task",
]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
