import csv
import io
import json
import re

import pytest

from tf_cosearch.cost.calibrate import (
    devices,
    family_evidence,
    validation,
)

pytestmark = pytest.mark.xdist_group("cost")  # which compares the same


@pytest.fixture(autouse=True)
def quick(compared, families, monkeypatch):
    """Spares the script the comparisons, which are the same every time."""
    devices, zigzag = compared
    monkeypatch.setattr(validation, "compare_devices", lambda: devices)
    monkeypatch.setattr(validation, "compare_zigzag", lambda: zigzag)
    monkeypatch.setattr(family_evidence, "compare", lambda: families)


def test_json_has_rows_and_summary(call, compared, families):
    done = call("validate_cost_model", "--format=json")
    assert (done.code, done.err) == (0, "")
    result = json.loads(done.out)
    assert result["rows"] == validation.rows(*compared)
    summary = validation.summarize(*compared)
    assert result.pop("families") == [each.summary() for each in families]
    assert {k: v for k, v in result.items() if k != "rows"} == summary


def test_the_table_has_every_row_and_the_summary(call, compared):
    done = call("validate_cost_model")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert max(map(len, lines[:130])) <= 132
    for row in validation.rows(*compared):
        assert any(line.startswith(f"  {row['workload']} ") for line in lines)
    means = [line for line in lines if "  mean absolute error" in line]
    assert len(means) == len(devices.DEVICES)
    assert "efficientnet_lite0 224 px is slower than" in done.out
    assert "ours yes, left out yes" in done.out
    assert "Kendall tau 0.9" in done.out
    for reason in validation.REASONS.values():
        assert reason in done.out
    streamed = [
        abs(row["left_out_error"])
        for row in validation.rows(*compared)
        if row["part"] == "dense stacks, weights streamed"
    ]
    mean = f"{sum(streamed) / len(streamed):.1%}"
    [line] = [line for line in lines if "dense stacks, weights str" in line]
    assert line.split()[:3] == ["mean", "of", str(len(streamed))]
    assert mean in line.split()
    said = "\n".join(lines[lines.index("measured by") :])
    for device in devices.DEVICES:
        assert re.search(rf"^  {device} +\S+/\S+", said, re.M)
    assert "zigzag_edge_tpu_like  zigzag-3.9.1" in said
    for words in ("systolic_32x32, layers seen", "u65_512, networks left out"):
        assert words in done.out


def test_the_csv_is_one_table(call, compared):
    done = call("validate_cost_model", "--format=csv")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert len(rows) == 18 + 82 + 30
    assert rows[0]["machine"] == "coral_usb"
    assert float(rows[0]["reference"]) == 2.4
    assert rows[-1]["baseline"] == ""
    assert rows[0]["source"] == "coral.ai/docs/edgetpu/benchmarks"
    assert all(row["source"] for row in rows)


def test_a_picture_is_drawn(call, tmp_path):
    path = tmp_path / "new" / "agreement.png"
    done = call("validate_cost_model", f"--plot={path}")
    assert (done.code, done.err) == (0, "")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_families_are_drawn(call, tmp_path):
    path = tmp_path / "new" / "families.png"
    done = call("validate_cost_model", f"--plot_families={path}")
    assert (done.code, done.err) == (0, "")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_other_assumptions_are_judged(call_here, monkeypatch):
    pixel4 = [group for group in devices.GROUPS if "pixel4" in group.presets]
    monkeypatch.setattr(validation, "GROUPS", pixel4)
    four = {"pe_array/input_streams": (1, 4)}
    monkeypatch.setattr(validation, "ASSUMED", four)
    done = call_here("validate_cost_model", "--assumptions")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [
        ["pixel4", "pe_array/input_streams", "1"],
        ["pixel4", "pe_array/input_streams", "4"],
    ]
    # What the preset has is what is told of it.
    assert lines[2].split()[3:] == ["3.6%", "3.9%"]
    assert lines[1].split()[3:] != lines[2].split()[3:]


@pytest.mark.parametrize(
    "flag", ["--plot=a.png", "--plot_families=a.png", "--format=json"]
)
def test_assumptions_stand_alone(call_here, monkeypatch, flag):
    monkeypatch.setattr(validation, "GROUPS", [])
    done = call_here("validate_cost_model", "--assumptions", flag)
    told = f"Received: {flag.partition('=')[0]} as well."
    assert told in done.message


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--format=xml", "table|json|csv"),
        ("--plot=a.gif", "with the ending .png, .svg, .pdf"),
        ("--plot_families=a.gif", "--plot_families must be a file with"),
    ],
)
def test_wrong_flags_are_refused(call, flag, message):
    assert message in call("validate_cost_model", flag).message
