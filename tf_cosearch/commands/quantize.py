r"""Makes a trained Keras model integers, with more bits where it needs them.

    cosearch quantize --model=my.keras --data=npz:mine.npz \
        --max_accuracy_drop=0.5 --accelerator=edge_tpu --output=my.tflite

All layers start with the fewest bits: 8, or with --lowest_bits=4 weights of 4.
The parts whose rounding hurts most get more, weights 8 and activations 16,
until the accuracy on validation images is at most so many points below that of
the float model. Prints what was restored and why, and what the file costs.

Exits with 0 if the limit is met, 1 after an error, and 2 if it cannot be met:
the file is then the best that was found.
"""

import json
import sys

from absl import flags

from tf_cosearch.commands import command_line

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "model", None, "A .keras or .h5 file with its weights.", required=True
)
flags.DEFINE_string("output", None, "File to write, .tflite.", required=True)
flags.DEFINE_float(
    "max_accuracy_drop",
    0.5,
    "Points that the accuracy may be below that in float.",
    lower_bound=0,
)
flags.DEFINE_enum("lowest_bits", "8", ["4", "8"], "What weights start with.")
flags.DEFINE_string("accelerator", "edge_tpu", "Preset or YAML file.")
flags.DEFINE_integer(
    "calibration_images",
    256,
    "Training images that ranges are seen on.",
    lower_bound=1,
)
command_line.define_data()
command_line.define_image_divisor()
command_line.define_format("table", "json")
_NOT_MET = 2


def main() -> None:
    import tf_cosearch as cs
    from tf_cosearch import files
    from tf_cosearch.numerics import images, quantizing, reference

    output = command_line.output_file(FLAGS.output, ".tflite")
    accelerator = cs.load_accelerator(FLAGS.accelerator)
    model = reference.load_trained(FLAGS.model)
    data = command_line.load_data(tuple(model.input_shape[1:3]))
    divide = images.divisor(data.train, FLAGS.divide)
    result = quantizing.quantize(
        model,
        data,
        max_drop=FLAGS.max_accuracy_drop,
        lowest_bits=int(FLAGS.lowest_bits),
        calibration_images=FLAGS.calibration_images,
        divide=divide,
        on_step=lambda line: print(line, file=sys.stderr),
    )
    files.write_bytes(output, result.content)
    test = images.batches(data.test, divide)
    said = quantizing.described(result, accelerator, test, data.taken)
    if FLAGS.format == "json":
        print(json.dumps(said, indent=2))
    else:
        print(quantizing.table(said))
    if not result.is_met:
        print(
            f"No file was within {FLAGS.max_accuracy_drop:g} points; wrote the "
            f"best, {output}.",
            file=sys.stderr,
        )
        sys.exit(_NOT_MET)
