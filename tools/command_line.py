"""What the scripts share: quiet logs, one line for an error, exit codes."""

import atexit
import faulthandler
import logging
import os
import re
import sys
import threading
from collections.abc import Callable
from typing import NoReturn

# TensorFlow's C++ parts write these before any setting could stop them.
_NOISE = re.compile(
    rb"(WARNING: All log messages before absl::InitializeLog|"
    rb"[IWE]\d{4} \d\d:\d\d:\d\d|[IWE]0000 00:00:\d|"
    rb"INFO: Created TensorFlow Lite|To enable the following instructions)"
)


def _quiet_stderr() -> None:
    """Drops the log lines of TensorFlow's C++ parts from standard error."""
    terminal = os.dup(2)
    faulthandler.enable(terminal)
    reader, writer = os.pipe()
    os.dup2(writer, 2)
    os.close(writer)

    def forward() -> None:
        with os.fdopen(reader, "rb", 0) as stream:
            for line in stream:
                if not _NOISE.match(line):
                    os.write(terminal, line)

    thread = threading.Thread(target=forward, daemon=True)
    thread.start()

    def restore() -> None:
        sys.stderr.flush()
        os.dup2(terminal, 2)  # Closes the pipe, so that the thread ends.
        thread.join(timeout=2)

    atexit.register(restore)


def run(main: Callable[[], None]) -> None:
    """Runs a script: parses flags, turns expected errors into a line each.

    Args:
        main: Called without arguments once flags are parsed.
    """
    from absl import app, flags

    def guarded(arguments: list[str]) -> None:
        if len(arguments) > 1:
            _fail(
                "Arguments must be flags. Received: "
                f"{' '.join(arguments[1:])}. See --help."
            )
        try:
            main()
        except KeyboardInterrupt:
            sys.exit(130)
        except BrokenPipeError:
            sys.exit(1)
        except (ValueError, TypeError, OSError, RuntimeError) as error:
            if flags.FLAGS.debug:
                raise
            _fail(str(error))

    try:
        app.run(guarded, flags_parser=_parse)
    finally:
        sys.stdout.flush()


def _parse(arguments: list[str]) -> list[str]:
    from absl import flags

    try:
        return flags.FLAGS(arguments)
    except (flags.Error, OSError) as error:
        _fail(str(error))


def _fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(1)


def main_flags() -> None:
    """Defines the flags that every script has."""
    from absl import flags

    flags.DEFINE_bool("debug", False, "Show the traceback of an error.")


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
logging.getLogger("tensorflow").setLevel(logging.ERROR)
if not os.environ.get("TF_COSEARCH_LOGS"):
    _quiet_stderr()
main_flags()
