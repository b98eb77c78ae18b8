"""A search as a chief and workers, forked so that each starts in a moment."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable

from tf_cosearch.engines import launch

ALONE = "one"
"""Name of the process of a search that has but one."""

PAUSE_SECONDS = 0.005
"""How long to wait before looking at processes again."""


class Processes:
    """The processes of a search by name.

    A process of many threads must not be forked, so use it in a program that
    has done nothing yet.

    Args:
        search: What each process runs.

    Attributes:
        running: Process numbers by name.
        codes: Exit codes of those that have ended by themselves.
    """

    def __init__(self, search: Callable[[], None]) -> None:
        self._search = search
        self._port = launch.free_port("127.0.0.1")
        self.running: dict[str, int] = {}
        self.codes: dict[str, int] = {}

    def start(self, name: str) -> None:
        """Starts a process: `ALONE`, `chief` or any name of a worker."""
        self.codes.pop(name, None)
        pid = os.fork()
        if pid:
            self.running[name] = pid
            return
        code = 1
        try:
            if name != ALONE:
                os.environ["KERASTUNER_TUNER_ID"] = name
                os.environ["KERASTUNER_ORACLE_IP"] = "127.0.0.1"
                os.environ["KERASTUNER_ORACLE_PORT"] = str(self._port)
            self._search()
            code = 0
        except BaseException as error:
            print(  # noqa: T201 as nobody else can say it
                f"{name}: {type(error).__name__}: {error}", file=sys.stderr
            )
        finally:
            sys.stderr.flush()
            os._exit(code)

    def kill(self, name: str) -> bool:
        """Kills a process; says whether it was running."""
        if name not in self.running:
            return False
        os.kill(self.running[name], signal.SIGKILL)
        os.waitpid(self.running.pop(name), 0)
        return True

    def collect(self) -> None:
        """Notes which processes have ended."""
        for name, pid in list(self.running.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self.running[name]
                self.codes[name] = os.waitstatus_to_exitcode(status)

    def finish(self, names: Iterable[str]) -> None:
        """Starts processes and waits for their end."""
        for name in names:
            self.start(name)
        while self.running:
            self.collect()
            time.sleep(PAUSE_SECONDS)
