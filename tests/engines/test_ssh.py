"""The file for SSH on an SSH: this machine by two names."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys

import pytest
from cluster_searches import PROGRAM, check, count, process, wait_until

from tf_cosearch import configuration

SCRIPT = configuration.shipped("cluster", "ssh.sh")
ROOT = SCRIPT.parents[2]
SERVER = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not SERVER, reason="openssh-server and -client must be installed"
    ),
]


@pytest.fixture(scope="module")
def variables(tmp_path_factory):
    """An environment whose `ssh` reaches a server of its own."""
    folder = tmp_path_factory.mktemp("ssh")
    if os.geteuid() == 0:
        pathlib.Path("/run/sshd").mkdir(exist_ok=True)
    for name in ("host", "user"):
        subprocess.run(
            [
                "ssh-keygen",
                "-q",
                "-t",
                "ed25519",
                "-N",
                "",
                "-f",
                folder / name,
            ],
            check=True,
        )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = folder / "config"
    config.write_text(f"""
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
PidFile none
AuthorizedKeysFile {folder}/user.pub
StrictModes no
UsePAM no
""")
    log = folder / "log"
    server = subprocess.Popen([SERVER, "-D", "-f", config, "-E", log])
    ssh = folder / "bin" / "ssh"
    ssh.parent.mkdir()
    ssh.write_text(f"""#!/bin/sh
exec {shutil.which("ssh")} -F none -p {port} -i {folder}/user \\
  -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \\
  -o LogLevel=ERROR "$@"
""")
    ssh.chmod(0o755)
    wait_until(lambda: log.exists() and "listening" in log.read_text())
    yield {
        **os.environ,
        "PATH": f"{ssh.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    server.terminate()
    server.wait()


def begin(variables, folder):
    program = folder / "search.py"
    program.write_text(PROGRAM)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    return subprocess.Popen(
        [
            SCRIPT,
            "127.0.0.1 localhost",
            "env",  # of a login there
            f"PYTHONPATH={ROOT}",
            sys.executable,
            program,
            folder,
        ],
        env={**variables, "KERASTUNER_ORACLE_PORT": port},
        start_new_session=True,
    )


def test_a_search_outlives_a_killed_worker_ssh_and_chief(variables, tmp_path):
    search = begin(variables, tmp_path)
    program = str(tmp_path / "search.py")
    tunnels = []
    for saved, name in ((1, "worker0"), (2, "ssh"), (3, "chief")):
        wait_until(lambda saved=saved: count(tmp_path, "saved") >= saved)
        if name == "ssh":
            children = f"/proc/{search.pid}/task/{search.pid}/children"
            worker = pathlib.Path(children).read_text().split()[1]
            children = f"/proc/{worker}/task/{worker}/children"
            tunnels = pathlib.Path(children).read_text().split()
            os.kill(int(tunnels[0]), signal.SIGKILL)
        else:
            pid = process(program, KERASTUNER_TUNER_ID=name)
            os.kill(pid, signal.SIGKILL)
    assert tunnels
    assert search.wait(300) == 0
    check(tmp_path)


def test_an_interrupt_ends_what_runs_there(variables, tmp_path):
    search = begin(variables, tmp_path)
    program = str(tmp_path / "search.py")
    wait_until(lambda: count(tmp_path, "begins"))
    workers = [
        process(program, KERASTUNER_TUNER_ID=f"worker{i}") for i in range(2)
    ]
    os.killpg(search.pid, signal.SIGINT)  # as a terminal does
    search.wait(60)
    wait_until(
        lambda: (
            not any(pathlib.Path(f"/proc/{pid}").exists() for pid in workers)
        )
    )
    search = begin(variables, tmp_path)
    assert search.wait(300) == 0
    check(tmp_path)
