"""Installs the package as a user does, and uses it away from the checkout."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PARTS = ("tf_cosearch", "configs")
NEVER = ("*.py", "*.pyc", "README.md")


def run(*command, cwd, **environment):
    """Without the checkout that PYTHONPATH may name."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        command,
        cwd=cwd,
        env=kept | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel that is made of what a source distribution has."""
    checkout = tmp_path_factory.mktemp("checkout")
    for part in PARTS:
        shutil.copytree(
            ROOT / part,
            checkout / part,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    for name in ("setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, checkout)
    setup = (sys.executable, "setup.py", "--quiet")
    run(*setup, "sdist", cwd=checkout)
    (archive,) = (checkout / "dist").iterdir()
    (checkout / "source").mkdir()
    run("tar", "-xf", archive, cwd=checkout / "source")
    (source,) = (checkout / "source").iterdir()
    run(*setup, "bdist_wheel", cwd=source)
    (made,) = (source / "dist").iterdir()
    return made


@pytest.fixture(scope="module")
def bin_folder(wheel, tmp_path_factory):
    """Of an environment with the wheel, and what this one has but ours."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    # Python reads no .pth of a folder that a .pth names: no editable install.
    paths = {sysconfig.get_path(kind) for kind in ("purelib", "platlib")}
    (packages / "ours.pth").write_text("\n".join(paths))
    pip = (sys.executable, "-m", "pip", f"--python={folder}/bin/python")
    offline = ("--no-deps", "--no-index", "--no-compile", "--quiet")
    run(*pip, "install", *offline, str(wheel), cwd=folder)
    return folder / "bin"


def test_the_wheel_has_every_file_that_is_read(wheel):
    files = [
        path.relative_to(ROOT)
        for part in PARTS
        for path in (ROOT / part).rglob("*")
        if path.is_file() and not any(map(path.match, NEVER))
    ]
    assert pathlib.Path("configs/searches/digits.flags") in files
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    expected = {
        f"tf_cosearch/{file}" if file.parts[0] == "configs" else str(file)
        for file in files
    }
    assert expected - names == set()


def test_what_is_imported_is_installed(bin_folder, tmp_path):
    program = "import tf_cosearch as cs; print(cs.__file__, cs.tasks.__file__)"
    done = run(bin_folder / "python", "-c", program, cwd=tmp_path)
    for path in done.stdout.split():
        assert bin_folder.parent in pathlib.Path(path).parents
    assert len(done.stdout.split()) == 2


def test_estimate(bin_folder, tmp_path):
    flags = ("--network=mobilenet_v2", "--format=csv")
    done = run(bin_folder / "cosearch", "estimate", *flags, cwd=tmp_path)
    assert done.stdout.startswith("accelerator,")
    assert done.stderr == ""


SEARCH = (
    *("search", "--flagfile=digits", "--output_dir=run", "--max_trials=2"),
    *("--train_size=32", "--validation_size=16", "--epochs=1"),
    *("--oracle=random", "--latency_ms=1", "--accelerator=systolic_32x32"),
)


def require_design(folder):
    design = json.loads((folder / "design/design.json").read_text())
    assert "accuracy_int8" in design["accuracies"]
    assert len((folder / "trials.csv").read_text().splitlines()) == 3


def test_a_search_of_two_trials(bin_folder, tmp_path):
    run(bin_folder / "cosearch", *SEARCH, cwd=tmp_path)
    require_design(tmp_path / "run")


@pytest.mark.slow
def test_every_process_begins_as_the_user_began(bin_folder, tmp_path):
    """Chief, workers, and those that follow each after a trial."""
    many = ("--workers=2", "--trials_per_process=1")
    run(bin_folder / "cosearch", *SEARCH, *many, cwd=tmp_path)
    require_design(tmp_path / "run")


@pytest.mark.parametrize("arguments", [[], ["search", "--help"], ["serch"]])
def test_no_answer_waits_for_tensorflow(bin_folder, tmp_path, arguments):
    program = ("-X", "importtime", bin_folder / "cosearch", *arguments)
    done = subprocess.run(
        [bin_folder / "python", *program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert "tf_cosearch.commands" in done.stderr
    assert "tensorflow" not in done.stderr
