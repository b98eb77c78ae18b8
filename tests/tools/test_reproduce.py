from tf_cosearch import experiments


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
            "--experiment=complexity_roofline",
            flag,
            f"--output_dir={folder}",
        )
        assert message in done.message
    assert not folder.exists()
