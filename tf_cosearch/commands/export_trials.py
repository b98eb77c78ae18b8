r"""Hands the trials of a search over to a tracker of experiments.

    cosearch export_trials --run=runs/digits \
        --to=optuna:sqlite:///trials.db
    optuna-dashboard sqlite:///trials.db

Trackers: mlflow[:ADDRESS], optuna:STORAGE and wandb[:PROJECT]. Trials that are
there are not kept twice, so the same command later adds what has ended since.
`cosearch search --track=...` tells a tracker of every trial as it ends.
"""

from absl import flags

FLAGS = flags.FLAGS
flags.DEFINE_string("run", None, "Folder of the search.", required=True)
flags.DEFINE_multi_string(
    "to",
    None,
    "NAME or NAME:WHERE of a tracker; may be repeated.",
    required=True,
)


def main() -> None:
    from tf_cosearch import trackers
    from tf_cosearch.trackers import records

    made = [trackers.parse(text) for text in FLAGS.to]
    told = records.of_folder(FLAGS.run)
    if not told:
        raise FileNotFoundError(
            "A search must have trials that have ended. Received: "
            f"{FLAGS.run}, which has none yet."
        )
    for tracker in made:
        for record in told:
            tracker.trial(record)
    print(f"Handed {len(told)} trials over to {', '.join(FLAGS.to)}.")
