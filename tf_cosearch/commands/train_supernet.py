r"""Trains the weights that all networks of a space share.

    cosearch train_supernet --space=digits --data=digits \
        --output_dir=runs/supernet

Leaves supernet.json and supernet.checkpoint, which a search takes as
--supernet. Run again with the same flags, a training goes on where it was
stopped.
"""

from absl import flags

from tf_cosearch.commands import command_line

FLAGS = flags.FLAGS
flags.DEFINE_string("output_dir", None, "Where it goes.", required=True)
flags.DEFINE_string("space", "digits", "Name or YAML file of a search space.")
command_line.define_task()
command_line.define_data()
command_line.define_image_size()
command_line.define_steps()
command_line.define_supernet()
flags.DEFINE_bool("overwrite", False, "Delete a supernet in --output_dir.")


def main() -> None:
    import tf_cosearch as cs
    from tf_cosearch.supernet.supernet import Supernet
    from tf_cosearch.training import fingerprint, inputs

    options = command_line.supernet_options()
    task = command_line.task_of_space()
    data = command_line.load_data_of_networks(task)
    space = cs.SearchSpace.load(
        FLAGS.space, data.input_shape, data.classes, task=task
    )
    prepared = inputs.prepare(
        *data.train,
        input_shape=data.input_shape,
        classes=data.classes,
        validation_data=data.validation,
        batch_size=FLAGS.batch_size,
        task=task,
    )
    folder = command_line.output_folder(FLAGS.output_dir)
    supernet = Supernet(space.network_space, options, FLAGS.seed)
    try:
        supernet.train(
            prepared,
            folder,
            fingerprint.describe_splits(
                data.train, data.validation, data.classes, task
            ),
            verbose=1,
            overwrite=FLAGS.overwrite,
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"{supernet.epochs} of {supernet.all_epochs} epochs are in "
            f"{folder}; the same command goes on from there."
        ) from None
    print(
        f"{supernet.epochs} epochs in {supernet.seconds:.0f} s, loss "
        f"{supernet.losses[-1]:.4f} in the last. Wrote {folder}."
    )
