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

from tf_cosearch import configuration
from tf_cosearch.benchmark.light_trials import LightTuner, toy_oracle

FOLDER = configuration.shipped("cluster", ".")
ROOT = FOLDER.parents[1]
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
TRIALS = 8

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

# All of a real search but for its trainings, which take half a second.
SEARCH = """
import os, pathlib, sys, time
from tf_cosearch.benchmark.light_trials import LightTuner, append, toy_oracle

folder = pathlib.Path(sys.argv[1])
me = os.environ["KERASTUNER_TUNER_ID"]

def accuracy(number):
    append(folder / "log", f"{me} begins {number}")
    time.sleep(0.5)
    append(folder / "log", f"{me} trained {number}")
    return 0.5

LightTuner(
    toy_oracle("random", TRIALS, 0),
    accuracy,
    lambda number: append(folder / "log", f"{me} saved {number}"),
    directory=folder,
    project_name="project",
    overwrite="overwrite" in sys.argv,
    lease_seconds=5.0,
).run()
""".replace("TRIALS", str(TRIALS))


def wait_until(is_so, seconds=180):
    until = time.monotonic() + seconds
    while not (found := is_so()):
        assert time.monotonic() < until
        time.sleep(0.1)
    return found


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

    def submit(self, log, *command):
        """Number of a new job: a chief and two workers on two nodes."""
        return self(
            "sbatch",
            "--parsable",
            "--ntasks=3",
            "--cpus-per-task=2",
            "--mem-per-cpu=1G",
            f"--output={log}",
            str(FOLDER / "slurm.sbatch"),
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
    path.write_text(SEARCH)
    return ["python", path, tmp_path]


def log(folder):
    path = folder / "log"
    return path.read_text().split("\n")[:-1] if path.exists() else []


def count(folder, word):
    return sum(f" {word} " in line for line in log(folder))


def process(job, name):
    """Its number, once it is there."""

    def find():
        for path in pathlib.Path("/proc").glob("[0-9]*/environ"):
            try:
                variables = path.read_text().split("\0")
            except OSError:
                continue
            if {f"SLURM_JOB_ID={job}", f"KERASTUNER_TUNER_ID={name}"} <= {
                *variables
            }:
                return int(path.parent.name)
        return None

    return wait_until(find)


def check(folder):
    """That all trials are there, each of a design of its own and once."""
    oracle = LightTuner(
        toy_oracle("random", TRIALS, 0),
        None,
        None,
        directory=folder,
        project_name="project",
    ).co_oracle
    ended = [oracle.trials[trial_id] for trial_id in oracle.end_order]
    assert [trial.status for trial in ended] == ["COMPLETED"] * TRIALS
    assert len({trial.trial_id for trial in ended}) == TRIALS
    assert len({tuple(oracle.trial_genome(trial)) for trial in ended}) == TRIALS
    saved = [line for line in log(folder) if " saved " in line]
    assert len(saved) == len({*saved}) == TRIALS


def test_a_search_outlives_killed_workers_and_its_chief(
    slurm, tmp_path, search
):
    job = slurm.submit(tmp_path / "out", *search)
    for saved, name in ((1, "worker1"), (3, "chief"), (5, "worker2")):
        wait_until(lambda saved=saved: count(tmp_path, "saved") >= saved)
        os.kill(process(job, name), signal.SIGKILL)
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
    job = slurm(
        "sbatch",
        "--parsable",
        "--ntasks=1",
        f"--output={tmp_path / 'out'}",
        str(FOLDER / "slurm.sbatch"),
        "true",
    ).strip()
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
    os.kill(process(job, "worker1"), signal.SIGKILL)
    assert slurm.end(job, 540) == ("COMPLETED", "0:0")
    rows = (folder / "trials.csv").read_text().splitlines()[1:]
    assert [row.split(",")[:2] for row in rows] == [
        [str(number), "COMPLETED"] for number in range(3)
    ]
    assert (folder / "design" / "model.tflite").is_file()


def test_a_search_outlives_a_node(slurm, tmp_path, search):
    """The last one: afterwards there is one node less."""
    job = slurm.submit(tmp_path / "out", *search)
    wait_until(lambda: count(tmp_path, "saved") >= 2)
    lost = process(job, "worker2")
    node = next(
        variable.partition("=")[2]
        for variable in pathlib.Path(f"/proc/{lost}/environ")
        .read_text()
        .split("\0")
        if variable.startswith("SLURMD_NODENAME=")
    )
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
