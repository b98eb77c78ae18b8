"""Ray as the engine: this process proposes, tasks of a cluster train.

The oracle stays in the process that searches, the driver, which owns the folder
of the search: records, retries of failing trials, order and crash safety are
those of every engine. Ray places the tasks, starts them again when a node or a
process dies, takes them back when the driver does, and brings data to each node
once.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import logging as python_logging
import math
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from absl import logging
from keras_tuner.engine.trial import TrialStatus

from tf_cosearch import configuration, environment
from tf_cosearch.engines import launch
from tf_cosearch.engines.ray_trials import RunningTrials, first_line

if TYPE_CHECKING:
    from tf_cosearch.engines.tuner import DurableTuner

ENGINES = {
    "local": "this process, or a chief and its workers",
    "ray": "tasks of a Ray cluster",
}
"""Who may run the trials."""

Nodes = Sequence[Mapping[str, float]]
"""Resources of each node that is alive, as Ray names and counts them."""

_LEAST_CPUS = 0.0001  # that Ray counts
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
        trials_at_once: Most trials that run or wait for a node. By default as
            many as the nodes that are there have room for; a cluster that
            adds nodes by itself has to be asked for more, and is waited for.
        cpus_per_trial: May be a fraction. By default a node's CPUs are shared
            by as many trials as its memory, and its GPUs, are enough for. A
            trial that other trainings would disturb gets so many that no
            node has them twice; smaller nodes get none.
        gpus_per_trial: May be a fraction; by default 1 if a node has any.

    Raises:
        ImportError: If Ray is not installed.
        ValueError: If an argument is not possible.

    Example:
    >>> RayEngine(cpus_per_trial=0)
    Traceback (most recent call last):
    ValueError: `cpus_per_trial` must be 0.0001 or more. Received: 0.
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
            ("cpus_per_trial", cpus_per_trial, _LEAST_CPUS),
            ("gpus_per_trial", gpus_per_trial, 0.0),
        ):
            if value is None:
                continue
            if configuration.number(value, f"`{name}`") < least:
                must = f"{least or 0:g} or more"
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
                with _process_kept():
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
        # Ray would prefer the variable to its argument.
        named = os.environ.pop("RAY_ADDRESS", "")
        is_named = self._address in (None, "auto") and bool(named)
        address = named if is_named else self._address or "auto"
        options: dict[str, Any] = {}
        if address == "local":
            options["include_dashboard"] = False
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        elif address != "auto":
            name = "RAY_ADDRESS" if is_named else "ray_address"
            _require_listener(check_address(address, name), name)
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
                "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN if it asks for a "
                "token, or use ray_address=local."
            ) from None

    def training_room(
        self, base_bytes: int = 0, *, is_alone: bool = False
    ) -> int | None:
        """Bytes that a training may take, if there is a limit.

        GPUs have their own memory, and of nodes that are still to be added
        nothing is known.

        Args:
            base_bytes: What each trial takes in any case.
            is_alone: Whether a trial wants a node to itself.

        Raises:
            ValueError: If it does, and is to leave room for another.
        """
        nodes = self._nodes()
        cpus, gpus = self._share(nodes, base_bytes, is_alone)
        most = None if gpus else largest(nodes, {"CPU": cpus})
        return None if most is None else max(0, most - base_bytes)

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
            share = self._share(
                self._nodes(), tuner.memory_bytes(), tuner.trains_alone
            )
            search = RunningTrials(
                self._ray, tuner, arguments, trials_per_process, *share
            )
            needs = dict(zip(("CPU", "GPU"), share, strict=True))
            needs["memory"] = tuner.memory_bytes()
            try:
                self._keep_running(search, needs)
            finally:
                search.cancel()

    def _keep_running(
        self, search: RunningTrials, needs: Mapping[str, float]
    ) -> None:
        """Runs as many trials as there is room for, until there are no more."""
        looked, room, status = -math.inf, None, ""
        told = ""
        while True:
            search.collect()
            if time.monotonic() - looked > _LOOK_SECONDS:
                nodes = self._nodes()
                room = self._room(nodes, needs, room is None)
                search.most_bytes = largest(nodes, {**needs, "memory": 0})
                asked = {**needs, "memory": search.most_needed()}
                lack = "" if places(nodes, asked) else _lack(nodes, asked)
                if lack and lack != told:
                    logging.warning("%s. The search waits for one.", lack)
                looked, told = time.monotonic(), lack
            if len(search) < (room or 1):
                status = search.submit()
                if status == TrialStatus.RUNNING:
                    continue
            if not search and status == TrialStatus.STOPPED:
                return
            search.wait(_LOOK_SECONDS)

    def _room(
        self, nodes: Nodes, needs: Mapping[str, float], is_first: bool
    ) -> int:
        """How many trials may run now, or wait for a node.

        Nodes that had room before may be back soon: a trial waits for them.
        """
        room = places(nodes, needs)
        may_grow = self._most is not None and self._address != "local"
        if not room and is_first and not may_grow:
            raise RuntimeError(
                f"{_lack(nodes, needs)}. Give a trial less, or say how many "
                "trials_at_once if the cluster adds nodes."
            )
        return room if self._most is None else self._most

    def _nodes(self) -> Nodes:
        return [n["Resources"] for n in self._ray.nodes() if n["Alive"]]

    def _share(
        self, nodes: Nodes, base_bytes: int, is_alone: bool
    ) -> tuple[float, float]:
        """CPUs and GPUs of a trial."""
        gpus = self._gpus
        if gpus is None:
            gpus = float(any(node.get("GPU", 0) >= 1 for node in nodes))
        needs = {"CPU": self._cpus or 1.0, "GPU": gpus, "memory": base_bytes}
        at_once = {
            n: room
            for n in range(len(nodes))
            if (room := places([nodes[n]], needs))
        }
        if self._cpus is not None:
            if is_alone and max(at_once.values(), default=0) > 1:
                raise ValueError(
                    "`cpus_per_trial` must leave no room for another trial on "
                    "a node, which would disturb what its evaluator measures. "
                    f"Received: {self._cpus!r}. Leave it out."
                )
            return self._cpus, gpus
        if is_alone:
            cpus = [nodes[n]["CPU"] for n in at_once]
            each = [c for c in cpus if 2 * c > max(cpus)]
        else:
            each = [nodes[n]["CPU"] // room for n, room in at_once.items()]
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


def check_address(address: Any, name: str = "ray_address") -> str:
    """An address of a cluster, if it is one.

    Args:
        address: What may be one.
        name: What has given it.

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
        f"`{name}` must be auto, local, or HOST:PORT of a cluster's head. "
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
        # 0.1 is ten times in 1, whatever its bits say.
        math.floor(
            min(node.get(n, 0) / need for n, need in needs.items() if need)
            + 1e-9
        )
        for node in nodes
    )


def largest(nodes: Nodes, needs: Mapping[str, float]) -> int | None:
    """Bytes of the node that has most of them, of those that run trials.

    Args:
        nodes: What each has.
        needs: What a trial takes beside memory.

    Returns:
        None if no node runs any.

    Example:
    >>> nodes = [{"CPU": 0, "memory": 64e9}, {"CPU": 4, "memory": 16e9}]
    >>> largest(nodes, {"CPU": 1})
    16000000000
    """
    able = [node for node in nodes if places([node], needs)]
    return max((int(node.get("memory", 0)) for node in able), default=None)


def _lack(nodes: Nodes, needs: Mapping[str, float]) -> str:
    """Says what no node has room for."""

    def told(has: Mapping[str, float]) -> str:
        memory = has.get("memory", 0) / 2**30
        counts = (f"{has.get(name, 0):g} {name}" for name in ("CPU", "GPU"))
        return " ".join([*counts, f"{memory:.3g} GiB"])

    received = ", ".join(map(told, nodes)) or "nothing"
    return (
        f"A node must have room for a trial of {told(needs)}. Received: nodes "
        f"of {received}"
    )


def _installed() -> Any:
    """Ray, whose import leaves this process as it was."""
    try:
        with environment.kept(*_VARIABLES), _process_kept():
            return importlib.import_module("ray")
    except ImportError as error:
        raise ImportError(
            f"engine='ray' must have Ray. Received: {error}. "
            "pip install 'tf_cosearch[ray]'."
        ) from None


def _require_listener(address: str, name: str) -> None:
    """Says within seconds that nobody is there, which takes Ray minutes."""
    host, _, port = address.rpartition(":")
    try:
        target = host.strip("[]"), int(port)
        socket.create_connection(target, _ANSWER_SECONDS).close()
    except OSError as error:
        raise RuntimeError(
            f"A Ray cluster must listen at `{name}`. Received: {address} "
            f"({error}). Start it there with `ray start --head "
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
def _process_kept() -> Iterator[None]:
    """Puts back what Ray takes of the process that imports it and connects.

    These are who hears of errors that nobody handles, of faults, and of a
    request to end.
    """
    hook, number = sys.excepthook, signal.SIGTERM
    has_faults = faulthandler.is_enabled()
    handler = signal.getsignal(number)
    try:
        yield
    finally:
        sys.excepthook = hook
        if not has_faults:
            faulthandler.disable()
        # None is a handler that is not of Python; others not of this thread.
        if handler is not None and signal.getsignal(number) is not handler:
            with contextlib.suppress(ValueError):
                signal.signal(number, handler)
