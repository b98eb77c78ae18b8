"""Ray clusters of this machine, of one node, or of some to be killed."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import pathlib
import random
import signal
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection
from typing import Any

CPUS = 2
"""Of each of the two nodes that run trials; the head runs none."""


class RayNodes:
    """Two nodes and a head, which a process of their own looks after.

    So the process that asks for it stays one that may be forked.

    Attributes:
        address: Of the head.
    """

    def __init__(self) -> None:
        context = multiprocessing.get_context("fork")
        self._connection, other = context.Pipe()
        self._keeper = context.Process(target=_keep, args=(other,))
        self._keeper.start()
        self.address: str = self._connection.recv()

    def kill_node(self) -> None:
        """Kills a node with all that runs there, and starts another."""
        self._connection.send("kill")
        self._connection.recv()

    def stop(self) -> None:
        """Ends the cluster."""
        self._connection.send("stop")
        self._keeper.join()


@contextlib.contextmanager
def nodes() -> Iterator[RayNodes]:
    """A cluster as long as the block lasts."""
    made = RayNodes()
    try:
        yield made
    finally:
        made.stop()


@contextlib.contextmanager
def one(cpus: int) -> Iterator[None]:
    """Connects this process to a node of its own as long as the block lasts.

    Args:
        cpus: That it says to have.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray: Any = importlib.import_module("ray")
    ray.init(
        "local", num_cpus=cpus, include_dashboard=False, log_to_driver=False
    )
    try:
        yield
    finally:
        ray.shutdown()


def kill_task(numbers: Iterable[int]) -> bool:
    """Kills the first of some processes that is one of a Ray task.

    Args:
        numbers: Of processes, of which some may have ended.

    Returns:
        Whether there was one.
    """
    for number in numbers:
        with contextlib.suppress(OSError):
            name = pathlib.Path(f"/proc/{number}/cmdline").read_bytes()
            if name.startswith(b"ray::"):
                os.kill(number, signal.SIGKILL)
                return True
    return False


def _keep(connection: Connection) -> None:
    """Looks after a cluster until it is told to stop."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    cluster_utils: Any = importlib.import_module("ray.cluster_utils")
    settings = {"include_dashboard": False, "object_store_memory": 2**27}
    cluster = cluster_utils.Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, **settings}
    )
    running = [cluster.add_node(num_cpus=CPUS, **settings) for _ in range(2)]
    connection.send(cluster.address)
    rng = random.Random(0)
    while connection.recv() == "kill":
        node = running.pop(rng.randrange(len(running)))
        cluster.remove_node(node, allow_graceful=False)
        running.append(cluster.add_node(num_cpus=CPUS, **settings))
        connection.send(None)
    cluster.shutdown()
