r"""Says what several searches have reached, side by side.

    cosearch compare_searches --budget=latency_ms=0.0007 \
        --search=learned=runs/grey_box --search=chance=runs/random

Of each search, by the trials.csv of its folder: how many designs it
has trained, how many of those are within the budgets, the best int8 accuracy
of these, and the share of the box between no cost and the budgets, and between
an accuracy of --floor and 1, that is dominated by what it has found. Searches
of one name are repetitions: the mean is printed, and the least and the most. A
search that is still going, or was stopped, is compared as it is.
"""

from __future__ import annotations

import json

from absl import flags

from tf_cosearch.commands import command_line

FLAGS = flags.FLAGS
flags.DEFINE_multi_string(
    "search",
    None,
    "NAME=FOLDER of a search; may be repeated, a name as well.",
    required=True,
)
flags.DEFINE_multi_string(
    "budget",
    None,
    "NAME=VALUE, the budget on a metric, within which designs are compared; "
    "may be repeated.",
    required=True,
)
flags.DEFINE_float(
    "floor", 0.0, "The accuracy that counts nothing.", lower_bound=0
)
command_line.define_format("table", "json")


def main() -> None:
    from tf_cosearch.designs import comparison
    from tf_cosearch.search.budgets import Budgets

    compared = comparison.compare(
        comparison.folders(FLAGS.search),
        Budgets(**command_line.named_values("budget")),
        FLAGS.floor,
    )
    if FLAGS.format == "json":
        described = {
            name: [run.described() for run in runs]
            for name, runs in compared.items()
        }
        print(json.dumps(described, indent=2))
    else:
        print(comparison.table(compared))
