import contextlib
import socket
import threading
import time

import pytest
from keras_tuner.engine.trial import TrialStatus

from tf_cosearch.distributed import chief, launch, worker
from tf_cosearch.search.oracles.random import RandomOracle
from tf_cosearch.testing import ToySpace, place, toy_estimate

LEASE_SECONDS = 0.6


class SlowOracle(RandomOracle):
    """Proposes in longer than a lease lasts."""

    def populate_space(self, trial_id):
        time.sleep(1.5 * LEASE_SECONDS if int(trial_id) > 1 else 0)
        return super().populate_space(trial_id)


@contextlib.contextmanager
def serving(monkeypatch, oracle, ip="127.0.0.1"):
    """A chief in a thread; gives its port."""
    port = launch.free_port("127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", ip)
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", str(port))
    oracle.lease_seconds = LEASE_SECONDS
    thread = threading.Thread(
        target=chief.serve, args=(oracle,), name="chief", daemon=True
    )
    thread.start()
    yield port
    thread.join(30)
    assert not thread.is_alive()


def remote(monkeypatch, oracle, name):
    monkeypatch.setenv("KERASTUNER_TUNER_ID", name)
    return worker.RemoteOracle(oracle, patience_seconds=20)


def work(oracle, name, ran):
    while True:
        trial = oracle.create_trial(name)
        if trial.status == TrialStatus.STOPPED:
            return
        if trial.status != TrialStatus.RUNNING:
            continue
        with oracle.heartbeat(trial.trial_id):
            oracle.update_trial(trial.trial_id, {"accuracy_int8": 0.5})
        ran.append(trial.trial_id)
        trial.status = TrialStatus.COMPLETED
        oracle.end_trial(trial)


def search(monkeypatch, oracle, names):
    """Runs workers until none has anything left to do."""
    ran = []
    threads = [
        threading.Thread(
            target=work, args=(remote(monkeypatch, oracle, n), n, ran), name=n
        )
        for n in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return ran


def make(folder, kind=RandomOracle, max_trials=6):
    return place(
        kind(
            ToySpace((9, 9, 9)),
            estimate=toy_estimate,
            proposals=16,
            seed=0,
            max_trials=max_trials,
        ),
        folder,
    )


def test_a_report_does_not_lose_its_trial_while_a_proposal_takes_long(
    tmp_path, monkeypatch
):
    oracle = make(tmp_path, SlowOracle)
    with serving(monkeypatch, oracle):
        ran = search(monkeypatch, oracle, [f"worker{i}" for i in range(4)])
    assert sorted(ran) == sorted(oracle.end_order) == list("012345")


def test_more_workers_than_calls_that_wait(tmp_path, monkeypatch):
    monkeypatch.setattr(chief, "_ASKING", 1)
    monkeypatch.setattr(worker, "_IDLE_SECONDS", 0.02)
    oracle = make(tmp_path, max_trials=12)
    names = [f"worker{i}" for i in range(6)]
    with serving(monkeypatch, oracle):
        ran = search(monkeypatch, oracle, names)
    assert sorted(ran, key=int) == [f"{i:02d}" for i in range(12)]
    genomes = [oracle.trial_genome(t) for t in oracle.trials.values()]
    assert len({tuple(g) for g in genomes}) == 12


def test_the_chief_listens_where_it_is_told_and_nowhere_else(
    tmp_path, monkeypatch
):
    oracle = make(tmp_path, max_trials=1)
    with serving(monkeypatch, oracle) as port:
        time.sleep(0.5)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), timeout=5)
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        search(monkeypatch, oracle, ["worker0"])
