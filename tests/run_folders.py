"""Folders of searches that nobody has run."""

import json
import math

import keras_tuner
from keras_tuner.engine.trial import Trial

import tf_cosearch as cs
from tf_cosearch.designs import export, report

EVIL = "</script><img src=x onerror=\"document.title='hit'\">"
"""What an error's message may be."""

HISTORY = {
    "accuracy": [0.5, 0.7, 0.8],
    "val_accuracy": [0.4, 0.6, 0.7],
    "loss": [2.0, 1.0, math.nan],
    "val_loss": [2.1, 1.1, 0.9],
}


def small_design(folder, filters=8):
    """The design of a network of two blocks on the baseline."""
    from tf_cosearch.networks.network import BlockSpec, Network

    blocks = (
        BlockSpec("stem", "conv_bn", filters, 1, (("kernel_size", 3),)),
        BlockSpec("stage1/block1", "conv_bn", 16, 2, (("kernel_size", 3),)),
        BlockSpec("stage1/block2", "conv_bn", 16, 1, (("kernel_size", 3),)),
    )
    return export.Design(
        network=Network("small", (8, 8, 1), 10, blocks),
        accelerator=cs.load_accelerator("edge_tpu"),
        hyperparameters={"stem/filters": filters},
        metrics=measured(0, 1),
        folder=folder,
        trial_id="0",
        seed=0,
    )


def measured(number, count):
    """Metrics of a trial: the later, the more accurate and dearer."""
    share = (number + 1) / count
    return {
        "accuracy_int8": 0.5 + 0.4 * share,
        "accuracy_float": 0.5 + 0.45 * share,
        "latency_ms": 0.001 * share,
        "energy_mj": 0.0001 * share,
        "area_mm2": 10.0 + number % 7,
        "seconds": 2.5,
    }


def make(folder, count=4, failed=(), message=EVIL, running=(), more=None):
    """A folder of `count` trials, as a tuner leaves it, but for weights."""
    width = len(str(count - 1))
    rows = []
    more = more or {}
    description = json.dumps(small_design(folder).describe())
    for number in range(count):
        trial_id = f"{number:0{width}d}"
        place = folder / f"trial_{trial_id}"
        place.mkdir(parents=True)
        chosen = keras_tuner.HyperParameters()
        chosen.Choice("stem/filters", [8, 16], default=8 + 8 * (number % 2))
        for name, value in more.items():
            chosen.Fixed(name, value)
        trial = Trial(chosen, trial_id, "COMPLETED")
        row = {"trial_id": trial_id, "feasible": number != count - 1}
        if number in failed:
            trial.status, trial.message = "FAILED", f"Traceback\n{message}"
        elif number in running:
            trial.status = "RUNNING"
        else:
            known = measured(number, count)
            for name, value in known.items():
                trial.metrics.register(name, direction="max")
                trial.metrics.update(name, value)
            trial.score = known["accuracy_int8"]
            row |= {**known, "reward": trial.score}
            (place / export.DESCRIPTION).write_text(description)
        if number not in failed:
            content = {
                "fingerprint": "",
                "costs": {},
                "history": HISTORY,
                "float_epochs": 2,
            }
            (place / "execution_0.json").write_text(json.dumps(content))
        state = trial.get_state()
        if number > 1:
            parents = [f"{number - 2:0{width}d}"]
            how = {"by": "Nsga2", "how": "mutated", "parents": parents}
            state["origin"] = how
        (place / "trial.json").write_text(json.dumps(state))
        row["status"] = trial.status
        columns = [*report.trial_columns(), *chosen.values]
        row |= chosen.values
        rows.append({name: row.get(name, "") for name in columns})
    report.write_trials(folder / "trials.csv", rows)
    (folder / "oracle.json").write_text(
        json.dumps(
            {
                "seed": 3,
                "settings": {
                    "algorithm": "GreyBox",
                    "searched": "joint",
                    "objective": "accuracy_int8",
                    "reward": "WeightedProduct()",
                    "budgets": {"latency_ms": 0.0009},
                    "max_trials": count,
                    "start_from": [],
                },
                "identity": {
                    "space": {"fingerprint": "f", "parameters": {}},
                    "data": {"shape": [8, 8, 1]},
                    "training": {"epochs": 3, "optimizer": {"class": "Adam"}},
                    "versions": {"keras": "3.0"},
                },
            }
        ),
    )
    flags = {"data": "npz:my data.npz", "epochs": 3, "batch_size": 32}
    (folder / "run.json").write_text(json.dumps({"flags": flags, "seed": 3}))
    return folder
