import json
import os

import pytest
from devices import device

from tf_cosearch.benchmark import correction
from tf_cosearch.training import fit


@pytest.mark.slow
def test_the_correction_is_closer_than_a_ratio(
    call_here, data_flags, tmp_path, monkeypatch
):
    """Each design takes 2 ms, which no ratio says."""
    monkeypatch.setattr(fit, "untrained", lambda recipe, data: b"a file")
    program = device(tmp_path, "print('{\"latency_ms\": 2}')")
    done = call_here(
        "benchmark_correction",
        *data_flags,
        "--designs=6",
        "--learned=1",
        "--learned=4",
        "--evaluator=command",
        f"--evaluator_option=program={program}",
        "--format=json",
    )
    assert done.code == 0, done.err
    one, four = json.loads(done.out)
    assert (one["learned"], four["learned"]) == (1, 4)
    assert four["corrected"] < four["ratio"] < four["alone"]
    assert one["corrected"] == pytest.approx(one["ratio"])


def test_rows_without_designs_to_predict_are_named(
    call_here, data_flags, tmp_path, monkeypatch, caplog
):
    """Of four designs the board takes the first two alone."""
    monkeypatch.setattr(fit, "untrained", lambda recipe, data: b"a file")
    monkeypatch.setattr(correction, "errors", lambda *args: args[-1:])
    monkeypatch.setattr(correction, "table", lambda rows: f"rows {rows}")
    calls = os.fspath(tmp_path / "calls")
    program = device(
        tmp_path,
        f"""
        open({calls!r}, "a").write("x")
        is_late = os.path.getsize({calls!r}) > 2
        print('{{"refused": "no"}}' if is_late else '{{"latency_ms": 2}}')
        """,
    )
    done = call_here(
        "benchmark_correction",
        *data_flags,
        *("--designs=4", "--learned=1", "--learned=2", "--learned=3"),
        "--evaluator=command",
        f"--evaluator_option=program={program}",
    )
    assert done.code == 0, done.err
    assert "rows [(1,)]" in done.out
    told = "Only 2 of 4 designs were measured: no row for --learned=2,3."
    assert told in caplog.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--evaluator=analytic"], "one that --evaluator measures"),
        (
            ["--evaluator=litert_cpu", "--cost=area_mm2"],
            "Received: area_mm2 for litert_cpu, which has latency_ms",
        ),
        (
            ["--evaluator=litert_cpu", "--designs=5", "--learned=5"],
            "must be fewer than --designs",
        ),
    ],
)
def test_flags_are_checked(call, arguments, message):
    assert message in call("benchmark_correction", *arguments).message
