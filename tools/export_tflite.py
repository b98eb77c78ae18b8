"""Converts a Keras model, or a network by name, to int8 TFLite.

A design of a search is exported by the search itself; this is for networks
that did not come from one. A network by name gets random weights: enough to
time it on a device.

    python tools/export_tflite.py --network=mobilenet_edgetpu --output=m.tflite
    python tools/export_tflite.py --design=runs/digits/design --output=d.tflite
"""

import pathlib

import command_line
import numpy as np
from absl import flags

import tf_cosearch as cs
from tf_cosearch.designs import export

FLAGS = flags.FLAGS
flags.DEFINE_string("design", None, "Folder of a design.")
flags.DEFINE_string("network", None, "Name or YAML file of a network.")
flags.DEFINE_string("output", None, "File to write.", required=True)
flags.mark_flags_as_mutual_exclusive(["design", "network"], required=True)


def main() -> None:
    import tf_keras

    from tf_cosearch.training import qat

    if FLAGS.design:
        design = cs.load_design(FLAGS.design)
        model = qat.quantize(design.network.build(tf_keras))
        qat.load_weights(model, design.folder / export.QAT_WEIGHTS)
    else:
        network = cs.load_network(FLAGS.network)
        model = qat.quantize(network.build(tf_keras))
        noise = np.random.default_rng(0).random(
            (8, *network.input_shape), np.float32
        )
        qat.calibrate(model, noise)
    content = qat.to_tflite(model)
    export.write_bytes(pathlib.Path(FLAGS.output), content)
    print(f"Wrote {FLAGS.output}, {len(content):,} bytes.")


if __name__ == "__main__":
    command_line.run(main)
