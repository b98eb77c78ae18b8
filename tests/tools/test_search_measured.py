import contextlib
import os
import pathlib
import subprocess
import sys
import time

import pytest
from devices import device

from tf_cosearch.engines import launch
from tf_cosearch.training import fit


@pytest.fixture
def flags(data_flags, tmp_path):
    return (*data_flags, "--epochs=1", f"--output_dir={tmp_path / 'run'}")


def test_a_device_that_is_dead_from_the_start(
    call_here, flags, tmp_path, monkeypatch
):
    """The same command asks again, once it is repaired or not."""
    monkeypatch.setattr(fit, "untrained", lambda recipe, data: b"model")
    program = device(tmp_path, "sys.exit('no board')")
    for _ in range(2):
        done = call_here(
            "search",
            *flags,
            "--evaluator=command",
            f"--evaluator_option=program={program}",
            "--evaluator_option=retries=0",
        )
        assert "a failure, the last one" in done.message
        assert "no board" in done.message


@pytest.mark.parametrize("evaluator", ["litert_cpu", "analytic"])
def test_trainings_do_not_disturb_a_measurement(
    evaluator, call_here, flags, monkeypatch
):
    """On a machine that has room for four workers."""

    def stop(*arguments):
        raise ValueError("Only one works here.")

    def launched(command, workers, chief_trains):
        assert not chief_trains
        raise ValueError(f"{workers} work here.")

    monkeypatch.setattr(fit, "untrained", stop)
    monkeypatch.setattr(launch, "default_workers", lambda needed: 4)
    monkeypatch.setattr(launch, "launch", launched)
    given = ("--workers=0", "--max_trials=9", f"--evaluator={evaluator}")
    done = call_here("search", *flags, *given)
    expected = "Only one works" if evaluator == "litert_cpu" else "4 work"
    assert expected in done.message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--evaluator=comand"], "Did you mean 'command'"),
        (["--evaluator=command"], "`program` must be a program"),
        (["--evaluator_option=threads=2"], "option of analytic"),
        (
            ["--evaluator=litert_cpu", "--evaluator_option=threads"],
            "must be NAME=VALUE",
        ),
        (
            ["--evaluator=litert_cpu", "--evaluator_option=threads=many"],
            "`threads` must be an integer",
        ),
    ],
)
def test_evaluators_are_checked(call, flags, arguments, message):
    done = call("search", *flags, *arguments)
    assert message in done.message


# Gives a chief up that says nothing for 40 s.
IMPATIENT = """
import runpy, sys
from tf_cosearch.engines import worker
worker.RemoteOracle.__init__.__defaults__ = (40.0, 0)
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.slow
def test_workers_of_a_cluster_wait_for_a_slow_device(flags, tmp_path):
    """75 s before the first trial."""
    program = device(
        tmp_path,
        f"""
        mark = {os.fspath(tmp_path / "mark")!r} + str(os.getpid())
        if sum("mark" in name for name in os.listdir({str(tmp_path)!r})) < 3:
            time.sleep(25)
        open(mark, "w").close()
        print(json.dumps({{"latency_ms": 2}}))
        """,
    )
    port = launch.free_port("127.0.0.1")
    command = [
        sys.executable,
        "-c",
        IMPATIENT,
        os.fspath(pathlib.Path(__file__).parents[2] / "tools/search.py"),
        *flags,
        "--max_trials=4",
        "--oracle=random",
        "--evaluator=command",
        f"--evaluator_option=program={program}",
        "--evaluator_option=timeout_s=100",
    ]
    environment = {
        **os.environ,
        "KERASTUNER_ORACLE_IP": "127.0.0.1",
        "KERASTUNER_ORACLE_PORT": str(port),
    }

    def start(name):
        return subprocess.Popen(
            command,
            env={**environment, "KERASTUNER_TUNER_ID": name},
            stderr=subprocess.PIPE,
            text=True,
        )

    with contextlib.ExitStack() as stack:
        crew = [stack.enter_context(start("chief"))]
        stack.callback(crew[0].kill)
        until = time.monotonic() + 300
        while not launch.listens("127.0.0.1", port):
            assert crew[0].poll() is None
            assert time.monotonic() < until
            time.sleep(0.2)
        for name in ("worker0", "worker1"):
            crew.append(stack.enter_context(start(name)))
            stack.callback(crew[-1].kill)
        said = [process.communicate(timeout=300)[1] for process in crew]
    assert [process.returncode for process in crew] == [0] * 3, said
    for each in said[1:]:
        assert "Waiting for the chief, which measures untrained" in each
    table = (tmp_path / "run" / "trials.csv").read_text()
    assert table.count("COMPLETED") == 4
