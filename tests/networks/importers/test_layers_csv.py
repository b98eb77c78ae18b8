"""data/layers.csv holds layers of six networks, laid out as in their
keras.applications models (the EfficientNet-EdgeTPU and -Lite ones as in the
published builders), with the multiply-accumulates counted from those models.
"""

import csv
import pathlib

import pytest

from tf_cosearch.networks.importers import layers_csv

DATA = pathlib.Path(__file__).parent / "data" / "layers.csv"
HEADER = "H,W,Cin,Cout,Kh,Kw,stride,groups,OH,OW"
GOOD = "8,8,4,16,3,3,1,1,8,8"


def write(folder, text):
    path = folder / "layers.csv"
    path.write_text(text)
    return path


def test_macs_of_published_layers():
    with DATA.open() as file:
        rows = list(csv.DictReader(file))
    layers = layers_csv.read_layers_csv(DATA)
    assert [layer.name for layer in layers] == [row["name"] for row in rows]
    assert [layer.macs for layer in layers] == [int(r["macs"]) for r in rows]
    pairs = zip(rows, layers, strict=True)
    ops = {row["type"]: layer.op for row, layer in pairs}
    assert ops["dw"] == "depthwise_conv2d"
    assert ops["conv"] == "conv2d"
    assert ops["fc"] == "dense"


def test_columns_in_any_order_and_default_names(tmp_path):
    text = "OW,OH,groups,stride,Kw,Kh,Cout,Cin,W,H\n5,4,2,2,3,1,8,6,10,7\n"
    [layer] = layers_csv.read_layers_csv(write(tmp_path, text))
    assert layer.name == "line2"
    assert (layer.in_h, layer.in_w, layer.in_c) == (7, 10, 6)
    assert (layer.out_h, layer.out_w, layer.out_c) == (4, 5, 8)
    assert (layer.k_h, layer.k_w, layer.stride_h, layer.groups) == (1, 3, 2, 2)
    assert layer.macs == 4 * 5 * 8 * 3 * 3


@pytest.mark.parametrize(
    ("row", "column", "reason"),
    [
        ("8.0,8,4,16,3,3,1,1,8,8", "H", "integer"),
        ("8,,4,16,3,3,1,1,8,8", "W", "integer"),
        ("8,8,4,16,3,3,+-1,1,8,8", "stride", "integer"),
        ("8,8,4,16,3,3,1,1,8", "OW", "integer"),
        ("8,8,0,16,3,3,1,1,8,8", "Cin", "from 1 to"),
        ("8,8,4,-16,3,3,1,1,8,8", "Cout", "from 1 to"),
        ("8,8,4,9999999999999999,3,3,1,1,8,8", "Cout", "from 1 to"),
        ("8,8,4,16,3,3,1,3,8,8", "groups", "divide"),
        ("8,8,4,16,3,3,2,1,6,4", "OH", "at most 5"),
        ("8,8,4,16,1,1,1,1,8,9", "OW", "at most 8"),
    ],
)
def test_impossible_rows(tmp_path, row, column, reason):
    path = write(tmp_path, f"{HEADER}\n{GOOD}\n{row}\n")
    with pytest.raises(ValueError, match=reason) as caught:
        layers_csv.read_layers_csv(path)
    assert f"{path}, line 3, column {column}:" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "an empty file"),
        (HEADER, "a header only"),
        (HEADER.replace("groups,", "") + "\n", "missing: groups"),
    ],
)
def test_incomplete_files(tmp_path, text, reason):
    path = write(tmp_path, text)
    with pytest.raises(ValueError, match=reason):
        layers_csv.read_layers_csv(path)


def test_unreadable_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="must exist"):
        layers_csv.read_layers_csv(tmp_path / "none.csv")
    path = tmp_path / "binary.csv"
    path.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(ValueError, match="readable CSV"):
        layers_csv.read_layers_csv(path)


AXES = "H,W,Cin,Cout,Kh,Kw,stride_h,stride_w,groups,OH,OW"


def test_strides_of_both_axes(tmp_path):
    text = f"{AXES}\n40,9,1,8,10,4,2,1,1,20,9\n"
    [layer] = layers_csv.read_layers_csv(write(tmp_path, text))
    assert (layer.stride_h, layer.stride_w) == (2, 1)
    assert layer.macs == 20 * 9 * 8 * 10 * 4


def test_a_row_may_say_either(tmp_path):
    """Both columns are there; what a row leaves empty it does not say."""
    text = f"{AXES},stride\n8,8,4,4,1,1,2,1,1,4,8,\n8,8,4,4,1,1,,,1,4,4,2\n"
    one, other = layers_csv.read_layers_csv(write(tmp_path, text))
    assert (one.stride_h, one.stride_w) == (2, 1)
    assert (other.stride_h, other.stride_w) == (2, 2)


def test_dilation_widens_what_windows_span(tmp_path):
    """13 rows in windows of 9 need no more padding than 4 + 4."""
    text = f"{HEADER},dilation_h,dilation_w\n13,8,4,4,3,3,1,1,13,8,4,1\n"
    [layer] = layers_csv.read_layers_csv(write(tmp_path, text))
    assert (layer.dilation_h, layer.dilation_w) == (4, 1)
    text = f"{HEADER},dilation\n5,5,4,4,3,3,1,1,9,9,3\n"
    [layer] = layers_csv.read_layers_csv(write(tmp_path, text))
    assert (layer.dilation_h, layer.dilation_w) == (3, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            f"{AXES},stride\n8,8,4,4,1,1,2,1,1,4,8,2",
            "stride_w.*stride=2, or em",
        ),
        (f"{AXES}\n8,8,4,4,1,1,2,,1,4,8", "column stride_w.*integer"),
        (f"{HEADER}\n8,8,4,4,1,1,,1,4,8", "column stride.*integer"),
        (f"{HEADER}\n8,8,4,4,4,4,2,1,4,8", "OW.*at most 6.*stride_h and str"),
        (AXES.replace("stride_w,", ""), "missing: stride, or stride_h and"),
        (f"{HEADER},dilation\n8,8,4,4,1,1,1,1,8,8,0", "dilation.*from 1 to"),
        (
            f"{HEADER},dilation\n5,5,4,4,3,3,1,1,12,5,3",
            "OH.*most 11.*dilation 3",
        ),
    ],
)
def test_strides_and_dilations_must_agree(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        layers_csv.read_layers_csv(write(tmp_path, text + "\n"))


def test_a_column_given_twice_is_refused(tmp_path):
    """The last one won, and nobody was told."""
    path = tmp_path / "layers.csv"
    path.write_text(
        "H,W,H,Cin,Cout,Kh,Kw,stride,groups,OH,OW\n1,1,3,4,4,1,1,1,1,1,1\n"
    )
    with pytest.raises(ValueError, match=r"a column once.*'H' 2 times"):
        layers_csv.read_layers_csv(path)


def test_values_beyond_the_columns_are_refused(tmp_path):
    """Of `2,5` the 5 was dropped, and nobody was told."""
    path = write(tmp_path, f"{HEADER}\n{GOOD}\n8,8,4,16,3,3,1,1,8,8,5\n")
    with pytest.raises(ValueError, match=r"line 3: .* 10\. Received: 11, 8,8"):
        layers_csv.read_layers_csv(path)
    path = write(tmp_path, f"{HEADER}\n{GOOD},, \n")  # as spreadsheets do
    assert len(layers_csv.read_layers_csv(path)) == 1
