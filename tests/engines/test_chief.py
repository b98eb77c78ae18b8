import contextlib
import signal
import socket
import threading
import time

import pytest
from keras_tuner.engine.trial import TrialStatus

from tf_cosearch.engines import chief, launch, worker
from tf_cosearch.search.oracle.oracle import CoSearchOracle
from tf_cosearch.testing import ToySpace, place, toy_estimate

LEASE_SECONDS = 0.6


class SlowOracle(CoSearchOracle):
    """Proposes in longer than a lease lasts."""

    def populate_space(self, trial_id):
        time.sleep(1.5 * LEASE_SECONDS if int(trial_id) > 1 else 0)
        return super().populate_space(trial_id)


@contextlib.contextmanager
def serving(monkeypatch, oracle, ip="127.0.0.1", stage=0):
    """A chief in a thread; gives its port."""
    port = launch.free_port("127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", ip)
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", str(port))
    oracle.lease_seconds = LEASE_SECONDS
    thread = threading.Thread(
        target=chief.serve,
        args=(oracle,),
        kwargs={"stage": stage},
        name="chief",
        daemon=True,
    )
    thread.start()
    yield port
    thread.join(30)
    assert not thread.is_alive()


def remote(monkeypatch, oracle, name, **how):
    monkeypatch.setenv("KERASTUNER_TUNER_ID", name)
    return worker.RemoteOracle(oracle, **{"patience_seconds": 20, **how})


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


def make(folder, kind=CoSearchOracle, max_trials=6):
    return place(
        kind(
            ToySpace((9, 9, 9)),
            "random",
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
    monkeypatch.setattr(worker, "_IDLE_SECONDS", 0.02)  # as short as the lease
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


class Proxy:
    """Passes bytes on between workers and a chief, unless it is cut."""

    def __init__(self, port):
        self._port = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._open = []
        self.is_cut = False
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, seconds):
        """Drops all connections, and new ones, for a while."""
        self.is_cut = True
        for side in self._open:
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
        time.sleep(seconds)
        self.is_cut = False

    def _accept(self):
        while True:
            near, _ = self._server.accept()
            if self.is_cut:
                near.close()
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self._port))
            except ConnectionRefusedError:  # The chief does not listen yet.
                near.close()
                continue
            self._open += [near, far]
            for ends in ((near, far), (far, near)):
                threading.Thread(
                    target=self._pass_on, args=ends, daemon=True
                ).start()

    @staticmethod
    def _pass_on(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)


def test_a_cut_of_half_a_lease_costs_nothing(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "LEASE_SECONDS", 3.0)
    oracle = make(tmp_path, max_trials=30)
    trials = iter(range(100))

    def train(self, trial_id, metrics, step=0):
        next(trials)
        time.sleep(0.2)
        return update(self, trial_id, metrics, step)

    update = worker.RemoteOracle.update_trial
    monkeypatch.setattr(worker.RemoteOracle, "update_trial", train)
    with serving(monkeypatch, oracle) as port:
        proxy = Proxy(port)
        monkeypatch.setenv("KERASTUNER_ORACLE_PORT", str(proxy.port))
        cutting = threading.Timer(1.0, proxy.cut, [1.5])
        cutting.start()
        ran = search(monkeypatch, oracle, ["worker0", "worker1"])
        cutting.join()
    assert sorted(ran) == sorted(oracle.end_order)
    assert len(ran) == next(trials) == 30


def test_a_second_ctrl_c_does_not_cut_the_stop_of_the_server_in_half(
    tmp_path, monkeypatch
):
    server, ended = chief.grpc.server, threading.Event()

    def interrupted_server(*args, **options):
        served = server(*args, **options)

        def stop(grace):
            signal.raise_signal(signal.SIGINT)
            time.sleep(0.2)  # for the main thread to take it
            stopped = type(served).stop(served, grace)
            ended.set()
            return stopped

        served.stop = stop
        return served

    monkeypatch.setattr(chief.grpc, "server", interrupted_server)
    oracle = make(tmp_path)
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "chief")
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    port = launch.free_port("127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", str(port))
    with pytest.raises(KeyboardInterrupt), chief.busy(oracle, "measures"):
        pass
    assert ended.wait(5)


def test_workers_end_when_the_hours_are_up(tmp_path, monkeypatch):
    oracle = make(tmp_path, max_trials=100)
    oracle.clock.limit(1)

    def let_time_pass(trial):
        if len(oracle.end_order) == 3:
            oracle.clock.resume(3600)

    oracle.on_trial_ended = let_time_pass
    with serving(monkeypatch, oracle):
        ran = search(monkeypatch, oracle, ["worker0", "worker1"])
    # Whoever had a trial by then ends it.
    assert 3 <= len(ran) <= 4
    assert sorted(ran) == sorted(oracle.end_order)


def test_nothing_is_left_to_do_in_a_stage_that_is_over(tmp_path, monkeypatch):
    oracle = make(tmp_path, max_trials=2)
    with serving(monkeypatch, oracle, stage=1):
        late = remote(monkeypatch, oracle, "late", stage=0)
        assert late.create_trial("late").status == TrialStatus.STOPPED
        here = remote(monkeypatch, oracle, "here", stage=1)
        trial = here.create_trial("here")
        # Trials of another stage have the same numbers.
        late._trial = trial
        trial.status = TrialStatus.COMPLETED
        late.update_trial("0", {"accuracy_int8": 0.9})
        late.end_trial(trial)  # which is dropped
        assert oracle.end_order == []
        here.end_trial(trial)
        ran = []
        work(here, "here", ran)
    assert ran == ["1"]


def test_a_worker_waits_for_the_stage_before_its_own(tmp_path, monkeypatch):
    first, second = make(tmp_path / "a", max_trials=1), make(tmp_path / "b")
    with serving(monkeypatch, first, stage=0) as port:
        early = remote(monkeypatch, second, "early", stage=1)
        ran = []
        waiting = threading.Thread(target=work, args=(early, "early", ran))
        waiting.start()
        time.sleep(0.5)
        assert not ran
        assert not first.trials
        work(remote(monkeypatch, first, "worker0", stage=0), "worker0", [])
    monkeypatch.setattr(launch, "free_port", lambda ip: port)
    with serving(monkeypatch, second, stage=1):
        waiting.join(60)
    assert first.end_order == ["0"]
    assert sorted(ran) == sorted(second.end_order) == list("012345")


@contextlib.contextmanager
def chief_at_work(monkeypatch, oracle):
    """A chief that works alone; gives the port that it has."""
    port = launch.free_port("127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", str(port))
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "chief")
    monkeypatch.delenv("TF_COSEARCH_WORKERS", raising=False)
    with chief.busy(oracle, "measures untrained networks"):
        yield port


def test_workers_wait_as_long_as_the_chief_works_alone(tmp_path, monkeypatch):
    told, ran = [], []
    monkeypatch.setattr(
        worker.logging, "warning", lambda text, *args: told.append(text % args)
    )
    monkeypatch.setattr(worker, "_IDLE_SECONDS", 0.1)
    oracle = make(tmp_path, max_trials=4)
    with chief_at_work(monkeypatch, oracle) as port:
        how = {"patience_seconds": 1.0}
        other = remote(monkeypatch, oracle, "worker0", **how)
        waiting = threading.Thread(target=work, args=(other, "worker0", ran))
        waiting.start()
        time.sleep(2.5)
        assert waiting.is_alive()
        assert not ran
    monkeypatch.setattr(launch, "free_port", lambda ip: port)
    with serving(monkeypatch, oracle):
        waiting.join(60)
    assert sorted(ran) == sorted(oracle.end_order) == list("0123")
    assert told == ["Waiting for the chief, which measures untrained networks."]


def test_workers_learn_that_the_chief_has_failed(tmp_path, monkeypatch):
    oracle = make(tmp_path)
    failures = []

    def wait(other):
        try:
            other.create_trial("worker0")
        except worker.EndedByChiefError as error:
            failures.append(str(error))

    def measure():
        with chief_at_work(monkeypatch, oracle):
            other = remote(monkeypatch, oracle, "worker0")
            waiting = threading.Thread(target=wait, args=(other,))
            waiting.start()
            time.sleep(0.7)
            raise RuntimeError("There is no board.")

    with pytest.raises(RuntimeError, match="no board"):
        measure()
    until = time.monotonic() + 30
    while not failures and time.monotonic() < until:
        time.sleep(0.05)
    assert failures == ["The chief ended the search: There is no board."]


def test_for_workers_that_are_yet_to_start_nobody_listens(
    tmp_path, monkeypatch
):
    """Who is there while a chief measures takes time from it."""
    oracle = make(tmp_path)
    for name, value in launch.environment("chief", 2, "127.0.0.1", 1).items():
        monkeypatch.setenv(name, value)
    with chief.busy(oracle, "measures untrained networks"):
        assert not launch.listens("127.0.0.1", 1)
