import numpy as np
import pytest

from tf_cosearch.cost.calibrate.family_evidence import Comparison
from tf_cosearch.designs import agreement

DEVICE = {
    "machine": "pixel6",
    "workload": "mobilenet_v1",
    "unit": "ms",
    "reference": 2.0,
    "ours": 2.1,
    "left_out": 2.2,
    "left_out_error": 0.1,
    "baseline": 3.0,
    "baseline_error": 0.5,
    "reason": None,
}
LAYER = {
    "machine": "zigzag",
    "workload": "conv",
    "unit": "cycles",
    "reference": 2000.0,
    "ours": 2400.0,
    "ours_error": 0.2,
    "reason": "weights share our DRAM port",
}
ROWS = [
    DEVICE,
    {**DEVICE, "workload": "vgg16", "reference": 300.0, "left_out": 280.0},
    {**DEVICE, "machine": "coral_usb", "reference": 2.1},
    LAYER,
    {**LAYER, "reference": 2450.0, "ours": 2500.0, "ours_error": 0.02}
    | {"reason": None},
]


@pytest.mark.parametrize(
    ("name", "start"),
    [("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.pdf", b"%PDF")],
)
def test_draws_a_picture(tmp_path, name, start):
    agreement.plot(ROWS, tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(start)


def test_what_is_drawn_is_named(tmp_path, monkeypatch):
    drawn = []
    from matplotlib.figure import Figure

    monkeypatch.setattr(Figure, "savefig", lambda f, path: drawn.append(f))
    agreement.plot(ROWS, tmp_path / "a.png")
    left, right = drawn[0].axes
    assert "mean error 10.0%" in left.get_title()
    assert "50.0% by the plain baseline" in left.get_title()
    assert "median difference 11.0%" in right.get_title()
    texts = [text.get_text() for text in left.texts]
    assert sorted(texts[:-1]) == ["1", "1", "2"]
    assert [line.split()[1] for line in texts[-1].splitlines()] == [
        "mobilenet_v1",
        "vgg16",
    ]
    labels = [text.get_text() for text in left.get_legend().get_texts()]
    assert labels == ["within 10%", "pixel6", "coral_usb", "plain baseline"]
    labels = [text.get_text() for text in right.get_legend().get_texts()]
    assert labels == [
        "within 10%",
        "1: weights share our DRAM port",
        "1: within 5%",
    ]


def test_families_are_drawn_beside_each_other(tmp_path, monkeypatch):
    drawn = []
    from matplotlib.figure import Figure

    monkeypatch.setattr(Figure, "savefig", lambda f, path: drawn.append(f))
    ours, theirs = np.array([1e5, 2.2e6]), np.array([1e5, 2e6])
    seen = ("npu", "tool-1", "npu_1", "networks", "seen", theirs, ours * 2)
    left_out = ("npu", "tool-1", "npu_1", "networks", "left_out", theirs, ours)
    other = ("array", "tool-2", "array_1", "layers", "seen", theirs, theirs)
    compared = [Comparison(*fields) for fields in (seen, left_out, other)]
    agreement.plot_families(compared, tmp_path / "a.png")
    left, right = drawn[0].axes
    # 0 and 10 % off: what formulas were found with does not count.
    assert left.get_title() == (
        "npu: 2 networks left out,\nmedian difference 5.0%, Kendall tau 1.00"
    )
    assert right.get_title().startswith(
        "array: 2 layers,\nmedian difference 0.0%"
    )
    labels = [text.get_text() for text in left.get_legend().get_texts()]
    assert labels == ["within 10%", "npu_1", "seen before"]
    labels = [text.get_text() for text in right.get_legend().get_texts()]
    assert labels == ["within 10%", "array_1"]
    drawn[0].draw_without_rendering()
    ticks = [text.get_text() for text in left.get_xticklabels()]
    assert {"300,000", "1 M"} <= set(ticks)
