r"""Finds the layers that rounding to integers hurts, and says why.

    cosearch debug_numerics --design=runs/digits/design --data=digits
    cosearch debug_numerics --float=my.keras --quantized=my.tflite \
        --data=npz:mine.npz --plot=noise.png

Runs both networks on validation images and compares what every layer puts out:
with the float network, and with what the float layer makes of what the
quantized layer has read, which is its own error.
"""

from absl import flags

from tf_cosearch.commands import command_line

FLAGS = flags.FLAGS
flags.DEFINE_string("design", None, "Folder of a design.")
flags.DEFINE_string(
    "float", None, "The network in float: a .keras, .h5 or .tflite file."
)
flags.DEFINE_string("quantized", None, "The .tflite file made from it.")
command_line.define_data()
command_line.define_image_divisor()
flags.DEFINE_integer(
    "images", 128, "Validation images to run, at most.", lower_bound=1
)
command_line.define_format("table", "csv", "json")
flags.DEFINE_integer(
    "top", 15, "Rows of the table, the worst ones.", lower_bound=1
)
flags.DEFINE_string("plot", None, "Picture to write: error along the depth.")
flags.mark_flags_as_mutual_exclusive(["design", "float"], required=True)
flags.mark_flags_as_mutual_exclusive(["design", "quantized"], required=True)


def main() -> None:
    from tf_cosearch.numerics import debugger, depth_picture, sources

    if FLAGS.plot is not None:
        picture = command_line.output_picture(FLAGS.plot, "--plot")
    if FLAGS.design is not None:
        pair = sources.of_design(FLAGS.design, FLAGS.divide)
    else:
        pair = sources.of_files(
            FLAGS["float"].value, FLAGS.quantized, FLAGS.divide
        )
    data = command_line.load_data(pair.image_size, pair.task)
    images, _ = pair.images(data.validation, FLAGS.images)
    reports = debugger.compare(
        pair.float_content, pair.quantized_content, images
    )
    if FLAGS.plot is not None:
        depth_picture.plot(reports, picture)
    print(debugger.written(reports, FLAGS.format, FLAGS.top), end="")
