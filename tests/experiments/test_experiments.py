import csv
import pathlib
import re

import pytest

from tf_cosearch import experiments
from tf_cosearch.experiments import Findings, Setting

README = pathlib.Path(experiments.__file__).parent / "README.md"
PAPERS = {
    "codesign_edp",
    "complexity_roofline",
    "fast_and_slow",
    "hsconas",
    "joint_beats_separate",
    "low_precision",
    "space_fits_hardware",
    "use_cases_differ",
}


@pytest.fixture
def double(monkeypatch):
    monkeypatch.setattr(
        experiments, "_EXPERIMENTS", {**experiments._EXPERIMENTS}
    )

    @experiments.experiment(paper="Somebody, 2026", question="Is 2 n even?")
    def double(setting):
        rows = [{"seed": n, "number": 2 * n} for n in range(setting.seeds)]
        return Findings(
            rows,
            setting.is_short,
            "by 0",
            lambda path: path.write_bytes(b"picture"),
            setting.seeds,
        )

    return double


def test_all_of_the_papers_are_found_by_scan():
    assert set(experiments.names()) >= PAPERS
    for name in experiments.names():
        known = experiments.get(name)
        assert "arXiv" in known.paper
        assert known.question.endswith("?")
        assert "Short" in (known.function.__doc__ or "")
        assert "Long" in (known.function.__doc__ or "")


def test_the_readme_has_a_section_of_each():
    sections = re.findall(r"^## `(\w+)`$", README.read_text(), re.MULTILINE)
    assert sorted(sections) == experiments.names()


def test_an_experiment_leaves_a_table_a_picture_and_a_verdict(double, tmp_path):
    line = experiments.reproduce("double", Setting(seeds=3), tmp_path)
    assert line == "double holds (3 seeds): by 0"
    assert (tmp_path / "double.txt").read_text() == f"{line}\n"
    assert (tmp_path / "double.png").read_bytes() == b"picture"
    with (tmp_path / "double.csv").open() as file:
        assert list(csv.DictReader(file)) == [
            {"seed": str(n), "number": str(2 * n)} for n in range(3)
        ]
    line = experiments.reproduce("double", Setting(False, 1), tmp_path)
    assert line == "double does NOT hold (1 seed): by 0"
    line = experiments.reproduce("double", Setting(seeds=0), tmp_path)
    assert line == "double holds (nothing random): by 0"


def test_accuracies_go_to_experiments_that_take_them_alone(tmp_path):
    """Nothing is trained that nobody asked for where all are done."""
    got = {}
    for name, kinds in (("nothing", ()), ("both", ("table", "data"))):

        def note(setting, name=name):
            got[name] = setting.table, setting.data
            return Findings([{"a": 1}], True, "", lambda path: None)

        known = experiments.Experiment(name, "", "", note, kinds)
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(experiments._EXPERIMENTS, name, known)
            setting = Setting(table=tmp_path, data="digits")
            experiments.reproduce(name, setting, tmp_path)
    assert got == {"nothing": (None, None), "both": (tmp_path, "digits")}


def test_wrong_experiments_are_refused(double, tmp_path):
    with pytest.raises(ValueError, match="Did you mean 'double'"):
        experiments.reproduce("doubl", Setting(), tmp_path)
    assert not list(tmp_path.iterdir())
    ask = experiments.experiment(paper="", question="")
    with pytest.raises(TypeError, match="function of `setting`"):
        ask(lambda setting, seed: None)

    def hsconas(setting):
        return None

    with pytest.raises(ValueError, match="already registered by"):
        ask(hsconas)
