r"""Trains an exported design longer and exports it again.

Example:
    cosearch retrain --design=runs/digits/design --data=digits \
        --epochs=60 --output_dir=runs/digits/retrained
"""

from absl import flags

from tf_cosearch.commands import command_line

FLAGS = flags.FLAGS
flags.DEFINE_string("design", None, "Folder of a design.", required=True)
flags.DEFINE_string("output_dir", None, "Where to export to.", required=True)
command_line.define_data()
command_line.define_training(epochs=40)
flags.DEFINE_bool("from_scratch", False, "Start from new weights.")
flags.DEFINE_bool("overwrite", False, "Replace a design in --output_dir.")


def main() -> None:
    import tf_cosearch as cs
    from tf_cosearch.designs import export, report, retraining

    design = cs.load_design(FLAGS.design)
    folder = command_line.output_folder(FLAGS.output_dir)
    if (folder / export.DESCRIPTION).exists() and not FLAGS.overwrite:
        raise ValueError(
            f"--output_dir must not hold a design. Received: {folder}, which "
            "has one. Choose another folder, or pass --overwrite to replace it."
        )
    task = retraining.task_of(design)
    size = design.network.input_shape[:2]
    description = retraining.retrain(
        design,
        command_line.load_data(size, task),
        folder,
        from_scratch=FLAGS.from_scratch,
        batch_size=FLAGS.batch_size,
        epochs=FLAGS.epochs,
        qat_epochs=FLAGS.qat_epochs,
        learning_rate=FLAGS.learning_rate,
        seed=FLAGS.seed,
    )
    name = report.accuracy_of(design.metrics)
    before = design.metrics[name]
    table = "" if design.is_trained else " in the table"
    after = description["accuracies"]
    print(
        f"int8 {task.metric} on validation data: {before:.2%} before{table}, "
        f"{after['accuracy_int8']:.2%} now; on test data "
        f"{after['accuracy_int8_test']:.2%}.\nWrote {folder}."
    )
