r"""Writes the page of a search, one file to click through.

    cosearch report --run=runs/digits
    cosearch report --run=runs/digits --output=digits.html --advise=3

Every search leaves such a page as its report.html. This makes it again, also of
a search that was stopped or still goes on: with --follow it is written anew
whenever a trial or an epoch ends, until the search does or Ctrl-C is pressed,
and a browser that shows it looks for the new one.
"""

import pathlib

from absl import flags

from tf_cosearch.commands import command_line

FLAGS = flags.FLAGS
flags.DEFINE_string("run", None, "Folder of the search.", required=True)
flags.DEFINE_string(
    "output", None, "File to write, .html; report.html of the run if left out."
)
flags.DEFINE_integer(
    "advise",
    5,
    "Designs, the best first, to say of each layer what would help it; takes "
    "half a second each.",
    lower_bound=0,
)
flags.DEFINE_bool("follow", False, "Write it again while the search goes on.")


def main() -> None:
    from tf_cosearch.designs.page import following, writing

    folder = pathlib.Path(FLAGS.run)
    path = pathlib.Path(FLAGS.output or folder / writing.NAME)
    if FLAGS.output or folder.is_dir():
        command_line.output_file(str(path), ".html")
    told = following.follow if FLAGS.follow else following.once
    for line in told(folder, path, FLAGS.advise):
        print(line, flush=True)
