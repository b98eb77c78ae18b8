import pytest


@pytest.mark.parametrize(
    ("name", "start"),
    [("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.pdf", b"%PDF")],
)
def test_draws_a_picture(call, finished, tmp_path, name, start):
    done = call(
        "plot_pareto",
        f"--trials={finished / 'trials.csv'}",
        f"--output={tmp_path / name}",
        "--x=energy_mj",
        "--color=latency_ms",
        "--chosen=1",
        "--budget=0.001",
        "--title=Energy of digits",
    )
    assert (done.code, done.err) == (0, "")
    assert (tmp_path / name).read_bytes().startswith(start)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--x=power", "Did you mean 'power_mw'"),
        ("--chosen=7", "Unknown completed trial: '7'"),
        ("--budget=-1", "must be a positive number"),
        ("--output=a.gif", "with the ending .png, .svg, .pdf"),
        ("--trials=none.csv", "The trials must exist"),
    ],
)
def test_wrong_flags_are_refused(call, finished, tmp_path, flag, message):
    done = call(
        "plot_pareto",
        f"--trials={finished / 'trials.csv'}",
        f"--output={tmp_path / 'a.png'}",
        flag,
    )
    assert message in done.message
    assert not any(tmp_path.iterdir())
