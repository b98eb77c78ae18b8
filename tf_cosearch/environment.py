"""Environment variables that are set for a moment only."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def kept(*names: str) -> Iterator[None]:
    """Puts environment variables back afterwards, whatever happens to them.

    The environment is inherited by every process that the user starts.

    Args:
        *names: Of the variables; need not be set.

    Example:
    >>> with kept("XLA_FLAGS"):
    ...     os.environ["XLA_FLAGS"] = "--xla_cpu_prefer_vector_width=512"
    >>> "XLA_FLAGS" in os.environ
    False
    """
    before = {name: os.environ[name] for name in names if name in os.environ}
    try:
        yield
    finally:
        for name in names:
            os.environ.pop(name, None)
        os.environ.update(before)
