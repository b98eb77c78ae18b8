"""What a search takes of memory and open files, trial by trial."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from tf_cosearch.benchmark.light_trials import LightTuner, append, toy_oracle
from tf_cosearch.engines import launch
from tf_cosearch.search.space import SearchSpace
from tf_cosearch.training import datasets
from tf_cosearch.tuner import CoSearchTuner

LOG = "memory.jsonl"
SPACE = """\
input_shape: [8, 8, 1]
classes: 10
stem: {filters: 8}
stages:
  - {filters: [8, 16, 24], stride: 2, kernel_size: [3, 5],
     expansion: [1, 2, 3], block: inverted_residual, repeats: [1, 2]}
"""

_IMAGES = 320  # of digits, to train with


def measure(
    folder: pathlib.Path,
    algorithm: str,
    trials: int,
    training: bool = False,
    trials_per_process: int | None = None,
) -> dict[str, Any]:
    """Runs a search and looks at its process after each trial.

    Args:
        folder: Of the search; `memory.json` and `memory.png` are left there.
        algorithm: Its name.
        trials: How many, 2 or more.
        training: Whether trials train small networks on digits; else they do
            nothing, so that what grows is the search's.
        trials_per_process: After how many the process starts anew; never by
            default.

    Returns:
        `trials_done`, the number of `processes`, and after a tenth of the
        trials (`early_...`) and all of them (`most_...`) the most MiB and
        open files.
    """
    search = _train if training else _idle
    search(folder, algorithm, trials, trials_per_process)
    lines = (folder / LOG).read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    figures = _summary(rows)
    (folder / "memory.json").write_text(json.dumps({**figures, "trials": rows}))
    plot(rows, folder / "memory.png")
    return figures


def _summary(rows: Sequence[dict[str, int]]) -> dict[str, Any]:
    early = rows[: len(rows) // 10 + 1]
    return {
        "trials_done": len(rows),
        "processes": len({row["starts"] for row in rows}),
        **{
            f"{when}_{name}": max(row[name] for row in part)
            for name in ("mib", "files")
            for when, part in (("early", early), ("most", rows))
        },
    }


def _note(folder: pathlib.Path) -> None:
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    row = {
        "mib": round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20),
        "files": len(os.listdir("/proc/self/fd")),
        "starts": launch.starts(),
    }
    append(folder / LOG, json.dumps(row))


def _idle(
    folder: pathlib.Path,
    algorithm: str,
    trials: int,
    trials_per_process: int | None,
) -> None:
    LightTuner(
        toy_oracle(algorithm, trials, seed=0),
        lambda number: 1 / (2 + number % 7),
        lambda number: _note(folder),
        directory=folder,
        project_name="search",
        trials_per_process=trials_per_process,
    ).run()


class _NotingTuner(CoSearchTuner):
    def on_trial_saved(self, trial: Any) -> None:
        super().on_trial_saved(trial)
        _note(pathlib.Path(self.project_dir).parent)


def _train(
    folder: pathlib.Path,
    algorithm: str,
    trials: int,
    trials_per_process: int | None,
) -> None:
    (folder / "small.yaml").write_text(SPACE)
    data = datasets.load("digits")
    images, labels = data.train
    _NotingTuner(
        SearchSpace.load(folder / "small.yaml"),
        algorithm,
        max_trials=trials,
        seed=0,
        directory=folder,
        project_name="search",
        trials_per_process=trials_per_process,
    ).search(
        images[:_IMAGES],
        labels[:_IMAGES],
        validation_data=data.validation,
        epochs=2,
        verbose=0,
    )


def plot(rows: Sequence[dict[str, int]], path: pathlib.Path) -> None:
    """Draws memory and open files over trials.

    Args:
        rows: `mib` and `files` after each trial.
        path: The picture to write.
    """
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
