"""Runs a program that may fail, hang, or say anything."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from tf_cosearch import text
from tf_cosearch.evaluators import leash

MOST_BYTES = 2**20
"""Of what a program says that is read."""

LINE = 300
"""Characters of a line that it says that help."""


class ExitError(RuntimeError):
    """A program that ended with an exit code other than 0.

    Attributes:
        code: The exit code, negative for a signal.
        log: What it wrote to standard error.
    """

    def __init__(self, message: str, code: int, log: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.log = log


def run(
    command: Sequence[str],
    temporary: tempfile.TemporaryDirectory[str],
    timeout_s: float,
    told: str = "",
) -> str:
    """Runs a program in a folder, and ends it and all it started.

    It is started as it is, by no shell. What it says goes to files of the
    folder, so that nothing that it leaves running holds a pipe. If this
    process ends first, killed for example, the program is ended and the
    folder removed, see `leash`.

    Args:
        command: The program and its arguments.
        temporary: The folder where it runs.
        timeout_s: Most seconds that it may take.
        told: What it reads from standard input.

    Returns:
        What it wrote to standard output.

    Raises:
        TimeoutError: If it took longer.
        ExitError: If it cannot be started, or its exit code is not 0; says
            the last line of its standard error.
    """
    folder = pathlib.Path(temporary.name)
    said, log = folder / "stdout", folder / "stderr"
    heard = folder / "stdin"
    heard.write_text(told)
    watched, held = os.pipe()
    try:
        with (
            heard.open() as reads,
            said.open("wb") as says,
            log.open("wb") as logs,
        ):
            process = subprocess.Popen(  # noqa: S603
                [
                    *(sys.executable, "-IS", leash.__file__),
                    *(str(watched), os.fspath(folder), *command),
                ],
                cwd=folder,
                stdin=reads,
                stdout=says,
                stderr=logs,
                pass_fds=[watched],
                start_new_session=True,
            )
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise TimeoutError(
                f"{_name(command)} must answer within {timeout_s:g} s. "
                "Received: nothing."
            ) from None
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    finally:
        os.close(watched)
        os.close(held)
    if code:
        wrote = _read(log)
        lines = wrote.strip().splitlines() or ["nothing on stderr"]
        raise ExitError(
            f"{_name(command)} must end with exit code 0. Received: {code}, "
            f"{text.line(lines[-1], MOST_BYTES)[-LINE:]}.",
            code,
            wrote,
        )
    return _read(said)


def _name(command: Sequence[str]) -> str:
    return " ".join(pathlib.Path(word).name or word for word in command[:2])


def _read(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return file.read(MOST_BYTES).decode(errors="replace")
