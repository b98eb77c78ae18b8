"""The files for Slurm on a Slurm: three nodes of one machine."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from cluster_searches import (
    PROGRAM,
    TRIALS,
    check,
    count,
    environment,
    log,
    process,
    processes,
    wait_until,
)

from tf_cosearch import configuration

FOLDER = configuration.shipped("cluster", ".")
ROOT = FOLDER.parents[1]
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(
            shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
            for name in PROGRAMS
        ),
        reason="slurm-wlm and munge must be installed",
    ),
]


class Slurm:
    """A cluster that runs while the script that started it does."""

    def __init__(self, folder):
        self.process = subprocess.Popen(
            [
                FOLDER / "one_machine_slurm.sh",
                "bash",
                "-c",
                'echo "$SLURM_CONF"; read',
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(folder)},
        )
        self.conf = pathlib.Path(self.process.stdout.readline().strip())

    def __call__(self, *command):
        """What a command of Slurm prints."""
        python = pathlib.Path(sys.executable).parent
        return subprocess.run(
            command,
            env={
                **os.environ,
                "SLURM_CONF": str(self.conf),
                "PYTHONPATH": str(ROOT),
                "PATH": f"{python}:{os.environ['PATH']}",
            },
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=60,
        ).stdout

    def submit(self, log, *command, tasks="--ntasks=3", file="slurm.sbatch"):
        """Number of a new job: by default a chief and two workers."""
        return self(
            "sbatch",
            "--parsable",
            tasks,
            "--cpus-per-task=2",
            "--mem-per-cpu=1G",
            f"--output={log}",
            str(FOLDER / file),
            *map(str, command),
        ).strip()

    def end(self, job, seconds=300):
        """State and exit code of a job, once it has ended."""

        def ended():
            text = self("scontrol", "show", "job", job)
            found = re.search(r"JobState=(\w+)", text)[1]
            if found in ("PENDING", "RUNNING", "COMPLETING", "REQUEUED"):
                return None
            return found, re.search(r" ExitCode=(\d+:\d+)", text)[1]

        return wait_until(ended, seconds)

    def release(self, job):
        """Lets a job that was put back begin at once, not in two minutes."""
        wait_until(
            lambda: "BeginTime" in self("squeue", "-h", "-j", job, "-o", "%r")
        )
        self("scontrol", "update", f"JobId={job}", "StartTime=now")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    cluster = Slurm(tmp_path_factory.mktemp("slurm"))
    yield cluster
    cluster.process.communicate("\n", timeout=60)
    assert not cluster.conf.exists()


@pytest.fixture
def search(tmp_path):
    path = tmp_path / "search.py"
    path.write_text(PROGRAM)
    return ["python", path, tmp_path]


def test_a_search_outlives_killed_workers_and_its_chief(
    slurm, tmp_path, search
):
    job = slurm.submit(tmp_path / "out", *search)
    for saved, name in ((1, "worker1"), (3, "chief"), (5, "worker2")):
        wait_until(lambda saved=saved: count(tmp_path, "saved") >= saved)
        os.kill(
            process(SLURM_JOB_ID=job, KERASTUNER_TUNER_ID=name), signal.SIGKILL
        )
    assert slurm.end(job) == ("COMPLETED", "0:0")
    check(tmp_path)
    assert (tmp_path / "out").read_text().count("Killed") == 3
    # All but the trials that ran when somebody was killed ran once.
    assert count(tmp_path, "begins") <= TRIALS + 4


def test_a_cancelled_search_goes_on_when_it_is_submitted_again(
    slurm, tmp_path, search
):
    job = slurm.submit(tmp_path / "out", *search)
    wait_until(lambda: count(tmp_path, "saved") >= 3)
    slurm("scancel", job)
    assert slurm.end(job)[0] == "CANCELLED"
    before = count(tmp_path, "saved")
    assert before < TRIALS
    job = slurm.submit(tmp_path / "out", *search)
    assert slurm.end(job) == ("COMPLETED", "0:0")
    check(tmp_path)


def test_a_search_that_is_put_back_goes_on_even_with_overwrite(
    slurm, tmp_path, search
):
    job = slurm.submit(tmp_path / "out", *search, "overwrite")
    wait_until(lambda: count(tmp_path, "saved") >= 3)
    slurm("scontrol", "requeue", job)
    slurm.release(job)
    assert slurm.end(job) == ("COMPLETED", "0:0")
    check(tmp_path)


def test_tasks_have_their_cores_and_the_time_to_end(slurm, tmp_path):
    program = tmp_path / "program.py"
    program.write_text("""
import os, pathlib, signal, sys, time
name = os.environ["KERASTUNER_TUNER_ID"]
def end(*_):
    time.sleep(2)
    (pathlib.Path(sys.argv[1]) / f"{name}.ended").touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, end)
cores = os.environ["SLURM_CPUS_PER_TASK"]
(pathlib.Path(sys.argv[1]) / f"{name}.cores").write_text(cores)
time.sleep(120)
""")
    job = slurm.submit(tmp_path / "out", "python", program, tmp_path)
    wait_until(lambda: len([*tmp_path.glob("*.cores")]) == 3)
    cores = {path.stem: path.read_text() for path in tmp_path.glob("*.cores")}
    assert cores == dict.fromkeys(("chief", "worker1", "worker2"), "2")
    slurm("scancel", job)
    assert slurm.end(job)[0] == "CANCELLED"
    wait_until(lambda: not slurm("squeue", "--noheader"))
    assert len([*tmp_path.glob("*.ended")]) == 3


@pytest.mark.parametrize(
    ("code", "ended"), [(3, ("FAILED", "3:0")), (0, ("COMPLETED", "0:0"))]
)
def test_a_worker_ends_alone_and_all_with_the_chief(
    slurm, tmp_path, code, ended
):
    program = tmp_path / "program.py"
    program.write_text(f"""
import os, sys, time
name = os.environ["KERASTUNER_TUNER_ID"]
time.sleep({{"chief": 4, "worker1": 0, "worker2": 240}}[name])
sys.exit({{"chief": {code}, "worker1": 7, "worker2": 0}}[name])
""")
    began = time.monotonic()
    job = slurm.submit(tmp_path / "out", "python", program)
    assert slurm.end(job) == ended
    assert 4 < time.monotonic() - began < 120


def test_one_task_is_no_search(slurm, tmp_path):
    job = slurm.submit(tmp_path / "out", "true", tasks="--ntasks=1")
    assert slurm.end(job) == ("FAILED", "2:0")
    assert "Received: --ntasks=1." in (tmp_path / "out").read_text()


def test_designs_of_a_real_search_are_exported(slurm, tmp_path):
    folder = tmp_path / "run"
    job = slurm.submit(
        tmp_path / "out",
        "python",
        "tools/search.py",
        f"--output_dir={folder}",
        "--oracle=random",
        "--max_trials=3",
        "--epochs=1",
        "--train_size=200",
    )
    wait_until(lambda: [*folder.glob("trial_*")])
    os.kill(
        process(SLURM_JOB_ID=job, KERASTUNER_TUNER_ID="worker1"), signal.SIGKILL
    )
    assert slurm.end(job, 540) == ("COMPLETED", "0:0")
    rows = (folder / "trials.csv").read_text().splitlines()[1:]
    assert [row.split(",")[:2] for row in rows] == [
        [str(number), "COMPLETED"] for number in range(3)
    ]
    assert (folder / "design" / "model.tflite").is_file()


def test_ray_trains_elsewhere_what_a_killed_node_had(slurm, tmp_path, search):
    pytest.importorskip("ray")
    job = slurm.submit(
        tmp_path / "out",
        *search,
        "ray",
        tasks="--nodes=2",
        file="ray_slurm.sbatch",
    )
    raylet = process("raylet/raylet", SLURM_JOB_ID=job, SLURM_PROCID="1")
    node = environment(raylet)["SLURMD_NODENAME"]
    wait_until(lambda: any(line.startswith(node) for line in log(tmp_path)))
    # All of the node, which then joins again.
    for pid in processes("", SLURM_JOB_ID=job, SLURM_PROCID="1"):
        if "bash" not in pathlib.Path(f"/proc/{pid}/cmdline").read_text()[:20]:
            os.kill(pid, signal.SIGKILL)
    assert slurm.end(job) == ("COMPLETED", "0:0")
    check(tmp_path)
    assert count(tmp_path, "begins") > TRIALS


def test_ray_wants_the_token_of_the_job(slurm, tmp_path):
    pytest.importorskip("ray")
    job = slurm.submit(
        tmp_path / "out",
        "sleep",
        "600",
        tasks="--nodes=1",
        file="ray_slurm.sbatch",
    )
    raylet = process("raylet/raylet", SLURM_JOB_ID=job)
    variables = environment(raylet)

    def is_answered(token):
        command = [
            str(pathlib.Path(sys.executable).parent / "ray"),
            "health-check",
            "--address",
            variables["RAY_ADDRESS"],
        ]
        done = subprocess.run(
            command,
            env={
                **os.environ,
                "RAY_AUTH_MODE": "token",
                "RAY_AUTH_TOKEN": token,
            },
            capture_output=True,
            timeout=120,
        )
        return done.returncode == 0

    wait_until(lambda: is_answered(variables["RAY_AUTH_TOKEN"]))
    assert not is_answered("0" * 64)
    slurm("scancel", job)
    assert slurm.end(job)[0] == "CANCELLED"
    wait_until(lambda: not processes("raylet/raylet", SLURM_JOB_ID=job))


def test_a_search_outlives_a_node(slurm, tmp_path, search):
    """The last one: afterwards there is one node less."""
    job = slurm.submit(tmp_path / "out", *search)
    wait_until(lambda: count(tmp_path, "saved") >= 2)
    lost = process(SLURM_JOB_ID=job, KERASTUNER_TUNER_ID="worker2")
    node = environment(lost)["SLURMD_NODENAME"]
    # All of the node: its daemon, the daemon's child for the step, the task.
    os.kill(int((slurm.conf.parent / f"{node}.pid").read_text()), 9)
    task = parent(lost)
    for pid in (parent(task), task, lost):
        os.kill(pid, signal.SIGKILL)
    slurm.release(job)
    assert slurm.end(job) == ("COMPLETED", "0:0")
    check(tmp_path)


def parent(pid):
    """The number of the process that started one."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"PPid:\s*(\d+)", status)[1])
