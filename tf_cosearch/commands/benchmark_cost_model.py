r"""Measures how fast the cost model is, beside baselines of the same run.

    cosearch benchmark_cost_model
    cosearch benchmark_cost_model --quick --format=json

`general`: random layers, each network on its own random accelerator, through
`estimate`; beside it the same model in the TensorFlow graph, uncompiled.
`in_space`: networks of a space, each on all of its accelerators, or many on a
short list, through `PriceList`; beside it `estimate`. `exact_hardware`:
`best_accelerators` of one network; beside it `estimate` of all accelerators.
`own_models`: proposals of `grey_box` in a `build(hp)` of MobileNetV2's size.
`scaling`: how the rate of `estimate` changes with batch, layers, mappings and
threads. `machine`: what of the machine's arithmetic and memory bandwidth,
measured here, that takes.

Times on a busy machine differ from run to run; compare within one. Seconds of
processor time (`candidates_per_core_second`, `first_call_core_seconds`) differ
less: they do not count what other programs take.
"""

from __future__ import annotations

import json

from absl import flags

from tf_cosearch.commands import command_line

FLAGS = flags.FLAGS
flags.DEFINE_bool(
    "quick", False, "Fewer repetitions, and no `own_models`: at most 45 s."
)
command_line.define_format("table", "json")
flags.DEFINE_integer(
    "candidates", 1_000_000, "Candidates of the general batch.", lower_bound=300
)
flags.DEFINE_integer(
    "layers", 48, "Layers of each network of it.", lower_bound=1
)
flags.DEFINE_string("space", "mobilenet_v2", "Space of `in_space`.")
flags.DEFINE_string("network", "mobilenet_v2", "Network of `exact_hardware`.")


def main() -> None:
    import tf_cosearch as cs
    from tf_cosearch.benchmark import speed, speed_table

    result = speed.measure(
        cs.SearchSpace.load(FLAGS.space),
        cs.load_network(FLAGS.network),
        FLAGS.candidates,
        FLAGS.layers,
        FLAGS.quick,
    )
    if FLAGS.format == "json":
        print(json.dumps(result, indent=2))
    else:
        print(speed_table.table(result))
