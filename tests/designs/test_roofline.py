import pytest
from matplotlib.figure import Figure

from tf_cosearch.accelerators import presets
from tf_cosearch.accelerators.families.edge_tpu import EdgeTpu
from tf_cosearch.cost.explain import complexity
from tf_cosearch.designs import roofline
from tf_cosearch.networks.spaces.template import load_network
from tf_cosearch.networks.workload import Layer


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Draws a network and gives the figure as it was saved."""
    figures = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure,
        "savefig",
        lambda self, path: (figures.append(self), save(self, path)),
    )

    def draw(layers, chip):
        points = complexity.roofline(layers, chip)
        path = tmp_path / "roofline.png"
        roofline.plot(points, path, "A title")
        assert path.read_bytes().startswith(b"\x89PNG")
        return points, figures[-1]

    return draw


def boxes(figure, texts):
    renderer = figure.canvas.get_renderer()
    return [text.get_window_extent(renderer) for text in texts]


@pytest.mark.parametrize(
    ("network", "chip"),
    [
        ("mobilenet_v2", "edge_tpu"),
        ("mobilenet_edgetpu", "edge_tpu_v2"),
        ("efficientnet_edgetpu_s", "edge_tpu_v2"),
    ],
)
def test_picture_of_a_network(drawn, network, chip):
    layers = load_network(network).layers()
    points, figure = drawn(layers, presets.load_accelerator(chip))
    (axes,) = figure.axes
    assert axes.get_title() == "A title"
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")

    texts = [text.get_text() for text in axes.texts]
    assert f"Array {points['peak_tops']:.3g} TOPS at 8 bits" in texts
    gbits = 1e3 * points["dram_tbits"]
    assert f"DRAM {gbits:.3g} Gbit/s" in texts

    # Every bound that occurs has a colour, and shares make up the latency.
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    bounds = {row["bound"].replace("_", " ") for row in points["layers"]}
    assert {label.rsplit(" ", 1)[0] for label in labels} == bounds
    shares = [float(label.rsplit(" ", 1)[1][:-1]) for label in labels]
    assert sum(shares) == pytest.approx(100, abs=2)

    # All points are in the frame, and the dearest layer is named first.
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    for row in points["layers"]:
        if row["achieved_tops"]:
            assert left < row["ops_per_bit"] < right
            assert low < row["achieved_tops"] < high
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    known = {row["name"] for row in points["layers"]}
    assert len(names) == 8
    assert {name.split()[1].rstrip(":") for name in names} <= known

    # No number or label lies on another (slanted ones have larger boxes).
    places = boxes(figure, [t for t in axes.texts if not t.get_rotation()])
    places = [box.shrunk(0.8, 0.8) for box in places]  # letters have a margin
    assert len(places) == 9
    for index, box in enumerate(places):
        assert not any(box.overlaps(other) for other in places[:index])


def test_layers_at_one_place_are_one_point():
    rows = [
        {
            "name": name,
            "ops_per_bit": x,
            "ops_per_dram_bit": None,
            "achieved_tops": 1.0,
            "bound": bound,
            "latency_ms": 1.0,
        }
        for name, x, bound in [
            ("a", 10.0, "compute"),
            ("b", 10.001, "compute"),
            ("c", 10.0, "dram"),
            ("d", 20.0, "compute"),
        ]
    ]
    spots = roofline._spots(rows)
    assert [spot.names for spot in spots] == [["a", "b"], ["c"], ["d"]]
    assert [spot.share for spot in spots] == [0.5, 0.25, 0.25]
    assert spots[0].label() == "a (x2): 50%"


def test_a_single_layer_can_be_drawn(drawn):
    drawn([Layer("dense", "dense", 1, 1, 10, 1, 1, 64)], EdgeTpu())


def test_there_must_be_something_to_draw(tmp_path):
    move = Layer("move", "data_movement", 8, 8, 16, 8, 8, 16)
    points = complexity.roofline([move], EdgeTpu())
    with pytest.raises(ValueError, match="1 layers without operations"):
        roofline.plot(points, tmp_path / "empty.png")
