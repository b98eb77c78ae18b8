"""Runs a program that ends when whoever wants it does, however that ends.

    python leash.py FD FOLDER PROGRAM ARGUMENTS

FD is the end of a pipe to read from, whose other end the caller holds and
never writes to. It closes when the caller ends, by SIGKILL too; then all of
this process group is killed, the program and what it has started, and FOLDER,
a temporary one of the caller, is removed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import threading

NO_PROGRAM = 127
"""The exit code if it cannot be started, as of a shell."""


def main() -> int:
    """Runs the program; its exit code, or its end by the same signal."""
    held, folder, *command = int(sys.argv[1]), *sys.argv[2:]
    os.set_inheritable(held, False)
    try:
        process = os.posix_spawnp(command[0], command, os.environ)
    except OSError as error:
        sys.stderr.write(
            f"{command[0]} must be a program. Received: {error.strerror}\n"
        )
        return NO_PROGRAM

    def watch() -> None:
        os.read(held, 1)
        # Its end would be ours, before everything is removed.
        with contextlib.suppress(OSError):
            os.kill(process, signal.SIGSTOP)
        shutil.rmtree(folder, ignore_errors=True)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if code < 0:
        with contextlib.suppress(OSError):  # SIGKILL is always as it was
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


if __name__ == "__main__":
    sys.exit(main())
