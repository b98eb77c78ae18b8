"""Searches a network and its accelerator together and exports the best.

    python tools/search.py --flagfile=configs/searches/digits.flags \
        --output_dir=runs/digits

Run again with the same flags, a search goes on where it was stopped.
"""

import json
import os
import pathlib
import sys
from typing import Any

import command_line
from absl import flags

import tf_cosearch as cs
from tf_cosearch import configuration
from tf_cosearch.designs import export, report
from tf_cosearch.training import datasets

FLAGS = flags.FLAGS
flags.DEFINE_string("output_dir", None, "Where everything goes.", required=True)
flags.DEFINE_string("space", "digits", "Name or YAML file of a search space.")
flags.DEFINE_string(
    "data", "digits", "digits, npz:FILE, images:FOLDER or tfds:NAME."
)
flags.DEFINE_list(
    "image_size", None, "Height,width to bring images:FOLDER and tfds:NAME to."
)
flags.DEFINE_string(
    "accelerator",
    None,
    "Preset or YAML file to fix the hardware to; searched if left out.",
)
flags.DEFINE_string("oracle", "regularized_evolution", "Who proposes.")
flags.DEFINE_integer("max_trials", 12, "Designs to train.", lower_bound=1)
flags.DEFINE_integer("epochs", 12, "Epochs of a trial.", lower_bound=1)
flags.DEFINE_integer(
    "qat_epochs", None, "How many of them are quantization-aware."
)
flags.DEFINE_integer("batch_size", 32, "Images a step.", lower_bound=1)
flags.DEFINE_float("learning_rate", None, "Where training starts.")
flags.DEFINE_integer("executions_per_trial", 1, "Trainings of each design.")
flags.DEFINE_integer("seed", 0, "Makes the search repeatable.")
flags.DEFINE_string("reward", "hard", "hard or soft.")
flags.DEFINE_float("latency_ms", None, "Budget of an inference's time.")
flags.DEFINE_float("energy_mj", None, "Budget of an inference's energy.")
flags.DEFINE_float("area_mm2", None, "Budget of the accelerator's area.")
flags.DEFINE_bool("overwrite", False, "Delete a search in --output_dir first.")


def _image_size() -> tuple[int, int] | None:
    if FLAGS.image_size is None:
        return None
    size = [configuration.number(n, "--image_size") for n in FLAGS.image_size]
    if len(size) != 2 or min(size) < 1:
        raise ValueError(
            "--image_size must be height,width. Received: "
            f"{','.join(FLAGS.image_size)}."
        )
    return int(size[0]), int(size[1])


def _description(space: cs.SearchSpace, seed: int) -> dict[str, Any]:
    own = FLAGS.flags_by_module_dict()[sys.argv[0]]
    return {
        "flags": {f.name: f.value for f in own},
        "space": {
            "name": space.template.name,
            "fingerprint": space.fingerprint,
            "networks": space.num_networks,
            "accelerators": space.num_accelerators,
            "parameters": {p.name: list(p.choices) for p in space.parameters},
            "fixed": space.fixed,
        },
        "seed": seed,
        "versions": export.versions(),
    }


def _claim(folder: pathlib.Path, space: cs.SearchSpace) -> None:
    """Refuses a folder that belongs to something else."""
    run = folder / "run.json"
    if FLAGS.overwrite or not folder.exists() or not any(folder.iterdir()):
        return
    try:
        before = json.loads(run.read_text())
        other = before["space"]["fingerprint"] != space.fingerprint
        data = before["flags"]["data"]
    except (OSError, ValueError, KeyError, TypeError):
        raise ValueError(
            "--output_dir must be new, empty or that of a search. Received: "
            f"{folder}, which holds something else. Choose another folder."
        ) from None
    if other or data != FLAGS.data:
        raise ValueError(
            "--output_dir must be new or that of a search of the same space "
            f"and data. Received: {folder}, a search of "
            f"{before['space']['name']} on {data}. Choose another folder, or "
            "pass --overwrite to delete that search."
        )


def main() -> None:
    folder = pathlib.Path(FLAGS.output_dir)
    data = datasets.load(FLAGS.data, image_size=_image_size())
    space = cs.SearchSpace.load(
        FLAGS.space, data.input_shape, data.classes, FLAGS.accelerator
    )
    _claim(folder, space)
    tuner = cs.CoSearchTuner(
        space,
        FLAGS.oracle,
        cs.Budgets(FLAGS.latency_ms, FLAGS.energy_mj, FLAGS.area_mm2),
        FLAGS.max_trials,
        reward=FLAGS.reward,
        seed=FLAGS.seed,
        executions_per_trial=FLAGS.executions_per_trial,
        learning_rate=FLAGS.learning_rate,
        qat_epochs=FLAGS.qat_epochs,
        directory=folder.parent,
        project_name=folder.name,
        overwrite=FLAGS.overwrite,
    )
    export.write_text(
        pathlib.Path(tuner.project_dir) / "run.json",
        json.dumps(_description(space, FLAGS.seed), indent=2) + "\n",
    )
    try:
        tuner.search(
            *data.train,
            validation_data=data.validation,
            epochs=FLAGS.epochs,
            batch_size=FLAGS.batch_size,
        )
    except KeyboardInterrupt:
        print(
            f"\nStopped. Finished trials are in {folder}; the same command "
            "goes on from there."
        )
        sys.exit(130)
    best = tuner.best_designs(1)
    if not best:
        raise RuntimeError(
            f"No trial was finished. See the messages above and {folder}."
        )
    description = best[0].export(folder / "design", test_data=data.test)
    trials = report.read_trials(folder / "trials.csv")
    report.plot_pareto(
        trials,
        folder / "pareto.png",
        chosen=best[0].trial_id,
        budget=FLAGS.latency_ms,
        title=(
            f"Networks of {space.template.name!r} and their accelerators, "
            f"trained on {FLAGS.data}"
        ),
    )
    accuracies, costs = description["accuracies"], description["costs"]
    print(
        f"Chosen: trial {best[0].trial_id}, int8 accuracy "
        f"{accuracies['accuracy_int8']:.2%} on validation and "
        f"{accuracies['accuracy_int8_test']:.2%} on test data, "
        f"{costs['latency_ms']:.3g} ms, {costs['energy_mj']:.3g} mJ, "
        f"{costs['area_mm2']:.3g} mm2.\n"
        f"  {os.path.join(folder, 'design')}: model.tflite, "
        "accelerator.yaml, design.json, weights\n"
        f"  {os.path.join(folder, 'pareto.png')}, trials.csv, run.json"
    )


if __name__ == "__main__":
    command_line.run(main)
