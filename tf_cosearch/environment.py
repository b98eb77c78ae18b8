"""Environment variables that are set for a moment only."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def kept(name: str) -> Iterator[None]:
    """Puts an environment variable back afterwards, whatever happens to it.

    The environment is inherited by every process that the user starts.

    Args:
        name: Of the variable; need not be set.

    Example:
    >>> with kept("XLA_FLAGS"):
    ...     os.environ["XLA_FLAGS"] = "--xla_cpu_prefer_vector_width=512"
    >>> "XLA_FLAGS" in os.environ
    False
    """
    before = os.environ.get(name)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before
