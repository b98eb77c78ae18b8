r"""Runs a search script as a chief and workers on this machine.

    cosearch launch --workers=4 -- python my_search.py --its_flag=1

The script is any that makes a CoSearchTuner and calls its search(); it runs
once as the chief, which proposes, and N times as a worker, which trains. A
process that is killed is started again. The exit code is that of the chief.
"""

from __future__ import annotations

import sys

from absl import flags

FLAGS = flags.FLAGS
flags.DEFINE_integer(
    "workers", 0, "How many; 0 suits the machine.", lower_bound=0
)
flags.DEFINE_string(
    "ip",
    "127.0.0.1",
    "Where the chief listens. There is no password: beyond loopback, only in "
    "a network of one's own.",
)
flags.DEFINE_integer(
    "port", 0, "At which port; 0 takes a free one.", lower_bound=0
)
flags.DEFINE_integer(
    "restarts", 10, "How often to start a killed process.", lower_bound=0
)

flags.DEFINE_bool(
    "chief_trains",
    False,
    "Give the chief all cores, as it trains a supernet while workers wait; "
    "else it has as many as a worker.",
)


def _following() -> list[str]:
    """Cuts the command that follows `--` off the flags."""
    if "--" not in sys.argv:
        return []
    cut = sys.argv.index("--")
    command = sys.argv[cut + 1 :]
    del sys.argv[cut:]
    return command


_COMMAND = _following()  # before flags are parsed


def main() -> None:
    if not _COMMAND:
        raise ValueError(
            "A command must follow the flags. Received: none. Write "
            f"{sys.argv[0]} --workers=2 -- python my_search.py"
        )
    from tf_cosearch.engines import launch

    workers = FLAGS.workers or launch.default_workers()
    sys.exit(
        launch.launch(
            _COMMAND,
            workers,
            FLAGS.ip,
            FLAGS.port,
            FLAGS.restarts,
            FLAGS.chief_trains,
        )
    )
