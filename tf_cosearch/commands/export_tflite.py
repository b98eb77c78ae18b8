r"""Converts a design of a search, or a network by name, to int8 TFLite.

    cosearch export_tflite --network=mobilenet_edgetpu --output=m.tflite
    cosearch export_tflite --design=runs/digits/design --output=d.tflite

A design is converted again from its quantization-aware weights. A network by
name gets random weights: enough to time it on a device.
"""

from absl import flags

from tf_cosearch.commands import command_line

FLAGS = flags.FLAGS
flags.DEFINE_string("design", None, "Folder of a design.")
flags.DEFINE_string("network", None, "Name or YAML file of a network.")
flags.DEFINE_string("output", None, "File to write, .tflite.", required=True)
flags.mark_flags_as_mutual_exclusive(["design", "network"], required=True)


def main() -> None:
    import tf_cosearch as cs
    from tf_cosearch import files
    from tf_cosearch.designs import conversion

    output = command_line.output_file(FLAGS.output, ".tflite")
    if FLAGS.design is not None:
        content = conversion.of_design(cs.load_design(FLAGS.design))
    else:
        content = conversion.of_network(cs.load_network(FLAGS.network))
    files.write_bytes(output, content)
    print(f"Wrote {output}, {len(content):,} bytes.")
