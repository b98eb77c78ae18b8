"""Trains an exported design longer and exports it again.

python tools/retrain.py --design=runs/digits/design --data=digits \
        --epochs=60 --output_dir=runs/digits/retrained
"""

import dataclasses
import pathlib

import command_line
from absl import flags

import tf_cosearch as cs
from tf_cosearch.designs import export
from tf_cosearch.training import datasets, fit, inputs

FLAGS = flags.FLAGS
flags.DEFINE_string("design", None, "Folder of a design.", required=True)
flags.DEFINE_string("output_dir", None, "Where to export to.", required=True)
flags.DEFINE_string(
    "data", "digits", "digits, npz:FILE, images:FOLDER or tfds:NAME."
)
flags.DEFINE_integer("epochs", 40, "Epochs to train.", lower_bound=1)
flags.DEFINE_integer(
    "qat_epochs", None, "How many of them are quantization-aware."
)
flags.DEFINE_integer("batch_size", 32, "Images a step.", lower_bound=1)
flags.DEFINE_float("learning_rate", None, "Where training starts.")
flags.DEFINE_bool("from_scratch", False, "Start from new weights.")
flags.DEFINE_integer("seed", 0, "Makes the training repeatable.")


def main() -> None:
    design = cs.load_design(FLAGS.design)
    network = design.network
    data = datasets.load(FLAGS.data, image_size=network.input_shape[:2])
    prepared = inputs.prepare(
        *data.train,
        input_shape=network.input_shape,
        classes=network.classes,
        validation_data=data.validation,
        batch_size=FLAGS.batch_size,
    )
    folder = pathlib.Path(FLAGS.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    weights = (
        None if FLAGS.from_scratch else design.folder / export.FLOAT_WEIGHTS
    )
    trained = fit.train(
        network.build,
        prepared,
        epochs=FLAGS.epochs,
        qat_epochs=FLAGS.qat_epochs,
        seed=FLAGS.seed,
        learning_rate=FLAGS.learning_rate,
        float_weights=weights,
    )
    trained.save_weights(folder)
    export.write_bytes(folder / export.MODEL, trained.tflite)
    accuracies = {name: getattr(trained, name) for name in export.ACCURACIES}
    costs = {name: design.metrics[name] for name in export.COST_UNITS}
    description = dataclasses.replace(
        design, folder=folder, metrics={**costs, **accuracies}
    ).export(folder, test_data=data.test)
    before = design.metrics["accuracy_int8"]
    after = description["accuracies"]
    print(
        f"int8 accuracy on validation data: {before:.2%} before, "
        f"{after['accuracy_int8']:.2%} now; on test data "
        f"{after['accuracy_int8_test']:.2%}.\nWrote {folder}."
    )


if __name__ == "__main__":
    command_line.run(main)
