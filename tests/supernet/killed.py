"""Kills searches on a supernet in each stage; run in a process of its own.

Everything is real but trainings, which take a moment. Processes are forked
from one that has imported all, so that each starts at once.
"""

import contextlib
import json
import pathlib
import sys
import time

import light_searches

import tf_cosearch as cs
from tf_cosearch.benchmark.light_trials import append
from tf_cosearch.benchmark.processes import ALONE, Processes
from tf_cosearch.supernet import evaluation, supernet
from tf_cosearch.training import datasets, fit

DESIGNS, TRIALS, EPOCHS = 24, 4, 10
CREW = ("chief", "worker0", "worker1")
SECONDS = 600


def run(space_file, folder):
    """A search that notes what it does."""

    def note(line):
        append(folder / "log", line)

    def train(*args, **kwargs):
        note("training")
        time.sleep(1)
        note("trained")
        return light_searches.pretend(*args, **kwargs)

    def evaluate(self, network, is_int8=True):
        note("evaluation")
        time.sleep(0.1)
        return real_accuracy(self, network, is_int8)

    def train_epochs(self, *args, **kwargs):
        def on_epoch(epoch, loss):
            note(f"epoch {epoch}")

        real_train(self, *args, **kwargs, on_epoch=on_epoch)

    fit.train = train
    real_accuracy = evaluation.Evaluator.accuracy
    evaluation.Evaluator.accuracy = evaluate
    real_train = supernet.Supernet.train
    supernet.Supernet.train = train_epochs
    tuner = light_searches.small_tuner(
        cs.SearchSpace.load(space_file),
        folder,
        accuracy="supernet",
        supernet=cs.SupernetOptions(epochs=EPOCHS),
        supernet_trials=DESIGNS,
        max_trials=TRIALS,
        lease_seconds=5,
    )
    with contextlib.suppress(SystemExit):  # of a worker
        tuner.search(**light_searches.few(datasets.load("digits")))


def lines(folder, text):
    log = folder / "log"
    told = log.read_text().splitlines() if log.exists() else []
    return sum(line.startswith(text) for line in told)


def kill(space_file, folder, names, kills):
    """Kills processes at their moments; what the searches noted."""
    folder.mkdir(parents=True)
    processes = Processes(lambda: run(space_file, folder))
    until = time.monotonic() + SECONDS
    for name in names:
        processes.start(name)
    left = [*kills]
    while processes.running and time.monotonic() < until:
        processes.collect()
        if left and lines(folder, left[0][1]) >= left[0][2]:
            name = left.pop(0)[0]
            assert processes.kill(name), name
            processes.start(name)
        time.sleep(0.01)
    is_hung = bool(processes.running)
    for name in [*processes.running]:
        processes.kill(name)
    return {
        "codes": processes.codes,
        "is_hung": is_hung,
        "kills_left": len(left),
        **{
            text: lines(folder, text)
            for text in ("epoch", "evaluation", "training", "trained")
        },
    }


def main():
    space_file, folder = map(pathlib.Path, sys.argv[1:])
    stages = [("epoch", 4), ("evaluation", 8), ("training", 2)]
    told = {
        "whole": kill(space_file, folder / "whole", [ALONE], []),
        "alone": kill(
            space_file,
            folder / "alone",
            [ALONE],
            [(ALONE, *moment) for moment in stages],
        ),
        "crew": kill(
            space_file,
            folder / "crew",
            CREW,
            [
                ("chief", "epoch", 4),
                ("worker0", "evaluation", 4),
                ("chief", "evaluation", 10),
                ("worker1", "training", 1),
                ("chief", "trained", 2),
            ],
        ),
    }
    sys.stdout.write(f"{json.dumps(told)}\n")


if __name__ == "__main__":
    main()
