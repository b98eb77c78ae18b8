import signal
import subprocess
import sys
import textwrap
import time

import pytest
from light_searches import few, small_tuner

from tf_cosearch.engines import launch
from tf_cosearch.training import datasets

CHIEF = (
    "import os, socket, sys; me = os.environ['KERASTUNER_TUNER_ID']; "
    "port = int(os.environ['KERASTUNER_ORACLE_PORT']); "
    "held = me == 'chief' and socket.create_server(('127.0.0.1', port)); "
)


def run(script, workers=2, **kwargs):
    command = [sys.executable, "-c", CHIEF + script]
    return launch.launch(command, workers, **kwargs)


@pytest.mark.parametrize("code", [0, 3])
def test_the_exit_code_is_that_of_the_chief(code):
    assert run(f"sys.exit({code} if me == 'chief' else 0)") == code


def test_the_chief_is_told_to_listen_on_loopback():
    script = "sys.exit(os.environ['KERASTUNER_ORACLE_IP'] == '127.0.0.1')"
    assert run(script) == 1


def test_a_killed_process_is_started_again(tmp_path):
    script = textwrap.dedent(f"""
        import pathlib, time
        folder = pathlib.Path({str(tmp_path)!r})
        starts = os.environ["TF_COSEARCH_STARTS"]
        (folder / f"{{me}}{{starts}}").touch()
        if starts == "0":
            os.kill(os.getpid(), 9)
        while me == "chief" and len(list(folder.iterdir())) < 6:
            time.sleep(0.05)
    """)
    assert run(script) == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        f"{n}{i}" for n in ("chief", "worker0", "worker1") for i in (0, 1)
    }


def test_workers_follow_a_chief_that_listens(tmp_path):
    script = textwrap.dedent(f"""
        import pathlib
        pathlib.Path({str(tmp_path)!r}, me).touch()
        sys.exit(7)
    """)
    command = [
        sys.executable,
        "-c",
        "import os, sys; me = os.environ['KERASTUNER_TUNER_ID']" + script,
    ]
    assert launch.launch(command, 2) == 7
    assert [path.name for path in tmp_path.iterdir()] == ["chief"]


def test_restarts_have_a_limit():
    assert run("os.kill(os.getpid(), 9)", restarts=1) == 128 + 9


def test_without_workers_the_search_ends(monkeypatch):
    monkeypatch.setattr(launch, "_GRACE_SECONDS", 0.3)
    began = time.monotonic()
    script = "import time; me == 'chief' and time.sleep(60); sys.exit(3)"
    assert run(script) == 1
    assert time.monotonic() - began < 10


def test_a_chief_has_all_time_to_write_when_its_workers_are_done(monkeypatch):
    monkeypatch.setattr(launch, "_GRACE_SECONDS", 0.1)
    script = "import time; time.sleep(1.5 if me == 'chief' else 0)"
    assert run(script) == 0


def test_signals_reach_every_process(tmp_path):
    script = (
        "import time, pathlib; "
        f"pathlib.Path({str(tmp_path)!r}, me).touch(); time.sleep(60)"
    )
    code = (
        "import sys; from tf_cosearch.engines import launch; "
        f"sys.exit(launch.launch([sys.executable, '-c', {CHIEF + script!r}],"
        " 1))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    while len(list(tmp_path.iterdir())) < 2:
        time.sleep(0.05)
    parent.send_signal(signal.SIGTERM)
    assert parent.wait(timeout=30) == 143


def test_cores_are_divided(monkeypatch):
    monkeypatch.setattr(launch.os, "sched_getaffinity", lambda _: range(8))
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        monkeypatch.delenv(name, raising=False)
    given = launch.environment("worker1", 3, "127.0.0.1", 5)
    assert given["OMP_NUM_THREADS"] == given["TF_NUM_INTRAOP_THREADS"] == "2"
    assert given["KERASTUNER_ORACLE_PORT"] == "5"
    # It proposes while workers train, and trains while they wait.
    for chief_trains, cores in ((False, "2"), (True, "8")):
        given = launch.environment("chief", 3, "127.0.0.1", 5, chief_trains)
        assert given["OMP_NUM_THREADS"] == cores
        assert given["TF_NUM_INTRAOP_THREADS"] == cores


@pytest.mark.parametrize(
    ("limit_gib", "training_gib", "expected"),
    [(100, 0, 8), (1, 0, 1), (7, 0, 4), (7, 1.25, 2), (7, 100, 1)],
)
def test_workers_have_room(monkeypatch, limit_gib, training_gib, expected):
    monkeypatch.setattr(launch.machine, "cores", lambda: 8)
    monkeypatch.setattr(
        launch.machine, "memory_bytes", lambda: limit_gib * 2**30
    )
    assert launch.default_workers(int(training_gib * 2**30)) == expected


@pytest.mark.parametrize(
    ("held_gib", "chief_gib", "expected"),
    # 7 GiB less one and a quarter for the chief, each of a worker as much.
    [(0, 0, 4), (0.25, 0, 3), (0.75, 0, 2), (0.25, 1, 3), (0.25, 4, 1)],
)
def test_workers_have_room_for_what_all_hold(
    monkeypatch, held_gib, chief_gib, expected
):
    monkeypatch.setattr(launch.machine, "cores", lambda: 8)
    monkeypatch.setattr(launch.machine, "memory_bytes", lambda: 7 * 2**30)
    held, chief = (int(gib * 2**30) for gib in (held_gib, chief_gib))
    assert launch.default_workers(0, held, chief) == expected
    monkeypatch.delenv("TF_COSEARCH_WORKERS", raising=False)
    assert launch.training_room(held) == int((5.75 - held_gib) * 2**30)
    monkeypatch.setenv("TF_COSEARCH_WORKERS", str(expected))
    room = launch.training_room(held)
    assert room == (7 * 2**30 - 5 * 2**28 - held) // expected - 5 * 2**28 - held
    assert launch.default_workers(room, held) == expected


@pytest.mark.parametrize(
    ("limit_gib", "workers", "expected"),
    [(7, None, 5.75), (7, 1, 4.5), (7, 2, 1.625), (1, 4, 0)],
)
def test_a_training_has_the_room_of_one_worker(
    monkeypatch, limit_gib, workers, expected
):
    monkeypatch.delenv("TF_COSEARCH_WORKERS", raising=False)
    if workers:
        given = launch.environment("chief", workers, "127.0.0.1", 5)
        monkeypatch.setenv("TF_COSEARCH_WORKERS", given["TF_COSEARCH_WORKERS"])
    monkeypatch.setattr(
        launch.machine, "memory_bytes", lambda: limit_gib * 2**30
    )
    room = launch.training_room()
    assert room == int(expected * 2**30)
    # As many workers as have such room are the default.
    monkeypatch.setattr(launch.machine, "cores", lambda: 8)
    if workers and room:
        assert launch.default_workers(room) == workers
        assert launch.default_workers(room + 2**20) == max(1, workers - 1)


def test_only_who_trains_here_or_starts_those_knows_the_room(monkeypatch):
    monkeypatch.delenv("TF_COSEARCH_WORKERS", raising=False)
    monkeypatch.setattr(launch.machine, "memory_bytes", lambda: 7 * 2**30)
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "chief")
    assert launch.training_room() is None
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "worker0")
    assert launch.training_room() == int(5.75 * 2**30)
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "chief")
    monkeypatch.setenv("TF_COSEARCH_WORKERS", "2")
    assert launch.training_room() == int(1.625 * 2**30)


def test_a_gpu_has_memory_of_its_own(monkeypatch):
    monkeypatch.setattr(
        launch.tf.config, "list_physical_devices", lambda kind: [kind]
    )
    assert launch.training_room() is None


@pytest.mark.slow
def test_a_process_starts_anew_and_goes_on_after_some_trials(tmp_path):
    script = textwrap.dedent("""
        import os, sys
        from tf_cosearch.engines.tuner import DurableTuner
        from tf_cosearch.search.oracle.oracle import CoSearchOracle
        from tf_cosearch.testing import ToySpace, toy_estimate

        class Tuner(DurableTuner):
            def run_trial(self, trial, **_):
                starts = os.environ.get("TF_COSEARCH_STARTS", "0")
                print(trial.trial_id, starts, os.getpid(), sys.argv[1])
                return {"accuracy_int8": 0.5}

        oracle = CoSearchOracle(
            ToySpace((5, 6, 7)), "random", estimate=toy_estimate, seed=0,
            max_trials=3,
        )
        Tuner(oracle, directory=sys.argv[1], project_name="p", overwrite=True,
              trials_per_process=2).run()
    """)
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[:2] for line in lines] == [
        ["0", "0"],
        ["1", "0"],
        ["2", "1"],
    ]
    assert len({tuple(line[2:]) for line in lines}) == 1


def test_a_worker_ends_with_its_search(space, tmp_path, monkeypatch):
    """So that a script exports its design once, and knows of all trials."""
    tuner = small_tuner(space, tmp_path)
    monkeypatch.setattr(tuner, "_is_worker", lambda: True)
    monkeypatch.setattr(tuner, "run", lambda **_: None)
    with pytest.raises(SystemExit) as end:
        tuner.search(**few(datasets.load("digits")))
    assert end.value.code is None
