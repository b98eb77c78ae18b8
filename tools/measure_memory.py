r"""Draws memory and open files of a search over its trials.

    python tools/measure_memory.py --output_dir=runs/memory --trials=1000
    python tools/measure_memory.py --output_dir=runs/memory_training \
        --training --trials=60 --trials_per_process=20

The trials of the first do nothing, so what grows is the search's; those of the
second train small networks on digits. Leaves memory.json and memory.png.
"""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

import command_line
from absl import flags

FLAGS = flags.FLAGS
flags.DEFINE_string("output_dir", None, "A new folder.", required=True)
flags.DEFINE_integer("trials", 1000, "How many.", lower_bound=2)
flags.DEFINE_bool("training", False, "Train networks, instead of nothing.")
flags.DEFINE_string("oracle", "grey_box", "Who proposes.")
flags.DEFINE_integer(
    "trials_per_process", 0, "See tools/search.py.", lower_bound=0
)

LOG = "memory.jsonl"
SPACE = """\
input_shape: [8, 8, 1]
classes: 10
stem: {filters: 8}
stages:
  - {filters: [8, 16, 24], stride: 2, kernel_size: [3, 5],
     expansion: [1, 2, 3], block: inverted_residual, repeats: [1, 2]}
"""


def main() -> None:
    from tf_cosearch.distributed import launch

    folder = command_line.output_folder(FLAGS.output_dir)
    if (folder / LOG).exists() and not launch.is_restarted():
        raise ValueError(
            f"--output_dir must be new. Received: {folder}, which has a "
            f"{LOG}. Choose another folder."
        )
    (_train if FLAGS.training else _idle)(folder)
    lines = (folder / LOG).read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    found = _summary(rows)
    (folder / "memory.json").write_text(json.dumps({**found, "trials": rows}))
    _plot(rows, folder / "memory.png")
    print(json.dumps(found))


def _summary(rows: list[dict[str, int]]) -> dict[str, Any]:
    """What is used after a tenth of the trials, and at the end."""
    start = len(rows) // 10
    return {
        "trials_done": len(rows),
        "processes": len({row["starts"] for row in rows}),
        **{
            f"{what}_{name}": sign(row[name] for row in part)
            for name in ("mib", "files")
            for what, part, sign in (
                ("early", rows[: start + 1], max),
                ("most", rows, max),
            )
        },
    }


def _note(folder: pathlib.Path) -> None:
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    row = {
        "mib": round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20),
        "files": len(os.listdir("/proc/self/fd")),
        "starts": int(os.environ.get("TF_COSEARCH_STARTS", "0")),
    }
    with open(folder / LOG, "a") as file:
        file.write(json.dumps(row) + "\n")


def _idle(folder: pathlib.Path) -> None:
    from tf_cosearch.distributed.tuner import DurableTuner
    from tf_cosearch.search.oracle.oracle import CoSearchOracle
    from tf_cosearch.testing import toys

    class Tuner(DurableTuner):
        def run_trial(self, trial: Any, **_: Any) -> dict[str, float]:
            return {"accuracy_int8": 1 / (2 + int(trial.trial_id) % 7)}

        def on_trial_saved(self, trial: Any) -> None:
            _note(folder)

    oracle = CoSearchOracle(
        toys.ToySpace((9, 9, 9, 9)),  # type: ignore[arg-type]
        FLAGS.oracle,
        max_trials=FLAGS.trials,
        seed=0,
        proposals=32,
        estimate=toys.toy_estimate,
    )
    Tuner(
        oracle,
        directory=folder,
        project_name="search",
        trials_per_process=FLAGS.trials_per_process or None,
    ).run()


def _train(folder: pathlib.Path) -> None:
    import tf_cosearch as cs
    from tf_cosearch.training import datasets

    class Tuner(cs.CoSearchTuner):
        def on_trial_saved(self, trial: Any) -> None:
            super().on_trial_saved(trial)
            _note(folder)

    data = datasets.load("digits")
    (folder / "small.yaml").write_text(SPACE)
    images, labels = data.train
    Tuner(
        cs.SearchSpace.load(folder / "small.yaml"),
        FLAGS.oracle,
        max_trials=FLAGS.trials,
        seed=0,
        directory=folder,
        project_name="search",
        trials_per_process=FLAGS.trials_per_process or None,
    ).search(
        images[:320],
        labels[:320],
        validation_data=data.validation,
        epochs=2,
        verbose=0,
    )


def _plot(rows: list[dict[str, int]], path: pathlib.Path) -> None:
    import matplotlib.figure

    figure = matplotlib.figure.Figure(figsize=(7, 4), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True)
    for axes, name, label in (
        (top, "mib", "memory in MiB"),
        (bottom, "files", "open files"),
    ):
        axes.plot([row[name] for row in rows])
        axes.set_ylim(bottom=0)
        axes.set_ylabel(label)
        axes.spines[["top", "right"]].set_visible(False)
    bottom.set_xlabel("trials")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    command_line.run(main)
