"""Kills searches at random moments and checks that nothing is lost.

    cosearch stress_search --kills=500

The oracles, their files, the chief's service and the workers are the real
ones; only trials are light: they sleep for some milliseconds, some fail, give
NaN, or are slow. A run is a search that is killed and started again until it
has all its trials. The table has a line for each oracle and mode; every
column from `lost` to `hung` has to be 0.
"""

from __future__ import annotations

import json
import pathlib
import sys
import tempfile

from absl import flags

from tf_cosearch.commands import command_line

FLAGS = flags.FLAGS
flags.DEFINE_integer("kills", 500, "Processes to kill in all.", lower_bound=1)
flags.DEFINE_integer("seed", 0, "Chooses moments and faults.", lower_bound=0)
flags.DEFINE_string("oracle", None, "An algorithm; all by default.")
flags.DEFINE_enum(
    "mode",
    None,
    ["single", "worker", "chief", "all"],
    "What is killed: a search of one process, workers, the chief, or all at "
    "once. Each in turn by default.",
)
command_line.define_format("table", "json")
flags.DEFINE_integer(
    "throughput",
    0,
    "Instead, measure so many proposals of a real space and the cost model.",
    lower_bound=0,
)
flags.DEFINE_integer("workers", 16, "Workers of --throughput.", lower_bound=1)
flags.DEFINE_string("space", "evolved", "Space of --throughput.")


def main() -> None:
    from tf_cosearch.benchmark import chief_load, kills
    from tf_cosearch.search import algorithms

    names = [FLAGS.oracle] if FLAGS.oracle else algorithms.names()
    for name in names:
        algorithms.get(name)
    modes = [FLAGS.mode] if FLAGS.mode else kills.MODES
    with tempfile.TemporaryDirectory() as passing:
        folder = pathlib.Path(passing)
        if FLAGS.throughput:
            rates = chief_load.measure(
                FLAGS.oracle or "grey_box",
                FLAGS.space,
                FLAGS.throughput,
                FLAGS.workers,
                folder,
            )
            print(json.dumps(rates))
            return
        outcomes = kills.stress(names, modes, FLAGS.kills, FLAGS.seed, folder)
    total = kills.total(outcomes.values())
    if FLAGS.format == "json":
        print(json.dumps(total._asdict()))
    else:
        print(kills.table(outcomes))
    if not total.is_good:
        sys.exit(1)
