"""Starts a chief and its workers on this machine, and keeps them alive."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType
from typing import NoReturn

import tensorflow as tf
from absl import logging

from tf_cosearch import machine

WORKER_BYTES = 5 * 2**28
"""Memory of a worker beside its data and batches: TensorFlow, and a network of
two million parameters that is trained quantization-aware; 1.2 GiB measured."""

RESTARTS = 10
"""How often each process is started again after a signal killed it."""

_GRACE_SECONDS = 20.0
_STARTS = "TF_COSEARCH_STARTS"
_WORKERS = "TF_COSEARCH_WORKERS"
_SPOKEN_FOR = "TF_COSEARCH_SPOKEN_FOR"  # by the chief, on the same terminal


def default_workers(
    training_bytes: int = 0, held_bytes: int = 0, chief_bytes: int = 0
) -> int:
    """Workers that this machine has cores and memory for, at least 1.

    A GPU is for one: TensorFlow takes all of its memory. Limits of a container
    count.

    Args:
        training_bytes: What data and batches take of each.
        held_bytes: What each holds beside them, and the chief as well.
        chief_bytes: What the chief takes before that, while workers wait.
    """
    if tf.config.list_physical_devices("GPU"):
        return 1
    # Chief and launcher take about half a worker each.
    free = machine.memory_bytes() - WORKER_BYTES
    each = WORKER_BYTES + held_bytes + training_bytes
    most = min(
        (free - held_bytes) // each, (free - chief_bytes) // WORKER_BYTES
    )
    return max(1, min(machine.cores(), most))


def training_room(held_bytes: int = 0) -> int | None:
    """Bytes that each training of this process, or of its workers, may take.

    Beside TensorFlow itself, and with all other workers of `launch` at work.
    None is no limit that is known: on a GPU, which has memory of its own, and
    for a chief whose workers run on other machines.

    Args:
        held_bytes: What each process holds beside its training.
    """
    workers = int(os.environ.get(_WORKERS, "0"))
    is_chief_of_others = is_child() and not is_worker() and not workers
    if is_chief_of_others or tf.config.list_physical_devices("GPU"):
        return None
    # Chief and launcher take about half a worker each.
    of_chief = WORKER_BYTES + held_bytes if workers else 0
    free = machine.memory_bytes() - of_chief
    return max(0, free // max(1, workers) - WORKER_BYTES - held_bytes)


def is_child() -> bool:
    """Whether this process is a chief or a worker already."""
    return "KERASTUNER_TUNER_ID" in os.environ


def is_worker() -> bool:
    """Whether this process only trains what a chief proposes."""
    return is_child() and "chief" not in os.environ["KERASTUNER_TUNER_ID"]


def is_launched() -> bool:
    """Whether `launch` started this process, as chief or as worker."""
    return _WORKERS in os.environ


def is_spoken_for() -> bool:
    """Whether `launch` started this worker; its chief says what both know."""
    return _SPOKEN_FOR in os.environ


def starts() -> int:
    """How often `launch` or `start_again` has started this process before."""
    return int(os.environ.get(_STARTS, "0"))


def start_again() -> NoReturn:
    """Runs the command of this process anew in its place.

    It keeps its number, its environment and its folder, and nothing else: no
    memory, no open file. Whoever waits for it notices nothing.
    """
    os.environ[_STARTS] = str(starts() + 1)
    sys.stdout.flush()
    # They put back what the new program inherits, standard error for one.
    atexit._run_exitfuncs()
    os.execv(sys.executable, sys.orig_argv)  # noqa: S606


def free_port(ip: str) -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind((ip, 0))
        return int(sock.getsockname()[1])


def listens(ip: str, port: int) -> bool:
    """Whether somebody answers at an address."""
    with contextlib.suppress(OSError), socket.create_connection((ip, port), 1):
        return True
    return False


def threads_of(count: int) -> dict[str, str]:
    """Variables of a process that is to compute with so many threads."""
    names = "OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"
    return dict.fromkeys((*names, "TF_NUM_INTEROP_THREADS"), str(count))


def environment(
    tuner_id: str,
    workers: int,
    ip: str,
    port: int,
    chief_trains: bool = False,
) -> dict[str, str]:
    """What KerasTuner and TensorFlow read in a process of a search.

    The cores are divided among the workers, unless the caller's environment
    says how many threads there should be. A chief has the share of one, as it
    proposes while they train.

    Args:
        tuner_id: `chief` or the name of a worker.
        workers: How many there are.
        ip: Where the chief listens.
        port: And at which port.
        chief_trains: Whether the chief trains a supernet while workers wait,
            for which it has all cores.
    """
    share = 1 if chief_trains and tuner_id == "chief" else workers
    return {
        **threads_of(max(1, machine.cores() // share)),
        **os.environ,
        _WORKERS: str(workers),
        "KERASTUNER_TUNER_ID": tuner_id,
        "KERASTUNER_ORACLE_IP": ip,
        "KERASTUNER_ORACLE_PORT": str(port),
    }


def launch(
    command: Sequence[str],
    workers: int,
    ip: str = "127.0.0.1",
    port: int = 0,
    restarts: int = RESTARTS,
    chief_trains: bool = False,
) -> int:
    """Runs the same command as chief and as workers until the chief ends.

    Workers follow once the chief listens: what is wrong with the command, it
    alone finds and says. A process that a signal killed is started again. One
    that ended with an error has said why, and is not.

    Args:
        command: What to run, the program first.
        workers: How many workers.
        ip: Where the chief listens; loopback unless told otherwise.
        port: At which port; 0 chooses a free one.
        restarts: How often to start each process again.
        chief_trains: See `environment`.

    Returns:
        The exit code of the chief; 130 and 143 after SIGINT and SIGTERM, 1
        if no worker is left.
    """
    port = port or free_port(ip)
    names = ["chief", *(f"worker{i}" for i in range(workers))]
    environments = {
        n: environment(n, workers, ip, port, chief_trains) for n in names
    }
    crew = _Crew(command, environments, restarts)
    with _forwarding(crew):
        try:
            crew.start("chief")
            while (code := crew.watch()) is None:
                if not crew.is_complete and listens(ip, port):
                    crew.complete()
                time.sleep(0.1)
        finally:
            crew.stop()
    return 128 + crew.stopped_by if crew.stopped_by else code


class _Crew:
    """The processes of a search by name."""

    def __init__(
        self,
        command: Sequence[str],
        environments: Mapping[str, dict[str, str]],
        restarts: int,
    ) -> None:
        self._command = command
        self._environments = environments
        self._restarts_left = dict.fromkeys(environments, restarts)
        self._starts = dict.fromkeys(environments, 0)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.is_complete = False
        self.stopped_by = 0
        self._has_lost = False

    def start(self, name: str) -> None:
        if not self.stopped_by:
            self.processes[name] = subprocess.Popen(  # noqa: S603
                self._command,
                env={
                    **self._environments[name],
                    _STARTS: str(self._starts[name]),
                },
            )
            self._starts[name] += 1

    def complete(self) -> None:
        """Starts the workers."""
        self.is_complete = True
        for name in self._environments:
            if name != "chief":
                self._environments[name][_SPOKEN_FOR] = "1"
                self.start(name)

    def watch(self) -> int | None:
        """Starts the killed again; the exit code if the search has ended."""
        for name, process in list(self.processes.items()):
            code = process.poll()
            if code is None:
                continue
            if code < 0 and self._restarts_left[name] and not self.stopped_by:
                self._restarts_left[name] -= 1
                logging.warning(
                    "%s was killed by %s; it is started again, %d times more "
                    "if need be.",
                    name,
                    signal.Signals(-code).name,
                    self._restarts_left[name],
                )
                self.start(name)
            elif name == "chief":
                return code if code >= 0 else 128 - code
            else:
                del self.processes[name]
                self._has_lost |= code != 0
        is_left = self.is_complete and set(self.processes) == {"chief"}
        # Workers that end without an error were told that nothing is left to
        # train; a chief then may have much to write yet.
        if is_left and self._has_lost:
            # It may be about to end, with or without an error.
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self.processes["chief"].wait(_GRACE_SECONDS)
                return code if code >= 0 else 128 - code
            logging.error("All workers have ended; so does the search.")
            return 1
        return None

    def forward(self, number: int, frame: FrameType | None) -> None:
        self.stopped_by = number
        for process in list(self.processes.values()):
            process.send_signal(number)

    def stop(self) -> None:
        """Lets the processes end, and ends those that do not."""
        until = time.monotonic() + _GRACE_SECONDS
        for process in self.processes.values():
            if process.poll() is None and not self.stopped_by:
                process.terminate()
        for process in self.processes.values():
            try:
                process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:  # noqa: PERF203
                process.kill()
                process.wait()


@contextlib.contextmanager
def _forwarding(crew: _Crew) -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, crew.forward) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
