"""Our oracles under KerasTuner's own chief, as its documentation has it."""

import os
import subprocess
import sys
import textwrap

import pytest
from keras_tuner.src.distribute import oracle_chief

from tf_cosearch.engines import launch
from tf_cosearch.search.oracle.oracle import CoSearchOracle
from tf_cosearch.testing import ToySpace, place, toy_estimate

PROGRAM = textwrap.dedent("""
    import sys

    import keras_tuner
    import numpy as np

    import tf_cosearch as cs

    space = cs.SearchSpace.load(sys.argv[1], accelerator="edge_tpu")
    oracle = cs.CoSearchOracle(
        space, "random", objective="val_accuracy", seed=0,
        max_trials=int(sys.argv[3]),
    )
    tuner = keras_tuner.Tuner(
        oracle, cs.CoSearchHyperModel(space), directory=sys.argv[2]
    )
    rng = np.random.default_rng(0)
    x, y = rng.random((20, 8, 8, 1)), rng.integers(0, 10, 20)
    tuner.search(x, y, validation_data=(x, y), epochs=1, verbose=0)
    if tuner.tuner_id == "chief":
        print("ended", len(oracle.end_order), space.size)
""")


@pytest.mark.parametrize("max_trials", [3, 9])
def test_no_worker_is_waited_for_that_was_told_to_stop(tmp_path, max_trials):
    space = ToySpace((2, 3))
    oracle = CoSearchOracle(
        space, "random", estimate=toy_estimate, max_trials=max_trials, seed=0
    )
    place(oracle, tmp_path)
    names = ["worker0", "worker1", "worker2"]
    working = dict.fromkeys(names)
    while working:
        for name in list(working):
            trial = oracle.create_trial(name)
            if trial.status == "STOPPED":
                del working[name]
                assert name not in oracle.tuner_ids
                continue
            assert not oracle_chief.exit_chief(oracle)
            oracle.update_trial(trial.trial_id, {"accuracy_int8": 0.5})
            oracle.end_trial(trial.trial_id)
    assert len(oracle.end_order) == min(max_trials, space.size)
    assert oracle_chief.exit_chief(oracle)


@pytest.mark.slow
@pytest.mark.parametrize("max_trials", [3, 99])
def test_the_processes_of_keras_tuner_end(tmp_path, space_file, max_trials):
    port = launch.free_port("127.0.0.1")
    folders = {name: tmp_path / name for name in ("chief", "w0", "w1")}
    processes = {
        name: subprocess.Popen(
            [
                sys.executable,
                "-c",
                PROGRAM,
                space_file,
                folder,
                str(max_trials),
            ],
            env={
                **os.environ,
                "KERASTUNER_TUNER_ID": name,
                "KERASTUNER_ORACLE_IP": "127.0.0.1",
                "KERASTUNER_ORACLE_PORT": str(port),
            },
            stdout=subprocess.PIPE,
            text=True,
        )
        for name, folder in folders.items()
    }
    try:
        told = {
            name: process.communicate(timeout=240)[0]
            for name, process in processes.items()
        }
    finally:
        for process in processes.values():
            process.kill()
    assert [process.returncode for process in processes.values()] == [0] * 3
    *_, ended, size = told["chief"].split()
    assert int(ended) == min(max_trials, int(size)) > 2
