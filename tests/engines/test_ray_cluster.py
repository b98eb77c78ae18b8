"""A search on a real Ray cluster of two nodes, one of which dies."""

import faulthandler
import os
import pathlib
import signal
import sys
import threading
import time

import keras
import pytest

import tf_cosearch as cs
from tests.light_searches import few, small_tuner
from tf_cosearch.engines.ray_engine import RayEngine
from tf_cosearch.training import datasets

pytestmark = pytest.mark.slow
ray = pytest.importorskip("ray")


@pytest.fixture
def cluster():
    from ray.cluster_utils import Cluster

    settings = {"include_dashboard": False, "object_store_memory": 2**27}
    made = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, **settings}
    )
    made.nodes = [made.add_node(num_cpus=1, **settings) for _ in range(2)]
    yield made
    made.shutdown()


def epochs(log):
    """Phase by first metric, epoch and node of each, in their order."""
    text = log.read_text() if log.exists() else ""
    return [line.split() for line in text.splitlines()]


def test_a_training_goes_on_where_its_node_died(
    cluster, space, tmp_path, monkeypatch
):
    # Tasks have one thread as well.
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")
    log = tmp_path / "epochs.log"

    class Log(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            node = ray.get_runtime_context().get_node_id()
            with open(log, "a") as file:
                file.write(f"{epoch} {node}\n")
            time.sleep(1.5)  # so that a checkpoint is due

    def kill():
        """Kills the node that trains, once two epochs are over."""
        while len(epochs(log)) < 3:
            time.sleep(0.05)
        node = epochs(log)[0][1]
        (victim,) = [n for n in cluster.nodes if n.node_id == node]
        cluster.remove_node(victim, allow_graceful=False)

    killer = threading.Thread(target=kill, daemon=True)
    data = datasets.load("digits")
    tuner = small_tuner(
        space,
        tmp_path,
        max_trials=1,
        engine=RayEngine(cluster.address, trials_at_once=1),
    )
    killer.start()
    tuner.search(**few(data), epochs=6, callbacks=[Log()])
    killer.join(10)
    told = epochs(log)
    nodes = list(dict.fromkeys(node for _, node in told))
    assert len(nodes) == 2
    # Of the five float epochs at most the one at work was trained again.
    assert len(told) <= 6 + 1
    assert told[0][0] == "0"
    (first,) = [n for n, (_, node) in enumerate(told) if node == nodes[1]][:1]
    assert int(told[first][0]) >= 2
    trial = tuner.co_oracle.trials["0"]
    assert trial.status == "COMPLETED"

    undisturbed = small_tuner(
        space,
        tmp_path,
        max_trials=1,
        project_name="undisturbed",
        engine=RayEngine(cluster.address, trials_at_once=1),
    )
    undisturbed.search(**few(data), epochs=6)
    found = [
        {
            name: tuner.co_oracle.trial_metrics(tuner.co_oracle.trials["0"])[
                name
            ]
            for name in ("accuracy_float", "accuracy_qat", "accuracy_int8")
        }
        for tuner in (tuner, undisturbed)
    ]
    assert found[0] == found[1]


def process():
    """What Ray takes of a process, and is to give back."""
    handler = signal.getsignal(signal.SIGTERM)
    return sys.excepthook, faulthandler.is_enabled(), handler


def test_models_and_files_of_callbacks_reach_the_folder(
    cluster, space, tmp_path
):
    before, found = process(), []
    tuner = small_tuner(
        space,
        tmp_path,
        max_trials=2,
        engine=RayEngine(cluster.address),
        on_trial_end=lambda _: found.append(process()),
    )
    data = few(datasets.load("digits"))
    log = keras.callbacks.CSVLogger(tmp_path / "logs" / "epochs.csv")
    tuner.search(**data, epochs=2, callbacks=[log])
    assert {*found, process()} == {before}
    assert len(tuner.co_oracle.history.finished()) == 2
    design = tuner.best_designs(1)[0]
    assert (pathlib.Path(design.folder) / "model.tflite").stat().st_size > 1000
    written = [*(tmp_path / "logs").rglob("epochs.csv")]
    trials = {path.relative_to(tmp_path).parts[1] for path in written}
    assert trials == {"trial_0", "trial_1"}
    assert not ray.is_initialized()
    assert "RAY_ADDRESS" not in os.environ
    assert cs.load_design(design.folder).metrics["latency_ms"] > 0
