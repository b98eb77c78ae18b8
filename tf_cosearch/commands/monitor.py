r"""Watches the accuracy of a design that is in use.

    cosearch monitor --design=runs/digits/design --data=digits
    cosearch monitor --design=runs/digits/design --data=digits \
        --log=images_of_the_device --output_dir=runs/watched

The validation images of --data say what is normal, 10,000 of them at most.
What is watched are its test images, or the .npz files of --log, with `images`,
and `labels` where they are known. Prints a line of JSON for each --window of
images, and one for what is left. Files are read one at a time, and saturation
is counted on 32 images at equal distances over a window.

Exits with 0 if all is well, 1 after an error, 2 after an alarm. With an
--output_dir the next call goes on where this one ended: with the calibration,
the window that is not full, the files of the log that are new, and an alarm
that an error has kept from being the exit code. A log without new images is no
alarm: nothing is printed again, which the error output says.
"""

import json
import sys
from typing import Any

from absl import flags

from tf_cosearch.commands import command_line

FLAGS = flags.FLAGS
flags.DEFINE_string("design", None, "Folder of a design.", required=True)
flags.DEFINE_string("log", None, "Folder of .npz files to watch.")
flags.DEFINE_string("output_dir", None, "Folder of the monitor's state.")
command_line.define_data()
command_line.define_image_divisor()
flags.DEFINE_integer("window", 1000, "Images a line.", lower_bound=50)
flags.DEFINE_bool("agreement", True, "Ask the float network, too.")
flags.DEFINE_multi_string(
    "limit", [], "NAME=VALUE that raises an alarm; may be repeated."
)
flags.DEFINE_string("plot", None, "Picture to write, of the printed lines.")
_ALARM = 2


def main() -> None:
    import collections
    import contextlib

    import tf_cosearch as cs
    from tf_cosearch import files
    from tf_cosearch.numerics import watch_picture, watching

    if FLAGS.output_dir is not None and FLAGS.log is None:
        raise ValueError(
            "--output_dir must come with a --log to go on with. Received: "
            f"{FLAGS.output_dir} for test images, which are the same each "
            "time. Leave it out, or give a --log."
        )
    if FLAGS.plot is not None:
        picture = command_line.output_picture(FLAGS.plot, "--plot")
    design = cs.load_design(FLAGS.design)
    limits = watching.limits(command_line.named_values("limit"))
    with contextlib.ExitStack() as stack:
        state = None
        if FLAGS.output_dir is not None:
            folder = command_line.output_folder(FLAGS.output_dir)
            stack.enter_context(files.owned(folder))
            state = folder / "monitor.json"
        monitor = cs.AccuracyMonitor(
            design,
            limits=limits,
            window=FLAGS.window,
            agreement=FLAGS.agreement,
            state=state,
        )
        data = command_line.load_data(
            design.network.input_shape[:2],
            getattr(design.network, "task", None),  # of an own model none
        )
        drawn = collections.deque[dict[str, Any]](maxlen=watch_picture.MOST)
        if monitor.is_untold:
            print(
                "An alarm of a call that ended with an error is told by the "
                "exit code of this one.",
                file=sys.stderr,
            )
        for report in watching.watch(
            monitor, design, data, FLAGS.log, FLAGS.divide
        ):
            print(json.dumps(report), flush=True)
            drawn.append(report)
        if not drawn:
            print(
                f"There is nothing new in {FLAGS.log}: no report"
                + ("." if FLAGS.plot is None else ", and no picture."),
                file=sys.stderr,
            )
        if FLAGS.plot is not None and drawn:
            watch_picture.plot(list(drawn), limits, picture)
        if monitor.is_untold:
            monitor.is_untold = False
            monitor.save()
            sys.exit(_ALARM)
