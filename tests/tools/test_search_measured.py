import pytest
from devices import device

from tf_cosearch.distributed import launch
from tf_cosearch.training import fit


@pytest.fixture
def flags(data_flags, tmp_path):
    return (*data_flags, "--epochs=1", f"--output_dir={tmp_path / 'run'}")


def test_a_device_that_is_dead_from_the_start(
    call_here, flags, tmp_path, monkeypatch
):
    """The same command asks again, once it is repaired or not."""
    monkeypatch.setattr(fit, "untrained", lambda recipe, data: b"model")
    program = device(tmp_path, "sys.exit('no board')")
    for _ in range(2):
        done = call_here(
            "search",
            *flags,
            "--evaluator=command",
            f"--evaluator_option=program={program}",
            "--evaluator_option=retries=0",
        )
        assert "a failure, the last one" in done.message
        assert "no board" in done.message


@pytest.mark.parametrize("evaluator", ["litert_cpu", "analytic"])
def test_trainings_do_not_disturb_a_measurement(
    evaluator, call_here, flags, monkeypatch
):
    """On a machine that has room for four workers."""

    def stop(*arguments):
        raise ValueError("Only one works here.")

    def launched(command, workers):
        raise ValueError(f"{workers} work here.")

    monkeypatch.setattr(fit, "untrained", stop)
    monkeypatch.setattr(launch, "default_workers", lambda needed: 4)
    monkeypatch.setattr(launch, "launch", launched)
    given = ("--workers=0", "--max_trials=9", f"--evaluator={evaluator}")
    done = call_here("search", *flags, *given)
    expected = "Only one works" if evaluator == "litert_cpu" else "4 work"
    assert expected in done.message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--evaluator=comand"], "Did you mean 'command'"),
        (["--evaluator=command"], "`program` must be a program"),
        (["--evaluator_option=threads=2"], "option of analytic"),
        (
            ["--evaluator=litert_cpu", "--evaluator_option=threads"],
            "must be NAME=VALUE",
        ),
        (
            ["--evaluator=litert_cpu", "--evaluator_option=threads=many"],
            "`threads` must be an integer",
        ),
    ],
)
def test_evaluators_are_checked(call, flags, arguments, message):
    done = call("search", *flags, *arguments)
    assert message in done.message
