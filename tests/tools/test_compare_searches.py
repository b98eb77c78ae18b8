import json

import pytest


def test_a_search_is_compared_with_itself(call, finished):
    done = call(
        "compare_searches",
        f"--search=one={finished}",
        f"--search=two={finished}",
        f"--search=two={finished}",
        "--budget=latency_ms=1",
        "--floor=0.05",
    )
    assert (done.code, done.err) == (0, "")
    head, one, two = done.out.splitlines()
    assert head.split()[0] == "search"
    assert one.split()[:2] == ["one", "1"]
    assert two.split()[:2] == ["two", "2"]


def test_json_has_a_run_a_folder(call, finished):
    done = call(
        "compare_searches",
        f"--search=one={finished}",
        "--budget=latency_ms=1",
        "--format=json",
    )
    [run] = json.loads(done.out)["one"]
    assert run["trials"] == run["feasible"] > 0
    assert 0 < run["accuracy"] <= 1
    assert 0 < run["front"] < 1


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--search=nothing", "must be name=folder"),
        ("--search=a=nothing", "The trials must exist"),
        ("--budget=latency=1", "Did you mean 'latency_ms'"),
        ("--budget=latency_ms", "must be NAME=VALUE"),
        ("--floor=1", "from 0 to below 1"),
    ],
)
def test_wrong_flags_are_refused(call, finished, flag, message):
    done = call(
        "compare_searches",
        f"--search=one={finished}",
        "--budget=area_mm2=1000",
        flag,
    )
    assert message in done.message
