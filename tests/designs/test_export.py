import dataclasses
import json

import pytest

from tf_cosearch.accelerators import presets
from tf_cosearch.designs import export
from tf_cosearch.search.space import SearchSpace


@pytest.fixture
def design(tmp_path):
    """A design whose files are stand-ins: export copies them unread."""
    folder = tmp_path / "trial"
    folder.mkdir()
    for name in (export.MODEL, export.FLOAT_WEIGHTS, export.QAT_WEIGHTS):
        (folder / name).write_text(f"content of {name}")
    space = SearchSpace.load("digits")
    genome = space.canonical(space.choice_counts[None] - 1)[0]
    candidate = space.decode(genome)
    return export.Design(
        network=candidate.network,
        accelerator=candidate.accelerator,
        hyperparameters=space.values(genome),
        metrics={
            "accuracy_int8": 0.75,
            "accuracy_qat": 0.8,
            "accuracy_float": 0.9,
            "latency_ms": 0.001,
            "energy_mj": 0.002,
            "area_mm2": 7.5,
            "seconds": 12.0,
        },
        folder=folder,
        trial_id="4",
        seed=7,
    )


def test_a_design_survives_the_disk(design, tmp_path):
    described = design.export(tmp_path / "out")
    loaded = export.load_design(tmp_path / "out")
    assert loaded.network == design.network
    assert loaded.accelerator == design.accelerator
    assert (loaded.trial_id, loaded.seed) == ("4", 7)
    assert loaded.describe() == described
    assert "seconds" not in loaded.metrics
    copied = (tmp_path / "out" / export.MODEL).read_text()
    assert copied == f"content of {export.MODEL}"
    preset = presets.load_accelerator(tmp_path / "out" / export.ACCELERATOR)
    assert preset == design.accelerator


def test_a_design_of_several_chips_says_how_many(design, tmp_path):
    pair = dataclasses.replace(design, chips=2)
    described = pair.export(tmp_path / "out")
    one = design.describe()["peak_tops"]
    assert (described["chips"], described["peak_tops"]) == (2, 2 * one)
    assert export.load_design(tmp_path / "out").chips == 2
    text = (tmp_path / "out" / export.ACCELERATOR).read_text()
    assert "2 in a pipeline" in text
    named = dataclasses.replace(design, chips="own+coral_usb")
    described = named.export(tmp_path / "out")
    assert described["peak_tops"] == pytest.approx(one + 4.096)
    assert export.load_design(tmp_path / "out").chips == "own+coral_usb"
    text = (tmp_path / "out" / export.ACCELERATOR).read_text()
    assert "own in a pipeline of own+coral_usb" in text


def test_an_export_replaces_an_earlier_one_and_leaves_no_scraps(
    design, tmp_path
):
    design.export(tmp_path / "out")
    (design.folder / export.MODEL).write_text("new")
    design.export(tmp_path / "out")
    assert (tmp_path / "out" / export.MODEL).read_text() == "new"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        export.MODEL,
        export.FLOAT_WEIGHTS,
        export.QAT_WEIGHTS,
        export.ACCELERATOR,
        export.DESCRIPTION,
    }


def test_a_design_can_be_exported_where_its_files_are(design):
    design.export(design.folder)
    assert export.load_design(design.folder).trial_id == "4"


def test_files_of_the_trial_must_be_there(design, tmp_path):
    (design.folder / export.QAT_WEIGHTS).unlink()
    with pytest.raises(FileNotFoundError, match=r"trial 4 must exist.*qat"):
        design.export(tmp_path / "out")


def test_a_folder_without_a_design_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(FileNotFoundError, match=r"finished search"):
            export.load_design(folder)


def change(content, *path, value=None):
    for key in path[:-1]:
        content = content[key]
    if value is None:
        del content[path[-1]]
    else:
        content[path[-1]] = value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("network",), None),
        (("network", "blocks"), None),
        (("network", "surplus"), 3),
        (("network",), []),
        (("accelerator",), None),
        (("accelerator", "pe_array/rows"), -1),
        (("chips",), None),
        (("chips",), 0),
        (("chips",), 65),
        (("seed",), 10**400),
        (("accelerator", "pe_array/rowz"), 3),
        (("accuracies", "accuracy_int8"), None),
        (("costs", "latency_ms"), "fast"),
        (("costs",), 3),
        (("trial_id",), None),
    ],
)
def test_a_damaged_description_is_refused(design, tmp_path, path, value):
    design.export(tmp_path)
    file = tmp_path / export.DESCRIPTION
    content = json.loads(file.read_text())
    change(content, *path, value=value)
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"design\.json must be a design"):
        export.load_design(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"\xff\xfe"])
def test_what_is_no_description_is_refused(tmp_path, content):
    (tmp_path / export.DESCRIPTION).write_bytes(content)
    with pytest.raises(ValueError, match=r"design\.json must be a design"):
        export.load_design(tmp_path)
