import pytest

from tf_cosearch import experiments
from tf_cosearch.benchmark import trainings
from tf_cosearch.engines import launch


def test_the_list_names_all(call_here):
    done = call_here("reproduce", "--list")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == experiments.names()


def test_a_deterministic_one_is_done(call_here, tmp_path):
    done = call_here(
        "reproduce",
        "--experiment=complexity_roofline",
        f"--output_dir={tmp_path}",
    )
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("complexity_roofline holds (nothing random)")
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [
        ".csv",
        ".png",
        ".txt",
    ]


@pytest.mark.parametrize(
    ("starts", "trained", "is_told"),
    [(0, 0, True), (1, 0, False), (1, 3, True)],
)
def test_a_process_that_started_anew_tells_what_was_not_told(
    call_here, tmp_path, monkeypatch, starts, trained, is_told
):
    monkeypatch.setattr(launch, "starts", lambda: starts)
    monkeypatch.setattr(trainings, "trained", lambda: trained)
    done = call_here(
        "reproduce",
        "--experiment=complexity_roofline",
        f"--output_dir={tmp_path}",
    )
    assert done.code == 0
    assert ("complexity_roofline holds" in done.out) == is_told


def test_wrong_flags_are_refused_before_anything_is_done(call_here, tmp_path):
    folder = tmp_path / "papers"
    for flag, message in (
        ("--experiment=hsconass", "Did you mean 'hsconas'"),
        ("--seeds=0", "positive integer"),
        ("--form=huge", "short|long"),
        (f"--accuracy_table={tmp_path / 'none.json'}", "must exist"),
    ):
        done = call_here(
            "reproduce",
            "--experiment=hsconas",
            flag,
            f"--output_dir={folder}",
        )
        assert message in done.message
    assert not folder.exists()


def test_accuracies_are_used_or_refused(call_here, tmp_path):
    table = tmp_path / "table.json"
    table.write_text("{}")
    for flags, message in (
        (
            ["--experiment=codesign_edp", "--data=digits"],
            "--data must be for hsconas, joint_beats_separate, space_fits_",
        ),
        (
            ["--experiment=space_fits_hardware", f"--accuracy_table={table}"],
            "--accuracy_table must be for fast_and_slow, hsconas, joint",
        ),
        (
            ["--data=digits", f"--accuracy_table={table}"],
            "of a table or of trainings",
        ),
        (["--experiment=hsconas", "--data=digit"], "Did you mean 'digits'"),
    ):
        done = call_here("reproduce", *flags, f"--output_dir={tmp_path / 'a'}")
        assert message in done.message
    assert not (tmp_path / "a").exists()
