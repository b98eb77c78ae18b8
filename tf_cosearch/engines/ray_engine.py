"""Ray as the engine: this process proposes, tasks of a cluster train.

The oracle stays in the process that searches, the driver, which owns the folder
of the search: records, retries of failing trials, order and crash safety are
those of every engine. Ray places the tasks, starts them again when a node or a
process dies, takes them back when the driver does, and brings data to each node
once.
"""

from __future__ import annotations

import contextlib
import importlib
import logging as python_logging
import math
import os
import signal
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tf_cosearch import configuration, environment
from tf_cosearch.engines import launch
from tf_cosearch.engines.ray_trials import Flights, first_line

if TYPE_CHECKING:
    from tf_cosearch.engines.tuner import DurableTuner

ENGINES = {
    "local": "this process, or a chief and its workers",
    "ray": "tasks of a Ray cluster",
}
"""Who may run the trials."""

Nodes = Sequence[Mapping[str, float]]
"""Resources of each node that is alive, as Ray names and counts them."""

_ANSWER_SECONDS = 5.0
_LOOK_SECONDS = 5.0

# What Ray sets in the process that imports it and connects.
_VARIABLES = (
    "PYTHONBREAKPOINT",
    "RAY_ADDRESS",
    "RAY_AUTH_MODE",
    "RAY_CLIENT_MODE",
    "RAY_USAGE_STATS_ENABLED",
)


class RayEngine:
    """Trains each trial as a task of a Ray cluster.

    A trial takes its share of a node's CPUs and GPUs, which is also the number
    of TensorFlow's threads, and the memory that its training needs. With
    `trials_at_once=1` the same seed gives the same search; with more the order
    of trials depends on their speed.

    Args:
        address: `auto`, a cluster that this machine is part of or that
            `RAY_ADDRESS` names; `HOST:PORT` of another one; `local` starts one
            of this machine for the search. By default what `ray.init` has
            connected to before, or else `auto`.
        trials_at_once: Most trials in flight. By default as many as the nodes
            that are there have room for; a cluster that adds nodes by itself
            has to be asked for more.
        cpus_per_trial: May be a fraction. By default a node's CPUs are shared
            by as many trials as its memory, and its GPUs, are enough for.
        gpus_per_trial: May be a fraction; by default 1 if a node has any.

    Raises:
        ImportError: If Ray is not installed.
        ValueError: If an argument is not possible.

    Example:
    >>> RayEngine(cpus_per_trial=0)
    Traceback (most recent call last):
    ValueError: `cpus_per_trial` must be more than 0. Received: 0.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        trials_at_once: int | None = None,
        cpus_per_trial: float | None = None,
        gpus_per_trial: float | None = None,
    ) -> None:
        if address is not None:
            check_address(address)
        if trials_at_once is not None:
            configuration.at_least("trials_at_once", trials_at_once, 1)
        for name, value, least in (
            ("cpus_per_trial", cpus_per_trial, math.ulp(0.0)),
            ("gpus_per_trial", gpus_per_trial, 0.0),
        ):
            if value is None:
                continue
            if configuration.number(value, f"`{name}`") < least:
                must = "more than 0" if least else "0 or more"
                raise ValueError(
                    f"`{name}` must be {must}. Received: {value!r}."
                )
        self._ray = _installed()
        self._address = address
        self._most = trials_at_once
        self._cpus, self._gpus = cpus_per_trial, gpus_per_trial
        self._is_connected = False

    @contextlib.contextmanager
    def connected(self) -> Iterator[None]:
        """Connects to the cluster, unless this process is; and leaves it.

        Raises:
            RuntimeError: If there is no cluster, or it takes no driver.
            ValueError: If the process is connected, to whatever, and this
                engine has an address.
        """
        if self._is_connected:
            yield
            return
        with contextlib.ExitStack() as stack:
            if not self._ray.is_initialized():
                stack.enter_context(environment.kept(*_VARIABLES))
                stack.enter_context(_handler_kept(signal.SIGTERM))
                self._connect()
                stack.callback(self._ray.shutdown)
            elif self._address is not None:
                raise ValueError(
                    "`ray_address` must be left out where ray.init has "
                    f"connected already. Received: {self._address!r}. Leave "
                    "it out, or call ray.shutdown() before."
                )
            self._is_connected = True
            try:
                yield
            finally:
                self._is_connected = False

    def _connect(self) -> None:
        address = self._address or os.environ.pop("RAY_ADDRESS", "") or "auto"
        os.environ.pop("RAY_ADDRESS", None)  # which Ray prefers to its argument
        options: dict[str, Any] = {}
        if address == "local":
            options["include_dashboard"] = False
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        elif address != "auto":
            _require_listener(check_address(address))
        try:
            self._ray.init(
                address,
                log_to_driver=False,
                logging_level=python_logging.ERROR,
                **options,
            )
        except (Exception, SystemExit) as error:
            told = first_line(error).rstrip(".")
            raise RuntimeError(
                "engine='ray' must have a cluster that takes this process. "
                f"Received: {address} ({told}). Run `ray start --head` on one "
                "machine and `ray start --address=HOST:PORT` on the others, "
                "give its token (RAY_AUTH_TOKEN) if it has one, or use "
                "ray_address=local."
            ) from None

    def training_room(self, of_one: int = 0) -> int | None:
        """Bytes that a training may take; None of GPUs, which have their own.

        Args:
            of_one: What each trial takes in any case.
        """
        nodes = self._nodes()
        if self._share(nodes, of_one, False)[1]:
            return None
        return max(0, largest(nodes) - of_one)

    def require_sendable(self, **parts: Any) -> None:
        """Refuses what cannot be sent to another process, by its name.

        Raises:
            ValueError: If a part cannot be pickled.
        """
        for name, part in parts.items():
            with _named(name, part):
                self._ray.cloudpickle.dumps(part)

    def run(
        self,
        tuner: DurableTuner,
        arguments: Mapping[str, Any],
        trials_per_process: int | None = None,
    ) -> None:
        """Runs trials until the oracle of a tuner has no more.

        Args:
            tuner: Of a folder that this process owns.
            arguments: For `run_trial`.
            trials_per_process: After how many a process is replaced.

        Raises:
            RuntimeError: If trials keep failing for the same reason, no node
                has room for one, or the cluster is lost.
        """
        with self.connected():
            nodes = self._nodes()
            share = self._share(nodes, tuner.memory_bytes(), tuner.trains_alone)
            search = Flights(
                self._ray,
                tuner,
                arguments,
                trials_per_process,
                *share,
                largest(nodes),
            )
            try:
                self._fly(search)
            finally:
                search.land()

    def _fly(self, search: Flights) -> None:
        """Keeps as many trials in flight as there is room for."""
        looked, room = -math.inf, None
        while True:
            search.collect()
            if time.monotonic() - looked > _LOOK_SECONDS:
                room = self._room(search, room is None)
                looked = time.monotonic()
            if search.flying < (room or 1) and search.begin():
                continue
            if not search.flying:
                return
            search.wait(_LOOK_SECONDS)

    def _room(self, search: Flights, is_first: bool) -> int:
        """How many trials may be in flight now.

        Nodes that had room before may be back soon: a trial waits for them.
        """
        if self._most is not None:
            return self._most
        needs = {"CPU": search.cpus, "GPU": search.gpus}
        nodes = self._nodes()
        room = places(nodes, {**needs, "memory": search.of_one})
        if not room and is_first:
            has = ", ".join(
                " ".join(f"{node.get(n, 0):g} {n}" for n in needs)
                + f" {node.get('memory', 0) / 2**30:.3g} GiB"
                for node in nodes
            )
            raise RuntimeError(
                f"A node must have room for a trial of {search.cpus:g} CPU, "
                f"{search.gpus:g} GPU and {search.of_one / 2**30:.3g} GiB. "
                f"Received: nodes of {has or 'nothing'}. Give a trial less, or "
                "say how many trials_at_once if the cluster adds nodes."
            )
        return room

    def _nodes(self) -> Nodes:
        return [n["Resources"] for n in self._ray.nodes() if n["Alive"]]

    def _share(
        self, nodes: Nodes, of_one: int, is_alone: bool
    ) -> tuple[float, float]:
        """CPUs and GPUs of a trial."""
        gpus = self._gpus
        if gpus is None:
            gpus = float(any(node.get("GPU", 0) >= 1 for node in nodes))
        if self._cpus is not None:
            return self._cpus, gpus
        needs = {"CPU": 1.0, "GPU": gpus, "memory": of_one}
        each = [
            node["CPU"] // (1 if is_alone else places([node], needs))
            for node in nodes
            if places([node], needs)
        ]
        return max(1.0, min(each, default=1.0)), gpus


def get(engine: str | RayEngine) -> RayEngine | None:
    """The engine that a user chose; None if it is `local`.

    Raises:
        ValueError: If it is not known, or a chief's worker is to use it.
    """
    if engine == "local":
        return None
    if engine == "ray":
        engine = RayEngine()
    if not isinstance(engine, RayEngine):
        raise configuration.unknown("engine", engine, ENGINES)
    if launch.is_child():
        raise ValueError(
            "engine='ray' must have the search to itself. Received: it with "
            "KerasTuner's variables, of a chief and its workers. Unset "
            "KERASTUNER_TUNER_ID, or use engine='local'."
        )
    return engine


def check_address(address: Any) -> str:
    """An address of a cluster, if it is one.

    Raises:
        ValueError: If it is none.

    Example:
    >>> check_address("10.0.0.1:6379")
    '10.0.0.1:6379'
    """
    if isinstance(address, str):
        host, _, port = address.rpartition(":")
        is_there = bool(host) and "/" not in host
        if address in ("auto", "local") or (
            is_there and port.isdecimal() and 0 < int(port) < 2**16
        ):
            return address
    raise ValueError(
        "`ray_address` must be auto, local, or HOST:PORT of a cluster's head. "
        f"Received: {address!r}."
    )


def places(nodes: Nodes, needs: Mapping[str, float]) -> int:
    """How many trials fit on nodes at once.

    Args:
        nodes: What each has.
        needs: What a trial takes, by the same names.

    Example:
    >>> nodes = [{"CPU": 4, "memory": 3e9}, {"CPU": 16, "memory": 5e9}]
    >>> places(nodes, {"CPU": 1, "memory": 1.25e9})
    6
    """
    return sum(
        int(min(node.get(n, 0) // need for n, need in needs.items() if need))
        for node in nodes
    )


def largest(nodes: Nodes) -> int:
    """Bytes of the node that has most of them for tasks."""
    return int(max((node.get("memory", 0) for node in nodes), default=0))


def _installed() -> Any:
    """Ray, which leaves the environment of this process as it was."""
    try:
        with environment.kept(*_VARIABLES):
            return importlib.import_module("ray")
    except ImportError as error:
        raise ImportError(
            f"engine='ray' must have Ray. Received: {error}. "
            "pip install 'tf_cosearch[ray]'."
        ) from None


def _require_listener(address: str) -> None:
    """Says within seconds that nobody is there, which takes Ray minutes."""
    host, _, port = address.rpartition(":")
    try:
        target = host.strip("[]"), int(port)
        socket.create_connection(target, _ANSWER_SECONDS).close()
    except OSError as error:
        raise RuntimeError(
            "A Ray cluster must listen at `ray_address`. Received: "
            f"{address} ({error}). Start it there with `ray start --head "
            f"--port={port}`, or use ray_address=local."
        ) from None


@contextlib.contextmanager
def _named(name: str, part: Any) -> Iterator[None]:
    """Says which argument it was that could not be pickled, and why."""
    try:
        yield
    except Exception as error:
        raise ValueError(
            f"`{name}` must be of what can be pickled with engine='ray', which "
            f"sends it to other processes. Received: {part!r} "
            f"({first_line(error)}). Make what it refers to where it is used, "
            "or use engine='local'."
        ) from None


@contextlib.contextmanager
def _handler_kept(number: signal.Signals) -> Iterator[None]:
    """Puts a signal's handler back, which Ray replaces."""
    before = signal.getsignal(number)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # not in the main thread
            signal.signal(number, before)
