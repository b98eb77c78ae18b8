"""Runs a program that may fail, hang, or say anything."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
from collections.abc import Sequence

MOST_BYTES = 2**20
"""Of what a program says that is read."""

_LINE = 300  # characters of its last line that help


class ExitError(RuntimeError):
    """A program that ended with an exit code other than 0.

    Attributes:
        code: The exit code, negative for a signal.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def run(
    command: Sequence[str],
    folder: str | os.PathLike[str],
    timeout_s: float,
    told: str = "",
) -> str:
    """Runs a program in a folder, and ends it and all it started.

    It is started as it is, by no shell. What it says goes to files of the
    folder, so that nothing that it leaves running holds a pipe.

    Args:
        command: The program and its arguments.
        folder: Where it runs.
        timeout_s: Most seconds that it may take.
        told: What it reads from standard input.

    Returns:
        What it wrote to standard output.

    Raises:
        TimeoutError: If it took longer.
        RuntimeError: If it cannot be started.
        ExitError: If its exit code is not 0; says the last line of its
            standard error.
    """
    folder = pathlib.Path(folder)
    said, log = folder / "stdout", folder / "stderr"
    heard = folder / "stdin"
    heard.write_text(told)
    with heard.open() as reads, said.open("wb") as says, log.open("wb") as logs:
        try:
            process = subprocess.Popen(  # noqa: S603
                command,
                cwd=folder,
                stdin=reads,
                stdout=says,
                stderr=logs,
                start_new_session=True,
            )
        except OSError as error:
            raise RuntimeError(
                f"{command[0]} must be a program. Received: {error.strerror}."
            ) from None
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
    if code:
        lines = _read(log).strip().splitlines() or ["nothing on stderr"]
        raise ExitError(
            f"{_name(command)} must end with exit code 0. Received: {code}, "
            f"{lines[-1][-_LINE:]}.",
            code,
        )
    return _read(said)


def _name(command: Sequence[str]) -> str:
    return " ".join(pathlib.Path(word).name or word for word in command[:2])


def _read(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return file.read(MOST_BYTES).decode(errors="replace")
