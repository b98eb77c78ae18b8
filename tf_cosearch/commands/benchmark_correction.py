r"""Says how well measurements of an evaluator are predicted.

    cosearch benchmark_correction --evaluator=litert_cpu
    cosearch benchmark_correction --evaluator=vela \
        --evaluator_option=accelerator=ethos-u55-128

Random designs of a space are converted, untrained, and measured. Then the
correction that screens designs in a search learns from some of them, 20 times
from others, and predicts the rest. Errors are medians of these, in percent.
"""

from __future__ import annotations

import json
from typing import Any

from absl import flags, logging

from tf_cosearch.commands import command_line

FLAGS = flags.FLAGS
flags.DEFINE_string("space", "digits", "Name or YAML file of a search space.")
command_line.define_data()
command_line.define_image_size()
flags.DEFINE_string("cost", "latency_ms", "What is measured.")
flags.DEFINE_integer("designs", 64, "How many are measured.", lower_bound=2)
flags.DEFINE_multi_integer(
    "learned",
    [3, 6, 12, 24],
    "How many are learned from, a row each; may be repeated.",
    lower_bound=1,
)
flags.DEFINE_integer("seed", 0, "Designs follow from it.", lower_bound=0)
command_line.define_evaluator()
command_line.define_format("table", "json")


def main() -> None:
    import tf_cosearch as cs
    from tf_cosearch import accelerators
    from tf_cosearch.benchmark import correction
    from tf_cosearch.search import measured
    from tf_cosearch.training import fit, inputs, recipes

    evaluator = command_line.make_evaluator()
    compared = measured.compared(evaluator.costs)
    if FLAGS.cost not in compared or FLAGS.evaluator == "analytic":
        raise ValueError(
            "--cost must be one that --evaluator measures and the model "
            f"predicts. Received: {FLAGS.cost} for {FLAGS.evaluator}, which "
            f"has {', '.join(compared) or 'none'}. Choose another."
        )
    if max(FLAGS.learned) >= FLAGS.designs:
        raise ValueError(
            "--learned must be fewer than --designs, whose others are "
            f"predicted. Received: {max(FLAGS.learned)} of {FLAGS.designs}."
        )
    data = command_line.load_data_of_networks()
    space = cs.SearchSpace.load(FLAGS.space, data.input_shape, data.classes)
    evaluator.check(accelerators.from_paths(space.fixed, space.family))
    images = inputs.prepare(
        *data.train,
        input_shape=data.input_shape,
        classes=data.classes,
        validation_data=data.validation,
    )

    def untrained(genome: Any) -> bytes:
        network = space.decode(genome).network
        return fit.untrained(recipes.Template(network.build), images)

    genomes, values = correction.measured(
        space, untrained, evaluator, FLAGS.cost, FLAGS.designs, FLAGS.seed
    )
    short = [count for count in FLAGS.learned if count >= len(genomes)]
    if short:
        logging.warning(
            "Only %d of %d designs were measured: no row for --learned=%s.",
            len(genomes),
            FLAGS.designs,
            ",".join(map(str, short)),
        )
    rows = [
        correction.errors(space, genomes, values, FLAGS.cost, count)
        for count in FLAGS.learned
        if count not in short
    ]
    if FLAGS.format == "json":
        print(json.dumps([row._asdict() for row in rows], indent=2))
    else:
        print(f"{len(genomes)} designs by {FLAGS.evaluator}, {FLAGS.cost}:")
        print(correction.table(rows))
