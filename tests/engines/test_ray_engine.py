"""Trials as tasks of a Ray cluster, with a stand-in for Ray in this process.

The stand-in pickles what is sent and runs a task when it is waited for, the
last one first. `test_ray_cluster.py` has the real one, and kills.
"""

import copy
import errno
import faulthandler
import functools
import os
import pathlib
import pickle
import signal
import socket
import sys
import tempfile
import threading
import time
import types

import keras_tuner
import numpy as np
import pytest
import tensorflow as tf
from absl import logging
from keras_tuner.engine.trial import Trial, TrialStatus

import tf_cosearch as cs
from tests.light_searches import few, pretend, small_tuner
from tf_cosearch import files
from tf_cosearch.benchmark.light_trials import LightTuner, append, toy_oracle
from tf_cosearch.engines import launch, ray_engine, ray_trials
from tf_cosearch.engines.ray_engine import RayEngine
from tf_cosearch.training import datasets, fit

NODES = ({"CPU": 4.0, "memory": 8e9}, {"CPU": 2.0, "memory": 3e9})
DEATHS = (
    "WorkerCrashedError",
    "NodeDiedError",
    "OutOfMemoryError",
    "ObjectLostError",
)


def loads(content):
    return pickle.loads(content)  # noqa: S301 as it was written here


class RayError(Exception):
    pass


class TaskError(RayError):
    def __init__(self, cause):
        self.cause = cause


class FakeRay(types.ModuleType):
    """What the engine calls of Ray.

    Attributes:
        log: How tasks were called: options, and what became of them.
        deaths: How often a trial dies, by its number, and of what.
        on_wait: Called before a task is run.
        listens: Whether a task that is cancelled ends before it is done.
    """

    cloudpickle = pickle

    def __init__(self, nodes=NODES, is_shared=True):
        super().__init__("ray")
        names = *DEATHS, "TaskCancelledError", "RaySystemError"
        errors = {name: type(name, (RayError,), {}) for name in names}
        self.exceptions = types.SimpleNamespace(
            RayError=RayError, RayTaskError=TaskError, **errors
        )
        self._nodes, self._is_shared = nodes, is_shared
        self._stored, self._waiting, self._done = {}, {}, {}
        self.is_up = False
        self.log, self.deaths, self.most = [], {}, 0
        self.cancelled, self.listens = 0, True
        self.on_wait = lambda: None

    def is_initialized(self):
        return self.is_up

    def init(self, address, **options):
        os.environ["RAY_AUTH_MODE"] = "token"
        signal.signal(signal.SIGTERM, lambda *_: None)
        sys.excepthook = print
        faulthandler.enable()
        self.is_up, self.address, self.options = True, address, options

    def shutdown(self):
        self.is_up = False

    def nodes(self):
        return [{"Alive": True, "Resources": dict(n)} for n in self._nodes] + [
            {"Alive": False, "Resources": {}}
        ]

    def put(self, luggage):
        ref = object()
        if not self._is_shared:
            luggage = luggage._replace(lock="another machine's")
        try:
            self._stored[ref] = pickle.dumps(luggage)
        except Exception as error:
            raise TypeError("Could not serialize\n====") from error
        return ref

    def get(self, ref):
        if ref in self._stored:
            return loads(self._stored[ref])
        result = self._done[ref]
        if isinstance(result, Exception):
            raise result
        return result

    def remote(self, **of_function):
        def named(function):
            def options(**given):
                call = functools.partial(
                    self._call, function, {**of_function, **given}
                )
                return types.SimpleNamespace(remote=call)

            return types.SimpleNamespace(options=options)

        return named

    def _call(self, function, options, luggage, *arguments):
        ref = object()
        sent = pickle.dumps(arguments)
        self._waiting[ref] = functools.partial(
            self._run, function, luggage, sent
        )
        self.log.append(options)
        self.most = max(self.most, len(self._waiting))
        return ref

    def run_all(self):
        """Lets all tasks end that were submitted."""
        while self._waiting:
            ref, task = self._waiting.popitem()
            self._done[ref] = task()

    def _run(self, function, luggage, sent):
        arguments = loads(sent)
        number = int(arguments[0]["trial_id"])
        times, name = self.deaths.get(number, (0, ""))
        if times:
            self.deaths[number] = times - 1, name
            return getattr(self.exceptions, name)("died")
        try:
            return loads(pickle.dumps(function(luggage, *arguments)))
        except Exception as error:
            return TaskError(error)

    def wait(self, refs, num_returns=1, timeout=None):
        if timeout and any(ref in self._waiting for ref in refs):
            ref = [ref for ref in refs if ref in self._waiting][-1]
            self.on_wait()
            if ref in self._waiting:
                self._done[ref] = self._waiting.pop(ref)()
        done = [ref for ref in refs if ref in self._done][:num_returns]
        return done, [ref for ref in refs if ref not in done]

    def cancel(self, ref, force=False):
        self.cancelled += 1
        if not self.listens:
            self.run_all()
        elif self._waiting.pop(ref, None):
            error = self.exceptions.TaskCancelledError("cancelled")
            self._done[ref] = error


@pytest.fixture
def install(monkeypatch, tmp_path):
    """Puts a stand-in where Ray is imported from."""
    monkeypatch.setattr(tempfile, "tempdir", os.fspath(tmp_path / "passing"))
    (tmp_path / "passing").mkdir()

    def put(**settings):
        ray_trials._unpacked.cache_clear()
        fake = FakeRay(**settings)
        monkeypatch.setitem(sys.modules, "ray", fake)
        return fake

    yield put
    ray_trials._unpacked.cache_clear()


@pytest.fixture
def told(monkeypatch):
    """What is warned of, but for trials that failed."""
    lines = []

    def warning(message, *values):
        if not message.startswith("Trial"):
            lines.append(message % values)

    monkeypatch.setattr(logging, "warning", warning)
    return lines


def accuracy(log, number):
    append(log, f"runs {number}")
    if number == 2:
        raise ArithmeticError("two")
    return 0.5 + number / 100


def saved(log, number):
    append(log, f"saved {number}")


class SeededTuner(LightTuner):
    """Reports the seed of a training, and leaves files; 4 fails once."""

    def run_trial(self, trial, **settings):
        measured = super().run_trial(trial)
        log = pathlib.Path(self._accuracy.args[0]).read_text()
        if trial.trial_id == "4" and log.count("runs 4") == 1:
            raise ArithmeticError("not yet")
        folder = pathlib.Path(self.get_trial_dir(trial.trial_id))
        names = "made.txt", "pretrial.json", "weights.bak", "float.checkpoint"
        for name in names:
            (folder / name).write_text("x")
        seed = self.oracle.training_seed(trial.trial_id)
        return {**measured, "seed": seed, **settings}


class FatalTuner(LightTuner):
    def run_trial(self, trial, **settings):
        if trial.trial_id == "3":
            raise keras_tuner.errors.FatalRuntimeError("the board is gone")
        return super().run_trial(trial)


def light(folder, engine="local", kind=SeededTuner, **options):
    return kind(
        toy_oracle("random", 6, 0, max_retries_per_trial=1),
        functools.partial(accuracy, folder / "log"),
        functools.partial(saved, folder / "log"),
        directory=folder,
        project_name="project",
        engine=engine,
        **options,
    )


def lines(folder, begin):
    path = folder / "log"
    log = path.read_text().splitlines() if path.exists() else []
    return sorted(line for line in log if line.startswith(begin))


def outcome(tuner):
    found = {}
    for name, trial in tuner.co_oracle.trials.items():
        metrics = {
            metric: trial.metrics.get_best_value(metric)
            for metric in trial.metrics.metrics
        }
        found[name] = (
            trial.status,
            trial.score,
            metrics,
            tuple(tuner.co_oracle.trial_genome(trial)),
        )
    return found


def test_one_at_a_time_is_the_search_of_this_process(install, tmp_path):
    fake = install()
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    mine.mkdir()
    theirs.mkdir()
    alone = light(mine)
    alone.run(width=3)
    tuner = light(theirs, RayEngine("local", trials_at_once=1))
    tuner.run(width=3)
    assert outcome(tuner) == outcome(alone)
    assert tuner.co_oracle.end_order == alone.co_oracle.end_order
    assert tuner.co_oracle.trials["2"].status == "FAILED"
    assert "two" in tuner.co_oracle.trials["2"].message
    assert (mine / "log").read_text() == (theirs / "log").read_text()
    assert fake.most == 1
    # Those that failed and were repeated were sent twice.
    names = [options["name"] for options in fake.log]
    assert names.count("project/trial_2") == 2
    assert names.count("project/trial_4") == 2
    assert len(names) == 8


def test_trials_share_the_cluster_and_each_counts_once(install, tmp_path):
    fake = install()
    tuner = light(tmp_path, RayEngine("local"), trials_per_process=5)
    tuner.run()
    assert fake.most == 6  # CPUs of both nodes
    assert lines(tmp_path, "saved") == [f"saved {i}" for i in range(6)]
    finished = tuner.co_oracle.history.finished()
    assert len(finished) == 5
    (options,) = {
        (o["num_cpus"], o["num_gpus"], o["max_calls"], o["max_retries"])
        for o in fake.log
    }
    assert options == (1, 0, 5, 0)


def test_a_folder_that_nodes_do_not_see_gets_the_files(install, tmp_path):
    fake = install(is_shared=False)
    tuner = light(tmp_path, RayEngine("local", cpus_per_trial=2))
    tuner.run()
    assert fake.most == 3
    for number in range(6):
        folder = tmp_path / "project" / f"trial_{number}"
        for name in ("made.txt", "pretrial.json", "weights.bak"):
            assert (folder / name).is_file() == (number != 2)
        assert not (folder / "float.checkpoint").exists()
    # And nothing is left on the node.
    assert not [*(tmp_path / "passing").rglob("trial_*")]
    assert len(tuner.co_oracle.history.finished()) == 5


@pytest.mark.parametrize("name", DEATHS)
def test_what_dies_again_and_again_fails_its_trial_alone(
    install, tmp_path, name
):
    fake = install()
    fake.deaths = {1: (11, name), 3: (10, name)}
    tuner = light(tmp_path, RayEngine("local"))
    tuner.run()
    trial = tuner.co_oracle.trials["1"]
    assert trial.status == "FAILED"
    assert name in trial.message
    assert len(tuner.co_oracle.history.finished()) == 4


def test_a_cluster_that_breaks_ends_the_search_which_goes_on(install, tmp_path):
    fake = install()
    fake.deaths = {4: (1, "TaskCancelledError")}
    with pytest.raises(RuntimeError, match="CancelledError: died"):
        light(tmp_path, RayEngine("local")).run()
    tuner = light(tmp_path, RayEngine("local"))
    tuner.run()
    assert len(tuner.co_oracle.history.finished()) == 5
    assert lines(tmp_path, "saved") == [f"saved {i}" for i in range(6)]


def test_a_fatal_error_of_a_task_takes_all_others_back(install, tmp_path):
    fake = install()
    engine = RayEngine("local")
    with pytest.raises(keras_tuner.errors.FatalError, match="board is gone"):
        light(tmp_path, engine, FatalTuner).run()
    assert fake.cancelled == 3
    assert not fake.is_up
    tuner = light(tmp_path, engine)
    tuner.run()
    assert len(tuner.co_oracle.history.finished()) == 5


def test_ctrl_c_loses_nothing_that_has_ended(install, tmp_path):
    fake = install()

    def interrupt():
        if len(lines(tmp_path, "saved")) == 2:
            raise KeyboardInterrupt

    fake.on_wait = interrupt
    with pytest.raises(KeyboardInterrupt):
        light(tmp_path, RayEngine("local", cpus_per_trial=2)).run()
    assert fake.cancelled == 2 + 1
    fake.on_wait = lambda: None
    tuner = light(tmp_path, RayEngine("local"))
    tuner.run()
    assert len(tuner.co_oracle.history.finished()) == 5
    assert lines(tmp_path, "saved") == [f"saved {i}" for i in range(6)]


def interrupted(tmp_path, fake, monkeypatch):
    """A search that is interrupted while it proposes its fourth trial."""
    tuner = light(tmp_path, RayEngine("local"))
    proposals = iter(range(3))

    def begin(_):
        if next(proposals, None) is None:
            if fake.listens:
                fake.run_all()
            raise KeyboardInterrupt

    monkeypatch.setattr(SeededTuner, "pre_create_trial", begin)
    with pytest.raises(KeyboardInterrupt):
        tuner.run()
    return tuner.co_oracle


@pytest.mark.parametrize("listens", [True, False])
def test_what_ends_before_it_is_taken_back_is_kept(
    install, tmp_path, monkeypatch, listens
):
    fake = install(is_shared=False)
    fake.listens = listens  # else they end while they are cancelled
    oracle = interrupted(tmp_path, fake, monkeypatch)
    assert len(oracle.history.finished()) == 2
    assert lines(tmp_path, "saved") == ["saved 0", "saved 1"]
    assert (tmp_path / "project" / "trial_1" / "made.txt").is_file()


def test_an_error_loses_nothing_that_ended_with_it(install, tmp_path):
    fake = install()
    fake.on_wait = fake.run_all
    tuner = light(tmp_path, RayEngine("local"), FatalTuner)
    with pytest.raises(keras_tuner.errors.FatalError, match="board is gone"):
        tuner.run()
    assert lines(tmp_path, "saved") == [f"saved {i}" for i in (0, 1, 4, 5)]


def test_a_process_that_had_a_gpu_is_not_used_again(install, tmp_path):
    fake = install(nodes=[{"CPU": 4.0, "GPU": 2.0, "memory": 8e9}])
    for given in (None, 50):
        folder = tmp_path / str(given)
        folder.mkdir()
        light(folder, RayEngine("local"), trials_per_process=given).run()
    found = {(o["num_gpus"], o["max_calls"]) for o in fake.log}
    assert found == {(1, 1)}


class FullTuner(LightTuner):
    """Has no room for the files of trial 1 a number of times."""

    def run_trial(self, trial, *, times):
        log = pathlib.Path(self._accuracy.args[0])
        if trial.trial_id == "1":
            append(log, "full")
            if log.read_text().count("full") <= times:
                raise OSError(errno.ENOSPC, "no space")
        return super().run_trial(trial)


@pytest.mark.parametrize(("times", "finishes"), [(10, True), (11, False)])
def test_another_node_may_have_the_room_that_one_has_not(
    install, tmp_path, monkeypatch, times, finishes
):
    monkeypatch.setattr(ray_trials, "_FULL_SECONDS", 0)
    install(is_shared=False)
    tuner = light(tmp_path, RayEngine("local"), FullTuner)
    if finishes:
        tuner.run(times=times)
        assert len(tuner.co_oracle.history.finished()) == 5
    else:
        host = f"Received: {socket.gethostname()}: .*no space"
        with pytest.raises(RuntimeError, match=host):
            tuner.run(times=times)


def test_the_folder_that_all_see_must_have_room(install, tmp_path):
    install()
    with pytest.raises(OSError, match="no space"):
        light(tmp_path, RayEngine("local"), FullTuner).run(times=1)
    assert lines(tmp_path, "full") == ["full"]


def test_what_callbacks_write_elsewhere_is_said_once(install, tmp_path, told):
    for is_shared in (True, False):
        install(is_shared=is_shared)
        folder = tmp_path / str(is_shared)
        folder.mkdir()
        light(folder, RayEngine("local"), LightTuner).run(callbacks=["a"])
    assert len(told) == 1
    assert "stays on the nodes" in told[0]


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (ModuleNotFoundError("No module named 'mine'"), "the packages"),
        ("RaySystemError", "the packages"),
        (MemoryError("no memory"), "same command goes on"),
    ],
)
def test_packages_are_asked_for_where_they_may_lack(
    install, tmp_path, monkeypatch, error, advice
):
    fake = install()

    @functools.lru_cache
    def unpacked(_):
        if isinstance(error, str):
            raise getattr(fake.exceptions, error)("Can't get attribute")
        raise error

    monkeypatch.setattr(ray_trials, "_unpacked", unpacked)
    with pytest.raises(RuntimeError, match=advice):
        light(tmp_path, RayEngine("local")).run()
    assert not fake.is_up


def test_an_oracle_that_has_no_trial_now_is_asked_again(
    install, tmp_path, monkeypatch
):
    monkeypatch.setattr(ray_trials, "_IDLE_SECONDS", 0)
    install()
    tuner = light(tmp_path, RayEngine("local", trials_at_once=1))
    kind, calls = type(tuner.co_oracle), []
    propose = kind.create_trial

    def create(oracle, slot):
        calls.append(slot)
        if len(calls) in (1, 2, 4):
            return Trial(
                keras_tuner.HyperParameters(), "none", TrialStatus.IDLE
            )
        return propose(oracle, slot)

    monkeypatch.setattr(kind, "create_trial", create)
    tuner.run()
    assert len(tuner.co_oracle.history.finished()) == 5


def test_a_copy_of_a_search_is_one(install, tmp_path):
    install()
    tuner = light(tmp_path, RayEngine("local"))
    tuner.run()
    oracle = tuner.co_oracle
    for made in (copy.copy(oracle), copy.copy(tuner).co_oracle):
        assert made.algorithm is not None
        assert len(made.trials) == 6
        assert not made.is_sent
    assert copy.copy(tuner)._engine is not None
    with oracle.sending():
        sent = loads(pickle.dumps(oracle))
    assert sent.is_sent
    assert not sent.trials
    assert not sent.is_sending


def test_the_process_is_as_it_was(install, tmp_path):
    fake = install()
    handler, before = signal.getsignal(signal.SIGTERM), dict(os.environ)
    hook, has_faults = sys.excepthook, faulthandler.is_enabled()
    found = []

    def process():
        return signal.getsignal(signal.SIGTERM), sys.excepthook

    fake.on_wait = lambda: found.append(process())
    faulthandler.disable()
    try:
        light(tmp_path, RayEngine("local")).run()
        assert not faulthandler.is_enabled()
    finally:
        if has_faults:
            faulthandler.enable()
    # During the search, too.
    assert {*found, process()} == {(handler, hook)}
    assert dict(os.environ) == before
    assert not fake.is_up
    # What the user has connected to stays so.
    fake.is_up = True
    light(tmp_path / "another", RayEngine()).run()
    assert fake.is_up
    with pytest.raises(ValueError, match=r"must be left out where ray\.init"):
        light(tmp_path, RayEngine("local")).run()


def test_nobody_at_the_address_is_said_at_once(install, tmp_path):
    install()
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{sock.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(RuntimeError, match=f"Received: {address}"):
            light(tmp_path, RayEngine(address)).run()
        assert time.monotonic() - began < 10


def test_a_cluster_that_refuses_is_said_in_one_line(install, tmp_path):
    fake = install()

    def init(*_, **__):
        raise ConnectionError("Could not find any running Ray\nand more")

    fake.init = init
    with pytest.raises(RuntimeError, match="ray start --head") as caught:
        light(tmp_path, RayEngine()).run()
    assert "\n" not in str(caught.value)
    assert "any running Ray)" in str(caught.value)


def test_a_user_names_the_cluster_by_rays_own_variable(
    install, tmp_path, monkeypatch
):
    fake = install()
    monkeypatch.setenv("RAY_ADDRESS", "local")
    for number, address in enumerate((None, "auto")):
        folder = tmp_path / str(number)
        folder.mkdir()
        fake.address = None
        light(folder, RayEngine(address)).run()
        assert fake.address == "local"
        assert os.environ["RAY_ADDRESS"] == "local"
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with pytest.raises(ValueError, match="`RAY_ADDRESS` must be auto"):
        light(tmp_path, RayEngine("auto")).run()
    monkeypatch.delenv("RAY_ADDRESS")
    light(tmp_path, RayEngine("auto")).run()
    assert fake.address == "auto"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"address": "ray://head:10001"}, "auto, local, or HOST:PORT"),
        ({"address": "head"}, "auto, local, or HOST:PORT"),
        ({"address": ":6379"}, "auto, local, or HOST:PORT"),
        ({"address": "head:70000"}, "auto, local, or HOST:PORT"),
        ({"address": 6379}, "auto, local, or HOST:PORT"),
        ({"trials_at_once": 0}, "trials_at_once"),
        ({"trials_at_once": 1.5}, "trials_at_once"),
        ({"cpus_per_trial": 0}, "must be 0.0001 or more"),
        ({"cpus_per_trial": 1e-5}, "must be 0.0001 or more"),
        ({"cpus_per_trial": float("nan")}, "cpus_per_trial"),
        ({"gpus_per_trial": -1}, "must be 0 or more"),
    ],
)
def test_impossible_settings_are_refused(install, settings, message):
    install()
    with pytest.raises((ValueError, TypeError), match=message):
        RayEngine(**settings)


def test_an_engine_is_refused_that_cannot_be(install, tmp_path, monkeypatch):
    install()
    with pytest.raises(ValueError, match=r"local.*ray"):
        light(tmp_path, "spark")
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "worker0")
    with pytest.raises(ValueError, match="Unset KERASTUNER_TUNER_ID"):
        ray_engine.get("ray")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"pip install 'tf_cosearch\[ray\]'"):
        RayEngine()


def test_a_node_must_have_room(install, tmp_path, told):
    fake = install()
    with pytest.raises(RuntimeError, match=r"4 CPU 0 GPU 7\.45 GiB, 2"):
        light(tmp_path, RayEngine("local", cpus_per_trial=5)).run()
    # One of this machine will never have more.
    engine = RayEngine("local", cpus_per_trial=5, trials_at_once=2)
    with pytest.raises(RuntimeError, match="a trial of 5 CPU"):
        light(tmp_path, engine).run()
    assert not told
    # Another cluster may add nodes by itself, but has to be asked.
    engine = RayEngine("auto", cpus_per_trial=5, trials_at_once=2)
    light(tmp_path, engine).run()
    assert fake.most == 2
    assert len(told) == 1
    assert "a trial of 5 CPU" in told[0]
    assert "waits" in told[0]


def test_a_search_waits_for_nodes_that_are_gone(
    install, tmp_path, monkeypatch, told
):
    monkeypatch.setattr(ray_engine, "_LOOK_SECONDS", 1e-9)
    fake = install()
    most = []

    def lose():
        fake._nodes = ()
        most.append(len(fake._waiting))

    fake.on_wait = lose
    tuner = light(tmp_path, RayEngine("local", cpus_per_trial=2))
    tuner.run()
    assert most[0] == 3
    assert most[-1] == 1  # one waits for them
    assert "nodes of nothing" in told[0]
    assert len(tuner.co_oracle.history.finished()) == 5


@pytest.mark.parametrize(
    ("nodes", "settings", "of_one", "expected"),
    [
        # 16 CPUs and memory for 3: each has 5.
        ([{"CPU": 16, "memory": 3.9e9}], {}, 1.25e9, (5, 0)),
        # The smaller share of two nodes fits both.
        (
            [{"CPU": 16, "memory": 3.9e9}, {"CPU": 2, "memory": 9e9}],
            {},
            1.25e9,
            (1, 0),
        ),
        # A head without CPUs does not count; GPUs bound the trials.
        (
            [{"memory": 9e9}, {"CPU": 16, "GPU": 2, "memory": 64e9}],
            {},
            1e9,
            (8, 1),
        ),
        (
            [{"CPU": 16, "GPU": 2, "memory": 64e9}],
            {"gpus_per_trial": 0.25},
            1e9,
            (2, 0.25),
        ),
        ([{"CPU": 16, "GPU": 2}], {"gpus_per_trial": 0}, 0, (1, 0)),
        ([{"CPU": 8, "memory": 9e9}], {"cpus_per_trial": 0.5}, 0, (0.5, 0)),
        ([], {}, 0, (1, 0)),
    ],
)
def test_a_trial_has_its_share_of_a_node(
    install, nodes, settings, of_one, expected
):
    install()
    engine = RayEngine(**settings)
    assert engine._share(nodes, of_one, False) == expected


@pytest.mark.parametrize(
    ("cpus", "expected", "at_once"),
    [([16], 16, 1), ([4, 16], 16, 1), ([16, 10, 8, 0], 10, 2)],
)
def test_trials_that_want_a_node_have_it_alone(
    install, tmp_path, cpus, expected, at_once
):
    nodes = [{"CPU": c, "memory": 64e9} for c in cpus]
    fake = install(nodes=nodes)
    tuner = light(tmp_path, RayEngine("local"))
    tuner.trains_alone = True
    tuner.run()
    assert {o["num_cpus"] for o in fake.log} == {expected}
    assert fake.most == at_once
    assert all(ray_engine.places([n], {"CPU": expected}) <= 1 for n in nodes)
    tuner = light(tmp_path, RayEngine("local", cpus_per_trial=max(cpus) / 2))
    tuner.trains_alone = True
    with pytest.raises(ValueError, match="no room for another trial"):
        tuner.run()


def test_a_head_that_runs_no_trial_has_no_memory_for_one(install):
    workers = [{"CPU": 2.0, "memory": 2.0**31}, {"CPU": 1.0, "memory": 2.0**32}]
    install(nodes=[{"CPU": 0, "memory": 64e9}, *workers])
    for given, room in (({}, 2**32), ({"cpus_per_trial": 2}, 2**31)):
        engine = RayEngine("local", **given)
        with engine.connected():
            assert engine.training_room(2**30) == room - 2**30
    install(nodes=[{"CPU": 0, "memory": 64e9}])
    engine = RayEngine("auto", trials_at_once=2)
    with engine.connected():  # nobody knows what the cluster will add
        assert engine.training_room(2**30) is None


class NeedyTuner(LightTuner):
    def memory_bytes(self, trial=None):
        return 10**9 if trial is None else 30 * 10**9


def test_no_trial_asks_for_more_than_nodes_have(
    install, tmp_path, monkeypatch, told
):
    monkeypatch.setattr(ray_engine, "_LOOK_SECONDS", 1e-9)
    nodes = [{"CPU": 0, "memory": 64e9}, {"CPU": 1, "memory": 16e9}]
    fake = install(nodes=nodes)
    light(tmp_path, RayEngine("local"), NeedyTuner).run()
    assert {o["memory"] for o in fake.log} == {16 * 10**9}
    assert not told
    # The only one that had room goes while a trial waits for it.
    (tmp_path / "again").mkdir()

    def lose():
        fake._nodes = ({"CPU": 1, "memory": 8e9},)

    fake.on_wait = lose
    light(tmp_path / "again", RayEngine("local"), NeedyTuner).run()
    assert fake.log[-1]["memory"] == 8 * 10**9


def test_a_trial_that_no_node_has_room_for_any_more_is_said(
    install, tmp_path, monkeypatch, told
):
    monkeypatch.setattr(ray_engine, "_LOOK_SECONDS", 1e-9)
    fake = install(nodes=[{"CPU": 2, "memory": 64e9}])

    def lose():
        fake._nodes = ({"CPU": 2, "memory": 16e9},)

    fake.on_wait = lose
    light(tmp_path, RayEngine("local"), NeedyTuner).run()
    assert len(told) == 1
    assert "27.9 GiB. Received: nodes of 2 CPU 0 GPU 14.9 GiB" in told[0]


def test_a_tenth_is_ten_times_in_one():
    assert ray_engine.places([{"CPU": 4}], {"CPU": 0.1}) == 40
    assert ray_engine.places([{"CPU": 0.99}], {"CPU": 0.1}) == 9


@pytest.fixture(scope="module")
def data():
    return datasets.load("digits")


def test_what_cannot_be_sent_is_refused_by_name(install, tmp_path, data):
    install()

    class Model(keras_tuner.HyperModel):
        def __init__(self):
            super().__init__()
            self.lock = threading.Lock()

        def build(self, hp):
            import keras

            layers = [
                keras.Input((8, 8, 1)),
                keras.layers.Flatten(),
                keras.layers.Dense(hp.Choice("units", [8, 16])),
                keras.layers.Dense(10),
            ]
            return keras.Sequential(layers)

    tuner = cs.CoSearchTuner(
        hypermodel=Model(),
        max_trials=1,
        directory=tmp_path,
        project_name="own",
        engine=RayEngine("local"),
    )
    with pytest.raises(ValueError, match="`hypermodel` must be of what can"):
        tuner.search(**few(data))
    space = cs.SearchSpace.load("digits", input_shape=(8, 8, 1), classes=10)
    tuner = small_tuner(space, tmp_path, engine=RayEngine("local"))
    given = few(data)
    pipeline = tf.data.Dataset.from_tensor_slices((given["x"], given["y"]))
    with pytest.raises(ValueError, match="arrays with engine='ray'"):
        tuner.search(
            pipeline.batch(32), validation_data=given["validation_data"]
        )
    tuner = small_tuner(
        space,
        tmp_path,
        engine=RayEngine("local"),
        loss=lambda truth, found: tf.reduce_mean(found),
    )
    with pytest.raises(ValueError, match="`loss` must be of what can"):
        tuner.search(**given)
    with pytest.raises(ValueError, match="`lease_seconds` must be left out"):
        light(tmp_path, RayEngine("local"), lease_seconds=2)
    tuner = light(tmp_path, RayEngine("local"))
    tuner.lock = threading.Lock()
    with pytest.raises(ValueError, match=r"SeededTuner \(cannot pickle"):
        tuner.run()


def test_a_search_of_networks(install, tmp_path, data, monkeypatch):
    monkeypatch.setattr(fit, "train", pretend)
    fake = install(is_shared=False)
    space = cs.SearchSpace.load("digits", input_shape=(8, 8, 1), classes=10)
    told = []
    tuner = small_tuner(
        space,
        tmp_path,
        engine=RayEngine("local", cpus_per_trial=2),
        on_trial_end=told.append,
    )
    tuner.search(**few(data))
    assert fake.most == 2
    assert len(told) == 2
    oracle = tuner.co_oracle
    for name, trial in oracle.trials.items():
        assert trial.status == "COMPLETED"
        found = oracle.trial_metrics(trial)
        predicted = oracle.trial_costs(trial)["latency_ms"]
        assert found["latency_ms"] == pytest.approx(predicted)
        assert found["seconds_proposal"] > 0
        folder = tmp_path / "project" / f"trial_{name}"
        assert (folder / "model.tflite").is_file()
        assert (folder / "execution_0.json").is_file()
    # A task asks for what its own network needs.
    for options, trial in zip(fake.log, oracle.trials.values(), strict=True):
        layers, _ = space.batch(oracle.trial_genome(trial)[None])
        needs = tuner._trainer.training_bytes(layers)[0]
        assert options["memory"] == launch.WORKER_BYTES + int(needs)
        variables = options["runtime_env"]["env_vars"]
        given = os.environ.get("TF_NUM_INTRAOP_THREADS", "2")
        assert variables["TF_NUM_INTRAOP_THREADS"] == given


def test_losing_trials_are_told_by_curves_that_must_be_there(tmp_path):
    space = cs.SearchSpace.load("digits", input_shape=(8, 8, 1), classes=10)
    tuner = small_tuner(space, tmp_path, early_stopping="median")
    tuner.move(tmp_path / "elsewhere", is_shared=True)
    assert os.fspath(tmp_path / "elsewhere") in tuner.get_trial_dir("0")
    with pytest.raises(keras_tuner.errors.FatalError, match="all nodes share"):
        tuner.move(tmp_path / "elsewhere", is_shared=False)


def test_a_network_that_no_node_can_train_is_not_proposed(install, monkeypatch):
    install(nodes=[{"CPU": 2.0, "memory": 2.0**31}])
    engine = RayEngine("local")
    with engine.connected():
        assert engine.training_room(2**30) == 2**30
    install(nodes=[{"CPU": 2.0, "GPU": 1.0, "memory": 2.0**31}])
    engine = RayEngine("local")
    with engine.connected():
        assert engine.training_room(2**30) is None


def test_what_a_lock_says_tells_one_folder_from_another(install, tmp_path):
    fake = install()
    tuner = light(tmp_path)
    with files.owned(tuner.project_dir):
        text = (tmp_path / "project" / files.LOCK).read_text()
        project = tmp_path / "project"
        for lock, is_shared in ((text, True), (text + "0", False)):
            with tuner.co_oracle.sending():
                ref = fake.put(
                    ray_trials.SearchCopy(tuner, {}, os.getcwd(), project, lock)
                )
            sent, arguments, found = ray_trials._unpacked(ref)
            assert (arguments, found) == ({}, is_shared)
            assert (sent.project_dir == os.fspath(project)) == is_shared


def test_a_training_seed_of_a_retry_is_another_one(install, tmp_path):
    install()
    tuner = light(tmp_path, RayEngine("local"))
    tuner.run()
    seeds = [
        trial.metrics.get_best_value("seed")
        for trial in tuner.co_oracle.trials.values()
        if trial.status == "COMPLETED"
    ]
    assert len(np.unique(seeds)) == 5
