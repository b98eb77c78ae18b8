r"""Draws the trials of a search: accuracy against a cost.

Example:
    cosearch plot_pareto --trials=runs/digits/trials.csv \
        --output=pareto.png --x=energy_mj --color=latency_ms
"""

import pathlib

from absl import flags

from tf_cosearch.commands import command_line

FLAGS = flags.FLAGS
flags.DEFINE_string("trials", None, "trials.csv of a search.", required=True)
flags.DEFINE_string(
    "output", "pareto.png", "Picture to write: .png, .svg or .pdf."
)
flags.DEFINE_string("x", "latency_ms", "Metric to draw to the right.")
flags.DEFINE_string("color", "area_mm2", "Metric to draw as colour.")
flags.DEFINE_string("chosen", None, "Trial to mark; the best by default.")
command_line.define_positive("budget", "The budget on --x, drawn.")
flags.DEFINE_string("title", "", "Title of the picture.")


def main() -> None:
    from tf_cosearch.designs import picture, report

    output = command_line.output_picture(FLAGS.output)
    picture.plot_pareto(
        report.read_trials(pathlib.Path(FLAGS.trials)),
        output,
        x=FLAGS.x,
        color=FLAGS.color,
        chosen=FLAGS.chosen,
        budget=FLAGS.budget,
        title=FLAGS.title,
        score=report.score_of_run(pathlib.Path(FLAGS.trials).parent),
    )
    print(f"Wrote {output}.")
