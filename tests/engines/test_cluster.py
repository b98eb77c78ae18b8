"""The files for clusters, with stand-ins; test_slurm.py has a Slurm."""

import ast
import os
import re
import stat
import subprocess
import sys
import textwrap

import kubernetes_validate
import pytest
import yaml

from tf_cosearch import configuration

FOLDER = configuration.shipped("cluster", ".")
SCRIPTS = sorted([*FOLDER.glob("*.sh"), *FOLDER.glob("*.sbatch")])
MANIFESTS = sorted(FOLDER.glob("*.yaml"))
PORT = "KERASTUNER_ORACLE_PORT"

# Notes how it was started; the first worker and the chief die once.
PROGRAM = """
import os, pathlib, sys, time
name = os.environ["KERASTUNER_TUNER_ID"]
known = {k: v for k, v in os.environ.items() if k.startswith("KERASTUNER")}
folder = pathlib.Path(sys.argv[1])
starts = len(list(folder.glob(name + "-*")))
(folder / f"{name}-{starts}").write_text(repr((known, sys.argv[2:])))
if name in ("chief", "worker1") and not starts:
    os.kill(os.getpid(), 9)
if name == "chief":
    while not (folder / "worker1-1").exists():
        time.sleep(0.05)
    sys.exit(3)
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Puts a script of that name on the path."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    def write(name, script):
        path = tmp_path / "bin" / name
        path.write_text("#!/usr/bin/env bash\n" + textwrap.dedent(script))
        path.chmod(0o755)

    return write


def run(script, *arguments, **environment):
    return subprocess.run(
        [FOLDER / script, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def started(folder):
    """Name and start -> environment and arguments."""
    return {
        path.name: ast.literal_eval(path.read_text())
        for path in folder.glob("*-?")
    }


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_bash_and_want_a_command(path):
    done = subprocess.run(["bash", "-n", path], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert path.stat().st_mode & stat.S_IXUSR
    done = run(path.name)
    assert done.returncode == 2
    assert "Received:" in done.stderr


def test_ssh_keeps_the_port_to_loopback_and_restarts_the_killed(
    tmp_path, stand_in
):
    # The last argument is for the shell of the host.
    stand_in(
        "ssh",
        f"""
        echo "$@" >> {tmp_path}/ssh.log
        bash -c "${{@: -1}}"
        """,
    )
    stand_in("sleep", "exit 0")
    program = tmp_path / "a program.py"
    program.write_text(PROGRAM)
    done = run(
        "ssh.sh", "a b", sys.executable, program, tmp_path, "two words", "$x;"
    )
    assert done.returncode == 3, done.stderr
    found = started(tmp_path)
    assert {*found} >= {"chief-0", "chief-1", "worker0-0", "worker1-1"}
    for environment, arguments in found.values():
        assert environment["KERASTUNER_ORACLE_IP"] == "127.0.0.1"
        assert arguments == ["two words", "$x;"]
    # Two workers may be of one host, whose ports are one's own, too.
    ports = {name[:-2]: found[name][0][PORT] for name in found}
    assert len({*ports.values()}) == len(ports) == 3
    for line in (tmp_path / "ssh.log").read_text().splitlines():
        there, here, host = re.search(
            r"-R 127\.0\.0\.1:(\d+):127\.0\.0\.1:(\d+) ([ab]) ", line
        ).groups()
        assert here == ports["chief"]
        assert there == ports[f"worker{'ab'.index(host)}"]


def test_slurm_makes_the_first_task_the_chief(tmp_path, stand_in):
    stand_in(
        "srun",
        """
        shift 2  # --cpus-per-task, --kill-on-bad-exit
        export SLURM_LAUNCH_NODE_IPADDR=10.0.0.7 SLURM_STEP_ID=0
        for id in 1 2; do SLURM_PROCID=$id "$@" & done
        SLURM_PROCID=0 "$@"
        """,
    )
    # All of the step gets the signal, and so does what sends it.
    stand_in("scancel", f"kill -TERM $$; echo $@ > {tmp_path}/scancel.log")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = run(
        "slurm.sbatch",
        sys.executable,
        program,
        tmp_path,
        SLURM_JOB_ID="123456",
        SLURM_NTASKS="3",
        SLURM_CPUS_PER_TASK="1",
    )
    assert done.returncode == 3, done.stderr
    found = started(tmp_path)
    assert {*found} >= {"chief-0", "chief-1", "worker1-1", "worker2-0"}
    assert {environment[PORT] for environment, _ in found.values()} == {"23456"}
    for name, (environment, _) in found.items():
        ips = {"c": "0.0.0.0", "w": "10.0.0.7"}  # noqa: S104 of a cluster
        assert environment["KERASTUNER_ORACLE_IP"] == ips[name[0]]
    told = (tmp_path / "scancel.log").read_text()
    assert told == "--signal=TERM 123456.0\n"


@pytest.mark.parametrize(("starts", "code"), [("sleep 60", 3), ("false", 1)])
def test_the_end_of_rays_head_is_that_of_its_job(
    tmp_path, stand_in, starts, code
):
    stand_in(
        "srun",
        """
        export SLURM_LAUNCH_NODE_IPADDR=10.0.0.7 SLURM_STEP_ID=0
        [[ ${@: -2:1} == printenv ]] && exec "${@: -2}"
        shift 2  # --cpus-per-task, --kill-on-bad-exit
        SLURM_PROCID=1 "$@" &
        echo $! >> "$PIDS"
        SLURM_PROCID=0 "$@"
        code=$?
        wait
        exit "$code"
        """,
    )
    # As Slurm does: what ray starts is of the step, too.
    stand_in("scancel", 'kill -TERM $$ $(cat "$PIDS")')
    stand_in(
        "ray",
        f"""
        [[ $1 == health-check ]] && exec {"false" if code == 1 else "true"}
        [[ "$*" == *--head* ]] || exit 0
        echo $$ >> "$PIDS"
        exec {starts}
        """,
    )
    done = run(
        "ray_slurm.sbatch",
        *("bash", "-c", f"touch {tmp_path}/searched; exit 3"),
        PIDS=os.fspath(tmp_path / "pids"),
        SLURM_JOB_ID="123456",
        SLURM_NNODES="2",
        SLURM_CPUS_PER_TASK="1",
    )
    assert done.returncode == code, done.stderr
    assert (tmp_path / "searched").exists() == (code == 3)


def test_slurm_is_told_what_it_needs():
    text = (FOLDER / "slurm.sbatch").read_text()
    options = dict(re.findall(r"^#SBATCH --([a-z-]+)(?:=(\S+))?$", text, re.M))
    assert len(options) == text.count("#SBATCH")
    assert int(options["ntasks"]) > 1
    assert "requeue" in options
    assert options["open-mode"] == "append"
    # Slurm reads them up to the first command.
    assert text.rindex("#SBATCH") < text.index("set -euo")


@pytest.fixture(scope="module")
def manifest():
    documents = yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text())
    return {(d["kind"], d["metadata"]["name"]): d for d in documents}


def pod(manifest, name):
    template = manifest["Job", f"tf-cosearch-{name}"]["spec"]["template"]
    (container,) = template["spec"]["containers"]
    variables = {v["name"]: v for v in container["env"]}
    return template, container, variables


def refused(document):
    """What the API of Kubernetes would say to it, unknown fields included.

    A Ray job is none of its kinds, but its pods are.
    """
    documents = [document]
    if document["apiVersion"] == "ray.io/v1":
        cluster = document["spec"]["rayClusterSpec"]
        groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
        documents = [
            {
                "apiVersion": "v1",
                "kind": "PodTemplate",
                "template": group["template"],
            }
            for group in groups
        ]
    try:
        for document in documents:
            kubernetes_validate.validate(document, "1.34", strict=True)
    except kubernetes_validate.ValidationError as error:
        return error.message
    return None


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifests_are_what_the_api_takes(path):
    documents = [*yaml.safe_load_all(path.read_text())]
    for document in documents:
        assert refused(document) is None
    # And nothing else, wherever in the file.
    for fault in (
        ("requests: {cpu", "request: {cpu"),
        ("claimName:", "claim_name:"),
        ("containers:", "container:"),
        ("volumeMounts:", "mounts:"),
    ):
        wrong = [*yaml.safe_load_all(path.read_text().replace(*fault))]
        assert wrong != documents
        assert any(map(refused, wrong)), fault


def test_kubernetes_documents_fit_together(manifest):
    versions = {kind: d["apiVersion"] for (kind, _), d in manifest.items()}
    assert versions == {
        "Service": "v1",
        "NetworkPolicy": "networking.k8s.io/v1",
        "Job": "batch/v1",
    }
    for (kind, name), document in manifest.items():
        assert re.fullmatch("[a-z0-9]([-a-z0-9]*[a-z0-9])?", name)
        if kind == "Job":
            spec = document["spec"]["template"]["spec"]
            # The only one that a podFailurePolicy goes with.
            assert spec["restartPolicy"] == "Never"
            volumes = {volume["name"] for volume in spec["volumes"]}
            (container,) = spec["containers"]
            assert {m["name"] for m in container["volumeMounts"]} <= volumes
            for variable in container["env"]:
                assert ("value" in variable) != ("valueFrom" in variable)


def test_kubernetes_workers_find_the_chief_and_nobody_else_does(manifest):
    service = manifest["Service", "tf-cosearch-chief"]["spec"]
    policy = manifest["NetworkPolicy", "tf-cosearch-chief"]["spec"]
    chief, chief_container, chief_env = pod(manifest, "chief")
    worker, container, env = pod(manifest, "workers")
    labels = chief["metadata"]["labels"]
    assert service["selector"] == policy["podSelector"]["matchLabels"] == labels
    (rule,) = policy["ingress"]
    (source,) = rule["from"]
    assert source["podSelector"]["matchLabels"] == worker["metadata"]["labels"]
    assert policy["policyTypes"] == ["Ingress"]
    assert env["KERASTUNER_ORACLE_IP"]["value"] == "tf-cosearch-chief"
    ports = {env[PORT]["value"], chief_env[PORT]["value"]}
    ports |= {str(p["port"]) for p in (*service["ports"], *rule["ports"])}
    assert len(ports) == 1
    for part in ("image", "command", "args", "volumeMounts"):
        assert container[part] == chief_container[part]


def test_kubernetes_workers_have_names_of_their_own(manifest):
    job = manifest["Job", "tf-cosearch-workers"]["spec"]
    assert job["completionMode"] == "Indexed"
    assert job["completions"] == job["parallelism"]
    _, container, env = pod(manifest, "workers")
    # $(NAME) is replaced only by what was defined before.
    names = [variable["name"] for variable in container["env"]]
    assert names.index("INDEX") < names.index("KERASTUNER_TUNER_ID")
    assert env["KERASTUNER_TUNER_ID"]["value"] == "worker$(INDEX)"
    source = env["INDEX"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert source.endswith("['batch.kubernetes.io/job-completion-index']")


@pytest.fixture(scope="module")
def ray_job():
    return yaml.safe_load((FOLDER / "kuberay.yaml").read_text())["spec"]


def test_a_ray_job_goes_on_where_only_its_own_may_come(ray_job):
    assert ray_job["backoffLimit"] >= 1
    cluster = ray_job["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    image = (FOLDER / "Dockerfile").read_text()
    assert f"ray[default]=={cluster['rayVersion']}" in image
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        spec = group["template"]["spec"]
        volumes = {volume["name"] for volume in spec["volumes"]}
        (container,) = spec["containers"]
        (mount,) = container["volumeMounts"]
        assert {mount["name"]} == volumes
        assert f"--output_dir={mount['mountPath']}/" in ray_job["entrypoint"]


def test_commands_of_manifests_are_scripts_with_such_flags(manifest, ray_job):
    _, container, _ = pod(manifest, "chief")
    program = [*container["command"], *container["args"]]
    for python, script, *arguments in (program, ray_job["entrypoint"].split()):
        assert python == "python"
        path = FOLDER.parents[1] / script.removeprefix("/app/")
        assert path.exists()
        commands = FOLDER.parents[1] / "tf_cosearch" / "commands"
        text = (commands / path.name).read_text()
        text += (commands / "command_line.py").read_text()
        for argument in arguments:
            name = re.fullmatch("--([a-z_0-9]+)=.+", argument)[1]
            assert f'"{name}"' in text, name


def test_the_image_holds_what_there_is():
    text = (FOLDER / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (.+) \S+$", text, re.M)
    for name in " ".join(copied).split():
        assert (FOLDER.parents[1] / name).exists()
    assert {"tf_cosearch", "configs", "tools"} <= {*" ".join(copied).split()}
    extras = re.search(r"--editable '\.\[(\w+)\]'", text)[1]
    setup = (FOLDER.parents[1] / "setup.py").read_text()
    assert f'"{extras}": [' in setup
