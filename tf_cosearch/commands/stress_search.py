"""Kills searches at random moments and checks that nothing is lost.

    cosearch stress_search --kills=500
    cosearch stress_search --engine=ray --oracle=random --kills=30

The oracles, their files, the chief's service, the workers and Ray are the real
ones; only trials are light: they sleep for some milliseconds, some fail, give
NaN, or are slow. A run is a search that is killed and started again until it
has all its trials. The table has a line for each oracle and mode; every
column from `lost` to `hung` has to be 0.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import sys
import tempfile
from collections.abc import Sequence

from absl import flags

from tf_cosearch.commands import command_line

FLAGS = flags.FLAGS
flags.DEFINE_integer("kills", 500, "Processes to kill in all.", lower_bound=1)
flags.DEFINE_integer("seed", 0, "Chooses moments and faults.", lower_bound=0)
flags.DEFINE_string("oracle", None, "An algorithm; all by default.")
flags.DEFINE_enum(
    "mode",
    None,
    ["single", "worker", "chief", "all", "node", "task", "driver"],
    "What is killed: a search of one process, workers, the chief, or all at "
    "once; with --engine=ray a node, a task, or the driver. Each in turn by "
    "default.",
)
flags.DEFINE_enum(
    "engine",
    "local",
    ["local", "ray"],
    "Who runs the trials: processes, or a Ray cluster of this machine.",
)
flags.register_multi_flags_validator(
    ["mode", "engine"],
    lambda given: (
        given["mode"] is None
        or (given["mode"] in ("node", "task", "driver"))
        == (given["engine"] == "ray")
    ),
    message="--mode=node, task and driver are for --engine=ray, others not",
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
    from tf_cosearch.benchmark import chief_load, kills, ray_nodes
    from tf_cosearch.search import algorithms

    names = [FLAGS.oracle] if FLAGS.oracle else algorithms.names()
    for name in names:
        algorithms.get(name)
    is_ray = FLAGS.engine == "ray"
    modes: Sequence[str] = kills.RAY_MODES if is_ray else kills.MODES
    modes = [FLAGS.mode] if FLAGS.mode else modes
    with tempfile.TemporaryDirectory() as passing, contextlib.ExitStack() as on:
        folder = pathlib.Path(passing)
        if FLAGS.throughput:
            rates = chief_load.measure(
                FLAGS.oracle or "grey_box",
                FLAGS.space,
                FLAGS.throughput,
                FLAGS.workers,
                folder,
                FLAGS.engine,
            )
            print(json.dumps(rates))
            return
        nodes = on.enter_context(ray_nodes.nodes()) if is_ray else None
        outcomes = kills.stress(
            names, modes, FLAGS.kills, FLAGS.seed, folder, nodes
        )
    total = kills.total(outcomes.values())
    if FLAGS.format == "json":
        print(json.dumps(total._asdict()))
    else:
        print(kills.table(outcomes))
    if not total.is_good:
        sys.exit(1)
