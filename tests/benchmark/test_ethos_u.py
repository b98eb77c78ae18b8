import csv

import pytest

from tf_cosearch.benchmark import ethos_u

HEADER = ",".join(ethos_u.COLUMNS)


def rows(tmp_path, *lines):
    path = tmp_path / "rows.csv"
    path.write_text("\n".join([HEADER, *lines]) + "\n")
    return str(path)


def test_rows_are_measured_again(tmp_path, monkeypatch):
    """Both presets are asked about one file; the shipped number comes again."""
    pytest.importorskip("ethosu")
    path = rows(
        tmp_path,
        ",ethos_u55_128,seen,digits,8,3,",
        ",ethos_u55_256,left out,digits,8,3,",
    )
    output = tmp_path / "out.csv"
    assert ethos_u.measure(path, str(output)).startswith("2 rows")
    with output.open() as file:
        measured = list(csv.DictReader(file))
    assert [row["role"] for row in measured] == ["seen", "left out"]
    assert {row["tool"][:5] for row in measured} == {"vela-"}
    # Random weights of another kind are compressed a little differently.
    shipped = {"ethos_u55_128": 67680, "ethos_u55_256": 50812}
    for row in measured:
        assert float(row["cycles"]) == pytest.approx(
            shipped[row["preset"]], rel=0.1
        )


def test_a_table_without_a_column_is_refused(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("tool,preset\nvela,ethos_u55_32\n")
    with pytest.raises(ValueError, match=r"Missing key in .*'role'"):
        ethos_u.measure(str(path), str(tmp_path / "out.csv"))
