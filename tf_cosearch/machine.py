"""What of the machine this process may use, containers and their limits too."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator

_ROOT = pathlib.Path("/")
_MEMORY = ("memory.max", "memory.high", "memory.limit_in_bytes")


def cores(root: pathlib.Path = _ROOT) -> int:
    """Processor cores that this process may use, at least 1.

    Those that it may run on, or as many as its container may use at once,
    whichever are fewer.

    Args:
        root: Where `proc` and `sys` are.
    """
    most = float(len(os.sched_getaffinity(0)))
    for group in _groups(root):
        most = min(most, _share(group))
    return max(1, int(most))


def threads() -> int:
    """Threads that this process is to have, at least 1.

    What `OMP_NUM_THREADS` says, as `engines.launch` gives each worker its
    share of the cores; else `cores()`.
    """
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdecimal() and int(given) else cores()


def memory_bytes(root: pathlib.Path = _ROOT) -> int:
    """Memory that this process may use: the machine's, or its container's.

    Args:
        root: Where `proc` and `sys` are.
    """
    most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for group in _groups(root):
        for name in _MEMORY:
            (limit,) = _numbers(group / name, 1)
            if limit is not None:
                most = min(most, limit)
    return most


def _groups(root: pathlib.Path) -> Iterator[pathlib.Path]:
    """The folders of the control groups of this process, and of those around.

    Each of them may have a limit, and the smallest counts. In a container,
    paths may be those of the host: what there is of them is looked into.
    """
    mounted = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    for line in (*lines, "0::/"):
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        # One tree for all (version 2), or one for each controller (version 1).
        for tree in (controllers, *controllers.split(",")):
            group = pathlib.PurePosixPath("/", path)
            for each in (group, *group.parents):
                yield mounted / tree / each.relative_to("/")


def _share(group: pathlib.Path) -> float:
    """How many cores a group may use at once."""
    quota, period = _numbers(group / "cpu.max", 2)
    if quota is None:
        (quota,) = _numbers(group / "cpu.cfs_quota_us", 1)
        (period,) = _numbers(group / "cpu.cfs_period_us", 1)
    return quota / period if quota and period else float("inf")


def _numbers(path: pathlib.Path, count: int) -> list[int | None]:
    """What a file holds; None for `max`, for -1, and if there is no file."""
    words: list[str] = []
    with contextlib.suppress(OSError, UnicodeDecodeError):
        words = path.read_text().split()
    words += [""] * count
    return [int(word) if word.isdecimal() else None for word in words[:count]]
